"""Batches: one in flight, each until it is known, and carried out before anybody is woken."""

import logging
from functools import partial

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from sse_trio import LedgerError
from sse_trio.core.logins import Login
from sse_trio.ledger.cluster.memory import MemoryDatabase
from sse_trio.ledger.cluster.writer import MAX_LOGINS, MAX_WRITES
from sse_trio.ledger.proposals import Lost, Repeated, Swap, Version, Won

from .fakes import answer, database, node, standing, stored, swap


@pytest.fixture
def db() -> MemoryDatabase:
    return database()


async def test_what_is_proposed_in_one_moment_is_one_batch(
    autojump_clock: MockClock, db: MemoryDatabase
) -> None:
    async with node(db) as a:
        before = len(a.engine.of("commit"))
        proposals = [a.ledger.propose(swap(f"u{n}")) for n in range(10)]
        assert [await p.decision() for p in proposals] == [p.decided for p in proposals]
        await proposals[0].durable()
        (batch,) = a.engine.of("commit")[before:]
        assert [write.room for write in batch.writes] == [f"u{n}" for n in range(10)]
        assert stored(db).keys() == {f"u{n}" for n in range(10)}
        won = proposals[0].decided
        assert isinstance(won, Won)
        assert won.version == stored(db)["u0"].version


async def test_the_hub_knows_before_whoever_waits(
    autojump_clock: MockClock, db: MemoryDatabase
) -> None:
    order: list[object] = []

    async def wait(room: str) -> None:
        proposal = a.ledger.propose(swap(room, won=lambda _: order.append(room)))
        await proposal.decision()
        order.append(proposal)

    async with node(db) as a, trio.open_nursery() as nursery:
        nursery.start_soon(wait, "u1")
        nursery.start_soon(wait, "u2")
        await trio.sleep(1)
    assert set(order[:2]) == {"u1", "u2"}


async def test_it_is_carried_out_though_nobody_waits(
    autojump_clock: MockClock, db: MemoryDatabase
) -> None:
    versions: list[Version | None] = []
    async with node(db) as a:
        with trio.CancelScope() as scope:
            scope.cancel()
            await a.ledger.propose(swap(won=versions.append)).decision()
        assert scope.cancelled_caught
        await trio.sleep(1)
        assert versions == [stored(db)["u1"].version]


async def test_a_room_has_one_change_a_batch_and_they_keep_their_order(
    autojump_clock: MockClock, db: MemoryDatabase
) -> None:
    async with node(db) as a:
        first, second = a.ledger.propose(swap()), a.ledger.propose(swap())
        other = a.ledger.propose(swap("u2"))
        assert a.ledger.pending("u1") is second
        before = len(a.engine.of("commit"))
        await first.decision()
        assert a.ledger.pending("u1") is second
        assert a.ledger.pending("u2") is None
        assert isinstance(other.decided, Won)
        assert second.decided is None
        lost = await second.decision()
        assert lost == Lost(stored(db)["u1"])
        assert second.done
        assert a.ledger.pending("u1") is None
        rooms = [[write.room for write in batch.writes] for batch in a.engine.of("commit")]
        assert rooms[before:] == [["u1", "u2"], ["u1"]]


async def test_a_batch_is_bounded_in_rooms(autojump_clock: MockClock, db: MemoryDatabase) -> None:
    async with node(db) as a:
        before = len(a.engine.of("commit"))
        proposals = [a.ledger.propose(swap(f"u{n}")) for n in range(MAX_WRITES + 1)]
        for proposal in proposals:
            await proposal.decision()
        assert [len(b.writes) for b in a.engine.of("commit")[before:]] == [MAX_WRITES, 1]


async def test_and_in_what_they_remember(autojump_clock: MockClock, db: MemoryDatabase) -> None:
    def full(room: str, logins: int) -> Swap:
        full = standing()
        full.logins = {f"s{n}": Login(1, 0, 0) for n in range(logins)}
        return Swap(room, full)

    async with node(db) as a:
        before = len(a.engine.of("commit"))
        sizes = [MAX_LOGINS + 1, MAX_LOGINS, 1, MAX_LOGINS - 1]
        proposals = [a.ledger.propose(full(f"u{n}", size)) for n, size in enumerate(sizes)]
        for proposal in proposals:
            await proposal.decision()
        assert [len(b.writes) for b in a.engine.of("commit")[before:]] == [1, 1, 2]


async def test_one_commit_is_in_flight(autojump_clock: MockClock, db: MemoryDatabase) -> None:
    async with node(db) as a:
        a.engine.delays["commit"] = 0.5
        first = a.ledger.propose(swap())
        await trio.sleep(0.1)
        before = len(a.engine.of("commit"))
        second = a.ledger.propose(swap("u2"))
        await trio.sleep(0.3)
        assert first.decided is None
        assert len(a.engine.of("commit")) == before
        await second.decision()


