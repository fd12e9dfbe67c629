"""The log as a node reads it: in order, without a gap, and applied before anybody counts on it."""

from collections.abc import Callable

import attrs
import pytest
import trio
from trio.testing import MockClock

from sse_trio.ledger.cluster.engine import Entry
from sse_trio.ledger.cluster.feed import POLL, STALE
from sse_trio.ledger.cluster.memory import MemoryDatabase
from sse_trio.ledger.cluster.reach import COUNTED, COUNTS_EVERY
from sse_trio.ledger.cluster.registration import KEPT
from sse_trio.ledger.proposals import Elsewhere, Won

from .fakes import Count, Faulty, Node, answer, database, node, registered, stored, swap


@pytest.fixture
def db() -> MemoryDatabase:
    return database()


def applied(db: MemoryDatabase, node: str, writer: str) -> int:
    return db.snapshot().nodes[node].applied.get(writer, 0)


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110
        await trio.sleep(0.01)


async def test_others_entries_are_given_to_the_hub_and_then_reported(
    autojump_clock: MockClock, db: MemoryDatabase
) -> None:
    async with node(db, "a") as a, node(db, "b") as b:
        proposal = a.ledger.propose(swap("u1"))
        a.ledger.propose(swap("u2"))
        elsewhere = await proposal.everywhere()
        assert (elsewhere.nodes, elsewhere.lapsed) == (1, 0)
        assert proposal.done
        mine = [entry for changes in b.got for entry in changes.entries if entry.rooms]
        assert mine == [Entry("a", mine[0].seq, {"u1": 1, "u2": 1})]
        assert not any(entry.rooms for changes in a.got for entry in changes.entries)
        assert applied(db, "b", "a") >= mine[0].seq


async def test_a_node_alone_waits_for_nobody_and_for_no_poll(
    autojump_clock: MockClock, db: MemoryDatabase
) -> None:
    async with node(db) as a:
        before = trio.current_time()
        assert (await a.ledger.propose(swap()).everywhere()).nodes == 0
        assert trio.current_time() - before < POLL / 10


async def test_without_hints_the_log_is_read_now_and_then(
    autojump_clock: MockClock, db: MemoryDatabase
) -> None:
    engine = Faulty(db)
    engine.away.add("hinted")
    async with node(db, "a") as a, node(db, "b", engine=engine):
        before = trio.current_time()
        await a.ledger.propose(swap()).everywhere()
        assert trio.current_time() - before <= 2 * POLL


async def test_nothing_counts_before_the_hub_has_applied_it(
    autojump_clock: MockClock, db: MemoryDatabase
) -> None:
    async with node(db, "a") as a, node(db, "b") as b:
        b.is_stuck = True
        proposal = a.ledger.propose(swap())
        with trio.move_on_after(1) as waited:
            await proposal.everywhere()
        assert waited.cancelled_caught
        assert not proposal.done
        assert "b" in registered(db)
        b.got[-1].applied()
        await proposal.everywhere()
        assert applied(db, "b", "a") >= b.got[-1].entries[-1].seq


async def test_a_node_that_is_there_before_the_poll_is_waited_for(
    autojump_clock: MockClock, db: MemoryDatabase
) -> None:
    async with node(db, "a") as a:
        # The reading that has begun by now knows nothing of a node that registers meanwhile.
        a.engine.replies["poll"] = 1.0
        await trio.sleep(0.5)
        async with node(db, "b") as b:
            b.is_stuck = True
            await trio.sleep(0.5)
            proposal = a.ledger.propose(swap())
            await proposal.decision()
            with trio.move_on_after(1.5) as waited:
                await proposal.everywhere()
            assert waited.cancelled_caught


async def test_a_stuck_hub_loses_the_lease_though_it_writes(
    autojump_clock: MockClock, db: MemoryDatabase
) -> None:
    async with node(db, "a"), node(db, "b") as b:
        b.is_stuck = True
        await until(lambda: b.ledger.statistics().lease_age > 2)
        await b.ledger.lapsed()
        assert not b.ledger.vouches
        assert 3.9 <= b.ledger.statistics().lease_age <= 4.1
        assert isinstance(await b.ledger.propose(swap()).decision(), Won)
        assert not b.ledger.vouches


