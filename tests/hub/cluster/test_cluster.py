"""Several hubs over one engine: the promise holds on all of them."""

import pytest
import trio
from trio.testing import MockClock

from sse_trio import LedgerError
from sse_trio.errors import LocalProtocolError

from ...ledger.cluster.fakes import Faulty
from .world import World


@pytest.fixture
def world(nursery: trio.Nursery) -> World:
    return World(nursery)


async def test_a_login_at_one_node_ends_those_at_another(
    autojump_clock: MockClock, world: World
) -> None:
    a, b = await world.start(), await world.start()
    old, other = b.come(room="u1", session="old"), b.come(room="u2", session="other")
    await trio.sleep(1)
    assert old.is_joined
    outcome = await a.hub.notify("u1", sender="new")
    assert outcome.epoch == 1
    assert old.is_terminated
    assert not other.is_ended
    assert (outcome.terminated, outcome.acked, outcome.pending) == (1, 0, 1)
    assert (outcome.nodes, outcome.lapsed) == (1, 0)
    b.acknowledge(old)
    assert await outcome.acknowledged(5)
    assert (outcome.terminated, outcome.acked, outcome.pending) == (1, 1, 0)


async def test_whoever_comes_late_to_any_node_is_told(
    autojump_clock: MockClock, world: World
) -> None:
    a, b = await world.start(), await world.start()
    first = await a.hub.notify("u1", sender="old")
    second = await b.hub.notify("u1", sender="new")
    assert (first.epoch, second.epoch) == (1, 2)
    for each in (a, b):
        late, late_by_ticket = each.come(room="u1", session="old"), each.come(ticket=first.ticket)
        new = each.come(ticket=second.ticket)
        await trio.sleep(1)
        assert late.is_terminated
        assert late_by_ticket.is_terminated
        assert new.is_joined


async def test_an_id_has_one_effect_on_any_node(autojump_clock: MockClock, world: World) -> None:
    a, b = await world.start(), await world.start()
    first = await a.hub.notify("u1", sender="s1", id="x")
    again = await b.hub.notify("u1", sender="s1", id="x")
    assert first.epoch == again.epoch == 1
    assert (await b.hub.notify("u1", sender="s2")).epoch == 2


async def test_rivals_have_one_order(autojump_clock: MockClock, world: World) -> None:
    nodes = [await world.start() for _ in range(3)]
    epochs: list[int] = []

    async def notify(number: int) -> None:
        outcome = await nodes[number % 3].hub.notify("u1", sender=f"s{number}")
        epochs.append(outcome.epoch)

    async with trio.open_nursery() as rivals:
        for number in range(60):
            rivals.start_soon(notify, number)
    assert sorted(epochs) == list(range(1, 61))
    for each in nodes:
        await each.read("u1")
    assert len({tuple(each.hub.who_stands("u1")[0]) for each in nodes}) == 1


async def test_a_program_that_has_read_a_room_is_told_what_others_decided(
    autojump_clock: MockClock, world: World
) -> None:
    engine = Faulty(world.database)
    a, b = await world.start(), await world.start_over(engine)
    first = await a.hub.notify("u1", sender="old")
    assert first.epoch == 1
    assert not b.hub.check("u1", "old").active
    await b.hub.read("u1", "u2")
    assert b.hub.check("u1", "old").active
    assert b.hub.check(token=first.token).active
    ticket = b.hub.ticket("u1", "old")
    tab = a.come(ticket=ticket)
    await trio.sleep(1)
    assert tab.is_joined
    reads = len(engine.of("read"))
    await b.hub.read("u1")
    assert len(engine.of("read")) == reads
    await a.hub.notify("u1", sender="new")
    await b.hub.read("u1")
    assert not b.hub.check("u1", "old").active
    assert b.hub.view("u1").logins == {"new"}
    assert tab.is_terminated


async def test_a_program_is_told_if_a_room_cannot_be_read(
    autojump_clock: MockClock, world: World
) -> None:
    engine = Faulty(world.database)
    a = await world.start_over(engine)
    engine.away = {"read"}
    with pytest.raises(LedgerError):
        await a.hub.read("u1")
    engine.away = {"commit", "poll", "read", "report"}
    await trio.sleep(6)
    began = trio.current_time()
    with pytest.raises(LedgerError, match="cannot know for the moment"):
        await a.hub.read("u1")
    assert trio.current_time() == began
    with pytest.raises(LocalProtocolError):
        await a.hub.read("")


async def test_a_join_of_a_login_that_is_cached_asks_the_engine_nothing(
    autojump_clock: MockClock, world: World
) -> None:
    engine = Faulty(world.database)
    a, b = await world.start_over(engine), await world.start()
    outcome = await b.hub.notify("u1", sender="s1")
    first = a.come(ticket=outcome.ticket)
    await trio.sleep(1)
    assert first.is_joined
    written = [batch for batch in engine.of("commit") if batch.writes]
    reads = len(engine.of("read"))
    tabs = [a.come(ticket=outcome.ticket) for _ in range(20)]
    assert all(tab.is_joined for tab in tabs)
    await trio.sleep(1)
    assert len(engine.of("read")) == reads == 1
    assert [batch for batch in engine.of("commit") if batch.writes] == written


async def test_a_few_rooms_that_others_have_changed_come_with_the_log(
    autojump_clock: MockClock, world: World
) -> None:
    engine = Faulty(world.database)
    a, b = await world.start(), await world.start_over(engine)
    tab = b.come(room="u1", session="old")
    await trio.sleep(1)
    reads = len(engine.of("read"))
    await a.hub.notify("u1", sender="new")
    assert tab.is_terminated
    assert b.come(room="u1", session="new").is_joined
    assert len(engine.of("read")) == reads
    # Those in which nobody is here are not kept.
    await a.hub.notify("u2", sender="new")
    late = b.come(room="u2", session="new")
    await trio.sleep(1)
    assert late.is_joined
    assert len(engine.of("read")) == reads + 1


async def test_one_node_alone_reads_nothing_to_answer_a_notify(
    autojump_clock: MockClock, world: World
) -> None:
    engine = Faulty(world.database)
    a = await world.start_over(engine)
    await a.read("u1")
    engine.away = {"poll"}
    outcome = await a.hub.notify("u1", sender="s1", id="x")
    assert (outcome.epoch, outcome.nodes, outcome.lapsed) == (1, 0, 0)
    again = await a.hub.notify("u1", sender="s1", id="x")
    assert again.epoch == 1
