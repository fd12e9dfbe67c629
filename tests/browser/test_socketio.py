"""Pages of Socket.IO in a browser, with the files that their makers ship, and on another origin."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from ..server.socketio.packages import install
from .conftest import StartHub
from .pages import wait_for_members
from .processes import HubProcess, Site

VERSIONS = ["2.5.0", "3.1.3", "4.8.4"]

# With short delays, and for the rest as pages are.
PAGE = """<!doctype html><html lang="en"><title>a page</title><link rel="icon" href="data:,">
<script src="%(hub)s/socket.io/socket.io.js"></script>
<script>
  window.log = [];
  const socket = io("%(hub)s", {reconnectionDelay: 50, reconnectionDelayMax: 50});
  window.transport = () => socket.io.engine?.transport?.name;
  socket.on("connect", () => {
    log.push("connect");
    socket.emit("join", "u1", "%(session)s");
  });
  for (const name of ["joined", "terminate", "disconnect"]) {
    socket.on(name, (what) => log.push([name, what]));
  }
</script>"""

# As where a proxy refuses the handshake.
BLOCKED = """window.WebSocket = class {
  constructor() {
    setTimeout(() => {
      this.onerror?.(new Event("error"))
      this.onclose?.(new CloseEvent("close", {code: 1006}))
    })
  }
  close() {}
}"""


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    project = install(tmp_path_factory.mktemp("clients"))
    dist = {version: project / f"node_modules/client-{version}/dist" for version in VERSIONS}
    names = dict.fromkeys(VERSIONS, "socket.io.min.js") | {"2.5.0": "socket.io.js"}
    return {version: dist[version] / names[version] for version in VERSIONS}


@pytest.fixture(params=VERSIONS)
def bundle(request: pytest.FixtureRequest, bundles: dict[str, Path]) -> str:
    return str(bundles[request.param])


def start(start_hub: StartHub, bundle: str, **settings: Any) -> HubProcess:
    return start_hub(socketio=True, socketio_client=bundle, **settings)


def open_page(page: Page, hub: HubProcess, site: Site, session: str) -> None:
    html = PAGE % {"hub": hub.origin, "session": session}
    page.goto(site.page("/", html))


def wait_for(page: Page, name: str) -> Any:
    """Wait until the page was told this; return with what."""
    page.wait_for_function("name => log.some(([what]) => what === name)", arg=name)
    return page.evaluate("name => log.find(([what]) => what === name)[1]", name)


def is_left_alone(page: Page) -> bool:
    """Whether the page says nothing more to the hub, for as long as it would take many times."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("websocket", lambda websocket: asked.append(websocket.url))
    page.wait_for_timeout(500)
    return not asked


def test_a_page_ends_on_a_websocket_and_is_terminated(
    start_hub: StartHub, site: Site, page: Page, bundle: str
) -> None:
    # No ping answers the held GET, on whose answer the client waits before it goes over.
    hub = start(start_hub, bundle, heartbeat_interval=3600, heartbeat_timeout=7200)
    trouble: list[str] = []
    page.on("console", lambda message: trouble.append(message.text))
    page.on("pageerror", lambda error: trouble.append(str(error)))
    open_page(page, hub, site, "s1")
    assert wait_for(page, "joined")["session"] == "s1"
    page.wait_for_function("transport() === 'websocket'")
    hub.notify(room="u1", sender="s2", detail={"device": "Firefox"})
    assert wait_for(page, "terminate")["detail"] == {"device": "Firefox"}
    assert wait_for(page, "disconnect") == "io server disconnect"
    wait_for_members(page, hub, 0)
    assert is_left_alone(page)
    # The browser lets the page read every answer, also to 2.5.0, which sends credentials.
    assert trouble == []


def test_where_websockets_are_blocked_a_page_stays_on_polling(
    start_hub: StartHub, site: Site, page: Page, bundle: str
) -> None:
    hub = start(start_hub, bundle)
    page.add_init_script(BLOCKED)
    open_page(page, hub, site, "s1")
    wait_for(page, "joined")
    page.wait_for_timeout(300)
    assert page.evaluate("transport()") == "polling"
    hub.notify(room="u1", sender="s2")
    wait_for(page, "terminate")
    assert wait_for(page, "disconnect") == "io server disconnect"
    assert is_left_alone(page)


def test_a_page_that_was_offline_is_terminated_when_it_comes_back(
    start_hub: StartHub, site: Site, page: Page, bundle: str
) -> None:
    hub = start(start_hub, bundle, heartbeat_interval=0.5, heartbeat_timeout=1)
    open_page(page, hub, site, "s1")
    wait_for(page, "joined")
    hub.notify(room="u1", sender="s1")
    page.wait_for_function("transport() === 'websocket'")
    page.context.set_offline(True)
    with hub.frozen():
        wait_for(page, "disconnect")
    hub.notify(room="u1", sender="s2")
    page.context.set_offline(False)
    wait_for(page, "terminate")
    page.wait_for_function("log.at(-1)[1] === 'io server disconnect'")
    assert is_left_alone(page)


def test_an_origin_that_is_not_allowed_does_not_join(
    start_hub: StartHub, site: Site, page: Page, bundle: str
) -> None:
    hub = start(start_hub, bundle, origins=["https://app.example"])
    with page.expect_event("requestfailed", lambda request: "EIO=" in request.url):
        open_page(page, hub, site, "s1")
    assert page.evaluate("log") == []
    assert hub.members() == 0
