"""Clients of Socket.IO behind real proxies, with the changes to their recipes as documented."""

from pathlib import Path

import pytest
import trio

from ...proxies import DEADLINE, Application, Wire, free_port
from ...support import Start
from ...test_docs import ROOT
from ...test_proxies import PROXIES, Bench, Kind, apache2, caddy, haproxy, nginx, proxy, recipe
from ...test_proxies import where as where
from .clients import OnRequests, OnWebSocket, on_requests, on_websocket
from .test_on_requests import tried

PAGE = ROOT / "docs" / "socketio.md"
HEADING = "Behind a proxy"


@pytest.fixture
async def bench(nursery: trio.Nursery, start: Start, where: Path) -> Bench:
    hub = await start(socketio=True)
    application, wire = Application(), Wire(hub.port)
    await nursery.start(application.serve)
    await nursery.start(wire.serve)
    return Bench(hub, wire, application, where, free_port())


CHANGES: dict[Kind, tuple[str, str, str]] = {
    nginx: ("nginx.conf", "    location = /ws {", "nginx"),
    haproxy: ("haproxy.cfg", "    acl open", "haproxy"),
    caddy: ("Caddyfile", "\t@hub", "caddyfile"),
    apache2: ("apache2.conf", "    RewriteRule ^/(ws", "apache"),
}
"""The file, how the line begins at which it is changed, and the block of the page."""


def change(kind: Kind, bench: Bench) -> None:
    """Change what the proxy has been given, as the page says."""
    name, beside, info = CHANGES[kind]
    file = bench.where / name
    added = bench.adapt(recipe(HEADING, info, PAGE))
    before, found, after = file.read_text().partition(beside)
    assert found
    rest, end, after = after.partition("\n")
    line = f"{found}{rest}{end}"
    if kind is haproxy:
        added = line + added
    elif kind is not caddy:
        added += line
    file.write_text(before + added + after)


@pytest.mark.parametrize("kind", PROXIES, ids=lambda kind: kind.__name__)
async def test_a_proxy_passes_on_what_clients_send(kind: Kind, bench: Bench) -> None:
    command = kind(bench)
    change(kind, bench)
    with trio.fail_after(DEADLINE):
        async with (
            proxy(bench, command),
            on_requests(bench) as polling,
            on_websocket(bench) as direct,
            on_requests(bench) as upgraded,
        ):
            clients: list[OnRequests | OnWebSocket] = [polling, direct, upgraded]
            for client in clients:
                await client.connect()
            async with tried(bench, upgraded) as page:
                await page.say("5")
                for client in (polling, direct, page):
                    await client.join("u1")
                await bench.hub.notify("u1", sender="another")
                for told in (await polling.packets(), await over(direct), await over(page)):
                    assert told[0].startswith('42["terminate",')
                    assert told[1:] == ["41"]


async def over(page: OnWebSocket) -> list[str]:
    """The next two packets."""
    return [str(await page.hear()), str(await page.hear())]
