"""A node that is alone answers at once. Where the engine has failed over it may only seem so: those
that registered last may be lost there, and not know of it yet.
"""

import pytest
import trio
from trio.testing import MockClock

from ...ledger.cluster.fakes import ALL, Faulty
from .world import Node, Tab, World

LEASE = 6.0


@pytest.fixture
def world(nursery: trio.Nursery) -> World:
    return World(nursery)


async def with_a_member(world: World, there: Faulty) -> tuple[Node, Tab]:
    """Start one more node, at which the login has a page."""
    b = await world.start_over(there)
    tab = b.come(room="u1", session="s1")
    await trio.sleep(0.3)
    assert tab.is_joined
    return b, tab


async def test_it_answers_at_once(autojump_clock: MockClock, world: World) -> None:
    here = Faulty(world.database)
    a = await world.start_over(here)
    here.delays["poll"] = 1.0
    await trio.sleep(0.1)
    began = trio.current_time()
    outcome = await a.hub.notify("u1", sender="s1")
    assert (outcome.nodes, outcome.lapsed) == (0, 0)
    assert trio.current_time() == began


@pytest.mark.parametrize("later", [0.0, 1.0])
async def test_whoever_may_have_been_lost_is_waited_for(
    autojump_clock: MockClock, world: World, later: float
) -> None:
    """The node has noticed that commits are lost: so others may vouch whom the engine forgot."""
    here, there = Faulty(world.database), Faulty(world.database)
    a = await world.start_over(here)
    await a.hub.notify("u1", sender="s1")
    await trio.sleep(1)
    before = world.database.snapshot()
    b, tab = await with_a_member(world, there)
    there.away = ALL
    world.database.fail_over(before)
    began = trio.current_time()
    await trio.sleep(later)
    await a.hub.notify("u1", sender="s2")
    assert a.ledger.statistics().losses == 1
    assert not b.ledger.vouches
    assert not tab.is_joined
    assert trio.current_time() - began < 1.2 * LEASE
    again = trio.current_time()
    await a.hub.notify("u1", sender="s3")
    assert trio.current_time() == again


async def test_it_is_not_alone_before_it_knows_what_was_lost(
    autojump_clock: MockClock, world: World
) -> None:
    here, there = Faulty(world.database), Faulty(world.database)
    a = await world.start_over(here)
    await a.hub.notify("u1", sender="s1")
    await trio.sleep(1)
    before = world.database.snapshot()
    # It has not read yet that there is another one.
    here.delays["poll"] = 1.0
    await trio.sleep(0.1)
    await with_a_member(world, there)
    there.away = ALL
    world.database.fail_over(before)
    assert not here.of("anchored")
    await a.hub.notify("u1", sender="s2")
    assert here.of("anchored")
