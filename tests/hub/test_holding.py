"""A hold: who is told what, while the server cannot know who stands and afterwards."""

from collections.abc import Callable, Generator

import pytest

import sse_trio
from sse_trio.core.messages import ANSWER_INTERVAL
from sse_trio.core.notify import Notify
from sse_trio.hub.holding import Holding
from sse_trio.hub.member import Member, State

from ..support import KEY
from .fakes import FakePeer, Note, Parts

CONFIG = sse_trio.Config(
    authkey=KEY, heartbeat_interval=25, heartbeat_timeout=60, join_timeout=5, linger=5
)
HOLD = {"type": "hold"}


class World(Parts):
    """Members who joined at once, and whom a hold finds; and the time."""

    def __init__(self, count: int, *, holds: bool = True) -> None:
        self.now = 1000.0
        super().__init__(lambda: self.now, CONFIG, slice=1, jitter=0)
        self.holding = Holding(self.membership, self.timers)
        self.peers: list[FakePeer] = []
        self.members: list[Member] = []
        for number in range(count):
            self.join(f"s{number}", holds=holds)

    def arrive(self, *, holds: bool) -> Member:
        self.peers.append(FakePeer())
        member = self.membership.arrive(self.peers[-1], "192.0.2.1", holds=holds)
        self.members.append(member)
        return member

    def join(self, session: str, *, holds: bool = True) -> None:
        self.measuring.join(self.arrive(holds=holds), "u1", session)

    def wait(self, seconds: float, *, heard: bool = False) -> None:
        """Let time pass, and have done what is due in each second of it."""
        for _ in range(round(seconds)):
            self.now += 1
            for member in self.members if heard else ():
                self.hearing.hear(member, ())
            sum(self.membership.run_due(self.now))

    def ask(self, number: int = 0) -> None:
        self.hearing.hear(self.members[number], ['{"type":"heartbeat"}'])

    def got(self, kind: str) -> list[int]:
        return [len(peer.got(kind)) for peer in self.peers]

    def closes(self) -> list[list[int]]:
        return [peer.closes() for peer in self.peers]


def test_whoever_understands_it_is_told_and_stays() -> None:
    world = World(3)
    assert sum(world.holding.hold()) == 3
    assert [peer.got("hold") for peer in world.peers] == [[HOLD]] * 3
    assert world.closes() == [[], [], []]
    assert [member.state for member in world.members] == [State.JOINED] * 3
    assert world.membership.statistics().members == 3


def test_whoever_does_not_is_closed_at_that_moment() -> None:
    world = World(2, holds=False)
    world.join("s2")
    assert sum(world.holding.hold()) == 3
    assert world.got("hold") == [0, 0, 1]
    assert world.closes() == [[1013], [1013], []]
    assert world.membership.statistics().members == 1


def test_who_has_not_joined_or_has_ended_is_not_told() -> None:
    world = World(3)
    world.arrive(holds=True)
    ending = world.decide(Notify(room="u1", sender="s0"))
    # The second is terminated at once, and the third with the next slice.
    assert world.got("terminate") == [0, 1, 0, 0]
    assert sum(world.holding.hold()) == 3
    assert world.got("hold") == [1, 0, 0, 0]
    sum(ending.telling)
    assert world.got("terminate") == [0, 1, 1, 0]
    # Its time to join goes on.
    world.wait(6)
    assert world.closes()[3] == [4408]


def test_who_is_on_hold_gets_no_heartbeats_and_is_not_dropped_for_silence() -> None:
    world = World(2)
    world.wait(13)
    assert world.got("heartbeat") == [1, 1]
    sum(world.holding.hold())
    world.wait(1000)
    assert world.got("heartbeat") == [1, 1]
    assert world.closes() == [[], []]
    assert world.timers.next_due() == float("inf")


def test_who_is_put_on_hold_between_two_slices_of_heartbeats_gets_none() -> None:
    world = World(2)
    world.now += 13
    turn = world.membership.run_due(world.now)
    next(turn)
    sum(world.holding.hold())
    sum(turn)
    assert world.got("heartbeat") == [1, 0]
    assert [member in world.timers for member in world.members] == [False, False]


def test_who_is_on_hold_can_ask_whether_the_connection_lives() -> None:
    world = World(1)
    sum(world.holding.hold())
    world.ask()
    assert world.got("hold") == [2]
    # And is answered at most once in so long.
    for count in (2, 3, 3):
        world.now += ANSWER_INTERVAL / 2
        world.ask()
        assert world.got("hold") == [count]
    assert world.got("heartbeat") == [0]


def test_who_is_on_hold_is_terminated_as_always() -> None:
    world = World(2)
    sum(world.holding.hold())
    sum(world.decide(Notify(room="u1", sender="s0")).telling)
    assert world.got("terminate") == [0, 1]
    world.hearing.hear(world.members[1], ['{"type":"terminated","epoch":1}'])
    assert world.closes() == [[], [4001]]
    sum(world.holding.resume())
    assert world.got("joined") == [2, 1]


def test_who_is_on_hold_may_leave() -> None:
    world = World(2)
    sum(world.holding.hold())
    world.membership.note_close(world.members[0])
    world.membership.leave(world.members[1], hung_up=True)
    assert world.membership.statistics().members == 0
    sum(world.holding.resume())
    assert world.got("joined") == [1, 1]


