"""A node that cannot know who stands: nobody there claims to have joined, and nobody is lost."""

import pytest
import trio
from trio.testing import MockClock

from sse_trio import LedgerError

from ...ledger.cluster.fakes import Faulty
from .world import World

LEASE = 6.0


@pytest.fixture
def world(nursery: trio.Nursery) -> World:
    return World(nursery)


EVERY = {"register", "commit", "poll", "anchored", "report", "read", "expel"}


async def test_members_are_held_when_the_engine_is_away_and_join_again(
    autojump_clock: MockClock, world: World
) -> None:
    engine = Faulty(world.database)
    a, b = await world.start(), await world.start_over(engine)
    tab, deaf = b.come(room="u1", session="s1"), b.come(holds=False, room="u1", session="s2")
    await trio.sleep(1)
    assert tab.is_joined
    assert deaf.is_joined
    engine.away = EVERY
    await trio.sleep(LEASE)
    assert len(tab.peer.got("hold")) == 1
    assert not tab.is_ended
    assert deaf.peer.closes() == [1013]
    assert not b.hub.check("u1", "s1").active
    assert a.hub.statistics().ledger_ready
    engine.away = set()
    await trio.sleep(LEASE)
    assert tab.is_joined
    assert not tab.is_ended
    assert (await a.hub.notify("u1", sender="new")).terminated == 1
    assert tab.is_terminated


async def test_a_notify_waits_until_a_node_that_is_away_vouches_no_more(
    autojump_clock: MockClock, world: World
) -> None:
    engine = Faulty(world.database)
    a, b = await world.start(), await world.start_over(engine)
    tab = b.come(room="u1", session="old")
    await trio.sleep(1)
    engine.away = EVERY
    began = trio.current_time()
    outcome = await a.hub.notify("u1", sender="new")
    assert (outcome.nodes, outcome.lapsed) == (0, 1)
    assert trio.current_time() - began <= LEASE * 1.5
    assert not tab.is_joined
    assert not tab.is_ended
    engine.away = set()
    await trio.sleep(LEASE)
    assert tab.is_terminated


async def test_a_notify_is_refused_at_once_by_a_node_that_holds(
    autojump_clock: MockClock, world: World
) -> None:
    engine = Faulty(world.database)
    a = await world.start_over(engine)
    engine.away = EVERY
    await trio.sleep(LEASE)
    began = trio.current_time()
    with pytest.raises(LedgerError):
        await a.hub.notify("u1", sender="s1", id="x")
    assert trio.current_time() - began < 0.1
    engine.away = set()
    await trio.sleep(LEASE)
    assert (await a.hub.notify("u1", sender="s1", id="x")).epoch == 1


async def test_a_join_waits_while_the_engine_is_away(
    autojump_clock: MockClock, world: World
) -> None:
    engine = Faulty(world.database)
    a = await world.start_over(engine, join_patience=10)
    engine.away = EVERY
    await trio.sleep(LEASE)
    patient = a.come(room="u1", session="s1")
    await trio.sleep(5)
    assert not patient.is_joined
    engine.away = set()
    await trio.sleep(5)
    assert patient.is_joined
    engine.away = EVERY
    await trio.sleep(LEASE)
    late = a.come(room="u1", session="s2")
    await trio.sleep(11)
    assert late.peer.closes() == [1013]


async def test_members_that_are_held_for_too_long_are_closed(
    autojump_clock: MockClock, world: World
) -> None:
    engine = Faulty(world.database)
    a = await world.start_over(engine, hold=20)
    tabs = [a.come(room=f"u{n}", session="s1") for n in range(10)]
    await trio.sleep(1)
    engine.away = EVERY
    await trio.sleep(LEASE + 15)
    assert not any(tab.is_ended for tab in tabs)
    await trio.sleep(15)
    assert 0 < sum(tab.is_ended for tab in tabs) < 10
    await trio.sleep(30)
    assert [tab.peer.closes() for tab in tabs] == [[1013]] * 10


async def test_they_can_be_closed_at_once(autojump_clock: MockClock, world: World) -> None:
    engine = Faulty(world.database)
    a = await world.start_over(engine, on_lost_engine="cut")
    tab = a.come(room="u1", session="s1")
    await trio.sleep(1)
    engine.away = EVERY
    await trio.sleep(LEASE)
    assert tab.peer.closes() == [1013]


