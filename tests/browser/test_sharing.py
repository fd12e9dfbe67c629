"""One connection for all tabs of a session: who leads, who follows, and what becomes of it."""

import json
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page

from .conftest import StartHub
from .pages import guarded, kinds, said, state, wait_for
from .processes import CLIENT, HubProcess, Site

SHARED = 'room: "u1", session: "s1", share: true'


@pytest.fixture
def hub(start_hub: StartHub) -> HubProcess:
    return start_hub(heartbeat_interval=0.5)


def open_tabs(context: BrowserContext, url: str, number: int) -> list[Page]:
    tabs = [context.new_page() for _ in range(number)]
    for tab in tabs:
        tab.goto(url)
        wait_for(tab, "joined")
    return tabs


def lock(hub: HubProcess, session: str = "s1") -> str:
    return json.dumps(["sse-trio", hub.url, "u1", session], separators=(",", ":"))


def holds(tab: Page) -> Any:
    """Whether this tab leads: its client holds the lock."""
    return tab.evaluate(
        """async () => {
          const id = crypto.randomUUID();
          const asked = new Promise((resolve) => {
            navigator.locks.request(id, async () => resolve((await navigator.locks.query()).held));
          });
          const held = await asked;
          const {clientId} = held.find(({name}) => name === id);
          const mine = held.filter((lock) => lock.clientId === clientId);
          return mine.some(({name}) => name.includes("sse-trio"));
        }"""
    )


def hears_a_heartbeat(tab: Page) -> None:
    tab.wait_for_function(
        "before => log.length > before", arg=tab.evaluate("log.length"), timeout=5000
    )
    assert said(tab, "heartbeat")


def test_twenty_tabs_are_one_member(hub: HubProcess, site: Site, context: BrowserContext) -> None:
    tabs = open_tabs(context, site.page("/", guarded(hub, SHARED)), 20)
    assert hub.members() == 1
    assert [holds(tab) for tab in tabs] == [True] + [False] * 19
    for tab in tabs:
        hears_a_heartbeat(tab)
        assert kinds(tab) == ["joined"]
    answer = hub.notify(room="u1", sender="s2", wait=5, detail={"device": "Firefox"})
    assert (answer["terminated"], answer["acked"]) == (1, 1)
    for tab in tabs:
        wait_for(tab, "terminated", timeout=1000)
        ((_, detail),) = said(tab, "terminated")
        assert detail == {
            "room": "u1",
            "epoch": 1,
            "reason": "login",
            "detail": {"device": "Firefox"},
        }
    assert hub.members() == 0


def test_a_tab_that_leads_and_closes_is_replaced(
    hub: HubProcess, site: Site, context: BrowserContext
) -> None:
    leader, *followers = open_tabs(context, site.page("/", guarded(hub, SHARED)), 3)
    leader.close()
    followers[0].wait_for_function("log.filter(([type]) => type === 'joined').length === 2")
    assert [holds(tab) for tab in followers] == [True, False]
    for tab in followers:
        hears_a_heartbeat(tab)
        assert set(kinds(tab)) == {"joined"}
    assert hub.members() == 1
    hub.notify(room="u1", sender="s2")
    for tab in followers:
        wait_for(tab, "terminated")


@pytest.mark.parametrize(
    "leaving",
    ["guard.stop()", "location.href = 'about:blank'", "dispatchEvent(new Event('pagehide'))"],
)
def test_a_tab_that_leads_and_leaves_is_replaced(
    hub: HubProcess, site: Site, context: BrowserContext, leaving: str
) -> None:
    leader, follower = open_tabs(context, site.page("/", guarded(hub, SHARED)), 2)
    leader.evaluate(f"() => {{ {leaving} }}")
    follower.wait_for_function("log.filter(([type]) => type === 'joined').length === 2")
    assert holds(follower)
    assert state(follower) == "joined"


def test_a_notify_while_nobody_leads(hub: HubProcess, site: Site, context: BrowserContext) -> None:
    """The tab that leads dies with what it has heard; the next one asks for itself."""
    leader, follower = open_tabs(context, site.page("/", guarded(hub, SHARED)), 2)
    leader.evaluate("BroadcastChannel.prototype.postMessage = () => {}")
    hub.notify(room="u1", sender="s2")
    wait_for(leader, "terminated")
    wait_for(follower, "terminated")
    assert kinds(follower) == ["joined", "terminated"]


def test_a_tab_that_leads_and_falls_silent_is_replaced(
    hub: HubProcess, site: Site, context: BrowserContext
) -> None:
    url = site.page("/", guarded(hub, f"{SHARED}, timeout: 0.5"))
    leader, follower = open_tabs(context, url, 2)
    leader.evaluate("BroadcastChannel.prototype.postMessage = () => {}")
    wait_for(follower, "offline")
    # It was asked, and does not answer.
    wait_for(follower, "joined")
    assert holds(follower)
    leader.wait_for_function("async () => (await navigator.locks.query()).pending.length === 1")
    assert hub.members() == 1
    hub.notify(room="u1", sender="s2")
    for tab in (leader, follower):
        wait_for(tab, "terminated")


