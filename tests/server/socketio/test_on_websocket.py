"""Pages of Socket.IO on a WebSocket alone: they join, are terminated, and go; on a running hub."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

import sse_trio
from sse_trio.core.messages import CloseCode

from ... import support
from ...hub.fakes import SlowLedger
from ...support import KEY, Start, post_notify, raw_websocket
from .clients import UPGRADE, OnWebSocket, handshake, joined, on_websocket


async def begin(start: Start, **settings: Any) -> sse_trio.Hub:
    return await start(socketio=True, **settings)


async def test_the_handshake(start: Start) -> None:
    hub = await begin(start, max_body=5000)
    async with on_websocket(hub) as client:
        assert len(client.opening.pop("sid")) == 22
        assert client.opening == {
            "upgrades": [],
            "pingInterval": 25000,
            "pingTimeout": 35000,
            "maxPayload": 5000,
        }


async def test_the_times_of_the_handshake_are_the_nearest_milliseconds(start: Start) -> None:
    hub = await begin(start, heartbeat_interval=0.57, heartbeat_timeout=1.14)
    async with on_websocket(hub) as client:
        assert (client.opening["pingInterval"], client.opening["pingTimeout"]) == (570, 570)


@pytest.mark.parametrize("path", ["/socket.io", "/socket.io/"])
async def test_the_path_may_have_a_slash_at_its_end(start: Start, path: str) -> None:
    async with on_websocket(await begin(start), path=path):
        pass


async def test_without_the_key_there_is_nothing(start: Start) -> None:
    response = await support.request(await start(), "GET", "/socket.io/?EIO=4&transport=polling")
    assert response.status == 404


async def test_a_page_joins_and_is_terminated_by_another_login(start: Start) -> None:
    hub = await begin(start)
    async with joined(hub, "u1", "s1") as old, joined(hub, "u1", "s2") as new:
        answer = await post_notify(hub, room="u1", sender="s2", reason="login", detail={"a": 1})
        assert answer.json["terminated"] == 1
        assert await old.heard() == [
            "terminate",
            {"room": "u1", "epoch": 1, "reason": "login", "detail": {"a": 1}, "reconnect": False},
        ]
        assert await old.hear() == "41"
        assert await new.join("u1", "s2") == {
            "room": "u1", "session": "s2", "epoch": 1, "heartbeat": 25
        }  # fmt: skip


async def test_a_page_that_closes_has_acknowledged(start: Start) -> None:
    hub = await begin(start)
    async with joined(hub, "u1", "s1") as page, trio.open_nursery() as nursery:

        async def close_when_told() -> None:
            assert (await page.heard())[0] == "terminate"
            assert await page.hear() == "41"
            await page.close()

        nursery.start_soon(close_when_told)
        answer = await post_notify(hub, room="u1", sender=None, wait=5)
        assert (answer.json["terminated"], answer.json["acked"]) == (1, 1)


@pytest.mark.parametrize("said", ["41", '42["terminated",{"epoch":1}]', "1"])
async def test_other_ways_to_acknowledge(start: Start, said: str) -> None:
    hub = await begin(start)
    async with joined(hub, "u1", "s1") as page:
        outcome = await hub.notify("u1", sender=None)
        assert (await page.heard())[0] == "terminate"
        await page.say(said)
        assert await outcome.acknowledged(timeout=5)


async def test_the_session_is_the_id_of_the_socket(start: Start) -> None:
    """So that an application can name what the page calls `socket.id` as the sender."""
    hub = await begin(start)
    async with on_websocket(hub) as first, on_websocket(hub) as second:
        ids = await first.connect()
        assert (await first.join("u1"))["session"] == ids["sid"]
        await second.connect()
        assert (await second.join("u1"))["session"] != ids["sid"]
        assert (await hub.notify("u1", sender=ids["sid"])).terminated == 1
        assert (await second.heard())[0] == "terminate"


@pytest.mark.parametrize("reserved", ["join", "log in"])
@pytest.mark.parametrize(
    "arguments",
    [("u1", "s1"), ({"room": "u1", "session": "s1"},)],
)
async def test_ways_to_join(start: Start, arguments: tuple[Any, ...], reserved: str) -> None:
    hub = await begin(start, socketio_join=["join", "log in"])
    async with on_websocket(hub) as page:
        await page.connect()
        await page.emit(reserved, *arguments)
        assert await page.heard() == [
            "joined",
            {"room": "u1", "session": "s1", "epoch": 0, "heartbeat": 25},
        ]


async def test_a_number_is_a_room(start: Start) -> None:
    hub = await begin(start)
    async with on_websocket(hub) as page:
        await page.connect()
        assert (await page.join(7))["room"] == "7"


async def test_a_join_may_be_acknowledged(start: Start) -> None:
    hub = await begin(start, socketio_joined=None)
    async with on_websocket(hub) as page:
        await page.connect()
        await page.emit("join", "u1", "s1", id="12")
        assert await page.hear() == "4312" + json.dumps(
            [{"room": "u1", "session": "s1", "epoch": 0, "heartbeat": 25}], separators=(",", ":")
        )


@pytest.mark.parametrize("how", ["auth", "query"])
async def test_a_page_may_join_as_it_connects(start: Start, how: str) -> None:
    hub = await begin(start)
    login = {"room": "u1", "session": "s1"}
    async with on_websocket(hub, **(login if how == "query" else {})) as page:
        ids = await page.connect(login if how == "auth" else None)
        assert ids["sid"] == "s1"
        assert await page.heard() == ["joined", {**login, "epoch": 0, "heartbeat": 25}]


async def test_a_session_may_be_claimed_before_the_join(start: Start) -> None:
    hub = await begin(start)
    async with on_websocket(hub) as page:
        await page.connect({"session": "s1"})
        assert (await page.join("u1"))["session"] == "s1"


async def test_a_page_is_told_of_its_join_when_the_ledger_has_it(
    start: Start, autojump_clock: MockClock
) -> None:
    hub = await begin(start, ledger=SlowLedger())
    async with on_websocket(hub) as page:
        await page.connect()
        began = trio.current_time()
        # A second join meanwhile is no other one.
        await page.emit("join", "u1", "s1", id="1")
        await page.emit("join", "u1", "s1", id="2")
        assert (await page.heard())[0] == "joined"
        assert trio.current_time() >= began + 1
        assert str(await page.hear()).startswith("432[{")


async def test_tickets(start: Start) -> None:
    hub = await begin(start, join="ticket")
    ticket = (await hub.notify("u1", sender="s1")).ticket
    async with on_websocket(hub) as page, on_websocket(hub) as other:
        assert "pid" not in await page.connect()
        # A page changes what it sends, and not how.
        for arguments in (ticket,), ({"ticket": ticket},):
            assert (await page.join(*arguments))["session"] == "s1"
        await other.connect({"ticket": ticket})
        assert (await other.heard())[0] == "joined"


async def test_the_same_join_is_answered_again(start: Start) -> None:
    hub = await begin(start)
    async with joined(hub, "u1", "s1") as page:
        assert (await page.join("u1", "s1"))["session"] == "s1"
        assert hub.statistics().members == 1
        await page.emit("join", "u2", "s1")
        assert await page.hear() == ('44{"message":"it has joined already","data":{"code":4400}}')
        assert await page.hear() == "41"
        assert hub.statistics().members == 0


async def test_a_join_is_answered_again_once_a_second(
    start: Start, autojump_clock: MockClock
) -> None:
    """As a native page is that asks whether its connection lives; none remains unanswered."""
    hub = await begin(start)
    async with joined(hub, "u1", "s1") as page:
        began = trio.current_time()
        for number in range(100):
            await page.emit("join", "u1", "s1", id=str(number))
        answers = []
        for _ in range(4):
            answers.append((await page.hear() or "").partition("[")[0])
            assert trio.current_time() == began if len(answers) < 3 else began + 1
        assert answers == ["42", "430", "42", "4399"]
        assert 1 <= trio.current_time() - began < 1.2
        await page.emit("join", "u1", "s1")
        await page.emit("join", "u1", "s1", id="1")
        await page.emit("join", "u1", "s1")
        assert (await page.heard())[0] == "joined"
        assert str(await page.hear()).startswith("431[")
        assert 2 <= trio.current_time() - began < 2.3


async def test_a_join_that_is_answered_late_is_not_one_of_another_room(
    start: Start, autojump_clock: MockClock
) -> None:
    hub = await begin(start)
    async with joined(hub, "u1", "s1") as page:
        for room in ("u1", "u1", "u2"):
            await page.emit("join", room, "s1")
        assert (await page.heard())[0] == "joined"
        assert (await page.hear() or "")[:2] == "44"
        assert await page.hear() == "41"
        assert await page.hear() is None


# -- pages that come back at once -----------------------------------------------------------

COMES_BACK: dict[str, Callable[[OnWebSocket], Awaitable[object]]] = {
    "as it connects": lambda page: page.connect({"room": "u1", "session": "s1"}),
    "by its event": lambda page: _connect_and_emit(page, "u1", "s1"),
}


async def _connect_and_emit(page: OnWebSocket, *arguments: Any) -> None:
    await page.connect()
    await page.emit("join", *arguments)


@pytest.mark.parametrize("how", list(COMES_BACK))
async def test_a_page_that_comes_back_whenever_it_is_terminated_has_to_wait(
    start: Start, autojump_clock: MockClock, how: str
) -> None:
    """Such a page connects again at "io server disconnect", and knows no pause."""
    hub = await begin(start)
    async with joined(hub, "u1", "s1") as page:
        await hub.notify("u1", sender=None)
        assert (await page.heard())[0] == "terminate"
        await page.say("1")
        assert await page.raw.closed() == 1000
    gone = trio.current_time()
    for _ in range(3):
        async with on_websocket(hub) as page:
            await COMES_BACK[how](page)
            # It is answered at once that it has connected.
            assert trio.current_time() - gone < 0.5
            assert (await page.heard())[0] == "terminate"
            assert 1 <= trio.current_time() - gone < 1.3
            assert await page.hear() == "41"
            await page.say("1")
            assert await page.hear() is None
        gone = trio.current_time()
    # After a while it has not, and neither have others.
    await trio.sleep(1)
    began = trio.current_time()
    async with on_websocket(hub) as page:
        await COMES_BACK[how](page)
        assert (await page.heard())[0] == "terminate"
        async with joined(hub, "u1", "s2"), joined(hub, "u2", "s1"):
            assert trio.current_time() - began < 0.5


@pytest.mark.parametrize("how", list(COMES_BACK))
async def test_a_page_that_comes_back_before_it_has_gone_has_to_wait(
    start: Start, autojump_clock: MockClock, how: str
) -> None:
    """On a busy machine the end of its old connection is read after its new join."""
    hub = await begin(start)
    async with joined(hub, "u1", "s1") as page:
        await hub.notify("u1", sender=None)
        terminated = trio.current_time()
        assert (await page.heard())[0] == "terminate"
        for times in (1, 2):
            async with on_websocket(hub) as again:
                await COMES_BACK[how](again)
                assert (await again.heard())[0] == "terminate"
                assert times <= trio.current_time() - terminated < times + 0.5


async def test_a_pid_that_comes_back_at_once_has_to_wait(
    start: Start, autojump_clock: MockClock
) -> None:
    hub = await begin(start)
    async with on_websocket(hub) as page:
        pid = (await page.connect())["pid"]
        await page.join("u1")
        await hub.notify("u1", sender=None)
    began = trio.current_time()
    async with on_websocket(hub) as page:
        await page.connect({"pid": pid})
        await page.emit("join", "u1", id="1")
        assert (await page.heard())[0] == "terminate"
        assert 1 <= trio.current_time() - began < 1.3


async def test_a_ticket_that_comes_back_at_once_has_to_wait(
    start: Start, autojump_clock: MockClock
) -> None:
    hub = await begin(start, join="ticket")
    ticket = (await hub.notify("u1", sender="s1")).ticket
    async with on_websocket(hub) as page:
        await page.connect()
        await page.join(ticket)
        await hub.notify("u1", sender="s2")
    began = trio.current_time()
    async with on_websocket(hub) as page:
        await page.connect()
        await page.emit("join", ticket)
        assert (await page.heard())[0] == "terminate"
        assert 1 <= trio.current_time() - began < 1.3


async def test_a_page_that_goes_while_it_waits_joins_nothing(
    start: Start, autojump_clock: MockClock
) -> None:
    hub = await begin(start)
    async with joined(hub, "u1", "s1"):
        await hub.notify("u1", sender=None)
    async with on_websocket(hub) as page:
        await _connect_and_emit(page, "u1", "s1")
        await wait_all_tasks_blocked()
        assert hub.statistics().members == 0
    await trio.sleep(3)
    assert hub.statistics().joins == {"joined": 1}
    assert hub.statistics().connections == 0


async def test_a_login_that_is_announced_while_its_page_waits(
    start: Start, autojump_clock: MockClock
) -> None:
    """It is compared with what is so when it joins."""
    hub = await begin(start)
    async with joined(hub, "u1", "s1"):
        await hub.notify("u1", sender=None)
    async with on_websocket(hub) as page:
        await _connect_and_emit(page, "u1", "s1")
        await wait_all_tasks_blocked()
        await hub.notify("u1", sender="s1")
        assert (await page.heard())[0] == "joined"


REFUSED = [
    ({}, ["join"], 4400),
    ({}, ["join", None], 4400),
    ({}, ["join", ""], 4400),
    ({}, ["join", "u1", 1.5], 4400),
    ({}, ["join", "u1", "s1", "more"], 4400),
    ({}, ["join", {}], 4400),
    ({}, ["join", {"ticket": 1}], 4400),
    ({}, ["join", {"ticket": "x"}], 4401),
    ({"join": "ticket"}, ["join", "x"], 4401),
    ({"join": "ticket"}, ["join", 1], 4401),
    ({"join": "ticket"}, ["join", "u1", "s1"], 4401),
]


@pytest.mark.parametrize(("settings", "event", "code"), REFUSED)
async def test_a_refusal_is_for_good(
    start: Start, autojump_clock: MockClock, settings: dict[str, Any], event: list[Any], code: int
) -> None:
    """The client is told so in the way that all of them understand; then it has time to go."""
    hub = await begin(start, **settings)
    async with on_websocket(hub) as page:
        await page.connect()
        await page.emit(*event)
        packet = await page.hear()
        assert packet is not None
        assert json.loads(packet.removeprefix("44"))["data"] == {"code": code}
        assert await page.hear() == "41"
        told = trio.current_time()
        assert await page.hear() is None
        assert 5 <= trio.current_time() - told < 6


@pytest.mark.parametrize("auth", [{"session": ""}, {"room": 1.5}, {"ticket": "x"}])
async def test_a_wrong_login_in_the_connect_is_refused(start: Start, auth: dict[str, Any]) -> None:
    hub = await begin(start)
    async with on_websocket(hub) as page:
        await page.say(f"40{json.dumps(auth)}")
        assert str(await page.hear()).startswith("44{")
        assert await page.hear() == "41"


async def test_who_has_ended_is_terminated_at_the_door(start: Start) -> None:
    """Its page has to be connected first: until then its client keeps events back."""
    hub = await begin(start)
    async with joined(hub, "u1", "s1"):
        await hub.notify("u1", sender="s2")
    async with on_websocket(hub) as page:
        await page.connect({"room": "u1", "session": "s1"})
        assert (await page.heard())[0] == "terminate"
        assert await page.hear() == "41"


async def test_a_pid_brings_a_session_back(start: Start) -> None:
    hub = await begin(start)
    async with on_websocket(hub) as page:
        ids = await page.connect()
        session = (await page.join("u1"))["session"]
        assert ids["pid"].startswith(f"{session}.")
    async with on_websocket(hub) as page:
        again = await page.connect({"pid": ids["pid"], "offset": "x"})
        assert again["sid"] == session
        # The client compares them: were they the same, its page might not join again.
        assert again["pid"] != ids["pid"]
        assert (await page.join("u1"))["session"] == session
    await hub.notify("u1", sender="s2")
    async with on_websocket(hub) as page:
        await page.connect({"pid": ids["pid"]})
        await page.emit("join", "u1")
        assert (await page.heard())[0] == "terminate"


@pytest.mark.parametrize("pid", ["", "x", ".x", "\0.x", 1, None, {}])
async def test_what_is_no_pid_brings_nobody_back(start: Start, pid: object) -> None:
    hub = await begin(start)
    async with on_websocket(hub) as page:
        assert len((await page.connect({"pid": pid}))["sid"]) == 22


async def test_a_claimed_session_counts_before_a_pid(start: Start) -> None:
    hub = await begin(start)
    async with on_websocket(hub) as page:
        assert (await page.connect({"pid": "s1.x", "session": "s2"}))["sid"] == "s2"


async def test_a_namespace_that_there_is_not(start: Start) -> None:
    hub = await begin(start)
    async with joined(hub, "u1", "s1") as page:
        await page.say("40/other")
        assert await page.hear() == '44/other,{"message":"Invalid namespace"}'
        assert hub.statistics().members == 1


async def test_what_is_not_configured_is_ignored(start: Start) -> None:
    hub = await begin(start)
    async with joined(hub, "u1", "s1") as page:
        await page.emit("chat", "hello", id="1")
        await page.say('451-["picture",{"_placeholder":true,"num":0}]')
        await page.raw.stream.send_all(support.client_frame(support.BINARY, b"picture"))
        await page.emit("terminated", {"epoch": 1})
        assert (await page.join("u1", "s1"))["room"] == "u1"


async def test_the_log_tells_once_of_each_event_that_is_not_configured(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    """So that whoever does not know the names of a page finds them there."""
    caplog.set_level("INFO", logger="sse_trio")
    hub = await begin(start)
    async with joined(hub, "u1", "s1") as page:
        for name in ("logOut", "logOut", "a\nb", "x" * 99, 7):
            await page.emit(name, {"secret": 1})
        assert await page.join("u1", "s1")
    told = [line for line in caplog.messages if "not configured" in line]
    assert told[0] == "a page of Socket.IO sent an event that is not configured: logOut"
    assert [line.rpartition(" ")[2] for line in told[1:]] == ["ab", "x" * 64, "7"]


async def test_the_log_tells_once_of_each_path_that_takes_no_post(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="sse_trio")
    hub = await begin(start)
    for path in ("/rest/login?key=secret", "/rest/login", "/b", "/notify"):
        await support.post(hub, path, {"room": "u1", "key": KEY})
    await support.request(hub, "GET", "/c")
    told = [line for line in caplog.messages if "takes a POST" in line]
    assert told == [
        "nothing here takes a POST: /rest/login; if it announces logins, name it in notify_paths",
        "nothing here takes a POST: /b; if it announces logins, name it in notify_paths",
    ]


@pytest.mark.parametrize(
    "packet",
    ["", "9", "2", "4", "49", "42{}", '42["connect"]', "40", '44"x"', "5", "42abc[]", "41/x,"],
)
async def test_what_no_client_says_closes(start: Start, packet: str) -> None:
    """It may connect again: to a client that is told more than that, it would be for ever."""
    hub = await begin(start)
    async with joined(hub, "u1", "s1") as page:
        await page.say(packet)
        if packet == "5":  # which means nothing, and harms nobody
            assert await page.join("u1", "s1")
        else:
            assert await page.hear() is None
            await wait_all_tasks_blocked()
            assert hub.statistics().members == 0


async def test_the_first_thing_is_to_connect(start: Start) -> None:
    hub = await begin(start)
    async with on_websocket(hub) as page:
        await page.emit("join", "u1")
        assert await page.hear() is None


@pytest.mark.parametrize(
    "event",
    ['["chat","\\ud83d"]', '["chat",' + "[" * 40 + "]" * 40 + "]", '["chat",{"a":1,"a":2}]'],
)
async def test_an_event_for_others_may_hold_what_the_hub_does_not_read(
    start: Start, event: str
) -> None:
    hub = await begin(start)
    async with joined(hub, "u1", "s1") as page:
        await page.say(f"42{event}")
        await page.emit("join", "u1", "s1")
        assert (await page.heard())[0] == "joined"


async def test_a_join_that_cannot_be_read_is_refused(start: Start) -> None:
    hub = await begin(start)
    async with on_websocket(hub) as page:
        await page.connect()
        await page.say('42["join","\\ud83d"]')
        assert (await page.hear() or "")[:2] == "44"
        assert await page.hear() == "41"


async def test_the_id_is_the_tickets_session(start: Start) -> None:
    hub = await begin(start)
    ticket = (await hub.notify("u1", sender="s1")).ticket
    async with on_websocket(hub) as page:
        assert (await page.connect({"ticket": ticket}))["sid"] == "s1"


async def test_a_message_that_is_too_long(start: Start) -> None:
    hub = await begin(start, max_body=1024)
    async with joined(hub, "u1", "s1") as page:
        await page.emit("x" * 1015)
        await page.say("4" * 1025)
        assert await page.raw.closed() == CloseCode.TOO_BIG
        await page.close()
        await page.raw.stream.aclose()
        await wait_all_tasks_blocked()
    assert hub.statistics().connections == 0


async def test_a_message_that_is_too_long_acknowledges_nothing(start: Start) -> None:
    hub = await begin(start, max_body=1024)
    async with joined(hub, "u1", "s1") as page:
        outcome = await hub.notify("u1", sender=None)
        assert (await page.heard())[0] == "terminate"
        assert await page.hear() == "41"
        await page.say("4" * 1025)
        assert await page.raw.closed() == CloseCode.TOO_BIG
        await page.close()
    assert not await outcome.acknowledged(timeout=5)
    assert (outcome.terminated, outcome.acked) == (1, 0)


# -- time ----------------------------------------------------------------------------------


async def test_a_page_has_to_connect_soon(start: Start, autojump_clock: MockClock) -> None:
    hub = await begin(start)
    async with on_websocket(hub) as page:
        assert await page.raw.closed() == CloseCode.TIMED_OUT
        assert 5 <= trio.current_time() < 6
        assert hub.statistics().joins == {"timed_out": 1}


async def test_a_page_is_pinged_before_it_connects(start: Start, autojump_clock: MockClock) -> None:
    hub = await begin(start, heartbeat_interval=1, join_timeout=3)
    async with on_websocket(hub) as page:
        assert [await page.hear() for _ in range(2)] == ["2", "2"]
        assert trio.current_time() < 3
        while (packet := await page.hear()) is not None:
            assert packet == "2"
        assert 3 <= trio.current_time() < 4


async def test_a_page_may_join_when_it_likes(start: Start, autojump_clock: MockClock) -> None:
    hub = await begin(start)
    async with on_websocket(hub) as page:
        await page.connect()
        for _ in range(3):
            assert await page.hear() == "2"
            await page.say("3")
        assert trio.current_time() > 60
        assert await page.join("u1")
        assert await page.hear() == "2"


async def test_pings_and_the_event_beside_them(start: Start, autojump_clock: MockClock) -> None:
    hub = await begin(start, socketio_heartbeat="heartbeat")
    async with joined(hub, "u1", "s1") as page:
        assert await page.hear() == "2"
        name, members = await page.heard()
        assert (name, list(members)) == ("heartbeat", ["time"])
        assert 12 <= trio.current_time() < 26


@pytest.mark.parametrize("is_joined", [False, True])
async def test_a_silent_page_is_closed(
    start: Start, autojump_clock: MockClock, is_joined: bool
) -> None:
    hub = await begin(start)
    async with on_websocket(hub) as page:
        await page.connect()
        if is_joined:
            await page.join("u1")
        while (packet := await page.hear()) is not None:
            assert packet == "2"
        assert 60 <= trio.current_time() < 61
    assert hub.statistics().dead_peers == 1


async def test_a_drain_has_pages_come_back(start: Start) -> None:
    hub = await begin(start)
    async with joined(hub, "u1", "s1") as page:
        hub.drain()
        assert await page.raw.closed() == CloseCode.GOING_AWAY
        await page.close()


# -- who is let in -------------------------------------------------------------------------


async def test_a_full_server_says_so_before_there_is_anything(start: Start) -> None:
    hub = await begin(start, max_connections=1)
    async with joined(hub, "u1", "s1"):
        response = await support.request(
            hub, "GET", "/socket.io/?EIO=4&transport=websocket", headers=UPGRADE
        )
        assert (response.status, response.headers["retry-after"]) == (503, "5")
        assert response.json == {"code": 3, "message": "the server is full"}
        assert hub.statistics().connections == 1


async def test_an_origin_that_is_not_allowed(start: Start) -> None:
    hub = await begin(start, origins=["https://app.example"])
    allowed = handshake().replace(b"\r\n\r\n", b"\r\nOrigin: https://app.example\r\n\r\n")
    await (await raw_websocket(hub, handshake=allowed)).stream.aclose()
    response = await support.request(
        hub,
        "GET",
        "/socket.io/?EIO=4&transport=websocket",
        headers={"Origin": "https://other.example"} | UPGRADE,
    )
    assert (response.status, response.json) == (403, {"code": 4, "message": "Forbidden"})
    assert "access-control-allow-origin" not in response.headers


async def test_native_pages_and_those_of_socket_io_are_in_the_same_rooms(start: Start) -> None:
    hub = await begin(start, authkey=KEY)
    async with (
        support.joined(hub, "u1", "s1") as native,
        joined(hub, "u1", "s2") as other,
        support.joined(hub, "u1", "s3"),
    ):
        assert (await hub.notify("u1", sender="s3")).terminated == 2
        assert (await other.heard())[0] == "terminate"
        assert json.loads(await native.get_message())["type"] == "terminate"
