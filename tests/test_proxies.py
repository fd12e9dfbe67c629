"""Real proxies, with the recipes as they stand in the documents, ask `/verify`.

Each runs as a process of its own, in the foreground, between a client and two servers of this
process: the hub, behind a wire that counts, and an application that says what it was asked.
Only addresses and the places of files are put in. What is not installed is skipped.
"""

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

import sse_trio

from .proxies import Application, Wire, ask, free_port, hear, join_by_post, nginx_with, running
from .support import Start, post_notify, raw_websocket, request
from .test_docs import OPERATING, fences, section, table

HEADING = "Who may pass: `/verify`"
COOKIE = "__Host-sse_trio"
ROOM = "ü/1"
FORGED = (("X-Session-Room", "admin"), ("X-Session-Id", "admin"), ("X-Session-Epoch", "99"))
# The same to an application server that makes variables of headers.
UNDERSCORED = ("X_Session_Room", "x-session_room", "X_SESSION-ID", "X-Session_Epoch")
UPLOAD = 3 * 2**20


@attrs.frozen
class Bench:
    """A hub, an application, and what is between them and a proxy."""

    hub: sse_trio.Hub
    wire: Wire
    application: Application
    where: Path
    port: int
    """The proxy's."""

    def adapt(self, text: str) -> str:
        """Put this bench's addresses and places into a recipe."""
        places = {
            "127.0.0.1:8080": f"127.0.0.1:{self.wire.port}",
            "127.0.0.1:3000": f"127.0.0.1:{self.application.port}",
            "127.0.0.1:8000": f"127.0.0.1:{self.port}",
            "http://:8000": f"http://:{self.port}",
            "/etc/haproxy/": f"{self.where}/",
            "/usr/local/lib/sse-trio/": f"{self.where}/",
        }
        if os.geteuid() != 0:  # it cannot become another user
            places[" www-data:www-data"] = ""
        for theirs, ours in places.items():
            text = text.replace(theirs, ours)
        return text

    async def log_in(self, session: str) -> dict[str, Any]:
        answer: dict[str, Any] = (await post_notify(self.hub, room=ROOM, sender=session)).json
        return answer


