"""`POST /events` over real sockets: pages that cannot use a WebSocket."""

import json
import socket
from contextlib import suppress

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from sse_trio.core.messages import Heartbeat, Terminate
from sse_trio.hub.holding import Holding
from sse_trio.server.events import beat_event, close_event, event

from ..hub.fakes import SlowLedger
from ..streams import listening, say
from ..support import Response, Start, connect, joined, open_sockets, post_notify, reset

JOIN = {"type": "join", "room": "u1", "session": "old"}


@pytest.fixture
def autojump_clock() -> MockClock:
    # Under load the kernel can deliver on loopback a moment later; time must not jump then.
    return MockClock(autojump_threshold=0.01)


# -- the stream -------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["1.1", "1.0"])
async def test_a_page_joins_and_is_terminated(
    start: Start, autojump_clock: MockClock, version: str
) -> None:
    hub = await start()
    async with listening(hub, JOIN, version=version) as page:
        assert await page.message() == {
            "type": "joined", "room": "u1", "session": "old", "epoch": 0, "heartbeat": 25,
        }  # fmt: skip
        answer = await post_notify(hub, room="u1", sender="new", detail={"device": "a phone"})
        assert answer.json["terminated"] == 1
        assert await page.message() == {
            "type": "terminate",
            "room": "u1",
            "epoch": 1,
            "reason": "login",
            "detail": {"device": "a phone"},
            "reconnect": False,
        }
        assert await page.closed() == 4001
    await wait_all_tasks_blocked()
    assert hub.statistics().connections == 0


async def test_the_head_says_that_nobody_may_keep_it_back(
    start: Start, autojump_clock: MockClock
) -> None:
    hub = await start()
    async with listening(hub, JOIN) as page:
        fields = dict(line.split(": ", 1) for line in page.head)
    assert fields.pop("Date")
    assert fields == {
        "Content-Type": "text/event-stream",
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "X-Accel-Buffering": "no",
        "Connection": "close",
    }


async def test_heartbeats_come_with_a_comment_and_keep_it_for_ever(
    start: Start, autojump_clock: MockClock
) -> None:
    hub = await start(heartbeat_interval=25, heartbeat_timeout=60)
    async with listening(hub, JOIN) as page:
        assert (await page.message())["type"] == "joined"
        begin = trio.current_time()
        for number in range(1, 9):
            assert (await page.message())["type"] == "heartbeat"
            assert page.comments == number
        assert trio.current_time() - begin > 3 * 60
        assert hub.statistics().members == 1


async def test_whoever_comes_late_is_terminated_at_once(
    start: Start, autojump_clock: MockClock
) -> None:
    hub = await start()
    await post_notify(hub, room="u1", sender="old")
    await post_notify(hub, room="u1", sender="new")
    async with listening(hub, JOIN) as page:
        assert (await page.message())["type"] == "terminate"


async def test_streams_and_websockets_share_a_room(start: Start, autojump_clock: MockClock) -> None:
    hub = await start()
    async with (
        listening(hub, JOIN) as page,
        listening(hub, JOIN | {"session": "new"}) as other,
        joined(hub, "u1", "old") as websocket,
        joined(hub, "u1", "new") as kept,
    ):
        assert (await page.message())["type"] == (await other.message())["type"] == "joined"
        answer = await post_notify(hub, room="u1", sender="new")
        assert answer.json["terminated"] == 2
        assert (await page.message())["type"] == "terminate"
        assert json.loads(await websocket.get_message())["type"] == "terminate"
        assert hub.statistics().members == 2
        assert kept.closed is None


async def test_a_page_that_goes_has_left(start: Start, autojump_clock: MockClock) -> None:
    hub = await start()
    async with listening(hub, JOIN) as page:
        await page.message()
        assert hub.statistics().members == 1
    await wait_all_tasks_blocked()
    assert hub.statistics().members == hub.statistics().connections == 0


async def test_what_comes_behind_the_request_ends_it(
    start: Start, autojump_clock: MockClock
) -> None:
    hub = await start()
    async with listening(hub, JOIN) as page:
        await page.message()
        await page.stream.send_all(b"GET /healthz HTTP/1.1\r\n")
        await wait_all_tasks_blocked()
        assert hub.statistics().connections == 0


