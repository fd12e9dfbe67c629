"""What time does to a connection, in virtual time."""

import itertools
import json
from functools import partial

import pytest
import trio
from trio.testing import MockClock
from trio_websocket import ConnectionClosed
from wsproto.events import Ping, TextMessage

import sse_trio
from sse_trio.core.messages import CloseCode

from ..support import CLOSE, KEY, PING, RawWebSocket, Start, client_frame, joined, raw_websocket

SLACK = 0.5
"""Seconds that a timer may be late: more than the width of any slot used here."""


async def join(websocket: RawWebSocket, session: str = "s1") -> None:
    await websocket.send({"type": "join", "room": "u1", "session": session})
    assert (await websocket.message())["type"] == "joined"


async def test_heartbeats_come_every_interval_the_first_after_a_part_of_it(
    start: Start, autojump_clock: MockClock
) -> None:
    hub = await start(heartbeat_interval=20)
    async with joined(hub, "u1", "s1") as member:
        times = [trio.current_time()]
        for _ in range(4):
            beat = json.loads(await member.get_message())
            assert beat["type"] == "heartbeat"
            assert isinstance(beat["time"], int)
            times.append(trio.current_time())
    first, *later = [b - a for a, b in itertools.pairwise(times)]
    assert 10 <= first <= 20 + SLACK
    assert all(20 <= seconds <= 20 + SLACK for seconds in later)


async def test_a_heartbeat_is_data_and_a_ping(start: Start, autojump_clock: MockClock) -> None:
    hub = await start()
    websocket = await raw_websocket(hub)
    await join(websocket)
    assert isinstance(await websocket.event(), TextMessage)
    assert isinstance(await websocket.event(), Ping)
    await websocket.stream.aclose()


async def test_who_asks_gets_its_heartbeat_at_once_and_at_most_one_a_second(
    start: Start, autojump_clock: MockClock
) -> None:
    hub = await start(heartbeat_interval=60, heartbeat_timeout=150)
    async with joined(hub, "u1", "s1") as member:
        heard: list[float] = []

        async def listen() -> None:
            while True:
                assert json.loads(await member.get_message())["type"] == "heartbeat"
                heard.append(trio.current_time() - began)

        async with trio.open_nursery() as nursery:
            await trio.sleep(2)
            began = trio.current_time()
            nursery.start_soon(listen)
            for moment in (0, 0.99, 1, 1.5, 5, 5, 70):
                await trio.sleep(began + moment - trio.current_time())
                await member.send_message('{"type":"heartbeat"}')
            await trio.sleep(0.1)
            nursery.cancel_scope.cancel()
        *asked, beat, last = heard
        assert asked == [0, 1, 5]
        # The others are counted from the last one.
        assert 65 <= beat <= 65 + 2 * SLACK
        assert last == 70


async def test_the_answer_to_a_question_tells_the_time(
    start: Start, autojump_clock: MockClock
) -> None:
    hub = await start()
    websocket = await raw_websocket(hub)
    await join(websocket)
    await trio.sleep(1)
    await websocket.send({"type": "heartbeat"})
    answer = await websocket.message()
    assert answer.keys() == {"type", "time"}
    assert isinstance(answer["time"], int)
    await websocket.stream.aclose()


async def test_first_heartbeats_are_spread(start: Start, autojump_clock: MockClock) -> None:
    hub = await start(heartbeat_interval=20)
    websockets = [await raw_websocket(hub) for _ in range(20)]
    for number, websocket in enumerate(websockets):
        await join(websocket, f"s{number}")
    first: set[int] = set()

    async def wait_for_the_first(websocket: RawWebSocket) -> None:
        await websocket.message()
        first.add(int(trio.current_time()))
        await websocket.stream.aclose()

    async with trio.open_nursery() as nursery:
        for websocket in websockets:
            nursery.start_soon(wait_for_the_first, websocket)
    assert len(first) > 1


