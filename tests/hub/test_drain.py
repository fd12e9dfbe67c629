"""A shutdown in its own time: not ready first, then so many members a second. In virtual time."""

import math
from collections.abc import Iterator

import pytest
import trio
from trio.testing import MockClock

import sse_trio
from sse_trio.core.messages import CloseCode
from sse_trio.hub.timers import SLICE, paced

from ..support import RawWebSocket, post_notify, raw_websocket, request
from .test_timers import SLACK, join, start_to_end


async def test_the_drain_closes_so_many_a_second(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    hub, ended = await start_to_end(nursery, drain_rate=1, shutdown_grace=20, linger=5)
    closed = await closes(nursery, hub, 4)
    hub.drain()
    await ended.wait()
    assert [round(moment) for moment in closed] == [0, 1, 2, 3]


async def test_the_drain_is_faster_where_it_would_not_be_over_in_time(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """So that each is told, and has its time to follow."""
    hub, ended = await start_to_end(nursery, drain_rate=1, shutdown_grace=7, linger=5)
    closed = await closes(nursery, hub, 8)
    rude = await raw_websocket(hub)
    await join(rude, "rude")
    began = trio.current_time()
    hub.drain()
    await ended.wait()
    assert closed[0] == 0
    assert 1 < max(closed) < 2
    # The last one to be told, which does not follow, has all of `linger`.
    assert 6 < trio.current_time() - began <= 7
    await rude.stream.aclose()


@pytest.mark.parametrize("grace", [1, 5])
async def test_the_drain_is_not_paced_where_there_is_no_time_for_it(
    nursery: trio.Nursery, autojump_clock: MockClock, grace: float
) -> None:
    hub, ended = await start_to_end(nursery, drain_rate=1, shutdown_grace=grace, linger=5)
    closed = await closes(nursery, hub, 4)
    hub.drain()
    await ended.wait()
    assert closed == [0] * 4


async def closes(nursery: trio.Nursery, hub: sse_trio.Hub, count: int) -> list[float]:
    """Join so many; return when each is closed with 1001, in seconds from now, as it is."""
    began = trio.current_time()
    closed: list[float] = []

    async def follow(websocket: RawWebSocket) -> None:
        assert await websocket.closed() == CloseCode.GOING_AWAY
        closed.append(trio.current_time() - began)
        await websocket.stream.aclose()

    for number in range(count):
        websocket = await raw_websocket(hub)
        await join(websocket, f"s{number}")
        nursery.start_soon(follow, websocket)
    return closed


async def test_a_lame_duck_is_not_ready_and_accepts_as_before(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    hub, ended = await start_to_end(nursery, lame_duck=3, shutdown_grace=10, linger=5)
    early = await raw_websocket(hub)
    await join(early)
    hub.drain()
    began = trio.current_time()
    await trio.sleep(2.9)
    ready = await request(hub, "GET", "/readyz")
    assert (ready.status, ready.body) == (503, b"shutting down\n")
    late = await raw_websocket(hub)
    await join(late, "s2")
    assert (await post_notify(hub, room="u2", sender="s1")).status == 200
    assert hub.statistics().members == 2
    await trio.sleep(0.2)
    for websocket in (early, late):
        assert await websocket.closed() == CloseCode.GOING_AWAY
        await websocket.stream.aclose()
    with pytest.raises(sse_trio.Draining):
        await hub.notify("u1")
    await ended.wait()
    assert 3 <= trio.current_time() - began <= 3 + SLACK


async def test_the_grace_counts_from_the_first_signal(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    hub, ended = await start_to_end(nursery, lame_duck=3, shutdown_grace=4, linger=50)
    rude = await raw_websocket(hub)
    await join(rude)
    began = trio.current_time()
    hub.drain()
    hub.drain()
    await ended.wait()
    assert 4 <= trio.current_time() - began <= 4 + SLACK
    await rude.stream.aclose()


async def test_a_lame_duck_can_be_told_to_stop_accepting(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    hub, ended = await start_to_end(nursery, lame_duck=3, shutdown_grace=10, linger=5)
    began = trio.current_time()
    hub.drain()
    await trio.sleep(1)
    hub.stop_accepting()
    await ended.wait()
    assert trio.current_time() - began == 1


@pytest.mark.parametrize(
    ("rate", "moments"),
    [
        (4, [0, 0.25, 0.5, 0.75]),
        (20, [0, 0.05, 0.1, 0.15]),
        (40, [0, 0, 0.05, 0.05]),
        (math.inf, [0, 0, 0, 0]),
    ],
)
async def test_work_is_paced(autojump_clock: MockClock, rate: float, moments: list[float]) -> None:
    began = trio.current_time()
    done: list[float] = []

    def work() -> Iterator[int]:
        for _ in range(4):
            done.append(trio.current_time() - began)
            yield 1

    await paced(work(), rate=rate)
    assert done == pytest.approx(moments)


async def test_others_have_turns_however_fast_it_is(nursery: trio.Nursery) -> None:
    steps: list[str] = []

    def work() -> Iterator[int]:
        for _ in range(3 * SLICE):
            steps.append("step")
            yield 1

    async def other() -> None:
        steps.append("other")

    nursery.start_soon(other)
    await paced(work(), rate=math.inf)
    # Trio chooses who of two has the first turn.
    assert steps.index("other") in (SLICE, 2 * SLICE)