@pytest.mark.parametrize("fault", ["away", "deaf"])
async def test_in_doubt_the_same_batch_is_sent_until_it_is_known(
    autojump_clock: MockClock, db: MemoryDatabase, fault: str
) -> None:
    async with node(db) as a:
        before = len(a.engine.of("commit"))
        getattr(a.engine, fault).add("commit")
        proposal = a.ledger.propose(swap(answer=answer("x")))
        await trio.sleep(1)
        later = a.ledger.propose(swap("u2"))
        assert proposal.decided is None
        getattr(a.engine, fault).clear()
        won = await proposal.decision()
        assert isinstance(won, Won)
        batches = a.engine.of("commit")[before:]
        assert len(batches) > 3
        (same,) = {id(batch) for batch in batches if batch.seq == batches[0].seq}
        assert same == id(batches[0])
        await later.decision()
        assert a.engine.of("commit")[-1].seq == batches[0].seq + 1
        assert a.ledger.statistics().in_doubt == 1
        assert a.ledger.node == "a"


async def test_what_was_done_before_is_not_done_again(
    autojump_clock: MockClock, db: MemoryDatabase
) -> None:
    async with node(db, "a") as a, node(db, "b") as b:
        first = a.ledger.propose(swap(answer=answer("x")))
        await first.decision()
        again = b.ledger.propose(swap("u1", answer=answer("x")))
        repeated = await again.decision()
        assert isinstance(repeated, Repeated)
        assert (repeated.writer, repeated.answer.id) == ("a", "x")
        elsewhere = await again.everywhere()
        assert (elsewhere.nodes, elsewhere.lapsed) == (1, 0)
        assert again.done


async def test_what_has_lost_need_not_be_carried_out_anywhere(
    autojump_clock: MockClock, db: MemoryDatabase
) -> None:
    async with node(db, "a") as a, node(db, "b") as b:
        b.is_stuck = True
        await a.ledger.propose(swap()).decision()
        lost = a.ledger.propose(swap())
        assert (await lost.everywhere()).nodes == 0
        assert lost.done


async def test_a_failing_hub_hears_of_it_by_the_log(
    autojump_clock: MockClock, db: MemoryDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: object) -> None:
        raise ValueError("no room")

    async with node(db) as a:
        proposals = [a.ledger.propose(swap("u1", won=fail)), a.ledger.propose(swap("u2"))]
        assert [isinstance(await p.decision(), Won) for p in proposals] == [True, True]
        await trio.sleep(1)
        ((entry,),) = [changes.entries for changes in a.got]
        assert entry.rooms == {"u1": 1}
        await a.ledger.propose(swap("u3")).decision()
        assert a.ledger.statistics().failures == 1
    (record,) = [r for r in caplog.records if r.levelno >= logging.ERROR]
    assert record.exc_info


async def test_the_lease_is_renewed_by_whatever_is_written(
    autojump_clock: MockClock, db: MemoryDatabase
) -> None:
    async with node(db) as a:
        before = len(a.engine.of("commit"))
        a.engine.delays["commit"] = 0.1
        proposals = [a.ledger.propose(swap()) for _ in range(100)]
        await proposals[-1].decision()
        batches = a.engine.of("commit")[before:]
        renewals = [batch for batch in batches if batch.renews]
        assert 5 <= len(renewals) <= 7
        assert all(renewal.writes for renewal in renewals)
        assert [batch.seq for batch in batches] == [*range(batches[0].seq, batches[-1].seq + 1)]


async def test_expelled_it_has_not_written_what_it_was_about_to(
    autojump_clock: MockClock, db: MemoryDatabase
) -> None:
    async with node(db) as a:
        a.engine.delays["commit"] = 0.01
        flying = a.ledger.propose(swap())
        await wait_all_tasks_blocked()
        waiting = a.ledger.propose(swap("u2"))
        db.deregister("a")
        for proposal in (flying, waiting):
            with pytest.raises(LedgerError, match="registration"):
                await proposal.decision()
            with pytest.raises(LedgerError):
                await proposal.everywhere()
            assert not proposal.done
        assert a.ledger.pending("u1") is a.ledger.pending("u2") is None
        assert not stored(db)
        await a.ledger.restored()
        assert a.ledger.node == "a2"
        assert isinstance(await a.ledger.propose(swap()).decision(), Won)
        first = next(batch for batch in a.engine.of("commit") if batch.writer == "a2")
        assert first.seq == 1


async def test_between_two_registrations_nothing_is_taken(
    autojump_clock: MockClock, db: MemoryDatabase
) -> None:
    async with node(db) as a:
        a.engine.away.add("register")
        db.deregister("a")
        await trio.sleep(1)
        proposal = a.ledger.propose(swap())
        assert a.ledger.pending("u1") is None
        with pytest.raises(LedgerError):
            await proposal.decision()
        a.engine.away.clear()


async def test_many_who_want_one_room_have_one_order(
    autojump_clock: MockClock, db: MemoryDatabase
) -> None:
    wins: list[str] = []

    async def want(name: str, who: str) -> None:
        a_node = {"a": a, "b": b}[name]
        while True:
            room = (await a_node.ledger.read(["u1"])).get("u1")
            epoch = room.record.epoch + 1 if room else 1
            expected = room.version if room else None
            proposal = a_node.ledger.propose(Swap("u1", standing(epoch), expected))
            if isinstance(await proposal.decision(), Won):
                wins.append(who)
                return

    async with node(db, "a") as a, node(db, "b") as b, trio.open_nursery() as nursery:
        for n in range(20):
            nursery.start_soon(partial(want, "ab"[n % 2], f"{n}"))
    assert len(wins) == len(set(wins)) == 20
    assert stored(db)["u1"].record.epoch == 20