@pytest.mark.parametrize("call", ["poll", "report"])
@pytest.mark.parametrize("fault", ["away", "deaf"])
async def test_a_dead_reader_loses_the_lease_though_it_writes(
    autojump_clock: MockClock, db: MemoryDatabase, call: str, fault: str
) -> None:
    async with node(db, "a"), node(db, "b") as b:
        getattr(b.engine, fault).add(call)
        await b.ledger.lapsed()
        assert isinstance(await b.ledger.propose(swap()).decision(), Won)
        with trio.move_on_after(5) as waited:
            await b.ledger.restored()
        assert waited.cancelled_caught
        assert b.ledger.statistics().feed_errors > 10
        assert b.ledger.statistics().feed_lag > 4 or call == "report"
        getattr(b.engine, fault).clear()
        await b.ledger.restored()
        assert b.ledger.node == "b"


async def test_the_hub_is_given_again_what_it_has_not_applied(
    autojump_clock: MockClock, db: MemoryDatabase
) -> None:
    async with node(db, "a") as a, node(db, "b") as b:
        b.is_stuck = True
        proposal = a.ledger.propose(swap())
        await until(lambda: b.entries)
        b.is_stuck = False
        await proposal.everywhere()
        assert b.got[-1] is b.got[-2]


async def with_open_counts(writer: Node, other: Node) -> Elsewhere:
    """Return what the other node has done: of three members that it has told, one has answered."""
    proposal = writer.ledger.propose(swap())
    entry = (writer.name, writer.engine.of("commit")[-1].seq + 1, "u1")
    other.counts[entry] = Count(3, 1, finished=False)
    return await proposal.everywhere()


async def test_who_told_whom_is_summed_until_nothing_changes(
    autojump_clock: MockClock, db: MemoryDatabase
) -> None:
    async with node(db, "a") as a, node(db, "b") as b, node(db, "c") as c, node(db, "d"):
        proposal = a.ledger.propose(swap())
        entry = ("a", a.engine.of("commit")[-1].seq + 1, "u1")
        b.counts[entry] = Count(3, 1, finished=False)
        c.counts[entry] = Count(2, 2)
        # Another room in the same batch is another matter.
        other = a.ledger.propose(swap("u2"))
        b.counts[*entry[:2], "u2"] = Count(7, 7)
        reached = await proposal.everywhere()
        assert reached.nodes == 3
        assert (await other.everywhere()).terminated == 7
        assert (reached.terminated, reached.acked) == (5, 3)
        with trio.move_on_after(1) as waited:
            await reached.settled()
        assert waited.cancelled_caught
        b.counts[entry].acked_here = 2
        await trio.sleep(2 * COUNTS_EVERY)
        assert (reached.terminated, reached.acked) == (5, 4)
        b.counts[entry].acked_here = 3
        b.counts[entry].finished = True
        await reached.settled()
        assert (reached.terminated, reached.acked) == (5, 5)
        # Nobody asks about it any more, and it is not reported any more.
        before = len(b.engine.of("report"))
        await trio.sleep(1)
        assert not any(told for _, told in b.engine.of("report")[before:])
        assert a.engine.of("poll")[-1][1] == []


async def test_counts_that_no_task_waits_for_are_asked_for_once_a_second(
    autojump_clock: MockClock, db: MemoryDatabase
) -> None:
    """Many members that do not answer would slow down every notify."""
    async with node(db, "a") as a, node(db, "b") as b:
        reached = await with_open_counts(a, b)

        async def asked(seconds: float) -> int:
            before = len(a.engine.of("poll"))
            await trio.sleep(seconds)
            return sum(followed != [] for _, followed in a.engine.of("poll")[before:])

        assert await asked(10 * COUNTS_EVERY) in (9, 10)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(reached.settled)
            assert await asked(COUNTS_EVERY) >= COUNTS_EVERY / POLL - 2
            nursery.cancel_scope.cancel()
        assert await asked(10 * COUNTS_EVERY) in (9, 10)


async def test_counts_of_a_node_that_has_died_do_not_change_any_more(
    autojump_clock: MockClock, db: MemoryDatabase
) -> None:
    async with node(db, "a") as a, node(db, "b") as b:
        reached = await with_open_counts(a, b)
        db.deregister("b")
        await reached.settled()
        assert (reached.terminated, reached.acked, reached.lapsed) == (3, 1, 0)


async def test_nobody_waits_for_ever_for_counts(
    autojump_clock: MockClock, db: MemoryDatabase
) -> None:
    async with node(db, "a") as a, node(db, "b") as b:
        reached = await with_open_counts(a, b)
        with trio.move_on_after(COUNTED - 1) as waited:
            await reached.settled()
        assert waited.cancelled_caught
        await reached.settled()
        assert (reached.terminated, reached.acked) == (3, 1)


