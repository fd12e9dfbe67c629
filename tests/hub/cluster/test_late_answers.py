"""Answers of the engine that come late: what was learned meanwhile is newer."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import pytest
import trio
from trio.testing import MockClock

from sse_trio.hub.member import Outcome

from ...ledger.cluster.fakes import Faulty
from .world import Node, World


@attrs.frozen
class Rivals:
    """Two nodes; the engine answers the first one, `a`, as late as its faults say."""

    engine: Faulty
    a: Node
    b: Node

    @asynccontextmanager
    async def late_win(self) -> AsyncIterator[Outcome]:
        """Have `a` write `s1`, which it knows at the end; meanwhile `b` has written `s2`."""
        await self.a.read("u1")
        self.engine.replies["commit"] = 2.0
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: self.a.hub.notify("u1", sender="s1"))
            await trio.sleep(0.5)
            yield await self.b.hub.notify("u1", sender="s2")

    @asynccontextmanager
    async def late_loss(self) -> AsyncIterator[Outcome]:
        """Have `a` lose with `s4` to `s2`, which it knows late; meanwhile `b` has written `s3`.

        At no moment until then does `a` say yes to `s2`.
        """
        await self.b.hub.notify("u1", sender="s1")
        await self.a.read("u1")
        self.engine.delays["commit"] = 0.1
        self.engine.replies["commit"] = 2.5
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: self.a.hub.notify("u1", sender="s4"))
            await trio.sleep(0.01)
            await self.b.hub.notify("u1", sender="s2")
            await trio.sleep(0.2)
            yield await self.b.hub.notify("u1", sender="s3")
            for _ in range(80):
                await trio.sleep(0.05)
                assert not self.a.hub.check("u1", "s2").active


@pytest.fixture
async def rivals(autojump_clock: MockClock, nursery: trio.Nursery) -> Rivals:
    world = World(nursery)
    engine = Faulty(world.database)
    return Rivals(engine, await world.start_over(engine), await world.start())


async def test_a_win_that_is_known_late_ends_nobody_who_was_named_since(
    autojump_clock: MockClock, rivals: Rivals
) -> None:
    a = rivals.a
    async with rivals.late_win() as second:
        assert second.epoch == 2
        tab = a.come(ticket=second.ticket)
        await trio.sleep(0.1)
        assert tab.is_joined
        assert not a.hub.check("u1", "s1").active
    rivals.engine.replies.clear()
    await trio.sleep(1)
    assert a.hub.recognition.knows("u1")
    assert not a.hub.check("u1", "s1").active
    assert a.hub.check("u1", "s2").active
    assert not tab.is_ended


async def test_a_loss_that_is_known_late_brings_nobody_back(
    autojump_clock: MockClock, rivals: Rivals
) -> None:
    async with rivals.late_loss() as third:
        tab = rivals.a.come(ticket=third.ticket)
        await trio.sleep(0.2)
        assert tab.is_joined


async def test_a_win_that_is_known_late_is_not_cached_if_the_room_is_not(
    autojump_clock: MockClock, rivals: Rivals
) -> None:
    a = rivals.a
    async with rivals.late_win():
        pass
    assert not a.hub.check("u1", "s1").active
    await a.read("u1")
    assert a.hub.who_stands("u1")[0] == ["s2"]


async def test_a_loss_that_is_known_late_is_not_cached_if_the_room_is_not(
    autojump_clock: MockClock, rivals: Rivals
) -> None:
    async with rivals.late_loss():
        pass


async def test_a_join_that_is_known_late_is_measured_by_what_is_true_then(
    autojump_clock: MockClock, rivals: Rivals
) -> None:
    rivals.engine.replies["commit"] = 2.0
    tab = rivals.a.come(room="u1", session="s1")
    await trio.sleep(0.5)
    await rivals.b.hub.notify("u1", sender="s2")
    await trio.sleep(3)
    assert not tab.peer.got("joined")
    assert tab.is_terminated


async def test_a_reading_from_before_a_win_does_not_come_back_into_the_cache(
    autojump_clock: MockClock, rivals: Rivals
) -> None:
    engine, a, b = rivals.engine, rivals.a, rivals.b
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
