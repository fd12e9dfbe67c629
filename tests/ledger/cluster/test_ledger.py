"""A node among others: its lease, who is expelled, failovers, and how it leaves."""

import logging

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from sse_trio import LedgerError
from sse_trio.ledger.cluster.context import Settings
from sse_trio.ledger.cluster.ledger import CLOSING, OPENING, ClusterLedger, boottime
from sse_trio.ledger.cluster.memory import MemoryDatabase
from sse_trio.ledger.cluster.registration import CHORES, KEPT
from sse_trio.ledger.proposals import Swap, Won

from .fakes import (
    ALL,
    START,
    Count,
    Faulty,
    answer,
    database,
    node,
    registered,
    standing,
    stored,
    swap,
    wall,
)

LEASE = 6.0


@pytest.fixture
def db() -> MemoryDatabase:
    return database()


# -- the lease --------------------------------------------------------------------------


async def test_it_is_renewed_four_times(autojump_clock: MockClock, db: MemoryDatabase) -> None:
    async with node(db) as a:
        before = len(a.engine.of("commit"))
        await trio.sleep(10 * LEASE)
        assert 36 <= len(a.engine.of("commit")) - before <= 40
        assert a.ledger.vouches
        assert a.ledger.ready
        assert a.ledger.statistics().lease_age < LEASE / 2
        assert a.ledger.statistics().feed_lag < 1
        assert a.ledger.statistics().nodes == 1


async def test_it_lapses_after_two_thirds_without_the_engine(
    autojump_clock: MockClock, db: MemoryDatabase
) -> None:
    async with node(db) as a:
        a.engine.away = ALL
        confirmed = trio.current_time() - a.ledger.statistics().lease_age
        await a.ledger.lapsed()
        assert trio.current_time() - confirmed == pytest.approx(4, abs=0.01)
        assert not a.ledger.vouches
        assert not a.ledger.ready
        a.engine.away = set()
        await a.ledger.restored()
        assert a.ledger.vouches
        assert a.ledger.node == "a"
        assert not a.got


async def test_it_counts_from_when_the_renewal_was_first_sent(
    autojump_clock: MockClock, db: MemoryDatabase
) -> None:
    async with node(db) as a:
        await trio.sleep(0.2)
        a.engine.replies["commit"] = 3.0
        sent = len(a.engine.of("commit"))
        while len(a.engine.of("commit")) == sent:  # noqa: ASYNC110
            await trio.sleep(0.01)
        begun = trio.current_time()
        await trio.sleep(3.5)
        assert a.ledger.statistics().lease_age == pytest.approx(3.5, abs=0.05)
        assert trio.current_time() - begun == 3.5


async def test_a_renewal_that_was_in_doubt_counts_from_its_first_attempt(
    autojump_clock: MockClock, db: MemoryDatabase
) -> None:
    async with node(db) as a:
        a.engine.deaf.add("commit")
        await a.ledger.lapsed()
        await trio.sleep(3)
        a.engine.deaf.clear()
        # What was written seconds ago restores nothing: another one has to be sent.
        sent = len({batch.seq for batch in a.engine.of("commit")})
        await a.ledger.restored()
        assert len({batch.seq for batch in a.engine.of("commit")}) == sent + 1


async def test_the_clock_is_compared_whenever_it_vouches(
    autojump_clock: MockClock, db: MemoryDatabase
) -> None:
    paused = 0.0
    opened = ClusterLedger.open(
        Faulty(db), Settings(), clock=lambda: trio.current_time() + paused, local=wall
    )
    async with opened as ledger:
        await ledger.restored()
        # The whole process stands still, so that no task can notice.
        paused = 4.1
        assert not ledger.vouches
        assert not ledger.ready
        woken = trio.Event()

        async def wait() -> None:
            await ledger.lapsed()
            woken.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await wait_all_tasks_blocked()
            await ledger.restored()
            assert woken.is_set()