async def test_a_node_does_not_expel_itself(autojump_clock: MockClock, db: MemoryDatabase) -> None:
    async with node(db, "a") as a, node(db, "b") as b:
        b.is_stuck = True
        await a.ledger.propose(swap(answer=answer("x"))).decision()
        again = b.ledger.propose(swap(answer=answer("x")))
        with trio.move_on_after(10) as waited:
            await again.everywhere()
        assert waited.cancelled_caught
        assert b.engine.of("expel") == []
        b.is_stuck = False
        assert (await again.everywhere()).nodes == 1


async def test_what_the_engine_forgets_of_a_report_is_reported_again(
    autojump_clock: MockClock, db: MemoryDatabase
) -> None:
    async with node(db, "a") as a, node(db, "b") as b:
        proposal = a.ledger.propose(swap())
        entry = ("a", a.engine.of("commit")[-1].seq + 1, "u1")
        b.counts[entry] = Count(3, 1, finished=False)
        await proposal.everywhere()
        db.report("b", {}, [])
        await trio.sleep(2 * POLL)
        assert applied(db, "b", "a") >= entry[1]
        assert len([1 for _, told in b.engine.of("report") if told]) == 2


async def test_a_missing_entry_is_a_resync(autojump_clock: MockClock, db: MemoryDatabase) -> None:
    async with node(db, "a") as a, node(db, "b") as b:
        b.engine.delays["poll"] = 1.0
        first, second = a.ledger.propose(swap("u1")), a.ledger.propose(swap("u1"))
        await first.decision()
        await second.decision()
        seq = a.engine.of("commit")[-2].seq
        lose(db, "a", seq)
        b.is_stuck = True
        await until(lambda: any(changes.resync for changes in b.got))
        # From the same step on, nothing cached is vouched for.
        assert not b.ledger.vouches
        await b.ledger.lapsed()
        assert b.got[-1].entries == ()
        assert not b.got[-1].lost
        assert applied(db, "b", "a") < seq
        b.engine.delays.clear()
        b.is_stuck = False
        await b.ledger.restored()
        await trio.sleep(2 * POLL)
        assert applied(db, "b", "a") > seq
        assert b.ledger.statistics().resyncs == 1
        assert b.ledger.node == "b"


def lose(db: MemoryDatabase, writer: str, seq: int) -> None:
    """Take an entry out of the log, as if it had been trimmed."""
    before = db.snapshot()
    log = {key: value for key, value in before.log.items() if key != (writer, seq)}
    db.fail_over(attrs.evolve(before, log=log))
    db.identity = attrs.evolve(db.identity, timeline=1)


async def test_a_new_writer_begins_with_1(autojump_clock: MockClock, db: MemoryDatabase) -> None:
    async with node(db, "a") as a:
        async with node(db, "b") as b:
            await b.ledger.propose(swap()).everywhere()
        assert ("b", 1) in a.entries
        assert not any(changes.resync for changes in a.got)


async def test_who_has_not_read_for_long_may_have_missed_what_was_trimmed(
    autojump_clock: MockClock, db: MemoryDatabase
) -> None:
    async with node(db, "a") as a:
        a.engine.away.add("poll")
        await trio.sleep(STALE + 1)
        a.engine.away.clear()
        await a.ledger.restored()
        assert [changes.resync for changes in a.got] == [True]
        await trio.sleep(STALE + 1)
        assert len(a.got) == 1


async def test_own_entries_count_when_they_are_carried_out(
    autojump_clock: MockClock, db: MemoryDatabase
) -> None:
    async with node(db, "a") as a, node(db, "b") as b:
        a.engine.replies["commit"] = 2.0
        a.ledger.propose(swap(answer=answer("x")))
        await until(lambda: stored(db))
        # It is in the log, but the hub of its own node knows nothing of it.
        again = b.ledger.propose(swap(answer=answer("x")))
        with trio.move_on_after(1) as waited:
            await again.everywhere()
        assert waited.cancelled_caught
        assert (await again.everywhere()).nodes == 1


async def test_positions_of_writers_that_are_gone_are_forgotten_when_their_entries_are(
    autojump_clock: MockClock, db: MemoryDatabase
) -> None:
    async with node(db, "a") as a:
        async with node(db, "b") as b:
            await b.ledger.propose(swap()).everywhere()
        await trio.sleep(KEPT / 4)
        assert "b" in a.engine.of("poll")[-1][0]
        await trio.sleep(KEPT)
        assert "b" not in a.engine.of("poll")[-1][0]
        assert not any(writer == "b" for writer, _ in db.snapshot().log)
        assert not any(changes.resync for changes in a.got)
        assert applied(db, "a", "b") == 0
