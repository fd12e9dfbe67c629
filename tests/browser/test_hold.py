"""On hold: offline by the hub's word, and still connected.

Playwright plays the hub, which says what a test wants, and the time is Playwright's too.
"""

import json
from typing import Any

import attrs
import pytest
from playwright.sync_api import BrowserContext, Page, WebSocketRoute

from sse_trio.core.messages import SUBPROTOCOLS

from .conftest import StartHub, both_engines
from .pages import guarded, kinds, marked_up, said, state, stop_the_clock, wait_for
from .processes import HubProcess, Site
from .test_sharing import holds

GUARD = 'room: "u1", session: "s1"'
SHARED = f"{GUARD}, share: true"
JOINED = {"type": "joined", "room": "u1", "session": "s1", "epoch": 0, "heartbeat": 25}
HOLD = {"type": "hold"}
HELD = {"code": None, "message": "the hub cannot know for the moment", "delay": None}


@attrs.define(eq=False, slots=False)
class PlayedHub:
    """A hub that answers each join with `answer`, and otherwise says what a test wants."""

    answer: dict[str, Any] = attrs.Factory(JOINED.copy)
    sockets: list[WebSocketRoute] = attrs.Factory(list)
    heard: list[str] = attrs.Factory(list)
    """The types of the messages that it was sent, on whatever connection."""

    def play(self, socket: WebSocketRoute) -> None:
        self.sockets.append(socket)

        def hear(message: str | bytes) -> None:
            self.heard.append(json.loads(message)["type"])
            if self.heard[-1] == "join":
                socket.send(json.dumps(self.answer))

        socket.on_message(hear)

    def say(self, message: dict[str, Any]) -> None:
        """Say it on the newest connection."""
        self.sockets[-1].send(json.dumps(message))


@pytest.fixture
def hub(start_hub: StartHub) -> HubProcess:
    """Of this one the pages have the client."""
    return start_hub()


@pytest.fixture
def played(context: BrowserContext) -> PlayedHub:
    played = PlayedHub()
    context.route_web_socket("**/ws", played.play)
    return played


@pytest.fixture
def held(hub: HubProcess, played: PlayedHub, site: Site, page: Page) -> Page:
    """A page that has joined and was put on hold."""
    stop_the_clock(page)
    page.goto(site.page("/", guarded(hub, GUARD)))
    wait_for(page, "joined")
    played.say(HOLD)
    wait_for(page, "offline")
    return page


def wait_until_heard(page: Page, played: PlayedHub, *kinds: str) -> None:
    for _ in range(1000):
        if played.heard == list(kinds):
            return
        page.wait_for_timeout(10)
    raise AssertionError(f"the hub has heard {played.heard}")


@both_engines
def test_it_speaks_the_newest_that_the_hub_knows(hub: HubProcess, site: Site, page: Page) -> None:
    page.add_init_script(
        """const Native = WebSocket;
        window.WebSocket = class extends Native {
          constructor(...wanted) { super(...wanted); window.socket = this; }
        };"""
    )
    page.goto(site.page("/", guarded(hub, GUARD)))
    wait_for(page, "joined")
    assert page.evaluate("socket.protocol") == SUBPROTOCOLS[0]


@both_engines
def test_it_is_offline_and_does_not_connect_anew(held: Page, played: PlayedHub) -> None:
    assert said(held, "offline") == [("offline", HELD)]
    held.clock.run_for(45_000)
    assert state(held) == "offline"
    assert kinds(held) == ["joined", "offline"]
    assert (len(played.sockets), played.heard) == (1, ["join"])


@both_engines
def test_joined_again_it_goes_on_where_it_was(held: Page, played: PlayedHub) -> None:
    played.say(JOINED | {"epoch": 3})
    wait_for(held, "joined")
    assert [detail["epoch"] for _, detail in said(held, "joined")] == [0, 3]
    assert kinds(held) == ["joined", "offline", "joined"]
    assert len(played.sockets) == 1
    # From now on it expects heartbeats, as ever.
    held.clock.run_for(49_000)
    assert state(held) == "joined"
    held.clock.run_for(2_000)
    assert said(held, "offline")[-1][1]["message"] == "nothing was heard in time"


def test_terminated_it_is_for_ever(held: Page, played: PlayedHub) -> None:
    played.say({"type": "terminate", "room": "u1", "epoch": 1, "reason": "login", "detail": None})
    wait_for(held, "terminated")
    wait_until_heard(held, played, "join", "terminated")
    held.clock.run_for(120_000)
    assert kinds(held) == ["joined", "offline", "terminated"]
    assert len(played.sockets) == 1


def test_a_second_hold_is_no_second_event(held: Page, played: PlayedHub) -> None:
    played.say(HOLD)
    played.say(JOINED)
    wait_for(held, "joined")
    played.say(HOLD)
    wait_for(held, "offline")
    assert kinds(held) == ["joined", "offline", "joined", "offline"]