async def test_a_node_whose_clock_is_wrong_is_not_ready(
    autojump_clock: MockClock, db: MemoryDatabase
) -> None:
    off = 0.0
    async with node(db, local=lambda: wall() + off) as a:
        assert a.ledger.wall() == pytest.approx(wall(), abs=0.01)
        for seconds, is_ready in ((4.9, True), (-4.9, True), (5.1, False), (-5.1, False)):
            off = seconds
            assert a.ledger.ready is is_ready
            assert a.ledger.vouches


async def test_the_time_is_the_engines(autojump_clock: MockClock) -> None:
    db = MemoryDatabase(lambda: wall() + 1000)
    async with node(db) as a:
        assert a.ledger.wall() == pytest.approx(wall() + 1000, abs=0.01)


def test_the_clock_of_leases_runs() -> None:
    assert 0 < boottime() <= boottime()


# -- who is expelled --------------------------------------------------------------------


async def test_who_is_dead_is_expelled_when_somebody_waits(
    autojump_clock: MockClock, db: MemoryDatabase
) -> None:
    async with node(db, "a") as a, node(db, "b"), node(db, "c") as c:
        c.engine.away = ALL
        await trio.sleep(LEASE * 1.5)
        assert "c" in registered(db)
        proposal = a.ledger.propose(swap())
        reached = await proposal.everywhere()
        assert (reached.nodes, reached.lapsed) == (1, 1)
        assert registered(db) == {"a", "b"}
        assert a.ledger.statistics().expulsions == 1
        assert not c.ledger.vouches


async def test_but_not_before_a_lease_and_a_bit(
    autojump_clock: MockClock, db: MemoryDatabase
) -> None:
    async with node(db, "a") as a, node(db, "c") as c:
        last = trio.current_time()
        c.engine.away = ALL
        await a.ledger.propose(swap()).everywhere()
        assert LEASE * 1.01 <= trio.current_time() - last <= LEASE * 1.01 + 0.5


async def test_if_nobody_waits_after_ten_leases(
    autojump_clock: MockClock, db: MemoryDatabase
) -> None:
    async with node(db, "a"), node(db, "c") as c:
        c.engine.away = ALL
        await trio.sleep(LEASE * 9.9)
        assert "c" in registered(db)
        await trio.sleep(LEASE)
        assert "c" not in registered(db)


async def test_nobody_expels_after_an_outage_before_the_others_could_renew(
    autojump_clock: MockClock, db: MemoryDatabase
) -> None:
    async with node(db, "a") as a, node(db, "b") as b:
        a.engine.away = b.engine.away = ALL
        proposal = a.ledger.propose(swap())
        await trio.sleep(3 * LEASE)
        a.engine.away = set()
        await trio.sleep(1)
        b.engine.away = set()
        assert (await proposal.everywhere()).nodes == 1
        await b.ledger.restored()
        assert b.ledger.node == "b"


async def test_the_expelled_registers_anew_and_knows_nothing(
    autojump_clock: MockClock, db: MemoryDatabase
) -> None:
    async with node(db, "a") as a, node(db, "b") as b:
        await a.ledger.propose(swap()).everywhere()
        b.is_stuck = True
        db.deregister("b")
        await b.ledger.lapsed()
        assert not b.ledger.vouches
        while not any(changes.resync for changes in b.got):  # noqa: ASYNC110
            await trio.sleep(0.1)
        assert b.ledger.node == "b2"
        # Nothing counts as applied before the hub has dropped what it knew.
        await trio.sleep(1)
        assert db.snapshot().nodes["b2"].applied == {}
        resync = next(changes for changes in b.got if changes.resync)
        assert not resync.lost
        resync.applied()
        b.is_stuck = False
        await b.ledger.restored()
        await trio.sleep(1)
        assert db.snapshot().nodes["b2"].applied["a"] >= 1
        assert b.ledger.statistics().registrations == 2
        # What it was given under its earlier name is no concern any more.
        b.got[0].applied({("a", 1, "u1"): Count()})