@pytest.fixture
def where() -> Iterator[Path]:
    """A directory that the user of a proxy can read, unlike those of pytest."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
async def bench(nursery: trio.Nursery, start: Start, where: Path) -> Bench:
    hub = await start(join="ticket")
    application, wire = Application(), Wire(hub.port)
    await nursery.start(application.serve)
    await nursery.start(wire.serve)
    return Bench(hub, wire, application, where, free_port())


def recipe(heading: str, info: str, page: Path = OPERATING) -> str:
    (text,) = [block.text for block in fences(section(page, heading)) if block.info == info]
    return text


def nginx(bench: Bench, servers: str | None = None) -> list[str]:
    return nginx_with(bench.where, bench.adapt(servers or recipe("nginx", "nginx verify")))


def haproxy(bench: Bench) -> list[str]:
    main = bench.where / "haproxy.cfg"
    (bench.where / "verify.lua").write_text(bench.adapt(recipe("HAProxy", "lua")))
    main.write_text(bench.adapt(recipe("HAProxy", "haproxy")))
    return ["haproxy", "-db", "-f", str(main)]


def caddy(bench: Bench) -> list[str]:
    main = bench.where / "Caddyfile"
    main.write_text("{\n\tadmin off\n}\n" + bench.adapt(recipe("Caddy", "caddyfile")))
    return ["caddy", "run", "--config", str(main), "--adapter", "caddyfile"]


def apache2(bench: Bench) -> list[str]:
    verify = bench.where / "verify"
    verify.write_text(bench.adapt(recipe("Apache", "python verify")))
    verify.chmod(0o755)
    named = re.search(r"Apache needs the modules (.*):", section(OPERATING, "Apache"))
    assert named
    modules = ["mpm_event", "authz_core", *re.findall(r"`(\w+)`", named[1])]
    main = bench.where / "apache2.conf"
    main.write_text(
        f"ServerRoot /usr/lib/apache2\nServerName test\nDefaultRuntimeDir {bench.where}\n"
        f"PidFile {bench.where}/pid\nErrorLog /dev/stderr\nUser www-data\nGroup www-data\n"
        f"StartServers 1\nListen 127.0.0.1:{bench.port}\n"
        + "".join(f"LoadModule {name}_module modules/mod_{name}.so\n" for name in modules)
        + bench.adapt(recipe("Apache", "apache"))
    )
    return ["apache2", "-DFOREGROUND", "-f", str(main)]


@contextlib.asynccontextmanager
async def proxy(bench: Bench, command: list[str]) -> AsyncIterator[None]:
    if shutil.which(command[0], path="/usr/sbin:/usr/bin") is None:
        pytest.skip(f"{command[0]} is not installed")
    async with running(command, bench.port, bench.where):
        yield


Kind = Callable[[Bench], list[str]]
"""Writes the configuration of a proxy; returns what starts it."""

PROXIES: list[Kind] = [nginx, haproxy, caddy, apache2]


def promised(kind: Kind) -> tuple[str, int]:
    """With which method a proxy asks, and what it answers while the hub is away."""
    columns = ("", "asks with", "its connection to the hub", "a refused browser gets")
    for name, asks, *_, away in table(OPERATING, HEADING, *columns, "while the hub is unreachable"):
        if kind.__name__.startswith(name.lower()):
            return asks.strip("`").split()[0], int(away)
    raise AssertionError(f"{kind.__name__} is not in the table")


@pytest.mark.parametrize("kind", PROXIES, ids=lambda kind: kind.__name__)
async def test_a_proxy_lets_pass_whoever_stands(kind: Kind, bench: Bench) -> None:
    first = await bench.log_in("s1")
    cookie = f"{COOKIE}={first['token']}"
    method, status = promised(kind)
    standing = {"x-session-room": "%C3%BC%2F1", "x-session-id": "s1", "x-session-epoch": "1"}
    async with proxy(bench, kind(bench)):

        async def passes(*args: Any, session: dict[str, str] = standing, **more: Any) -> Any:
            answer = await ask(bench.port, *args, **more)
            assert answer.status == 200, answer
            told = answer.json if answer.body else {"headers": standing.items()}
            named = [(name, value) for name, value in told["headers"] if "session-" in name]
            assert sorted(named) == sorted(session.items())
            return told

        async def is_refused(**more: Any) -> None:
            before = bench.application.requests
            answer = await ask(bench.port, headers=FORGED, **more)
            assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
            assert bench.application.requests == before

        # Allowed, refused, and what is open to all.
        await is_refused()
        await is_refused(cookie=f"{COOKIE}=forged")
        await is_refused(cookie=f"{COOKIE}={first['ticket']}")
        await passes(cookie=cookie, headers=FORGED)
        await passes(target="/login", headers=FORGED, session={})
        for name in UNDERSCORED:
            for path in ("/", "/login"):
                told = await ask(bench.port, target=path, cookie=cookie, headers=((name, "admin"),))
                assert told.status == 400 or "admin" not in told.body.decode()
        around = await ask(bench.port, target="/a/../login", headers=FORGED)
        assert around.status == 401 or "x-session-" not in around.body.decode()
        assert (await ask(bench.port, target="/client.js")).status == 200
        for path in ("/metrics", "/sessions", "/verify"):
            assert (await ask(bench.port, "POST", path)).status in (401, 404)

        # Any method, any path, a body, a long cookie.
        for other in ("PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND"):
            told = await passes(other, "/a/c;d?x=%2F&y", cookie=cookie)
            assert (told["method"], told["target"]) == (other, "/a/c;d?x=%2F&y")
        await passes("HEAD", "/a", cookie=cookie)
        assert (await passes("POST", "/a", cookie=cookie, body=b"x"))["size"] == 1
        padding = "x" * (8192 - len(cookie) - len("a=; "))
        await passes(cookie=f"a={padding}; {cookie}")

        # What is uploaded is not the hub's business, and its connection is kept.
        before, bench.wire.asked = bench.wire.connections, b""
        for expect in ((), (("Expect", "100-continue"),)):
            told = await passes("POST", "/a", cookie=cookie, body=bytes(UPLOAD), headers=expect)
            assert told["size"] == UPLOAD
        for _ in range(20):
            await passes(cookie=cookie)
        assert bench.wire.asked.count(f"{method} /verify HTTP/1.1\r\n".encode()) == 22
        assert len(bench.wire.asked) < 22 * 2048
        assert bench.wire.connections - before <= 2

        # The page's WebSocket goes the same way, and so does the request of one that cannot use
        # any; and the old cookie is worth nothing at once.
        page = await raw_websocket(bench)
        async with page.stream, await trio.open_tcp_stream("127.0.0.1", bench.port) as listener:
            await page.send({"type": "join", "ticket": first["ticket"]})
            assert (await page.message())["type"] == "joined"
            await listener.send_all(join_by_post("test", {"ticket": first["ticket"]}))
            await hear(listener, '"joined"')
            second = await bench.log_in("s2")
            await is_refused(cookie=cookie)
            assert (await page.message())["type"] == "terminate"
            await hear(listener, '"terminate"')
        newer = standing | {"x-session-id": "s2", "x-session-epoch": "2"}
        cookie = f"{COOKIE}={second['token']}"
        await passes(cookie=cookie, session=newer)

        # While the hub is away, or frozen, nobody passes.
        before = bench.application.requests
        bench.wire.silent = True
        frozen = (await ask(bench.port, cookie=cookie)).status
        await bench.wire.cut()
        away = (await ask(bench.port, cookie=cookie)).status
        assert (frozen, away) == (504 if kind is caddy else status, status)
        assert bench.application.requests == before


# -- by their documents ------------------------------------------------------------------

FORWARDED = {
    "X-Forwarded-For": "192.0.2.1",
    "X-Forwarded-Host": "app.example.com",
    "X-Forwarded-Method": "POST",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Uri": "/upload?x=1",
}


@pytest.mark.parametrize(
    ("method", "target", "headers"),
    [
        pytest.param("GET", "/verify", FORWARDED, id="Traefik"),
        pytest.param("GET", "/verify/upload?x=1", {}, id="Envoy-GET"),
        pytest.param("POST", "/verify/upload?x=1", {}, id="Envoy-POST"),
        pytest.param("PROPFIND", "/verify/", {}, id="Envoy-PROPFIND"),
    ],
)
async def test_the_request_of_a_proxy_by_its_documents(
    method: str, target: str, headers: dict[str, str], start: Start
) -> None:
    hub = await start()

    async def verify(**more: str) -> Any:
        # Traefik announces no body; Envoy one of length 0.
        return await request(hub, method, target, headers={**headers, **more})

    first = (await post_notify(hub, room=ROOM, sender="s1")).json
    cookie = f"{COOKIE}={first['token']}"
    allowed = await verify(Cookie=cookie)
    assert allowed.status == 200
    assert allowed.headers["x-session-room"] == "%C3%BC%2F1"
    assert allowed.json == {"subject": ROOM, "extra": {"session": "s1", "epoch": 1}}
    await post_notify(hub, room=ROOM, sender="s2")
    refused = await verify(Cookie=cookie)
    assert (refused.status, refused.headers["x-session-reason"]) == (401, "login")
    assert (await verify()).headers["x-session-reason"] == "missing"
