"""What is due, in slices, and what happens between two of them."""

import itertools
import math
from collections.abc import Generator, Iterator

import pytest
import trio
from trio.testing import MockClock

import sse_trio
from sse_trio.core.notify import Notify
from sse_trio.hub.hub import Hub
from sse_trio.hub.member import Member, State
from sse_trio.hub.timers import SLICE, HasDeadline, Timers
from sse_trio.server.server import Server

from ..support import KEY
from .fakes import FakePeer, Parts, keep, make_timers

CONFIG = sse_trio.Config(authkey=KEY, heartbeat_interval=25, heartbeat_timeout=60, linger=5)


class World(Parts):
    """Some members of one room, who joined at once, and the time."""

    def __init__(self, count: int, *, slice: int) -> None:
        self.now = 1000.0
        super().__init__(lambda: self.now, CONFIG, slice=slice, jitter=1.0)
        self.peers = [FakePeer() for _ in range(count)]
        self.members = [self.membership.arrive(peer, "192.0.2.1") for peer in self.peers]
        for number, member in enumerate(self.members):
            self.join(member, f"s{number}")

    def join(self, member: Member, session: str) -> None:
        self.measuring.join(member, "u1", session)

    def turn(self) -> Generator[int, None, None]:
        return self.membership.run_due(self.now)

    def beats(self) -> list[int]:
        return [len(peer.got("heartbeat")) for peer in self.peers]


@pytest.mark.parametrize("slice", range(1, 7))
def test_everybody_gets_one_each_interval(slice: int) -> None:
    world = World(5, slice=slice)
    for count in range(1, 4):
        world.now += 26
        for member in world.members:
            member.heard = world.now
        assert sum(world.turn()) == 5
        assert world.beats() == [count] * 5
        assert all(member in world.timers for member in world.members)


def test_who_was_heard_long_ago_is_looked_at_before_its_next_one() -> None:
    world = World(3, slice=3)
    world.now += 26
    world.members[0].heard = world.members[2].heard = world.now
    assert sum(world.turn()) == 3
    world.now += 25.5
    for member in (world.members[0], world.members[2]):
        member.heard = world.now
    assert sum(world.turn()) == 3
    # 60 seconds after it was heard, and not 75.
    assert world.timers.next_due() - 1060 < 1
    world.now += 10
    assert sum(world.turn()) == 1
    assert [peer.closes() for peer in world.peers] == [[], [4408], []]


def test_who_is_closed_between_two_slices_has_its_time_to_follow() -> None:
    world = World(2, slice=1)
    world.now += 26
    turn = world.turn()
    next(turn)
    world.membership.close(world.members[1], 1001, "")
    assert sum(turn) == 1
    assert not world.peers[1].aborted
    assert world.members[1] in world.timers
    assert world.beats() == [1, 0]


def test_who_is_superseded_between_two_slices_gets_no_heartbeat() -> None:
    world = World(2, slice=1)
    world.now += 26
    turn = world.turn()
    next(turn)
    ending = world.decide(Notify(room="u1", sender="s0"))
    assert sum(turn) == 1
    assert sum(ending.telling) == 0
    assert world.beats() == [1, 0]
    assert world.members[1].state is State.TERMINATED


def test_who_joins_between_two_slices_has_a_date_already() -> None:
    world = World(1, slice=1)
    peer = FakePeer()
    world.now += 26 - CONFIG.join_timeout
    late = world.membership.arrive(peer, "192.0.2.1")
    world.now += CONFIG.join_timeout + 1
    turn = world.turn()
    next(turn)
    world.join(late, "late")
    assert sum(turn) == 1
    assert peer.got("heartbeat") == []
    assert peer.closes() == []
    assert late in world.timers


def test_who_has_been_told_to_end_does_not_wait_for_heartbeats() -> None:
    world = World(3, slice=1)
    world.now += 20.5
    sum(world.decide(Notify(room="u1", sender="s0")).telling)
    world.now += 6
    closed = [[len(peer.closes()) for peer in world.peers] for _ in world.turn()]
    assert closed[0] == [0, 1, 0]
    assert world.beats() == [1, 0, 0]