def test_a_connection_that_closes_is_lost_as_ever(held: Page, played: PlayedHub) -> None:
    played.sockets[0].close(code=1013, reason="the server cannot know for the moment")
    held.wait_for_function("log.length === 3")
    ((_, detail),) = said(held, "offline")[1:]
    assert (detail["code"], detail["message"]) == (1013, "the server cannot know for the moment")
    assert 0 <= detail["delay"] <= 1
    held.clock.run_for(1_500)
    wait_for(held, "joined")
    assert len(played.sockets) == 2


def test_it_asks_now_and_then_whether_the_connection_lives(held: Page, played: PlayedHub) -> None:
    """As often as it would have missed heartbeats. The answer is that it is still on hold."""
    for questions in (1, 2):
        held.clock.run_for(49_000)
        assert played.heard == ["join"] + ["heartbeat"] * (questions - 1)
        held.clock.run_for(1_500)
        wait_until_heard(held, played, "join", *["heartbeat"] * questions)
        played.say(HOLD)
    held.clock.run_for(49_000)
    assert kinds(held) == ["joined", "offline"]
    assert len(played.sockets) == 1


def test_a_connection_that_is_dead_is_lost(held: Page, played: PlayedHub) -> None:
    held.clock.run_for(50_500)
    wait_until_heard(held, played, "join", "heartbeat")
    held.clock.run_for(5_000)
    held.wait_for_function("log.length === 3")
    assert said(held, "offline")[1][1]["message"] == "nothing was heard in time"
    held.clock.run_for(1_500)
    wait_for(held, "joined")


def test_somebody_who_looks_at_the_page_has_it_ask(held: Page, played: PlayedHub) -> None:
    held.clock.run_for(1_500)
    held.evaluate("() => { dispatchEvent(new Event('focus')) }")
    held.clock.run_for(1_000)
    held.evaluate("() => { dispatchEvent(new Event('focus')) }")
    wait_until_heard(held, played, "join", "heartbeat")


def test_a_hold_in_place_of_an_admission(
    hub: HubProcess, played: PlayedHub, site: Site, page: Page
) -> None:
    played.answer = HOLD
    stop_the_clock(page)
    page.goto(site.page("/", guarded(hub, GUARD)))
    wait_for(page, "offline")
    page.clock.run_for(19_000)
    assert played.heard == ["join"]
    page.clock.run_for(1_500)
    wait_until_heard(page, played, "join", "heartbeat")
    played.say(JOINED)
    wait_for(page, "joined")
    assert kinds(page) == ["offline", "joined"]


def test_it_can_be_stopped_and_started(held: Page, played: PlayedHub) -> None:
    held.evaluate("guard.stop()")
    assert state(held) == "stopped"
    held.clock.run_for(120_000)
    assert len(played.sockets) == 1
    held.evaluate("guard.start()")
    wait_for(held, "joined")
    held.clock.run_for(49_000)
    assert kinds(held) == ["joined", "offline", "joined"]


def test_a_page_that_is_put_away_meanwhile_joins_when_it_comes_back(
    held: Page, played: PlayedHub
) -> None:
    held.evaluate("() => { dispatchEvent(new Event('pagehide')) }")
    held.clock.run_for(120_000)
    assert len(played.sockets) == 1
    held.evaluate("() => { dispatchEvent(new Event('pageshow')) }")
    wait_for(held, "joined")
    assert len(played.sockets) == 2
    assert kinds(held) == ["joined", "offline", "offline", "joined"]


# -- what is seen of it -----------------------------------------------------------------


def is_hidden(page: Page) -> Any:
    return page.evaluate("getComputedStyle(document.querySelector('p')).visibility === 'hidden'")


@pytest.mark.parametrize("conceal", ["", "conceal"])
def test_conceal_hides_the_page_meanwhile(
    hub: HubProcess, played: PlayedHub, site: Site, page: Page, conceal: str
) -> None:
    element = f'<session-guard src="{hub.url}" room="u1" session="s1" {conceal}></session-guard>'
    page.goto(site.page("/", marked_up(hub, element, "<p>a secret</p>")))
    wait_for(page, "joined")
    assert not is_hidden(page)
    for _ in range(2):
        played.say(HOLD)
        wait_for(page, "offline")
        assert is_hidden(page) is bool(conceal)
        assert page.evaluate("document.body.inert") is bool(conceal)
        played.say(JOINED)
        wait_for(page, "joined")
        assert not is_hidden(page)
        assert not page.evaluate("document.body.inert")


def test_what_is_concealed_stays_so_while_the_connection_is_lost(
    hub: HubProcess, played: PlayedHub, site: Site, page: Page
) -> None:
    element = f'<session-guard src="{hub.url}" room="u1" session="s1" conceal></session-guard>'
    page.goto(site.page("/", marked_up(hub, element, "<p>a secret</p>")))
    wait_for(page, "joined")
    played.say(HOLD)
    wait_for(page, "offline")
    played.answer = HOLD
    played.sockets[0].close(code=1013)
    page.wait_for_function("log.length === 4")  # lost, and on hold again
    assert is_hidden(page)
    played.say(JOINED)
    wait_for(page, "joined")
    assert not is_hidden(page)


