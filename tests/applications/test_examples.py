"""What the applications of `docs/applications.md` do, and what its commands print."""

import json
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import trio
from werkzeug.serving import make_server
from werkzeug.test import Client

from ..proxies import ask
from ..support import KEY, Start, keep_cookies
from ..test_proxies import Bench, nginx, proxy, recipe
from ..test_proxies import bench as bench
from ..test_proxies import where as where
from .examples import ADA, APPLICATIONS, GRACE, Load, in_thread, post, ticket_in, verdict
from .examples import load as load


async def test_devices_limits_and_signing_one_out(load: Load, start: Start) -> None:
    hub = await start(join="ticket")
    app = load("devices.py", hub.port).app

    def steps() -> str:
        laptop, phone, tablet, other = (Client(app) for _ in range(4))

        def log_in(browser: Client, agent: str, **more: str) -> Any:
            return browser.post("/login", data=ADA | more, headers={"User-Agent": agent})

        assert laptop.get("/").location == "/login"
        assert laptop.post("/login", data=ADA | {"password": "x"}).status_code == 401
        assert log_in(laptop, "Laptop").location == "/"
        assert log_in(phone, "Phone").location == "/"
        # A browser that logs in again takes no further place.
        assert log_in(phone, "Phone").location == "/"
        # The third is refused, and told which ones stand.
        full = log_in(tablet, "<Tablet>")
        assert full.status_code == 409
        choices = re.findall(r'name="end" value="([^"]+)">end (\w+)<', full.text)
        assert [device for _, device in choices] == ["Phone", "Laptop"]
        assert laptop.get("/").status_code == phone.get("/").status_code == 200
        # The user chooses the laptop.
        assert log_in(tablet, "<Tablet>", end=choices[1][0]).location == "/"
        assert laptop.get("/").location == "/login"
        assert phone.get("/").status_code == 200
        page = tablet.get("/").text
        assert page.count("onsubmit") == 1  # only the own form ends this page
        devices = re.findall(r'name="session" value="([^"]+)">\n(.*?)<button>(.*?)</button>', page)
        assert [about for _, *about in devices] == [
            ["&lt;Tablet&gt;", "Log out here"],
            ["Phone", "Log out"],
        ]
        # Nobody logs out another user's device.
        assert other.post("/login", data=GRACE).location == "/"
        other.post("/devices", data={"session": devices[1][0]})
        assert phone.get("/").status_code == 200
        tablet.post("/devices", data={"session": devices[1][0]})
        assert phone.get("/").location == "/login"
        assert tablet.get("/").status_code == other.get("/").status_code == 200
        # As another user, the browser's former login ends.
        assert tablet.post("/login", data=GRACE).location == "/"
        assert log_in(laptop, "Laptop").location == log_in(phone, "Phone").location == "/"
        return ticket_in(laptop.get("/").text)

    assert await verdict(hub, await in_thread(steps)) == "joined"


@contextmanager
def served(app: Any) -> Iterator[int]:
    """Serve an application in a thread of this process."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.slow
async def test_the_application_behind_a_proxy(load: Load, bench: Bench) -> None:
    more = recipe("No code at all: `/verify`", "nginx login", APPLICATIONS)
    servers = recipe("nginx", "nginx verify").replace(
        "    location / {\n", f"{more}\n    location / {{\n"
    )
    with served(load("behind.py", bench.hub.port).app) as port:
        bench.application.port = port
        async with proxy(bench, nginx(bench, servers)):
            browsers: list[dict[str, str]] = [{}, {}]

            async def send(number: int, path: str, form: dict[str, str] | None = None) -> Any:
                cookie = "; ".join(f"{name}={value}" for name, value in browsers[number].items())
                if form is None:
                    return await ask(bench.port, target=path, cookie=cookie or None)
                answer = await post(bench.port, path, form, cookie or None)
                keep_cookies(browsers[number], answer.cookies)
                return answer

            async def is_out(number: int) -> bool:
                answer = await send(number, "/")
                assert answer.status in (200, 303)
                return bool(answer.status == 303)

            assert await is_out(0)
            assert (await send(0, "/login")).status == 200
            assert (await send(0, "/login", ADA)).status == 302
            page = (await send(0, "/")).body.decode()
            assert "Hello ada" in page
            assert await verdict(bench.hub, ticket_in(page)) == "joined"
            assert (await send(1, "/login", ADA)).status == 302
            assert await verdict(bench.hub, ticket_in(page)) == "terminate"
            assert (await is_out(0), await is_out(1)) == (True, False)
            # The old browser logs out: nobody else does.
            assert (await send(0, "/logout", {})).status == 303
            assert not await is_out(1)
            # Another user in the same browser.
            ended = dict(browsers[1])
            assert (await send(1, "/login", GRACE)).status == 302
            browsers[0] = ended
            assert (await is_out(0), await is_out(1)) == (True, False)
            assert (await send(1, "/logout", {})).status == 302
            assert browsers[1] == {}


async def test_what_curl_shows(start: Start) -> None:
    hub = await start()
    script, shown = (
        recipe("By hand", "sh by hand", APPLICATIONS),
        recipe("By hand", "json", APPLICATIONS),
    )
    env = {**os.environ, "SSE_TRIO_URL": f"http://127.0.0.1:{hub.port}", "SSE_TRIO_KEY": KEY}
    run = await trio.run_process(["bash", "-euc", script], capture_stdout=True, env=env)
    lines = run.stdout.decode().splitlines()
    assert [timeless(line) for line in lines] == [timeless(line) for line in shown.splitlines()]


def timeless(line: str) -> Any:
    """Leave out what differs from run to run: signatures and times."""
    line = re.sub(r'("(?:ticket|token)":)"[^"]+"', r'\1"..."', line)
    return json.loads(re.sub(r'("(?:since|seen)":)[\d.]+', r"\g<1>0", line))