async def test_so_does_what_comes_with_it(start: Start, autojump_clock: MockClock) -> None:
    hub = await start()
    body = json.dumps(JOIN)
    head = "POST /events HTTP/1.1\r\nHost: test\r\nContent-Type: text/plain\r\n"
    async with await connect(hub) as stream:
        await stream.send_all(f"{head}Content-Length: {len(body)}\r\n\r\n{body}GET /".encode())
        with suppress(trio.BrokenResourceError):
            while await stream.receive_some(65536):
                pass
        assert hub.statistics().connections == 0


async def test_a_parked_stream_has_no_task(start: Start, autojump_clock: MockClock) -> None:
    hub = await start()
    before = trio.lowlevel.current_statistics().tasks_living
    async with listening(hub, JOIN) as page:
        await page.message()
        await wait_all_tasks_blocked()
        assert trio.lowlevel.current_statistics().tasks_living == before


async def test_the_kernel_ends_a_stream_whose_peer_acknowledges_nothing(
    start: Start, autojump_clock: MockClock
) -> None:
    hub = await start(heartbeat_timeout=60)
    async with listening(hub, JOIN) as page:
        await page.message()
        peer = page.stream.socket.getsockname()
        timeouts = [
            sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
            for _, sock in open_sockets()
            if sock.family == socket.AF_INET and _peer_of(sock) == peer
        ]
        assert timeouts == [60_000]


def _peer_of(sock: socket.socket) -> object:
    try:
        return sock.getpeername()
    except OSError:
        return None


async def test_the_drain_says_that_it_ends(start: Start, autojump_clock: MockClock) -> None:
    hub = await start()
    async with listening(hub, JOIN) as page:
        await page.message()
        hub.drain()
        assert await page.closed() == 1001


async def test_a_stream_that_comes_again_needs_no_second_place(
    start: Start, autojump_clock: MockClock
) -> None:
    hub = await start(max_connections_per_address=1)
    async with listening(hub, JOIN | {"stream": "s"}) as first:
        await first.message()
        async with listening(hub, JOIN | {"stream": "s"}) as second:
            assert (await second.message())["type"] == "joined"


async def test_whoever_is_refused_has_no_name(start: Start, autojump_clock: MockClock) -> None:
    hub = await start(max_connections_per_address=1)
    async with listening(hub, JOIN), listening(hub, JOIN | {"stream": "s"}) as page:
        assert (await page.message())["code"] == 4429
        assert (await say(hub, {"type": "heartbeat", "stream": "s"})).status == 404


# -- what the page says -----------------------------------------------------------------


async def test_the_acknowledgement_is_another_post(start: Start, autojump_clock: MockClock) -> None:
    hub = await start()
    async with listening(hub, JOIN | {"stream": "s"}) as page:
        await page.message()
        async with trio.open_nursery() as nursery:
            answers: list[Response] = []

            async def notify() -> None:
                answers.append(await post_notify(hub, room="u1", sender="new", wait=5))

            nursery.start_soon(notify)
            assert (await page.message())["type"] == "terminate"
            said = await say(hub, {"type": "terminated", "epoch": 1, "stream": "s"})
            assert (said.status, said.body) == (204, b"")
            assert await page.closed() == 4001
        assert answers[0].json["acked"] == 1


async def test_or_the_end_of_the_stream(start: Start, autojump_clock: MockClock) -> None:
    hub = await start()
    async with trio.open_nursery() as nursery:
        answers: list[Response] = []

        async def notify() -> None:
            answers.append(await post_notify(hub, room="u1", sender="new", wait=5))

        async with listening(hub, JOIN) as page:
            await page.message()
            nursery.start_soon(notify)
            assert (await page.message())["type"] == "terminate"
    assert answers[0].json["acked"] == 1


async def test_who_neither_answers_nor_ends_is_cut(start: Start, autojump_clock: MockClock) -> None:
    hub = await start(linger=5)
    async with listening(hub, JOIN) as page:
        await page.message()
        answer = await post_notify(hub, room="u1", sender="new", wait=10)
        assert (answer.json["terminated"], answer.json["acked"]) == (1, 0)


async def test_a_page_asks_whether_its_stream_lives(
    start: Start, autojump_clock: MockClock
) -> None:
    hub = await start()
    async with listening(hub, JOIN | {"stream": "s"}) as page:
        await page.message()
        await trio.sleep(2)
        begin = trio.current_time()
        assert (await say(hub, {"type": "heartbeat", "stream": "s"})).status == 204
        assert (await page.message())["type"] == "heartbeat"
        assert trio.current_time() - begin < 1


