"""Whoever was away when the notify came is terminated on its return, and never joined again."""

import signal
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page

from .conftest import StartHub, both_engines
from .pages import (
    SLEEP,
    clock_ahead,
    guarded,
    kinds,
    play_older_hub,
    said,
    state,
    stop_the_clock,
    wait_for,
)
from .processes import Cable, HubProcess, Site, run_cable

pytestmark = both_engines

GUARD = 'room: "u1", session: "s1"'


@pytest.fixture
def hub(start_hub: StartHub) -> HubProcess:
    return start_hub()


def join(page: Page, hub: HubProcess, site: Site, options: str = GUARD) -> None:
    """Open a page that joins, and let its time go by only where the test says so."""
    stop_the_clock(page)
    page.goto(site.page("/", guarded(hub, options)))
    wait_for(page, "joined")


@pytest.fixture
def cable(hub: HubProcess, site: Site, page: Page) -> Iterator[Cable]:
    """What the page has joined by."""
    with run_cable(hub.port) as cable:
        join(page, hub, site, f'{GUARD}, url: "ws://127.0.0.1:{cable.port}/ws"')
        yield cable


def away_and_back(page: Page) -> list[str]:
    """What the guard has said since it first lost the connection, without the failed attempts."""
    types = kinds(page)
    return [kind for kind in types[types.index("offline") :] if kind != "offline"]


def test_offline_during_the_notify(hub: HubProcess, site: Site, page: Page) -> None:
    join(page, hub, site)
    page.context.set_offline(True)
    # No packet comes, and no end either. What the guard has is the heartbeats' absence.
    page.clock.fast_forward(2 * 25 * 1000)
    wait_for(page, "offline")
    hub.notify(room="u1", sender="s2")
    page.context.set_offline(False)  # `online` comes at once, whatever the backoff
    wait_for(page, "terminated")
    assert away_and_back(page) == ["terminated"]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_restart_between_the_notify_and_the_return(
    hub: HubProcess, site: Site, page: Page, how: signal.Signals
) -> None:
    page.goto(site.page("/", guarded(hub, f"{GUARD}, minDelay: 1000, maxDelay: 1000")))
    wait_for(page, "joined")
    hub.end(how)
    wait_for(page, "offline")
    hub.start()
    hub.notify(room="u1", sender="s2")
    hub.end(how)
    hub.start()
    page.evaluate("() => { dispatchEvent(new Event('online')) }")
    wait_for(page, "terminated")
    assert away_and_back(page) == ["terminated"]
    (code, *_) = [detail["code"] for _, detail in said(page, "offline")]
    assert code == (1001 if how is signal.SIGTERM else 1006)


def test_a_machine_that_slept(hub: HubProcess, page: Page, cable: Cable) -> None:
    # The connection dies without a word, as what lies between the two forgets it.
    cable.unplug()
    hub.notify(room="u1", sender="s2")
    assert state(page) == "joined"
    page.clock.fast_forward("08:00:00")
    assert state(page) == "offline"
    page.clock.run_for(1_000)
    wait_for(page, "terminated")
    assert away_and_back(page) == ["terminated"]
    (lost,) = said(page, "offline")
    assert lost[1]["message"] == "nothing was heard in time"


@pytest.mark.parametrize("event", ["focus", "visibilitychange", "resume", "pageshow"])
def test_what_wakes_the_page_makes_it_look_at_the_clock(
    hub: HubProcess, page: Page, cable: Cable, event: str
) -> None:
    """The timers have stood still, and only the time of day has gone on."""
    look(page, event)
    assert state(page) == "joined"
    cable.unplug()
    hub.notify(room="u1", sender="s2")
    page.evaluate(clock_ahead(SLEEP))
    assert state(page) == "joined"
    look(page, event)
    assert state(page) == "offline"
    page.clock.run_for(1000)
    wait_for(page, "terminated")
    assert away_and_back(page) == ["terminated"]


