"""What a node says of itself and the cluster in its metrics."""

import pytest
import trio
from trio.testing import MockClock

from sse_trio.core.requests import Page
from sse_trio.server.routes import pages

from ..hub.cluster.world import Node, World
from ..ledger.cluster.fakes import Faulty

EVERY = {"register", "commit", "poll", "anchored", "report", "read", "expel"}
LEASE = 6.0


@pytest.fixture
def world(nursery: trio.Nursery) -> World:
    return World(nursery)


def metrics(node: Node) -> dict[str, float]:
    """What /metrics shows of the cluster, without buckets."""
    lines = pages.render(Page("/metrics"), node.hub).body.decode().splitlines()
    samples = (line.split(" ") for line in lines if line[0] != "#" and "{" not in line)
    return {name.removeprefix("sse_trio_"): float(value) for name, value in samples}


async def test_a_node_that_is_well(autojump_clock: MockClock, world: World) -> None:
    a, _ = await world.start(), await world.start()
    before = metrics(a)["commit_seconds_count"]
    await a.hub.notify("u1", sender="s1")
    await trio.sleep(1)
    shown = metrics(a)
    assert (shown["nodes"], shown["held"], shown["registrations_total"]) == (2, 0, 1)
    assert shown["commit_seconds_count"] > before
    assert shown["feed_lag_seconds"] < 0.2
    assert shown["lease_age_seconds"] < LEASE / 3
    for name in ("resyncs", "reasserts", "expulsions"):
        assert shown[f"{name}_total"] == 0


async def test_a_node_that_is_away_and_one_that_expels_it(
    autojump_clock: MockClock, world: World
) -> None:
    engine = Faulty(world.database)
    a, b = await world.start(), await world.start_over(engine)
    tabs = [b.come(room=room, session="s1") for room in ("u1", "u2")]
    await trio.sleep(1)
    engine.away = EVERY
    await a.hub.notify("u1", sender="new")
    assert (metrics(a)["expulsions_total"], metrics(a)["nodes"]) == (1, 1)
    shown = metrics(b)
    assert shown["held"] == 2
    # It counts from its own renewal, and the other from when it has seen that.
    assert LEASE * 3 / 4 < shown["feed_lag_seconds"] < shown["lease_age_seconds"] < 2 * LEASE
    engine.away = set()
    await trio.sleep(LEASE)
    shown = metrics(b)
    assert [tab.is_terminated for tab in tabs] == [True, False]
    assert (shown["held"], shown["registrations_total"], shown["resyncs_total"]) == (0, 2, 1)
    assert shown["nodes"] == 2


async def test_what_is_written_again_is_counted(autojump_clock: MockClock, world: World) -> None:
    a = await world.start()
    before = world.database.snapshot()
    for room in ("u1", "u2"):
        await a.hub.notify(room, sender="s1")
    world.database.fail_over(before)
    await trio.sleep(LEASE)
    assert metrics(a)["reasserts_total"] == 2
