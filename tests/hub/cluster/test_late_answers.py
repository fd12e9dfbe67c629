"""Answers of the engine that come late: what was learned meanwhile is newer."""

import pytest
import trio
from trio.testing import MockClock

from ...ledger.cluster.fakes import Faulty
from .world import World


@pytest.fixture
def world(nursery: trio.Nursery) -> World:
    return World(nursery)


async def test_a_win_that_is_known_late_ends_nobody_who_was_named_since(
    autojump_clock: MockClock, world: World
) -> None:
    engine = Faulty(world.database)
    a, b = await world.start_over(engine), await world.start()
    await a.read("u1")
    engine.replies["commit"] = 2.0
    async with trio.open_nursery() as rivals:
        rivals.start_soon(lambda: a.hub.notify("u1", sender="s1"))
        await trio.sleep(0.5)
        second = await b.hub.notify("u1", sender="s2")
        assert second.epoch == 2
        tab = a.come(ticket=second.ticket)
        await trio.sleep(0.1)
        assert tab.is_joined
        assert not a.hub.check("u1", "s1").active
    engine.replies.clear()
    await trio.sleep(1)
    assert a.hub.recognition.knows("u1")
    assert not a.hub.check("u1", "s1").active
    assert a.hub.check("u1", "s2").active
    assert not tab.is_ended


async def test_a_loss_that_is_known_late_brings_nobody_back(
    autojump_clock: MockClock, world: World
) -> None:
    engine = Faulty(world.database)
    a, b = await world.start_over(engine), await world.start()
    await b.hub.notify("u1", sender="s1")
    await a.read("u1")
    engine.delays["commit"] = 0.1
    engine.replies["commit"] = 2.5
    async with trio.open_nursery() as rivals:
        rivals.start_soon(lambda: a.hub.notify("u1", sender="s4"))
        await trio.sleep(0.01)
        await b.hub.notify("u1", sender="s2")
        await trio.sleep(0.2)
        third = await b.hub.notify("u1", sender="s3")
        tab = a.come(ticket=third.ticket)
        await trio.sleep(0.2)
        assert tab.is_joined
        for _ in range(80):
            await trio.sleep(0.05)
            assert not a.hub.check("u1", "s2").active
            if tab.is_ended:
                break


async def test_a_win_that_is_known_late_is_not_cached_if_the_room_is_not(
    autojump_clock: MockClock, world: World
) -> None:
    engine = Faulty(world.database)
    a, b = await world.start_over(engine), await world.start()
    await a.read("u1")
    engine.replies["commit"] = 2.0
    async with trio.open_nursery() as rivals:
        rivals.start_soon(lambda: a.hub.notify("u1", sender="s1"))
        await trio.sleep(0.5)
        await b.hub.notify("u1", sender="s2")
    assert not a.hub.check("u1", "s1").active
    await a.read("u1")
    assert a.hub.who_stands("u1")[0] == ["s2"]


async def test_a_loss_that_is_known_late_is_not_cached_if_the_room_is_not(
    autojump_clock: MockClock, world: World
) -> None:
    engine = Faulty(world.database)
    a, b = await world.start_over(engine), await world.start()
    await b.hub.notify("u1", sender="s1")
    await a.read("u1")
    engine.delays["commit"] = 0.1
    engine.replies["commit"] = 2.5
    async with trio.open_nursery() as rivals:
        rivals.start_soon(lambda: a.hub.notify("u1", sender="s4"))
        await trio.sleep(0.01)
        await b.hub.notify("u1", sender="s2")
        await trio.sleep(0.2)
        await b.hub.notify("u1", sender="s3")
        for _ in range(80):
            await trio.sleep(0.05)
            assert not a.hub.check("u1", "s2").active


async def test_a_join_that_is_known_late_is_measured_by_what_is_true_then(
    autojump_clock: MockClock, world: World
) -> None:
    engine = Faulty(world.database)
    a, b = await world.start_over(engine), await world.start()
    engine.replies["commit"] = 2.0
    tab = a.come(room="u1", session="s1")
    await trio.sleep(0.5)
    await b.hub.notify("u1", sender="s2")
    await trio.sleep(3)
    assert not tab.peer.got("joined")
    assert tab.is_terminated


async def test_a_reading_from_before_a_win_does_not_come_back_into_the_cache(
    autojump_clock: MockClock, world: World
) -> None:
    engine = Faulty(world.database)
    a, b = await world.start_over(engine), await world.start()
    first = await b.hub.notify("u1", sender="s1")
    await a.read("u1")
    engine.delays["commit"] = 0.5
    engine.replies["read"] = 2.0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: a.hub.notify("u1", sender="s2"))
        await trio.sleep(0.1)
        # As if the log had brought an older entry of the room, of which no member was there.
        assert a.hub.recognition.cache is not None
        a.hub.recognition.cache.drop("u1")
        tab = a.come(ticket=first.ticket)
    await trio.sleep(5)
    assert not a.hub.check("u1", "s1").active
    assert not tab.peer.got("joined")
    assert tab.is_terminated