@pytest.mark.parametrize("event", ["focus", "visibilitychange", "offline"])
def test_who_looks_at_the_page_has_it_ask(
    hub: HubProcess, page: Page, cable: Cable, event: str
) -> None:
    """A phone's socket is dead, and the next heartbeat is not missed for a while."""
    cable.unplug()
    hub.notify(room="u1", sender="s2")
    page.clock.run_for(10_000)
    look(page, event)
    look(page, event)
    assert state(page) == "joined"
    page.clock.run_for(4_900)
    assert state(page) == "joined"
    page.clock.run_for(200)
    assert "offline" in kinds(page)
    page.clock.run_for(1_000)
    wait_for(page, "terminated")
    assert away_and_back(page) == ["terminated"]


def look(page: Page, event: str) -> None:
    wake = "event => { for (const t of [window, document]) t.dispatchEvent(new Event(event)); }"
    page.evaluate(wake, event)


def test_a_question_is_answered(start_hub: StartHub, site: Site, page: Page) -> None:
    """By this hub, and no connection is given up for it."""
    hub = start_hub(heartbeat_interval=1000, heartbeat_timeout=3000)
    page.goto(site.page("/", guarded(hub, GUARD)))
    wait_for(page, "joined")
    while not said(page, "heartbeat"):
        # Not in the first seconds: it has just been heard.
        look(page, "focus")
        page.wait_for_timeout(50)
    assert kinds(page) == ["joined"]


def test_an_older_hub_that_does_not_answer_is_joined_anew(
    hub: HubProcess, site: Site, page: Page
) -> None:
    stop_the_clock(page)
    messages = play_older_hub(page, heartbeat=25, closes=False)
    page.goto(site.page("/", guarded(hub, GUARD)))
    wait_for(page, "joined")
    look(page, "focus")  # nobody asks whoever has just been heard
    page.clock.run_for(3_000)
    look(page, "focus")
    look(page, "visibilitychange")
    page.clock.run_for(7_000)
    wait_for(page, "joined")
    assert messages == ["join", "heartbeat", "join"]
    # Nor is asked who would be missed as soon.
    page.clock.run_for(45_000)
    look(page, "focus")
    assert messages == ["join", "heartbeat", "join"]


def test_an_older_hub_that_refuses_the_question_is_not_asked_again(
    hub: HubProcess, site: Site, page: Page
) -> None:
    stop_the_clock(page)
    says = [
        '{"type": "heartbeat", "time": 1}',  # it was under way
        '{"type": "error", "code": 4400, "message": "an unknown type"}',
    ]
    messages = play_older_hub(page, heartbeat=25, says=says, closes=True)
    page.goto(site.page("/", guarded(hub, GUARD)))
    wait_for(page, "joined")
    page.clock.run_for(3_000)
    look(page, "focus")
    wait_for(page, "offline")
    assert said(page, "offline")[0][1]["code"] == 4400
    page.clock.run_for(1_000)
    wait_for(page, "joined")
    for event in ("focus", "visibilitychange", "offline"):
        page.clock.run_for(3_000)
        look(page, event)
    page.clock.run_for(6_000)  # a question would be answered by now, or the connection lost
    assert kinds(page) == ["joined", "offline", "joined"]
    assert messages == ["join", "heartbeat", "join"]
    # Silence is noticed as it is without questions.
    page.clock.run_for(40_000)
    assert kinds(page)[:4] == ["joined", "offline", "joined", "offline"]


def test_a_sleep_is_noticed_within_five_seconds(hub: HubProcess, site: Site, page: Page) -> None:
    """Where nothing wakes the page: its timers have stood still, and the time of day has not."""
    join(page, hub, site)
    page.evaluate(clock_ahead(SLEEP))
    page.clock.run_for(5_000)
    assert kinds(page)[:2] == ["joined", "offline"]


def test_a_clock_that_is_set_back_does_not_keep_a_dead_connection_alive(
    hub: HubProcess, site: Site, page: Page
) -> None:
    join(page, hub, site)
    page.evaluate(clock_ahead(-SLEEP))
    page.clock.run_for(49_000)
    assert state(page) == "joined"
    page.clock.run_for(1_000)
    assert kinds(page)[:2] == ["joined", "offline"]


def test_a_heartbeat_that_is_late_but_comes_keeps_it_alive(
    hub: HubProcess, site: Site, page: Page
) -> None:
    join(page, hub, site)
    page.clock.run_for(49_000)
    assert state(page) == "joined"
    page.clock.run_for(1_000)
    assert kinds(page)[:2] == ["joined", "offline"]