async def test_whoever_never_joins_is_closed(start: Start, autojump_clock: MockClock) -> None:
    hub = await start(join_timeout=3)
    websocket = await raw_websocket(hub)
    began = trio.current_time()
    assert (await websocket.message())["code"] == CloseCode.TIMED_OUT
    assert await websocket.closed() == CloseCode.TIMED_OUT
    assert 3 <= trio.current_time() - began <= 3 + SLACK
    await websocket.stream.aclose()
    assert hub.statistics().joins == {"timed_out": 1}


async def test_a_silent_member_is_dropped_after_the_timeout(
    start: Start, autojump_clock: MockClock
) -> None:
    hub = await start(heartbeat_interval=25, heartbeat_timeout=60)
    websocket = await raw_websocket(hub)
    await join(websocket)
    began = trio.current_time()
    assert await websocket.closed() == CloseCode.TIMED_OUT
    assert 60 <= trio.current_time() - began <= 60 + SLACK
    assert hub.statistics().dead_peers == 1
    await websocket.stream.aclose()


async def test_a_pong_is_a_sign_of_life(start: Start, autojump_clock: MockClock) -> None:
    hub = await start(heartbeat_interval=25, heartbeat_timeout=60)
    async with joined(hub, "u1", "s1") as member:  # trio-websocket answers pings
        with trio.move_on_after(600):
            while True:
                await member.get_message()
        assert member.closed is None
        assert hub.statistics().members == 1


async def test_a_member_that_does_not_answer_a_termination_is_closed_then_cut(
    start: Start, autojump_clock: MockClock
) -> None:
    hub = await start(linger=5)
    websocket = await raw_websocket(hub)
    await join(websocket)
    began = trio.current_time()
    outcome = await hub.notify("u1", sender=None)
    assert (outcome.terminated, outcome.acked, outcome.pending) == (1, 0, 1)
    assert not await outcome.acknowledged(timeout=60)
    assert 5 <= trio.current_time() - began <= 5 + SLACK
    assert (outcome.acked, outcome.pending) == (0, 1)
    assert await websocket.closed() == CloseCode.TERMINATED
    # It has been told that the server closes, and does not follow.
    with pytest.raises(trio.BrokenResourceError):  # noqa: PT012
        while await websocket.stream.receive_some():
            pass
        raise trio.BrokenResourceError
    assert 10 <= trio.current_time() - began <= 10 + 2 * SLACK
    await websocket.stream.aclose()
    await trio.testing.wait_all_tasks_blocked()
    assert hub.statistics().connections == 0
    assert hub.statistics().terminations_cut == 1


async def test_an_acknowledgement_settles_the_outcome(
    start: Start, autojump_clock: MockClock
) -> None:
    hub = await start()
    async with joined(hub, "u1", "s1") as first, joined(hub, "u1", "s2") as second:
        outcome = await hub.notify("u1", sender=None)
        await first.get_message()
        await first.send_message('{"type": "terminated", "epoch": 1}')
        assert not await outcome.acknowledged(timeout=1)
        assert (outcome.terminated, outcome.acked, outcome.pending) == (2, 1, 1)
        await second.aclose()  # to hang up is an answer too
        assert await outcome.acknowledged(timeout=1)
        with pytest.raises(ConnectionClosed):
            await first.get_message()


async def start_to_end(nursery: trio.Nursery, **settings: float) -> tuple[sse_trio.Hub, trio.Event]:
    """Start a server; the event is set when `serve` has returned."""
    ended = trio.Event()

    async def serve(*, task_status: trio.TaskStatus[sse_trio.Hub]) -> None:
        config = sse_trio.Config(port=0, authkey=KEY, **settings)  # type: ignore[arg-type]
        await sse_trio.serve(config, task_status=task_status)
        ended.set()

    return await nursery.start(serve), ended