async def test_they_can_carry_on(autojump_clock: MockClock, world: World) -> None:
    engine = Faulty(world.database)
    a = await world.start_over(engine, on_lost_engine="carry-on")
    outcome = await a.hub.notify("u1", sender="s1")
    tab = a.come(ticket=outcome.ticket)
    await trio.sleep(1)
    engine.away = EVERY
    await trio.sleep(3 * LEASE)
    assert tab.is_joined
    assert a.hub.check("u1", "s1").active
    again = a.come(ticket=outcome.ticket)
    await trio.sleep(1)
    assert again.is_joined


async def test_what_the_engine_has_lost_is_written_again(
    autojump_clock: MockClock, world: World
) -> None:
    a, b = await world.start(), await world.start()
    old = await a.hub.notify("u1", sender="old")
    tab = b.come(ticket=old.ticket)
    await trio.sleep(1)
    before = world.database.snapshot()
    new = await a.hub.notify("u1", sender="new")
    assert tab.is_terminated
    world.database.fail_over(before)
    await trio.sleep(3 * LEASE)
    for each in (a, b):
        late, good = each.come(ticket=old.ticket), each.come(ticket=new.ticket)
        await trio.sleep(1)
        assert late.is_terminated
        assert good.is_joined


async def test_who_comes_while_others_wait_has_as_much_patience(
    autojump_clock: MockClock, world: World
) -> None:
    engine = Faulty(world.database)
    a = await world.start_over(engine, join_patience=10)
    engine.away = EVERY
    await trio.sleep(LEASE)
    first = a.come(room="u1", session="s1")
    await trio.sleep(9)
    second = a.come(room="u1", session="s2")
    await trio.sleep(2)
    assert first.peer.closes() == [1013]
    assert not second.is_ended
    engine.away = set()
    await trio.sleep(5)
    assert second.is_joined


async def test_after_a_pause_nobody_is_sent_a_heartbeat_before_the_hold(
    autojump_clock: MockClock, world: World
) -> None:
    a = await world.start(heartbeat_interval=4, heartbeat_timeout=60)
    tab = a.come(room="u1", session="s1")
    await trio.sleep(5)
    beats = len(tab.peer.got("heartbeat"))
    assert beats
    autojump_clock.jump(2 * LEASE)
    sum(a.hub.membership.run_due(trio.current_time()))
    a.hub.hearing.hear(tab.member, ['{"type":"heartbeat"}'])
    assert len(tab.peer.got("heartbeat")) == beats
    await trio.sleep(2 * LEASE)
    assert len(tab.peer.got("hold")) == 1
    assert tab.is_joined
    assert len(tab.peer.got("heartbeat")) > beats


async def test_a_hold_does_not_end_when_the_lease_lapses_meanwhile(
    autojump_clock: MockClock, world: World
) -> None:
    a = await world.start()
    tabs = [a.come(room="u1", session=f"s{number}") for number in range(3)]
    await trio.sleep(1)
    sum(a.hub.holding.hold())
    resuming = a.hub.holding.resume()
    next(resuming)
    autojump_clock.jump(2 * LEASE)
    sum(resuming)
    assert [tab.member.held for tab in tabs] == [False, True, True]
    assert a.hub.holding.is_on
    await trio.sleep(LEASE)
    assert all(tab.is_joined for tab in tabs)
    assert not any(tab.member.held for tab in tabs)


async def test_what_is_abandoned_while_the_engine_is_away_is_released_later(
    autojump_clock: MockClock, world: World
) -> None:
    engine = Faulty(world.database)
    a = await world.start_over(engine)
    await a.hub.notify("u1", sender="s1")
    engine.away = EVERY
    await trio.sleep(LEASE)
    a.hub.abandon("u1", "s1")
    # The commit is in doubt, or cannot be begun, for longer than anybody would wait.
    await trio.sleep(2 * a.hub.config.ledger_timeout)
    engine.away = set()
    await trio.sleep(LEASE)
    await a.hub.read("u1")
    assert not a.hub.check("u1", "s1").active