async def test_what_waits_to_be_everywhere_outlasts_a_registration(
    autojump_clock: MockClock, db: MemoryDatabase
) -> None:
    async with node(db, "a") as a, node(db, "b") as b:
        b.is_stuck = True
        proposal = a.ledger.propose(swap())
        await proposal.decision()
        with trio.move_on_after(1):
            await proposal.everywhere()
        db.deregister("a")
        await trio.sleep(1)
        assert not proposal.done
        b.is_stuck = False
        assert (await proposal.everywhere()).nodes == 1


async def test_an_engine_that_is_away_while_registering_is_tried_again(
    autojump_clock: MockClock, db: MemoryDatabase
) -> None:
    async with node(db) as a:
        a.engine.deaf.add("register")
        db.deregister("a")
        await trio.sleep(5)
        a.engine.deaf.clear()
        await a.ledger.restored()
        assert a.ledger.node not in {"a", "a2"}


# -- failovers --------------------------------------------------------------------------


async def test_a_failover_that_loses_nothing_changes_nothing(
    autojump_clock: MockClock, db: MemoryDatabase
) -> None:
    async with node(db, "a") as a, node(db, "b") as b:
        proposal = a.ledger.propose(swap())
        await proposal.everywhere()
        db.fail_over()
        await trio.sleep(LEASE * 2)
        assert a.ledger.node == "a"
        assert b.ledger.node == "b"
        assert a.engine.of("anchored")
        assert not any(changes.resync for changes in (*a.got, *b.got))
        assert (await a.ledger.read(["u1"])).keys() == {"u1"}