def test_afterwards_each_is_told_that_it_has_joined_and_its_beats_begin_anew() -> None:
    world = World(2)
    world.wait(13)
    sum(world.holding.hold())
    sum(world.decide(Notify(room="u1", sender="s0")).telling)
    world.wait(100)
    assert sum(world.holding.resume()) == 1
    joined = {"type": "joined", "room": "u1", "session": "s0", "heartbeat": 25}
    assert world.peers[0].got("joined")[1:] == [joined | {"epoch": 1}]
    assert world.got("joined") == [2, 1]
    # The first comes after a random half to whole interval, as for a new member.
    world.wait(12)
    assert world.got("heartbeat")[0] == 1
    world.wait(2)
    assert world.got("heartbeat")[0] == 2
    world.ask()
    assert world.got("hold")[0] == 1


def test_silence_counts_from_the_end_of_the_hold() -> None:
    world = World(1)
    world.wait(13)
    sum(world.holding.hold())
    world.wait(1000)
    sum(world.holding.resume())
    world.wait(59)
    assert world.closes() == [[]]
    world.wait(2)
    assert world.closes() == [[4408]]


def test_to_be_told_again_changes_nothing() -> None:
    world = World(2)
    for _ in range(2):
        sum(world.holding.hold())
    assert world.got("hold") == [1, 1]
    for _ in range(2):
        sum(world.holding.resume())
    assert world.got("joined") == [2, 2]
    due = world.timers.next_due()
    sum(world.holding.resume())
    assert world.timers.next_due() == due


@pytest.mark.parametrize("steps", range(6))
def test_a_hold_that_ends_before_everybody_was_told(steps: int) -> None:
    world = World(5)
    holding = world.holding.hold()
    assert world.holding.is_on
    for _ in range(steps):
        next(holding)
    resuming = world.holding.resume()
    assert not world.holding.is_on
    assert sum(holding) == 0
    sum(resuming)
    told = [1] * steps + [0] * (5 - steps)
    assert world.got("hold") == told
    assert world.got("joined") == [1 + count for count in told]
    assert not any(member.held for member in world.members)
    world.wait(14)
    assert world.got("heartbeat") == [1] * 5


@pytest.mark.parametrize("steps", range(6))
def test_a_hold_that_begins_again_before_everybody_was_told_that_it_is_over(steps: int) -> None:
    world = World(5)
    sum(world.holding.hold())
    resuming = world.holding.resume()
    for _ in range(steps):
        next(resuming)
    holding = world.holding.hold()
    assert sum(resuming) == 0
    sum(holding)
    resumed = [1] * steps + [0] * (5 - steps)
    assert world.got("joined") == [1 + count for count in resumed]
    assert world.got("hold") == [1 + count for count in resumed]
    assert all(member.held for member in world.members)


def test_it_gives_way_after_each_member() -> None:
    world = World(3)
    works: list[tuple[Callable[[], Generator[int, None, None]], str]] = [
        (world.holding.hold, "hold"),
        (world.holding.resume, "joined"),
    ]
    for work, kind in works:
        before = world.got(kind)
        seen = [
            [now - then for now, then in zip(world.got(kind), before, strict=True)] for _ in work()
        ]
        assert seen == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]


def test_who_leaves_while_others_are_told_is_not() -> None:
    world = World(3)
    holding = world.holding.hold()
    next(holding)
    world.membership.leave(world.members[1], hung_up=True)
    sum(holding)
    assert world.got("hold") == [1, 0, 1]


def test_in_the_end_all_can_be_closed() -> None:
    world = World(3)
    sum(world.holding.hold())
    closed = [world.closes() for _ in world.holding.cut()]
    assert closed == [
        [[1013], [], []],
        [[1013], [1013], []],
        [[1013], [1013], [1013]],
    ]
    assert world.membership.statistics().members == 0


@pytest.mark.parametrize("holds", [False, True])
def test_all_can_be_closed_without_a_hold(holds: bool) -> None:
    world = World(2, holds=holds)
    world.arrive(holds=holds)
    cutting = world.holding.cut()
    assert world.holding.is_on
    sum(cutting)
    assert world.closes() == [[1013], [1013], []]
    assert world.got("hold") == [0, 0, 0]


def test_those_who_are_not_closed_yet_when_it_is_over_are_told() -> None:
    world = World(2)
    sum(world.holding.hold())
    cutting = world.holding.cut()
    next(cutting)
    sum(world.holding.resume())
    assert sum(cutting) == 0
    assert world.closes() == [[1013], []]
    assert world.got("joined") == [1, 2]


def test_who_reads_too_slowly_to_be_told_is_closed() -> None:
    for told in ("hold", "resume"):
        world = World(1)
        if told == "resume":
            sum(world.holding.hold())
        world.peers[0].full = True
        sum(world.holding.resume() if told == "resume" else world.holding.hold())
        assert world.closes() == [[1013]]
        assert world.membership.statistics().slow_members == 1


def test_who_waits_for_the_ledger_has_joined_when_both_are_done() -> None:
    for resumed_first in (False, True):
        world = World(1)
        [member] = world.members
        member.admission = Note("u1", None, None)
        sum(world.holding.hold())
        world.ask()
        assert world.got("hold") == [2]
        if resumed_first:
            sum(world.holding.resume())
            assert world.got("joined") == [1]
            world.membership.tell_joined(member)
        else:
            world.membership.tell_joined(member)
            assert world.got("joined") == [1]
            sum(world.holding.resume())
        assert world.got("joined") == [2]
