"""One connection for all tabs of a session: who leads, who follows, and what becomes of it."""

from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page

from sse_trio.browser import SOURCE

from .conftest import StartHub
from .pages import (
    SLEEP,
    clock_ahead,
    guarded,
    kinds,
    play_older_hub,
    said,
    state,
    wait_for,
    wait_for_members,
)
from .processes import HubProcess, Site, run_cable

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
    tab.wait_for_function("before => log.length > before", arg=tab.evaluate("log.length"))
    assert said(tab, "heartbeat")


def test_twenty_tabs_are_one_member(hub: HubProcess, site: Site, context: BrowserContext) -> None:
    # A machine that is busy with twenty tabs may answer late, and no tab is to mind that here.
    tabs = open_tabs(context, site.page("/", guarded(hub, f"{SHARED}, timeout: 120")), 20)
    assert hub.members() == 1
    assert [holds(tab) for tab in tabs] == [True] + [False] * 19
    for tab in tabs:
        hears_a_heartbeat(tab)
        assert kinds(tab) == ["joined"]
    answer = hub.notify(room="u1", sender="s2", wait=5, detail={"device": "Firefox"})
    assert (answer["terminated"], answer["acked"]) == (1, 1)
    for tab in tabs:
        wait_for(tab, "terminated")
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
    wait_for(follower, "joined")


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
    assert not holds(leader)
    hub.notify(room="u1", sender="s2")
    for tab in (leader, follower):
        wait_for(tab, "terminated")


AWAKE = clock_ahead(SLEEP)


def test_a_tab_that_sleeps_alone_asks_the_one_that_leads(
    hub: HubProcess, site: Site, context: BrowserContext
) -> None:
    leader, follower = open_tabs(context, site.page("/", guarded(hub, SHARED)), 2)
    # In one step: what is heard in between would be heard after the sleep.
    follower.evaluate(f"() => {{ {AWAKE}; dispatchEvent(new Event('focus')) }}")
    wait_for(follower, "joined")
    assert kinds(follower) == ["joined", "offline", "joined"]
    assert holds(leader)
    assert hub.members() == 1


def look_until(tab: Page, what: str) -> None:
    """Look at this tab again and again; whoever has just been heard is not asked."""
    while not tab.evaluate(what):
        tab.evaluate("() => { dispatchEvent(new Event('focus')) }")
        tab.wait_for_timeout(50)


def test_who_looks_at_a_tab_has_the_one_that_leads_ask(
    start_hub: StartHub, site: Site, context: BrowserContext
) -> None:
    hub = start_hub(heartbeat_interval=1000, heartbeat_timeout=3000)
    leader, follower = open_tabs(context, site.page("/", guarded(hub, SHARED)), 2)
    look_until(follower, "log.some(([type]) => type === 'heartbeat')")
    assert [kinds(tab) for tab in (leader, follower)] == [["joined"], ["joined"]]
    assert holds(leader)
    assert hub.members() == 1


def test_a_tab_that_is_looked_at_replaces_one_that_does_not_answer(
    start_hub: StartHub, site: Site, context: BrowserContext
) -> None:
    hub = start_hub(heartbeat_interval=1000, heartbeat_timeout=3000)
    url = site.page("/", guarded(hub, f"{SHARED}, timeout: 1"))
    leader, follower = open_tabs(context, url, 2)
    leader.evaluate("BroadcastChannel.prototype.postMessage = () => {}")
    look_until(follower, "log.filter(([type]) => type === 'joined').length === 2")
    assert holds(follower)
    assert kinds(follower) == ["joined", "joined"]


def test_tabs_do_not_ask_an_older_hub_that_has_refused_the_question(
    hub: HubProcess, site: Site, context: BrowserContext
) -> None:
    """Nor does any of them take the lead, because the one that leads does not ask."""
    messages = play_older_hub(context, heartbeat=1000, closes=True)
    url = site.page("/", guarded(hub, f"{SHARED}, timeout: 1, minDelay: 0"))
    leader, follower = open_tabs(context, url, 2)
    look_until(follower, "log.filter(([type]) => type === 'joined').length === 2")
    for tab in (leader, follower):
        tab.evaluate(f"() => {{ {clock_ahead(60)}; dispatchEvent(new Event('focus')) }}")
    follower.wait_for_timeout(1_000)  # twice what an answer may take
    assert messages == ["join", "heartbeat", "join"]
    assert [kinds(tab) for tab in (leader, follower)] == [["joined", "offline", "joined"]] * 2
    assert holds(leader)