async def test_what_is_said_to_no_stream(start: Start, autojump_clock: MockClock) -> None:
    hub = await start()
    answer = await say(hub, {"type": "heartbeat", "stream": "s"}, Origin="https://app.example")
    assert answer.status == 404
    assert answer.headers["access-control-allow-origin"] == "https://app.example"
    async with listening(hub, JOIN | {"stream": "s"}) as page:
        await page.message()
    await wait_all_tasks_blocked()
    assert (await say(hub, {"type": "heartbeat", "stream": "s"})).status == 404


async def test_a_second_stream_of_the_same_name_ends_the_first(
    start: Start, autojump_clock: MockClock
) -> None:
    hub = await start()
    async with listening(hub, JOIN | {"stream": "s"}) as first:
        await first.message()
        async with listening(hub, JOIN | {"stream": "s"}) as second:
            await second.message()
            assert await first.event() is None
            await wait_all_tasks_blocked()
            assert hub.statistics().members == 1
            await trio.sleep(2)
            assert (await say(hub, {"type": "heartbeat", "stream": "s"})).status == 204
            assert (await second.message())["type"] == "heartbeat"


async def test_what_it_has_no_reason_to_say_is_refused(
    start: Start, autojump_clock: MockClock
) -> None:
    hub = await start()
    async with listening(hub, JOIN | {"stream": "s"}) as page:
        await page.message()
        await say(hub, {"type": "terminated", "epoch": 1, "stream": "s"})
        assert (await page.message())["code"] == 4400
        assert await page.closed() == 4400


# -- one message ------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [0, 10, 25])
async def test_one_message_when_the_wait_is_over(
    start: Start, autojump_clock: MockClock, seconds: int
) -> None:
    hub = await start()
    begin = trio.current_time()
    async with listening(hub, JOIN, query=f"?wait={seconds}") as page:
        assert (await page.message())["type"] == "joined"
        assert seconds <= trio.current_time() - begin <= seconds + 1
        assert await page.event() is None
    await wait_all_tasks_blocked()
    assert hub.statistics().members == hub.statistics().connections == 0


async def test_nobody_waits_longer_than_for_a_heartbeat(
    start: Start, autojump_clock: MockClock
) -> None:
    hub = await start(heartbeat_interval=25)
    begin = trio.current_time()
    async with listening(hub, JOIN, query="?wait=9999") as page:
        assert (await page.message())["type"] == "joined"
        assert 25 <= trio.current_time() - begin <= 26


async def test_a_termination_does_not_wait(start: Start, autojump_clock: MockClock) -> None:
    hub = await start()
    begin = trio.current_time()
    async with listening(hub, JOIN | {"stream": "s"}, query="?wait=25") as page:
        await wait_all_tasks_blocked()
        assert (await post_notify(hub, room="u1", sender="new")).json["terminated"] == 1
        assert (await page.message())["type"] == "terminate"
        assert await page.event() is None
        assert trio.current_time() - begin < 1
        # Its end has been seen by the page alone: it acknowledges as any other does.
        await say(hub, {"type": "terminated", "epoch": 1, "stream": "s"})
        assert hub.statistics().terminations_acked == 1


async def test_a_refusal_does_not_wait(start: Start, autojump_clock: MockClock) -> None:
    hub = await start(max_connections_per_address=1)
    begin = trio.current_time()
    async with listening(hub, JOIN), listening(hub, JOIN, query="?wait=25") as page:
        assert (await page.message())["code"] == 4429
        assert await page.event() is None
        assert trio.current_time() - begin < 1


async def test_whoever_was_answered_is_no_member(start: Start, autojump_clock: MockClock) -> None:
    """Its page stays connected: it is in nobody's way, and is cut after `linger`."""
    hub = await start(linger=5)
    async with listening(hub, JOIN, query="?wait=0") as page:
        await page.message()
        assert (hub.statistics().members, hub.statistics().closing) == (0, 1)
        assert (await post_notify(hub, room="u1", sender="new")).json["terminated"] == 0
        await trio.sleep(6)
        assert hub.statistics().connections == 0
        assert hub.statistics().slow_members == 0


async def test_the_drain_ends_a_wait(start: Start, autojump_clock: MockClock) -> None:
    hub = await start()
    async with listening(hub, JOIN, query="?wait=25") as page:
        await wait_all_tasks_blocked()
        hub.drain()
        assert await page.closed() == 1001


