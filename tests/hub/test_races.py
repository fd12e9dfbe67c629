"""Races, at every order of their steps: nothing here depends on which task is the luckier one.

What lies between two awaits happens at once. So a join and a notify have these steps, and
each test goes through all orders in which they can be merged: the join is measured, the
member is told; the notify is decided, a slice of the fan-out is told, it is durable.
"""

import itertools
import json
import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

import sse_trio
from sse_trio.core.notify import Notify
from sse_trio.hub.hub import Hub
from sse_trio.hub.member import Member, Outcome, State
from sse_trio.hub.timers import SLICE

from ..support import KEY
from .fakes import FakePeer, HeldLedger

CONFIG = sse_trio.Config(authkey=KEY, max_connections_per_room=1000)


def merges(*actors: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Every order of all steps in which each actor's own are in theirs."""
    if not any(actors):
        yield ()
    for number, actor in enumerate(actors):
        if actor:
            rest = (*actors[:number], actor[1:], *actors[number + 1 :])
            for order in merges(*rest):
                yield (actor[0], *order)


def test_there_are_so_many_merges() -> None:
    assert list(merges("ab", "c")) == [("a", "b", "c"), ("a", "c", "b"), ("c", "a", "b")]


class Scene:
    """A hub, and those who talk to it. The room is always ``u1``."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.ledger = HeldLedger()
        self.nursery = nursery
        self.start()

    def start(self) -> None:
        self.hub = Hub(CONFIG, self.ledger, self.nursery.start_soon, wall=trio.current_time)
        self.answers: dict[str, Outcome] = {}
        self.members: list[Member] = []
        self.peers: list[FakePeer] = []

    async def crash(self) -> None:
        """Lose what is not on the disk, and start again with what is."""
        self.ledger.crash()
        self.start()
        self.hub.restore(*await self.ledger.load())

    async def settle(self) -> None:
        """Let everything come to rest, and to the disk."""
        while True:
            await wait_all_tasks_blocked()
            if not self.ledger.held:
                return
            self.ledger.commit(1)

    def notify(self, sender: str, id: str | None = None) -> None:
        async def notify() -> None:
            wanted = Notify(room="u1", sender=sender, id=id)
            self.answers[sender] = await self.hub.decisions.accept(wanted)

        self.nursery.start_soon(notify)

    def connect(self, session: str, **join: Any) -> Member:
        """Join; the member has been measured, and is not yet told."""
        peer = FakePeer()
        member = self.hub.membership.arrive(peer, "192.0.2.1")
        message = {"type": "join", "room": "u1", "session": session, **join}
        self.hub.hearing.hear(member, [json.dumps(message)])
        self.members.append(member)
        self.peers.append(peer)
        return member

    def arrive(self, session: str) -> None:
        """Join, and be told as soon as that is durable."""
        self.nursery.start_soon(self.hub.admit, self.connect(session))

    async def visit(self, session: str) -> Member:
        """Join, and wait for what that comes to."""
        self.arrive(session)
        await self.settle()
        return self.members[-1]

    def check_what_was_answered(self) -> None:
        """Whoever has been answered can rely on it at once."""
        for sender, outcome in self.answers.items():
            assert outcome.durable
            for member in self.members:
                # (s2 logs in before s3, and so is answered before it.)
                assert member.state is not State.JOINED or member.session >= sender


def told(peer: FakePeer) -> list[str]:
    return ["joined"] * len(peer.got("joined")) + ["terminate"] * len(peer.got("terminate"))


Join = Callable[[Scene], dict[str, Any]]

CLAIMED: dict[str, Join] = {
    "open mode": lambda scene: {},
    "ticket": lambda scene: {"ticket": scene.hub.ticket("u1", "s1")},
}


@pytest.mark.parametrize("how", CLAIMED)
async def test_joins_against_two_notifies_at_once(how: str, autojump_clock: MockClock) -> None:
    """The old session s1 comes back, and s2 comes, while s2 and then s3 log in."""
    actors = [["join s1", "tell s1"], ["join s2"], ["notify s2", "notify s3"], ["commit"] * 2]
    orders = list(merges(*actors))
    assert len(orders) == math.factorial(7) // (2 * 2 * 2)
    for order in orders:
        async with trio.open_nursery() as nursery:
            scene = Scene(nursery)
            await scene.visit("s1")
            join = CLAIMED[how](scene)
            for step in order:
                match step.split():
                    case ["join", "s1"]:
                        scene.connect("s1", **join)
                    case ["join", "s2"]:
                        scene.connect("s2")
                    case ["tell", "s1"]:
                        scene.nursery.start_soon(scene.hub.admit, scene.members[-1])
                    case ["notify", sender]:
                        scene.notify(sender)
                    case ["commit"]:
                        scene.ledger.commit(1)
                await wait_all_tasks_blocked()
                scene.check_what_was_answered()
            await scene.settle()
            scene.check_what_was_answered()
            assert {s: o.epoch for s, o in scene.answers.items()} == {"s2": 1, "s3": 2}
            # However s1 and s2 were measured, they have been told by now.
            assert all(told(peer)[-1:] == ["terminate"] for peer in scene.peers)
            for session in ("s1", "s2", "s3"):
                member = await scene.visit(session)
                assert (member.state is State.JOINED) == (session == "s3")
            nursery.cancel_scope.cancel()


async def test_every_tab_is_welcome_only_when_a_crash_would_not_forget_it(
    autojump_clock: MockClock,
) -> None:
    """Also the second tab, which is no news, and the page of a login that is on its way."""
    async with trio.open_nursery() as nursery:
        scene = Scene(nursery)
        for session in ("s1", "s1"):
            scene.arrive(session)
        await wait_all_tasks_blocked()
        assert [told(peer) for peer in scene.peers] == [[], []]
        await scene.settle()
        assert [told(peer) for peer in scene.peers] == [["joined"], ["joined"]]
        scene.notify("s2")
        await wait_all_tasks_blocked()
        scene.arrive("s2")
        await wait_all_tasks_blocked()
        assert told(scene.peers[-1]) == []
        await scene.settle()
        assert told(scene.peers[-1]) == ["joined"]
        nursery.cancel_scope.cancel()


async def test_a_crash_at_every_step_of_a_login(autojump_clock: MockClock) -> None:
    """The notify of s2, its fan-out to s1 and its commit; the caller repeats it after the crash."""
    steps = ["notify s2", "write", "commit"]
    for survived, written in itertools.product(range(len(steps) + 1), range(3)):
        async with trio.open_nursery() as nursery:
            scene = Scene(nursery)
            await scene.visit("s1")
            for step in steps[:survived]:
                match step.split():
                    case ["notify", sender]:
                        scene.notify(sender, id="login")
                    case ["write"]:
                        scene.ledger.write(written)
                    case ["commit"]:
                        scene.ledger.commit(1)
                await wait_all_tasks_blocked()
            answered = dict(scene.answers)
            await scene.crash()
            old = await scene.visit("s1")
            # Until it is answered, it may not have happened; then it has.
            assert not (answered and old.state is State.JOINED)
            scene.notify("s2", id="login")
            await scene.settle()
            # An application that heard nothing is told now whom the login has ended.
            assert (scene.answers["s2"].epoch, scene.answers["s2"].ended) == (1, ("s1",))
            for session in ("s1", "s2"):
                member = await scene.visit(session)
                assert (member.state is State.JOINED) == (session == "s2")
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("session", ["old", "new", "never seen"])
async def test_a_join_between_any_two_slices_of_a_fan_out(
    session: str, autojump_clock: MockClock
) -> None:
    """A long fan-out gives way; who comes in just then meets the standing at the door."""
    slices = 4
    for number in range(1, slices + 1):
        async with trio.open_nursery() as nursery:
            scene = Scene(nursery)
            await scene.visit("old")
            for _ in range(slices * SLICE):
                scene.arrive("crowd")
            await scene.settle()
            # The last of that slice lets the newcomer in when it is told.
            crowd = list(scene.peers)
            crowd[number * SLICE - 1].told = partial(scene.arrive, session)
            scene.notify("new")
            await scene.settle()
            assert scene.answers["new"].terminated == len(crowd)
            assert all(told(peer) == ["joined", "terminate"] for peer in crowd)
            assert told(scene.peers[-1]) == (["terminate"] if session == "old" else ["joined"])
            nursery.cancel_scope.cancel()