def test_a_connection_that_is_dead_is_noticed_by_whichever_tab_is_looked_at(
    start_hub: StartHub, site: Site, context: BrowserContext
) -> None:
    hub = start_hub(heartbeat_interval=1000, heartbeat_timeout=3000)
    with run_cable(hub.port) as cable:
        options = f'{SHARED}, timeout: 1, url: "ws://127.0.0.1:{cable.port}/ws"'
        tabs = open_tabs(context, site.page("/", guarded(hub, options)), 2)
        cable.unplug()
        hub.notify(room="u1", sender="s2")
        look_until(tabs[1], "guard.state === 'terminated'")
        wait_for(tabs[0], "terminated")


def test_tabs_share_what_they_learn_by_joining(
    start_hub: StartHub, site: Site, context: BrowserContext
) -> None:
    """Where it takes a ticket to know the room, and a request to get the ticket."""
    hub = start_hub(join="ticket")
    ticket = hub.notify(room="u1", sender="s1")["ticket"]
    url = site.page("/", guarded(hub, f"ticket: async () => '{ticket}', share: true"))
    tabs = open_tabs(context, url, 3)
    wait_for_members(tabs[0], hub, 1)
    assert [holds(tab) for tab in tabs] == [True, False, False]
    hub.notify(room="u1", sender="s2")
    for tab in tabs:
        wait_for(tab, "terminated")


def test_tabs_do_not_take_the_lead_from_one_another(
    start_hub: StartHub, site: Site, context: BrowserContext
) -> None:
    """Where a join takes long, the others wait for it, once they know that there is one."""
    hub = start_hub(heartbeat_interval=0.2)
    ticket = hub.notify(room="u1", sender="s1")["ticket"]
    slow = f"new Promise((resolve) => setTimeout(resolve, 600, '{ticket}'))"
    count = "window.asked = (window.asked ?? 0) + 1"
    options = f"{SHARED}, timeout: 1, ticket: () => {{ {count}; return {slow}; }}"
    leader, *followers = open_tabs(context, site.page("/", guarded(hub, options)), 6)
    leader.evaluate("BroadcastChannel.prototype.postMessage = () => {}")
    for tab in followers:
        wait_for(tab, "offline")
    for tab in followers:
        wait_for(tab, "joined")
    assert sum(tab.evaluate("window.asked ?? 0") for tab in followers) <= 3
    assert hub.members() == 1


@pytest.mark.parametrize(
    "away",
    [
        [AWAKE, "dispatchEvent(new Event('focus'))"],
        ["dispatchEvent(new Event('pagehide'))", "dispatchEvent(new Event('pageshow'))"],
    ],
    ids=["asleep", "put away"],
)
def test_a_tab_that_was_away_does_not_trust_what_another_has_heard(
    start_hub: StartHub, site: Site, context: BrowserContext, away: list[str]
) -> None:
    """Because that may be as dead, and not know it: its connection is, without a word."""
    hub = start_hub()
    with run_cable(hub.port) as cable:
        options = f'{SHARED}, url: "ws://127.0.0.1:{cable.port}/ws"'
        leader, follower = open_tabs(context, site.page("/", guarded(hub, options)), 2)
        cable.unplug()
        hub.notify(room="u1", sender="s2")
        for step in away:
            if step is AWAKE:
                leader.evaluate(step)
            follower.evaluate(f"() => {{ {step} }}")
        wait_for(follower, "terminated")
    assert kinds(follower).count("joined") == 1


def test_a_tab_that_comes_back_and_is_refused_disturbs_nobody(
    start_hub: StartHub, site: Site, context: BrowserContext
) -> None:
    """It joins by itself; the connection of the others is left alone."""
    hub = start_hub(join="ticket", ticket_lifetime=1)
    ticket = hub.notify(room="u1", sender="s1")["ticket"]
    options = f'{SHARED}, ticket: () => window.none ? null : "{ticket}"'
    leader, other, back = open_tabs(context, site.page("/", guarded(hub, options)), 3)
    back.evaluate("() => { window.none = true; dispatchEvent(new Event('pagehide')) }")
    back.evaluate("() => { dispatchEvent(new Event('pageshow')) }")
    wait_for(back, "refused")
    for tab in (leader, other):
        assert (state(tab), kinds(tab)) == ("joined", ["joined"])
    assert hub.members() == 1