def test_a_tab_that_sleeps_alone_asks_the_one_that_leads(
    hub: HubProcess, site: Site, context: BrowserContext
) -> None:
    leader, follower = open_tabs(context, site.page("/", guarded(hub, SHARED)), 2)
    follower.evaluate("Date.now = ((now) => () => now() + 8 * 3600_000)(Date.now)")
    follower.evaluate("() => { dispatchEvent(new Event('focus')) }")
    wait_for(follower, "joined")
    assert kinds(follower) == ["joined", "offline", "joined"]
    assert holds(leader)
    assert hub.members() == 1


def test_followers_know_when_the_connection_is_lost(
    hub: HubProcess, site: Site, context: BrowserContext
) -> None:
    leader, follower = open_tabs(context, site.page("/", guarded(hub, SHARED)), 2)
    hub.end()
    for tab in (leader, follower):
        wait_for(tab, "offline")
    hub.start()
    hub.notify(room="u1", sender="s2")
    for tab in (leader, follower):
        wait_for(tab, "terminated")
        assert set(kinds(tab)) == {"joined", "offline", "terminated"}


def test_a_tab_that_is_opened_while_there_is_no_connection(
    hub: HubProcess, site: Site, context: BrowserContext
) -> None:
    url = site.page("/", guarded(hub, f"{SHARED}, minDelay: 1000, maxDelay: 1000"))
    (leader,) = open_tabs(context, url, 1)
    hub.end()
    wait_for(leader, "offline")
    # The client comes from the hub, so this page has its own copy of it.
    latecomer = context.new_page()
    site.pages["/copy.js"] = ("text/javascript", CLIENT, {})
    html = guarded(hub, SHARED).replace(hub.client, site.origin + "/copy.js")
    latecomer.goto(site.page("/late", html))
    wait_for(latecomer, "offline")
    assert kinds(latecomer) == ["offline"]
    assert said(latecomer)[0][1]["delay"] == said(leader, "offline")[0][1]["delay"]


def test_sessions_do_not_share(hub: HubProcess, site: Site, context: BrowserContext) -> None:
    """A tab of the old login that is still open beside one of the new login."""
    (old,) = open_tabs(context, site.page("/", guarded(hub, SHARED)), 1)
    new_page = guarded(hub, SHARED.replace("s1", "s2"))
    (new,) = open_tabs(context, site.page("/new", new_page), 1)
    assert hub.members() == 2
    hub.notify(room="u1", sender="s2")
    wait_for(old, "terminated")
    hears_a_heartbeat(new)
    assert state(new) == "joined"


@pytest.mark.parametrize(
    "missing", ["delete Navigator.prototype.locks", "delete globalThis.BroadcastChannel"]
)
def test_where_either_api_is_missing_each_tab_has_a_connection(
    hub: HubProcess, site: Site, context: BrowserContext, missing: str
) -> None:
    context.add_init_script(missing)
    tabs = open_tabs(context, site.page("/", guarded(hub, SHARED)), 3)
    assert hub.members() == 3
    tabs.pop().close()
    for tab in tabs:
        hears_a_heartbeat(tab)
    hub.notify(room="u1", sender="s2")
    for tab in tabs:
        wait_for(tab, "terminated")


def test_where_locks_are_refused_a_tab_is_on_its_own(
    hub: HubProcess, site: Site, page: Page
) -> None:
    """A sandboxed frame has an origin that has no locks."""
    inner = site.page("/inner", guarded(hub, SHARED), Access_Control_Allow_Origin="*")
    page.goto(site.page("/", f'<iframe sandbox="allow-scripts" src="{inner}"></iframe>'))
    frame = page.frames[1]
    frame.wait_for_function("window.guard?.state === 'joined'")
    assert hub.members() == 1
    hub.notify(room="u1", sender="s2")
    frame.wait_for_function("guard.state === 'terminated'")


def test_a_ticket_of_another_session_is_not_shared(
    start_hub: StartHub, site: Site, context: BrowserContext
) -> None:
    hub = start_hub(join="ticket")
    tickets = {name: hub.notify(room=name, sender=name)["ticket"] for name in ("s1", "s2")}
    for number, (claimed, ticket, fate) in enumerate(
        [("s1", "s1", "joined"), ("s2", "s1", "refused"), ("s1", "s1", "joined")]
    ):
        options = f'ticket: "{tickets[ticket]}", session: "{claimed}", share: true'
        tab = context.new_page()
        tab.goto(site.page(f"/{number}", guarded(hub, options)))
        wait_for(tab, fate)
    assert hub.members() == 1
