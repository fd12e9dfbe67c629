"""The original's walk-through: two logins of one user, each in a browser of its own."""

import json
from typing import Any

from .conftest import NewContext, StartHub, both_browsers
from .pages import guarded, said, wait_for
from .processes import Site


@both_browsers
def test_the_second_login_ends_the_first(
    new_context: NewContext, start_hub: StartHub, site: Site
) -> None:
    # A page that is held up for more than two of them says that it is offline, and comes back.
    hub = start_hub(heartbeat_interval=1)
    first_page = site.page("/first", guarded(hub, 'room: "u1", session: "s1"'))
    second_page = site.page("/second", guarded(hub, 'room: "u1", session: "s2"'))

    # The first login. Its heartbeats can be seen by the page.
    first = new_context().new_page()
    first.goto(first_page)
    wait_for(first, "joined")
    first.wait_for_function("log.filter(([type]) => type === 'heartbeat').length >= 2")
    (joined, *_) = said(first, "joined")
    assert joined == (
        "joined",
        {"room": "u1", "session": "s1", "epoch": 0, "heartbeat": 1},
    )
    assert said(first, "heartbeat")[0][1].keys() == {"time"}

    # Nobody else is there, so the first notify ends nobody.
    assert hub.notify(room="u1", sender="s1")["terminated"] == 0

    # The second login, in another browser, with several tabs.
    elsewhere = new_context()
    tabs = [elsewhere.new_page() for _ in range(3)]
    for tab in tabs:
        tab.goto(second_page)
        wait_for(tab, "joined")
    answer = hub.notify(room="u1", sender="s2", detail={"device": "Firefox"}, wait=5)
    assert (answer["terminated"], answer["acked"]) == (1, 1)
    wait_for(first, "terminated")
    assert said(first)[-1] == (
        "terminated",
        {"room": "u1", "epoch": 2, "reason": "login", "detail": {"device": "Firefox"}},
    )

    # The second one stays, in each of its tabs.
    for tab in tabs:
        heard = len(said(tab, "heartbeat"))
        tab.wait_for_function("heard => log.length > heard + 1", arg=heard)
        wait_for(tab, "joined")
        assert not said(tab, "terminated")
    assert hub.members() == 3

    # The page of the first login is opened once more: it is terminated at the door.
    again = first.context.new_page()
    again.goto(first_page)
    wait_for(again, "terminated")
    assert [kind for kind, _ in said(again)] == ["terminated"]
    assert hub.members() == 3


def test_heartbeats_can_be_seen_in_devtools(
    new_context: NewContext, start_hub: StartHub, site: Site
) -> None:
    hub = start_hub(heartbeat_interval=0.2)
    page = new_context().new_page()
    frames: list[dict[str, Any]] = []
    devtools = page.context.new_cdp_session(page)
    devtools.send("Network.enable")
    devtools.on(
        "Network.webSocketFrameReceived",
        lambda event: frames.append(json.loads(event["response"]["payloadData"])),
    )
    page.goto(site.page("/", guarded(hub, 'room: "u1", session: "s1"')))
    page.wait_for_function("window.log?.filter(([type]) => type === 'heartbeat').length >= 2")
    assert [frame["type"] for frame in frames[:3]] == ["joined", "heartbeat", "heartbeat"]
    assert said(page, "heartbeat")[0] == ("heartbeat", {"time": frames[1]["time"]})
