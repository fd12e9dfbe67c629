"""Whoever was away when the notify came is terminated on its return, and never joined again."""

import signal

import pytest
from playwright.sync_api import Browser, Page

from .conftest import StartHub
from .pages import guarded, kinds, said, state, stop_the_clock, wait_for, wait_for_members
from .processes import HubProcess, Site, run_cable
from .tabs import open_tabs

GUARD = 'room: "u1", session: "s1"'


@pytest.fixture
def hub(start_hub: StartHub) -> HubProcess:
    return start_hub()


def away_and_back(page: Page) -> list[str]:
    """What the guard has said since it first lost the connection, without the failed attempts."""
    types = kinds(page)
    return [kind for kind in types[types.index("offline") :] if kind != "offline"]


def test_offline_during_the_notify(hub: HubProcess, site: Site, page: Page) -> None:
    stop_the_clock(page)
    page.goto(site.page("/", guarded(hub, GUARD)))
    wait_for(page, "joined")
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


def test_a_machine_that_slept(hub: HubProcess, site: Site, page: Page) -> None:
    stop_the_clock(page)
    with run_cable(hub.port) as cable:
        page.goto(site.page("/", guarded(hub, f'{GUARD}, url: "ws://127.0.0.1:{cable.port}/ws"')))
        wait_for(page, "joined")
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
    hub: HubProcess, site: Site, page: Page, event: str
) -> None:
    """The timers have stood still, and only the time of day has gone on."""
    stop_the_clock(page)
    with run_cable(hub.port) as cable:
        page.goto(site.page("/", guarded(hub, f'{GUARD}, url: "ws://127.0.0.1:{cable.port}/ws"')))
        wait_for(page, "joined")
        wake = "event => { for (const t of [window, document]) t.dispatchEvent(new Event(event)); }"
        page.evaluate(wake, event)
        assert state(page) == "joined"
        cable.unplug()
        hub.notify(room="u1", sender="s2")
        page.evaluate("Date.now = ((now) => () => now() + 8 * 3600_000)(Date.now)")
        assert state(page) == "joined"
        page.evaluate(wake, event)
        assert state(page) == "offline"
        page.clock.run_for(1000)
        wait_for(page, "terminated")
    assert away_and_back(page) == ["terminated"]


def test_a_sleep_is_noticed_within_five_seconds(hub: HubProcess, site: Site, page: Page) -> None:
    """Where nothing wakes the page: its timers have stood still, and the time of day has not."""
    stop_the_clock(page)
    page.goto(site.page("/", guarded(hub, GUARD)))
    wait_for(page, "joined")
    page.evaluate("Date.now = ((now) => () => now() + 8 * 3600_000)(Date.now)")
    page.clock.run_for(5_000)
    assert kinds(page)[:2] == ["joined", "offline"]


def test_a_clock_that_is_set_back_does_not_keep_a_dead_connection_alive(
    hub: HubProcess, site: Site, page: Page
) -> None:
    stop_the_clock(page)
    page.goto(site.page("/", guarded(hub, GUARD)))
    wait_for(page, "joined")
    page.evaluate("Date.now = ((now) => () => now() - 8 * 3600_000)(Date.now)")
    page.clock.run_for(49_000)
    assert state(page) == "joined"
    page.clock.run_for(1_000)
    assert kinds(page)[:2] == ["joined", "offline"]


def test_a_heartbeat_that_is_late_but_comes_keeps_it_alive(
    hub: HubProcess, site: Site, page: Page
) -> None:
    stop_the_clock(page)
    page.goto(site.page("/", guarded(hub, GUARD)))
    wait_for(page, "joined")
    page.clock.run_for(49_000)
    assert state(page) == "joined"
    page.clock.run_for(1_000)
    assert kinds(page)[:2] == ["joined", "offline"]


def test_a_frozen_page(start_hub: StartHub, site: Site, browser: Browser, page: Page) -> None:
    hub = start_hub()
    url = site.page("/", guarded(hub, GUARD))
    with open_tabs(browser, page, url, "about:blank") as (tab, _):
        tab.wait_for("window.guard?.state === 'joined' && document.hidden")
        assert hub.members() == 1
        tab.send("Page.setWebLifecycleState", state="frozen")
        # It has left, rather than be told things that it does not hear.
        wait_for_members(page, hub, 0)
        assert hub.notify(room="u1", sender="s2")["terminated"] == 0
        tab.send("Page.setWebLifecycleState", state="active")
        tab.wait_for("guard.state === 'terminated'")
        log = tab.evaluate("log")
    assert [kind for kind, _ in log] == ["joined", "offline", "terminated"]
    assert log[1][1] == {"code": None, "message": "the page is put away", "delay": None}


def test_a_frozen_page_that_nobody_has_ended_joins_again(
    hub: HubProcess, site: Site, browser: Browser, page: Page
) -> None:
    url = site.page("/", guarded(hub, GUARD))
    with open_tabs(browser, page, url, "about:blank") as (tab, _):
        tab.wait_for("window.guard?.state === 'joined' && document.hidden")
        tab.send("Page.setWebLifecycleState", state="frozen")
        wait_for_members(page, hub, 0)
        tab.send("Page.setWebLifecycleState", state="active")
        tab.wait_for("guard.state === 'joined'")
        assert [kind for kind, _ in tab.evaluate("log")] == ["joined", "offline", "joined"]
        assert hub.members() == 1
