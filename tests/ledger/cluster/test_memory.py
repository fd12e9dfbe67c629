"""What a simulator does with the engine in memory: hints, failovers, and what was committed."""

import trio

from sse_trio.core.logins import Record
from sse_trio.ledger.cluster.engine import Batch, Entry, Write
from sse_trio.ledger.cluster.memory import MemoryDatabase, MemoryEngine
from sse_trio.ledger.proposals import Lost, Won

RECORD = Record(3, 0, {}, (), 5.0, 4.0)


async def joined(database: MemoryDatabase, node: str) -> MemoryEngine:
    engine = MemoryEngine(database)
    await engine.register(node, address="", software="")
    return engine


def batch(seq: int, *rooms: str) -> Batch:
    return Batch("a", seq, [Write(room, None, RECORD) for room in rooms])


async def test_who_waits_is_told_of_what_was_written_since_the_last_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    database = MemoryDatabase(trio.current_time)
    a, b = await joined(database, "a"), await joined(database, "b")
    with trio.move_on_after(60) as nothing:
        await b.hinted()
    assert nothing.cancelled_caught
    await a.commit(batch(1))
    await b.hinted()
    with trio.move_on_after(60) as nothing:
        await b.hinted()
    assert nothing.cancelled_caught
    async with trio.open_nursery() as nursery:
        nursery.start_soon(b.hinted)
        await trio.testing.wait_all_tasks_blocked()
        await a.report("a", {}, [])


async def test_a_failover_may_lose_what_was_committed() -> None:
    database = MemoryDatabase(lambda: 1.0, keep_history=True)
    a = await joined(database, "a")
    await a.commit(batch(1, "u1"))
    before = database.snapshot()
    assert database.fail_over() == []
    assert (await a.commit(batch(2, "u2", "u1"))).identity.timeline == 2
    await joined(database, "b")
    lost = database.fail_over(before)
    assert [transaction.entry for transaction in lost] == [Entry("a", 2, {"u2": 3})]
    poll = await a.poll("a", {}, [])
    assert (poll.identity.timeline, [node.name for node in poll.nodes]) == (3, ["a"])
    assert poll.entries == [Entry("a", 1, {"u1": 3})]
    assert not await a.anchored({"a": 2})
    read, _ = await a.read(["u1", "u2"])
    assert read.keys() == {"u1"}
    # The snapshot is what it was, and serves again.
    await a.commit(batch(2, "u4"))
    database.fail_over(before)
    assert await a.anchored({"a": 1})
    assert not await a.anchored({"a": 2})


async def test_the_history_has_what_won() -> None:
    database = MemoryDatabase(lambda: 7.0, keep_history=True)
    a = await joined(database, "a")
    one, two = batch(1, "u1"), batch(2, "u1", "u2")
    (first,) = (await a.commit(one)).results
    assert isinstance(first, Won)
    lost, second = (await a.commit(two)).results
    assert isinstance(lost, Lost)
    assert isinstance(second, Won)
    await a.commit(two)
    history = database.history
    assert history is not None
    assert [(each.entry, list(each.won), each.at) for each in history] == [
        (Entry("a", 1, {"u1": 3}), list(one.writes), 7.0),
        (Entry("a", 2, {"u2": 3}), [two.writes[1]], 7.0),
    ]
    assert [dict(each.versions) for each in history] == [
        {"u1": first.version},
        {"u2": second.version},
    ]


async def test_without_a_history_none_is_kept() -> None:
    database = MemoryDatabase(lambda: 7.0)
    a = await joined(database, "a")
    before = database.snapshot()
    await a.commit(batch(1, "u1"))
    assert database.history is None
    assert database.fail_over(before) == []
    assert await a.read(["u1"]) == ({}, database.identity)
