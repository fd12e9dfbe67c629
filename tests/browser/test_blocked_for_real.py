"""A page joins by requests where WebSockets are blocked: real hubs, and what lies between."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from ..proxies import free_port, nginx_with
from .conftest import StartHub, both_engines, whole_chromium
from .pages import guarded, kinds, marked_up, said, wait_for, wait_for_members
from .processes import Cable, HubProcess, Site, run_cable, run_server
from .tabs import open_tabs
from .test_back_forward import MARKUP, go_back, leave

# An attempt takes two seconds at most, and a stream that is silent for one is held back.
GUARD = 'room: "u1", session: "s1", minDelay: 0.1, timeout: 2'

# As if a minute had gone by in sleep, and somebody looked.
WAKE = """() => {
  performance.now = ((now) => () => now() + 60_000)(performance.now.bind(performance));
  dispatchEvent(new Event("focus"));
}"""


@pytest.fixture
def hub(start_hub: StartHub) -> HubProcess:
    return start_hub(heartbeat_interval=4, heartbeat_timeout=20)


@pytest.fixture
def cable(hub: HubProcess) -> Iterator[Cable]:
    with run_cable(hub.port) as cable:
        cable.websockets = "refused"
        yield cable


def behind(port: int, more: str = "") -> str:
    return f'{GUARD}, url: "ws://127.0.0.1:{port}/ws", {more}'


def wait_for_transport(page: Page, transport: str) -> None:
    page.wait_for_function("transport => window.guard?.transport === transport", arg=transport)


def is_terminated(page: Page, hub: HubProcess) -> None:
    """Have another login take over. The hub answers when the page has heard of it."""
    answer = hub.notify(room="u1", sender="s2", wait=10, detail={"device": "a phone"})
    assert (answer["terminated"], answer["acked"]) == (1, 1)
    wait_for(page, "terminated")
    assert said(page, "terminated")[0][1]["detail"] == {"device": "a phone"}
    assert page.evaluate("guard.transport") is None
    wait_for_members(page, hub, 0)


@pytest.mark.parametrize("block", ["refused", "silence", "open", 1.0])
def test_a_page_is_terminated_by_its_stream(
    start_hub: StartHub, site: Site, page: Page, block: str | float
) -> None:
    hub = start_hub(heartbeat_interval=1000, heartbeat_timeout=3000)
    with run_cable(hub.port) as cable:
        cable.websockets = block
        page.goto(site.page("/", guarded(hub, behind(cable.port))))
        wait_for_transport(page, "events")
        is_terminated(page, hub)


@both_engines
@pytest.mark.parametrize("block", ["refused", 1.0])
def test_a_page_comes_back_to_websockets(
    hub: HubProcess, cable: Cable, site: Site, page: Page, block: str | float
) -> None:
    cable.websockets = block
    where = f"127.0.0.1:{cable.port}"
    policy = f"connect-src ws://{where} http://{where}/events"
    html = guarded(hub, behind(cable.port))
    page.goto(site.page("/", html, Content_Security_Policy=policy))
    wait_for_transport(page, "events")
    page.evaluate(WAKE)
    page.wait_for_function("log.at(-1)[0] === 'joined'")
    cable.websockets = "pass"
    page.evaluate(WAKE)
    wait_for_transport(page, "websocket")
    wait_for_members(page, hub, 1)
    is_terminated(page, hub)


def test_tabs_share_a_stream(
    hub: HubProcess, cable: Cable, site: Site, context: BrowserContext
) -> None:
    url = site.page("/", guarded(hub, behind(cable.port, "share: true")))
    tabs = [context.new_page() for _ in range(8)]  # more than a browser has connections
    for tab in tabs:
        tab.goto(url)
        wait_for(tab, "joined")
    leader, *followers = tabs
    assert leader.evaluate("guard.transport") == "events"
    assert {tab.evaluate("guard.transport") for tab in followers} == {None}
    assert hub.members() == 1
    leader.close()
    wait_for_transport(followers[0], "events")
    hub.notify(room="u1", sender="s2")
    for tab in followers:
        wait_for(tab, "terminated")


@whole_chromium
def test_a_page_comes_back_from_the_cache(
    hub: HubProcess, cable: Cable, site: Site, page: Page
) -> None:
    """Its request does not keep it out of there, and it is hidden until it has joined."""
    body = "<p>content<script>onpageshow = (event) => { persisted = event.persisted }</script>"
    element = MARKUP.format(url=f"ws://127.0.0.1:{cable.port}/ws")
    page.goto(site.page("/", marked_up(hub, element, body)))
    wait_for_transport(page, "events")
    leave(page, site)
    wait_for_members(page, hub, 0)
    hub.notify(room="u1", sender="s2")
    assert go_back(page)
    wait_for(page, "terminated")
    assert kinds(page)[-2:] == ["terminated", "session-expired"]
    assert page.get_by_text("content").is_hidden()


@whole_chromium
def test_a_page_that_is_frozen_leaves(
    hub: HubProcess, cable: Cable, site: Site, browser: Browser, page: Page
) -> None:
    url = site.page("/", guarded(hub, behind(cable.port)))
    with open_tabs(browser, page, url, "about:blank") as (tab, _):
        tab.wait_for("window.guard?.transport === 'events' && document.hidden")
        tab.send("Page.setWebLifecycleState", state="frozen")
        wait_for_members(page, hub, 0)
        hub.notify(room="u1", sender="s2")
        tab.send("Page.setWebLifecycleState", state="active")
        tab.wait_for("guard.state === 'terminated'")


def test_its_origin_may_be_refused(start_hub: StartHub, site: Site, page: Page) -> None:
    """A page cannot read that, so it goes on to try, each in its turn."""
    hub = start_hub(origins=["https://app.example.com"])
    page.goto(site.page("/", guarded(hub, f"{GUARD}, maxDelay: 0.1")))
    page.wait_for_function("log.length >= 6")
    assert set(kinds(page)) == {"offline"}


LOCATION = {
    # As it is without a word: HTTP/1.0 to the hub, and answers are collected.
    "as it is": ("", "events"),
    "HTTP/1.1": ("proxy_http_version 1.1;", "events"),
    # A proxy that does not know the header by which the hub asks for its answer to be passed on.
    "collects": ("proxy_ignore_headers X-Accel-Buffering;", "polling"),
}


@pytest.mark.parametrize(("lines", "transport"), LOCATION.values(), ids=LOCATION)
def test_through_nginx(
    start_hub: StartHub, site: Site, page: Page, tmp_path: Path, lines: str, transport: str
) -> None:
    """It passes no WebSocket on, unless it is told to."""
    hub = start_hub(heartbeat_interval=1000, heartbeat_timeout=3000)
    port = free_port()
    place = f"location / {{ proxy_pass {hub.origin}; {lines} }}"
    server = f"server {{ listen 127.0.0.1:{port}; {place} }}\n"
    with run_server(nginx_with(tmp_path, server), port):
        page.goto(site.page("/", guarded(hub, behind(port))))
        wait_for_transport(page, transport)
        # One that polls is a member when it asks for the second time.
        wait_for_members(page, hub, 1)
        is_terminated(page, hub)