async def test_it_gives_way_by_what_it_has_done(nursery: trio.Nursery) -> None:
    timers = Timers(clock=trio.current_time, width=1)
    steps: list[str] = []

    def turn(_: float) -> Iterator[int]:
        for _ in range(4):
            steps.append("a slice")
            yield SLICE

    timers.schedule("something", trio.current_time())
    nursery.start_soon(timers.run, tuple, turn)
    while steps.count("a slice") < 4:
        steps.append("others")
        await trio.lowlevel.checkpoint()
    nursery.cancel_scope.cancel()
    slices = [len([*group]) for step, group in itertools.groupby(steps) if step == "a slice"]
    # Trio runs what is ready in any order: one that comes last can be the next one, too.
    assert sum(slices) == 4
    assert max(slices) <= 2


async def test_of_those_who_have_much_one_goes_on_a_turn(nursery: trio.Nursery) -> None:
    server = Server(Hub(CONFIG, sse_trio.MemoryLedger(), nursery.start_soon), nursery.start_soon)
    nursery.start_soon(server.parking.run)
    steps: list[str] = []

    async def work(name: str) -> None:
        for _ in range(5):
            await server.give_way()
            steps.append(name)

    async with trio.open_nursery() as workers:
        for name in "abcd":
            workers.start_soon(work, name)
        while len(steps) - steps.count("others") < 20:
            steps.append("others")
            await trio.lowlevel.checkpoint()
    # Trio runs what is ready in any order: one that comes last can be the next one, too.
    assert max(len([*run]) for step, run in itertools.groupby(steps, "others".__ne__) if step) <= 2
    order = [step for step in steps if step != "others"]
    # Nobody comes twice before the others have come once.
    assert all(set(order[start : start + 4]) == set("abcd") for start in range(0, 20, 4))


async def test_who_waits_is_let_go_when_the_time_is_over(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    timers = make_timers()
    nursery.start_soon(keep, timers)
    began = trio.current_time()
    with timers.cancel_after(10) as patience:
        await trio.sleep_forever()
    assert patience.is_over
    assert trio.current_time() - began == 10
    with timers.cancel_after(10) as patience:
        await trio.sleep(9)
    await trio.sleep(10)
    assert not patience.is_over
    assert timers.next_due() == math.inf


async def test_when_nobody_keeps_the_time_any_more_trio_does(autojump_clock: MockClock) -> None:
    """Whoever embeds the hub may wait in a nursery that outlives it."""
    timers = make_timers()

    async def wait(seconds: float) -> None:
        with timers.cancel_after(seconds) as patience:
            await trio.sleep_forever()
        assert patience.is_over
        assert trio.current_time() == seconds

    async with trio.open_nursery() as waiting:
        waiting.start_soon(wait, 10)
        waiting.start_soon(wait, 20)
        with trio.move_on_after(5):
            await keep(timers)
        began = trio.current_time()
        with timers.cancel_after(30):
            await trio.sleep_forever()
        assert trio.current_time() - began == 30


class Stop(HasDeadline):
    """Ends the task that keeps the time, when it is due."""

    def __init__(self) -> None:
        self.scope = trio.CancelScope()

    def expire(self, now: float) -> None:
        self.scope.cancel()


async def test_whose_time_is_over_in_the_last_turn_is_let_go(autojump_clock: MockClock) -> None:
    timers = make_timers()
    stop = Stop()

    async def wait() -> None:
        with timers.cancel_after(10):
            await trio.sleep(1000)

    timers.schedule(stop, 10)
    async with trio.open_nursery() as waiting:
        for _ in range(2 * SLICE):
            waiting.start_soon(wait)
        with stop.scope:
            await keep(timers)
    assert trio.current_time() == 10