async def test_a_heartbeat_that_is_asked_for_ends_no_wait(
    start: Start, autojump_clock: MockClock
) -> None:
    hub = await start()
    async with listening(hub, JOIN | {"stream": "s"}, query="?wait=10") as page:
        await trio.sleep(5)
        assert (await say(hub, {"type": "heartbeat", "stream": "s"})).status == 204
        assert (await page.message())["type"] == "joined"


async def test_a_hold_does_not_wait_and_at_its_end_nothing_is_claimed(
    start: Start, autojump_clock: MockClock
) -> None:
    hub = await start()
    begin = trio.current_time()
    async with (
        listening(hub, JOIN, query="?wait=25") as page,
        listening(hub, JOIN) as other,
    ):
        await other.message()
        for _ in (holding := Holding(hub.membership, hub.timers)).hold():
            pass
        assert (await page.message())["type"] == (await other.message())["type"] == "hold"
        assert await page.event() is None
        assert trio.current_time() - begin < 1
        assert hub.statistics().members == 1
        # A stream that was on hold is there for as long as its connection, as before.
        for _ in holding.resume():
            pass
        for kind in ["joined", *["heartbeat"] * 5]:
            assert (await other.message())["type"] == kind
        assert trio.current_time() - begin > hub.config.heartbeat_timeout
        assert hub.statistics().slow_members == hub.statistics().dead_peers == 0


async def test_a_wait_ends_as_soon_as_the_hub_knows(
    start: Start, autojump_clock: MockClock
) -> None:
    """A join without a ticket counts when the ledger has it: here after a second."""
    hub = await start(ledger=SlowLedger())
    begin = trio.current_time()
    async with listening(hub, JOIN, query="?wait=0") as page:
        assert (await page.message())["type"] == "joined"
        assert 1 <= trio.current_time() - begin < 2
        assert await page.event() is None


# -- who may ----------------------------------------------------------------------------


async def test_a_page_of_another_origin_may_read(start: Start, autojump_clock: MockClock) -> None:
    hub = await start(origins=("https://app.example",))
    async with listening(hub, JOIN, headers="Origin: https://app.example\r\n") as page:
        assert "Access-Control-Allow-Origin: https://app.example" in page.head
        assert "Vary: Origin" in page.head
        await page.message()
    refused = await say(hub, JOIN, Origin="https://evil.example")
    assert refused.status == 403
    assert "access-control-allow-origin" not in refused.headers
    assert hub.statistics().refused_handshakes["origin"] == 1


async def test_a_ticket_where_it_is_required(start: Start, autojump_clock: MockClock) -> None:
    hub = await start(join="ticket")
    ticket = (await post_notify(hub, room="u1", sender="old")).json["ticket"]
    async with listening(hub, {"type": "join", "ticket": ticket}) as page:
        assert (await page.message())["type"] == "joined"
    async with listening(hub, JOIN) as page:
        assert (await page.message())["code"] == 4401
        assert await page.closed() == 4401


async def test_a_server_that_drains_refuses(start: Start, autojump_clock: MockClock) -> None:
    hub = await start(lame_duck=0)
    async with listening(hub, JOIN | {"stream": "s"}) as page, await connect(hub) as stream:
        await page.message()
        # It has begun a request, so that the drain leaves it.
        body = json.dumps(JOIN)
        await stream.send_all(b"POST /events HTTP/1.1\r\n")
        await wait_all_tasks_blocked()
        hub.drain()
        await wait_all_tasks_blocked()
        await stream.send_all(
            b"Host: test\r\nOrigin: https://a.example\r\nContent-Type: text/plain\r\n"
            + f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        answer = b""
        async for data in stream:
            answer += bytes(data)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nAccess-Control-Allow-Origin: https://a.example\r\n" in answer


async def test_a_reset_ends_it(start: Start, autojump_clock: MockClock) -> None:
    hub = await start()
    async with listening(hub, JOIN) as page:
        await page.message()
        await reset(page.stream)
        await wait_all_tasks_blocked()
        assert hub.statistics().members == 0


# -- as text ----------------------------------------------------------------------------


def test_events_as_text() -> None:
    assert event(Terminate("u1", 3, "login", {"device": "a\nb"})) == (
        b'data: {"type":"terminate","room":"u1","epoch":3,"reason":"login",'
        b'"detail":{"device":"a\\nb"},"reconnect":false}\n\n'
    )
    assert beat_event(Heartbeat(5)) == b':\ndata: {"type":"heartbeat","time":5}\n\n'
    assert close_event(4001, "") == b'event: close\ndata: {"code":4001,"reason":""}\n\n'