def test_a_tab_that_comes_back_shares_again(
    hub: HubProcess, site: Site, context: BrowserContext
) -> None:
    tabs = open_tabs(context, site.page("/", guarded(hub, SHARED)), 3)
    for tab in tabs[1:]:
        tab.evaluate("() => { dispatchEvent(new Event('pagehide')) }")
        tab.evaluate("() => { dispatchEvent(new Event('pageshow')) }")
        wait_for(tab, "joined")
    wait_for_members(tabs[0], hub, 1)
    assert holds(tabs[0])
    for tab in tabs:
        hears_a_heartbeat(tab)
        # On a busy machine a heartbeat may come too late, once.
        wait_for(tab, "joined")
    hub.notify(room="u1", sender="s2")
    for tab in tabs:
        wait_for(tab, "terminated")


def test_a_tab_that_led_comes_back(hub: HubProcess, site: Site, context: BrowserContext) -> None:
    """Alone: it keeps the connection by which it has joined."""
    (tab,) = open_tabs(context, site.page("/", guarded(hub, SHARED)), 1)
    tab.evaluate("() => { dispatchEvent(new Event('pagehide')) }")
    tab.evaluate("() => { dispatchEvent(new Event('pageshow')) }")
    wait_for(tab, "joined")
    tab.wait_for_function("async () => (await navigator.locks.query()).held.length === 1")
    hears_a_heartbeat(tab)
    assert kinds(tab) == ["joined", "offline", "joined"]
    assert hub.members() == 1


def test_a_tab_whose_question_was_lost_asks_again(
    hub: HubProcess, site: Site, context: BrowserContext
) -> None:
    leader, follower = open_tabs(context, site.page("/", guarded(hub, SHARED)), 2)
    leader.evaluate(
        """() => {
          const post = BroadcastChannel.prototype.postMessage;
          BroadcastChannel.prototype.postMessage = function (data) {
            if (data.to && !window.lost) window.lost = true;
            else post.call(this, data);
          };
        }"""
    )
    follower.evaluate(AWAKE)
    follower.evaluate("() => { dispatchEvent(new Event('focus')) }")
    # On a busy machine a heartbeat may have come before the answer.
    leader.wait_for_function("window.lost")
    wait_for(follower, "joined")
    assert holds(leader)


def test_a_tab_may_stop_when_it_hears_nothing(
    hub: HubProcess, site: Site, context: BrowserContext
) -> None:
    _, follower = open_tabs(context, site.page("/", guarded(hub, SHARED)), 2)
    errors: list[str] = []
    follower.on("pageerror", lambda error: errors.append(str(error)))
    follower.evaluate("() => { guard.addEventListener('offline', () => guard.stop()) }")
    follower.evaluate(AWAKE)
    follower.evaluate("() => { dispatchEvent(new Event('focus')) }")
    wait_for(follower, "stopped")
    assert errors == []


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
    site.pages["/copy.js"] = ("text/javascript", SOURCE, {})
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
    wait_for(new, "joined")


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


def test_where_there_may_be_no_channel_a_tab_is_on_its_own(
    hub: HubProcess, site: Site, context: BrowserContext
) -> None:
    """As in frames of other sites, in some browsers."""
    context.add_init_script(
        "BroadcastChannel = class { constructor() { throw new DOMException('', 'SecurityError') } }"
    )
    open_tabs(context, site.page("/", guarded(hub, SHARED)), 2)
    assert hub.members() == 2


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
        [
            ("s1", "s1", "joined"),
            ("s2", "s1", "refused"),
            ("s1", "s2", "refused"),
            ("s1", "s1", "joined"),
        ]
    ):
        who = f'room: "{claimed}", session: "{claimed}"'
        options = f'ticket: "{tickets[ticket]}", {who}, share: true'
        tab = context.new_page()
        tab.goto(site.page(f"/{number}", guarded(hub, options)))
        wait_for(tab, fate)
    assert hub.members() == 1


def test_rooms_do_not_share(start_hub: StartHub, site: Site, context: BrowserContext) -> None:
    """Two users of one browser, whose sessions have the same name."""
    hub = start_hub(join="ticket")
    tabs = []
    for room in ("alice", "bob"):
        ticket = hub.notify(room=room, sender="1")["ticket"]
        options = f'ticket: "{ticket}", room: "{room}", session: 1, share: true'
        tabs += open_tabs(context, site.page(f"/{room}", guarded(hub, options)), 1)
    assert hub.members() == 2
    hub.notify(room="bob", sender=None)
    wait_for(tabs[1], "terminated")
    wait_for(tabs[0], "joined")
