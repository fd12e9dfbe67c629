"""What is repeated, or drafted anew, on one node or another."""

import pytest
import trio
from trio.testing import MockClock

from sse_trio import LedgerError

from ...ledger.cluster.fakes import Faulty
from .world import World


@pytest.fixture
def world(nursery: trio.Nursery) -> World:
    return World(nursery)


async def test_a_repetition_counts_what_was_told_after_the_first_caller_gave_up(
    autojump_clock: MockClock, world: World
) -> None:
    engine = Faulty(world.database)
    a, b = await world.start(), await world.start_over(engine)
    tab = b.come(room="u1", session="old")
    await trio.sleep(1)
    assert tab.is_joined
    engine.delays["read"] = 1.0
    with trio.move_on_after(0.5):
        await a.hub.notify("u1", sender="new", id="x")
    await trio.sleep(3)
    assert tab.is_terminated
    again = await a.hub.notify("u1", sender="new", id="x")
    assert (again.nodes, again.terminated) == (1, 1)


async def test_a_repetition_counts_on_any_node_whom_all_have_told(
    autojump_clock: MockClock, world: World
) -> None:
    """The one that decided it, the one that is asked, and a third one; while they answer."""
    a, b, c = [await world.start() for _ in range(3)]
    tabs = [node.come(room="u1", session="old") for node in (a, b, c)]
    await trio.sleep(1)
    first = await a.hub.notify("u1", sender="new", id="x")
    again = await b.hub.notify("u1", sender="new", id="x")
    assert [(o.terminated, o.acked, o.nodes) for o in (first, again)] == [(3, 0, 2)] * 2
    for node, tab in zip((a, b, c), tabs, strict=True):
        node.acknowledge(tab)
    assert await again.acknowledged(5)
    assert (again.terminated, again.acked) == (3, 3)


async def test_a_repetition_on_another_node_names_who_has_ended(
    autojump_clock: MockClock, world: World
) -> None:
    a, b = await world.start(), await world.start()
    await a.hub.notify("u1", sender="old")
    first = await a.hub.notify("u1", sender="new", id="x")
    again = await b.hub.notify("u1", sender="new", id="x")
    assert first.ended == again.ended == ("old",)


async def test_a_logout_everywhere_stays_one_when_the_lease_lapses(
    autojump_clock: MockClock, world: World
) -> None:
    engine = Faulty(world.database)
    a, b = await world.start_over(engine, max_sessions=2), await world.start(max_sessions=2)
    await b.hub.notify("u1", sender="s1")
    await b.hub.notify("u1", sender="s2")
    await a.read("u1")
    engine.delays["commit"] = 5.5
    done: list[object] = []

    async def log_out() -> None:
        try:
            done.append(await a.hub.log_out("u1", "s1"))
        except LedgerError as error:
            done.append(error)

    async with trio.open_nursery() as rivals:
        rivals.start_soon(log_out)
        await trio.sleep(0.01)
        rivals.start_soon(lambda: b.hub.release("u1", "other"))
        await trio.sleep(5.45)
        engine.delays.clear()
    await b.read("u1")
    assert isinstance(done[0], LedgerError) or b.hub.who_stands("u1")[0] == []