async def test_a_lost_commit_is_told_to_the_hub(
    autojump_clock: MockClock, db: MemoryDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    async with node(db, "a") as a, node(db, "b") as b:
        before = db.snapshot()
        await a.ledger.propose(swap()).everywhere()
        db.fail_over(before)
        async with trio.open_nursery() as waiting:
            waiting.start_soon(a.ledger.lapsed)
            waiting.start_soon(b.ledger.lapsed)
        await a.ledger.restored()
        await b.ledger.restored()
        for each in (a, b):
            assert [changes.lost for changes in each.got if changes.resync] == [True]
            assert each.ledger.statistics().losses == 1
        assert {a.ledger.node, b.ledger.node} == {"a2", "b2"}
        await trio.sleep(1)
        # The earlier names are gone, now that nobody is admitted by them.
        assert registered(db) == {"a2", "b2"}
    assert len([r for r in caplog.records if r.levelno == logging.ERROR]) == 2


async def test_a_lost_commit_is_noticed_by_its_writer_before_it_has_read_it(
    autojump_clock: MockClock, db: MemoryDatabase
) -> None:
    async with node(db, "a") as a:
        await trio.sleep(0.5)
        before = db.snapshot()
        a.engine.delays["poll"] = 0.5
        await trio.sleep(0.2)
        await a.ledger.propose(swap("u1")).decision()
        db.fail_over(before)
        # The next number is written, as if the one before it were there.
        await a.ledger.propose(swap("u2")).decision()
        await a.ledger.lapsed()
        await a.ledger.restored()
        assert a.ledger.statistics().losses == 1
        assert a.ledger.node == "a2"


async def test_and_at_once_before_it_writes_again(
    autojump_clock: MockClock, db: MemoryDatabase
) -> None:
    async with node(db) as a:
        await trio.sleep(0.5)
        before = db.snapshot()
        a.engine.delays["poll"] = 0.5
        await trio.sleep(0.2)
        await a.ledger.propose(swap("u1")).decision()
        db.fail_over(before)
        await trio.sleep(0.6)
        assert a.ledger.statistics().losses == 1


async def test_a_gap_in_what_the_node_wrote_itself_is_a_loss(
    autojump_clock: MockClock, db: MemoryDatabase
) -> None:
    async with node(db, "a") as a:
        await trio.sleep(0.5)
        before, identity = db.snapshot(), db.identity
        a.engine.delays["poll"] = 0.5
        await trio.sleep(0.2)
        await a.ledger.propose(swap("u1")).decision()
        db.fail_over(before)
        db.identity = identity
        await a.ledger.propose(swap("u2")).decision()
        await a.ledger.lapsed()
        await a.ledger.restored()
        assert [changes.lost for changes in a.got] == [True]


async def test_the_hub_hears_of_a_loss_though_it_is_expelled_before(
    autojump_clock: MockClock, db: MemoryDatabase
) -> None:
    async with node(db, "a") as a:
        before = db.snapshot()
        await a.ledger.propose(swap()).decision()
        await trio.sleep(1)
        a.is_stuck = True
        db.fail_over(before)
        await trio.sleep(1)
        assert a.ledger.node == "a2"
        db.deregister("a2")
        await trio.sleep(2)
        a.is_stuck = False
        await a.ledger.restored()
        assert a.ledger.node == "a3"
        assert a.got[-1].lost
        db.deregister("a3")
        await trio.sleep(3)
        assert (a.got[-1].resync, a.got[-1].lost) == (True, False)


# -- what is forgotten ------------------------------------------------------------------


async def test_rooms_that_nobody_uses_are_forgotten_and_the_hubs_hear_of_it(
    autojump_clock: MockClock, db: MemoryDatabase
) -> None:
    async with node(db, "a", ticket_lifetime=70) as a, node(db, "b", ticket_lifetime=70) as b:
        for n in range(1001):
            a.ledger.propose(swap(f"u{n}"))
        await trio.sleep(1)
        a.ledger.propose(Swap("used", standing(touched=START + 1e9)))
        await trio.sleep(70 + 2 * CHORES)
        assert stored(db).keys() == {"used"}
        for each in (a, b):
            rooms = [e.rooms for changes in each.got for e in changes.entries]
            gone = {room for some in rooms for room, epoch in some.items() if epoch == -1}
            assert gone == {f"u{n}" for n in range(1001)}


async def test_old_answers_are_forgotten(autojump_clock: MockClock, db: MemoryDatabase) -> None:
    async with node(db, "a") as a:
        a.ledger.propose(swap(answer=answer("x")))
        await trio.sleep(KEPT - 1)
        assert db.snapshot().answers
        await trio.sleep(CHORES * 2)
        assert not db.snapshot().answers
        assert len(db.snapshot().log) < KEPT


async def test_a_node_on_hold_forgets_no_room(
    autojump_clock: MockClock, db: MemoryDatabase
) -> None:
    async with node(db, "a", ticket_lifetime=1) as a:
        a.engine.away.add("report")
        await a.ledger.lapsed()
        await trio.sleep(2 * CHORES)
        assert not a.engine.of("overdue")


# -- how it begins and ends -------------------------------------------------------------


async def test_nothing_is_loaded(autojump_clock: MockClock, db: MemoryDatabase) -> None:
    async with node(db) as a:
        a.ledger.propose(swap())
        assert await a.ledger.load() == ((), ())
        assert a.ledger.shared


@pytest.mark.parametrize("fault", ["away", "slow"])
async def test_it_does_not_begin_without_the_engine(
    autojump_clock: MockClock, db: MemoryDatabase, fault: str
) -> None:
    engine = Faulty(db)
    if fault == "away":
        engine.away.add("register")
    else:
        engine.delays["register"] = OPENING + 1
    with pytest.raises(LedgerError):
        async with node(db, engine=engine):
            raise AssertionError
    assert trio.current_time() <= OPENING


async def test_it_deregisters_last_of_all(autojump_clock: MockClock, db: MemoryDatabase) -> None:
    async with node(db) as a:
        a.engine.delays["commit"] = 1
        proposal = a.ledger.propose(swap())
    assert isinstance(proposal.decided, Won)
    assert stored(db).keys() == {"u1"}
    assert not registered(db)
    assert a.engine.calls[-1] == ("deregister", "a")
    with pytest.raises(LedgerError, match="closed"):
        await a.ledger.propose(swap()).decision()


async def test_also_when_it_is_cancelled(autojump_clock: MockClock, db: MemoryDatabase) -> None:
    with trio.CancelScope() as scope:
        async with node(db) as a:
            a.engine.delays["commit"] = 1
            a.ledger.propose(swap())
            scope.cancel()
            await trio.sleep_forever()
    assert stored(db).keys() == {"u1"}
    assert not registered(db)


async def test_and_what_the_block_raises_comes_out(
    autojump_clock: MockClock, db: MemoryDatabase
) -> None:
    error = ValueError("mine")
    with pytest.raises(ValueError, match="mine") as raised:
        async with ClusterLedger.open(Faulty(db), Settings(), clock=trio.current_time):
            raise error
    assert raised.value is error
    assert not registered(db)


async def test_its_end_has_a_deadline(
    autojump_clock: MockClock, db: MemoryDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    async with node(db) as a:
        proposal = a.ledger.propose(swap())
        a.engine.delays = dict.fromkeys(("commit", "deregister"), 1e6)
        begun = trio.current_time()
    assert trio.current_time() - begun == pytest.approx(2 * CLOSING)
    with pytest.raises(LedgerError):
        await proposal.decision()
    assert [r.levelname for r in caplog.records] == ["ERROR", "WARNING"]


async def test_a_fault_in_a_task_ends_it_all(autojump_clock: MockClock, db: MemoryDatabase) -> None:
    class Broken(Faulty):
        async def trim(self, before: float) -> None:
            raise ZeroDivisionError

    with pytest.RaisesGroup(ZeroDivisionError, flatten_subgroups=True):
        async with node(db, engine=Broken(db)):
            await trio.sleep_forever()
    assert not registered(db)


async def test_a_node_that_drains_says_so_and_goes_on(
    autojump_clock: MockClock, db: MemoryDatabase
) -> None:
    async with node(db, "b") as b:
        async with node(db, "a") as a:
            a.engine.away.add("set_draining")
            with trio.move_on_after(2) as unseen:
                await a.ledger.drain()
            assert unseen.cancelled_caught
            a.engine.away.clear()
            await a.ledger.drain()
            assert db.snapshot().nodes["a"].draining
            assert (await b.ledger.propose(swap()).everywhere()).nodes == 1
            assert a.ledger.vouches
            db.deregister("a")
            await trio.sleep(2)
            assert db.snapshot().nodes["a2"].draining
            a.is_stuck = True
            proposal = b.ledger.propose(swap("u2"))
            with trio.move_on_after(1):
                await proposal.everywhere()
        reached = await proposal.everywhere()
        assert (reached.nodes, reached.lapsed) == (0, 0)


async def test_a_drain_does_not_wait_for_an_engine_that_is_away(
    autojump_clock: MockClock, db: MemoryDatabase
) -> None:
    async with node(db) as a:
        a.engine.away |= {"commit", "poll", "report", "set_draining"}
        with trio.fail_after(LEASE):
            await a.ledger.drain()
        a.engine.away.clear()


async def test_a_drain_lasts_until_all_that_came_before_is_reported(
    autojump_clock: MockClock, db: MemoryDatabase
) -> None:
    async with node(db, "b") as b, node(db, "a") as a:
        a.is_stuck = True
        proposal = b.ledger.propose(swap())
        with trio.move_on_after(1):
            await proposal.everywhere()
        with trio.move_on_after(1) as behind:
            await a.ledger.drain()
        assert behind.cancelled_caught
        a.is_stuck = False
        await a.ledger.drain()
        db.deregister("a")
        reached = await proposal.everywhere()
        assert (reached.nodes, reached.lapsed) == (1, 0)