# -- many tabs --------------------------------------------------------------------------


def open_tabs(context: BrowserContext, url: str, number: int, until: str) -> list[Page]:
    """Open so many, whose time is the same."""
    tabs = [context.new_page() for _ in range(number)]
    for tab in tabs:
        tab.goto(url)
        wait_for(tab, until)
    return tabs


def count_holds(tab: Page, hub: HubProcess) -> None:
    """Have `holds` count what this tab has been told by the one that leads."""
    tab.evaluate(
        """url => {
          window.holds = 0;
          const channel = new BroadcastChannel(JSON.stringify(["sse-trio", url, "u1", "s1"]));
          channel.onmessage = ({data}) => { if (data.message?.type === "hold") holds += 1; };
        }""",
        hub.url,
    )


def test_all_tabs_learn_it(
    hub: HubProcess, played: PlayedHub, site: Site, context: BrowserContext
) -> None:
    tabs = open_tabs(context, site.page("/", guarded(hub, SHARED)), 2, "joined")
    played.say(HOLD)
    for tab in tabs:
        wait_for(tab, "offline")
        assert said(tab, "offline") == [("offline", HELD)]
    # One that is opened meanwhile learns it too.
    tabs += open_tabs(context, site.page("/", guarded(hub, SHARED)), 1, "offline")
    played.say(JOINED)
    for tab in tabs:
        wait_for(tab, "joined")
    assert [kinds(tab) for tab in tabs] == [
        ["joined", "offline", "joined"],
        ["joined", "offline", "joined"],
        ["offline", "joined"],
    ]
    assert (len(played.sockets), played.heard) == (1, ["join"])


def test_tabs_that_follow_are_terminated_too(
    hub: HubProcess, played: PlayedHub, site: Site, context: BrowserContext
) -> None:
    tabs = open_tabs(context, site.page("/", guarded(hub, SHARED)), 2, "joined")
    played.say(HOLD)
    # If a tab takes the lead before it is told of the hold, or of the termination, it joins, and is
    # answered with this.
    played.answer = {
        "type": "terminate", "room": "u1", "epoch": 1, "reason": "login", "detail": None,
    }  # fmt: skip
    played.say(played.answer)
    for tab in tabs:
        wait_for(tab, "terminated")
        told = [kind for kind in kinds(tab) if kind != "offline"]
        assert told == ["joined", "terminated"]


def test_the_tab_that_leads_asks_for_all(
    hub: HubProcess, played: PlayedHub, site: Site, context: BrowserContext, page: Page
) -> None:
    stop_the_clock(page)
    tabs = open_tabs(context, site.page("/", guarded(hub, SHARED)), 2, "joined")
    count_holds(tabs[1], hub)
    played.say(HOLD)
    for tab in tabs:
        wait_for(tab, "offline")
    page.clock.run_for(50_500)
    wait_until_heard(page, played, "join", "heartbeat")
    played.say(HOLD)
    tabs[1].wait_for_function("holds === 2")
    # So its time begins anew: of the first 70 to 80 seconds there would be less left.
    page.clock.run_for(45_000)
    assert [kinds(tab) for tab in tabs] == [["joined", "offline"]] * 2
    assert (len(played.sockets), played.heard) == (1, ["join", "heartbeat"])


def test_a_tab_that_leads_and_is_closed_is_replaced(
    hub: HubProcess, played: PlayedHub, site: Site, context: BrowserContext
) -> None:
    leader, follower = open_tabs(context, site.page("/", guarded(hub, SHARED)), 2, "joined")
    played.say(HOLD)
    wait_for(follower, "offline")
    leader.close()
    wait_for(follower, "joined")
    assert played.heard == ["join", "join"]


def test_a_tab_that_leads_and_falls_silent_is_replaced(
    hub: HubProcess, played: PlayedHub, site: Site, context: BrowserContext, page: Page
) -> None:
    stop_the_clock(page)
    leader, follower = open_tabs(context, site.page("/", guarded(hub, SHARED)), 2, "joined")
    played.say(HOLD)
    wait_for(follower, "offline")
    leader.evaluate("BroadcastChannel.prototype.postMessage = () => {}")
    page.clock.run_for(50_500)
    wait_until_heard(page, played, "join", "heartbeat")
    played.say(HOLD)
    # It is missed after 70 to 80 seconds, asked, and replaced after five more.
    page.clock.run_for(19_000)
    assert kinds(follower) == ["joined", "offline"]
    assert not holds(follower)
    page.clock.run_for(17_000)
    wait_for(follower, "joined")
    assert holds(follower)
