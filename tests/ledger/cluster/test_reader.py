"""Reads: those of one moment are one query, and nothing stale comes back."""

from collections.abc import Mapping
from functools import partial

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from sse_trio import LedgerError
from sse_trio.ledger.cluster.memory import MemoryDatabase
from sse_trio.ledger.cluster.reader import MAX_ROOMS, PATIENCE
from sse_trio.ledger.proposals import Versioned

from .fakes import Node, database, node, stored, swap


@pytest.fixture
def db() -> MemoryDatabase:
    return database()


async def fill(a: Node, *rooms: str) -> None:
    proposals = [a.ledger.propose(swap(room)) for room in rooms]
    for proposal in proposals:
        await proposal.everywhere()


async def test_what_is_asked_for_in_one_moment_is_one_query(
    autojump_clock: MockClock, db: MemoryDatabase
) -> None:
    found: dict[tuple[str, ...], Mapping[str, Versioned]] = {}

    async def read(*rooms: str) -> None:
        found[rooms] = await a.ledger.read(rooms)

    async with node(db) as a:
        await fill(a, "u1", "u2")
        async with trio.open_nursery() as nursery:
            for rooms in (("u1",), ("u2", "u1"), ("u3",), ()):
                nursery.start_soon(partial(read, *rooms))
        assert found == {
            ("u1",): {"u1": stored(db)["u1"]},
            ("u2", "u1"): {"u1": stored(db)["u1"], "u2": stored(db)["u2"]},
            ("u3",): {},
            (): {},
        }
        assert [sorted(rooms) for rooms in a.engine.of("read")] == [["u1", "u2", "u3"]]


async def test_a_read_is_not_of_before_it_was_asked_for(
    autojump_clock: MockClock, db: MemoryDatabase
) -> None:
    async with node(db) as a, trio.open_nursery() as nursery:
        a.engine.replies["read"] = 1
        nursery.start_soon(a.ledger.read, ["u1"])
        await trio.sleep(0.5)
        await fill(a, "u1")
        assert (await a.ledger.read(["u1"])).keys() == {"u1"}


async def test_a_query_is_bounded(autojump_clock: MockClock, db: MemoryDatabase) -> None:
    async with node(db) as a:
        rooms = [f"u{n}" for n in range(2 * MAX_ROOMS + 1)]
        await fill(a, *rooms[::500])
        assert (await a.ledger.read(rooms)).keys() == set(rooms[::500])
        assert [len(r) for r in a.engine.of("read")] == [MAX_ROOMS, MAX_ROOMS, 1]


async def test_an_engine_that_is_away_or_slow_is_an_error(
    autojump_clock: MockClock, db: MemoryDatabase
) -> None:
    async with node(db) as a:
        a.engine.away.add("read")
        with pytest.raises(LedgerError, match="no read"):
            await a.ledger.read(["u1"])
        a.engine.away.clear()
        a.engine.delays["read"] = PATIENCE + 1
        with pytest.raises(LedgerError, match="too long"):
            await a.ledger.read(["u1"])
        a.engine.delays.clear()
        assert await a.ledger.read(["u1"]) == {}


async def test_who_stops_waiting_disturbs_nobody(
    autojump_clock: MockClock, db: MemoryDatabase
) -> None:
    async with node(db) as a:
        await fill(a, "u1")
        a.engine.delays["read"] = 1
        with trio.move_on_after(0.5):
            await a.ledger.read(["u1"])
        assert (await a.ledger.read(["u1"])).keys() == {"u1"}


async def test_a_read_of_an_engine_that_is_not_known_yet_does_not_count(
    autojump_clock: MockClock, db: MemoryDatabase
) -> None:
    async with node(db) as a:
        a.engine.delays["poll"] = 1
        await trio.sleep(0.2)
        db.fail_over()
        with pytest.raises(LedgerError, match="changed"):
            await a.ledger.read(["u1"])
        await trio.sleep(1.5)
        assert await a.ledger.read(["u1"]) == {}


async def test_what_was_read_before_everything_was_dropped_does_not_count(
    autojump_clock: MockClock, db: MemoryDatabase
) -> None:
    async with node(db) as a, trio.open_nursery() as nursery:
        a.engine.replies["read"] = 3

        async def read() -> None:
            with pytest.raises(LedgerError, match="missed"):
                await a.ledger.read(["u1"])

        nursery.start_soon(read)
        await wait_all_tasks_blocked()
        db.deregister("a")