async def test_drain_says_goodbye_and_ends(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    hub, ended = await start_to_end(nursery, shutdown_grace=10, linger=5)
    polite, rude = await raw_websocket(hub), await raw_websocket(hub)
    await join(polite)
    await join(rude, "s2")
    idle = await trio.open_tcp_stream("127.0.0.1", hub.port)
    began = trio.current_time()
    hub.drain()
    assert await polite.closed() == CloseCode.GOING_AWAY
    await polite.stream.aclose()
    assert await idle.receive_some() == b""
    with pytest.raises(OSError, match="all attempts to connect"):
        await trio.open_tcp_stream("127.0.0.1", hub.port)
    with pytest.raises(sse_trio.Draining):
        await hub.notify("u1")
    await ended.wait()
    assert 5 <= trio.current_time() - began <= 5 + SLACK  # the rude one, cut after linger
    await rude.stream.aclose()
    await idle.aclose()


async def test_the_drain_waits_for_who_has_said_much_at_once(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    hub, ended = await start_to_end(nursery, shutdown_grace=10, linger=5)
    websocket = await raw_websocket(hub)
    await join(websocket)
    began = trio.current_time()
    await websocket.stream.send_all(2000 * client_frame(PING))
    hub.drain()
    await ended.wait()
    assert 5 <= trio.current_time() - began <= 5 + SLACK
    await websocket.stream.aclose()


@pytest.mark.parametrize("seconds", [0, 1, 4, 6])
async def test_the_drain_is_over_in_time_whoever_is_silent(
    nursery: trio.Nursery, autojump_clock: MockClock, seconds: float
) -> None:
    """In one `linger`, wherever they are: half of what `docker stop` waits before it kills."""
    hub, ended = await start_to_end(nursery, shutdown_grace=10, linger=5)
    silent, leaving, half = [await raw_websocket(hub) for _ in range(3)]
    await join(silent)
    await join(leaving, "s2")
    outcome = await hub.notify("u1", sender=None)
    await trio.sleep(seconds)
    await leaving.stream.send_all(client_frame(CLOSE, b"\x03\xe8"))
    begun = await trio.open_tcp_stream("127.0.0.1", hub.port)
    await begun.send_all(b"POST /notify HTTP/1.1\r\n")
    await trio.testing.wait_all_tasks_blocked()
    began = trio.current_time()
    hub.drain()
    await ended.wait()
    assert trio.current_time() - began <= 5 + 2 * SLACK
    assert (outcome.terminated, outcome.acked) == (2, seconds < 5)
    for stream in (silent.stream, leaving.stream, half.stream, begun):
        await stream.aclose()


async def test_the_drain_lengthens_no_deadline(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    hub, ended = await start_to_end(nursery, shutdown_grace=50, linger=20, request_timeout=4)
    begun = await trio.open_tcp_stream("127.0.0.1", hub.port)
    # Not a usual head, so that a task reads the rest.
    await begun.send_all(b"POST /notify HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\n")
    await begun.send_all(b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert (await begun.receive_some()).startswith(b"HTTP/1.1 100 ")
    began = trio.current_time()
    hub.drain()
    assert (await begun.receive_some()).startswith(b"HTTP/1.1 408 ")
    assert 4 <= trio.current_time() - began <= 4 + SLACK
    await begun.aclose()
    await ended.wait()


async def test_shutdown_grace_is_the_last_word(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    hub, ended = await start_to_end(nursery, shutdown_grace=2, linger=50)
    rude = await raw_websocket(hub)
    await join(rude)
    began = trio.current_time()
    hub.drain()
    await ended.wait()
    assert 2 <= trio.current_time() - began <= 2 + SLACK
    await rude.stream.aclose()


async def test_to_cancel_serve_is_a_hard_stop(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        hub: sse_trio.Hub = await nursery.start(
            partial(sse_trio.serve, sse_trio.Config(port=0, authkey=KEY))
        )
        websocket = await raw_websocket(hub)
        await join(websocket)
        began = trio.current_time()
        nursery.cancel_scope.cancel()
    assert trio.current_time() == began
    with pytest.raises(OSError, match="all attempts to connect"):
        await trio.open_tcp_stream("127.0.0.1", hub.port)
    await websocket.stream.aclose()
