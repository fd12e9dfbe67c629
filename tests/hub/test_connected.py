"""One that has connected and takes its time to join: it gets heartbeats meanwhile."""

from collections import deque

from sse_trio import Config
from sse_trio.core.messages import CloseCode, Heartbeat, Join
from sse_trio.core.tickets import Ticket
from sse_trio.hub.hearing import Claim
from sse_trio.hub.member import Member, State

from .fakes import FakePeer, Parts


class Visit:
    """A hub with one that has connected."""

    def __init__(self, **settings: object) -> None:
        self.now = 0.0
        self.parts = Parts(lambda: self.now, Config(**settings), slice=2)  # type: ignore[arg-type]
        self.membership = self.parts.membership
        self.peer = FakePeer()
        self.member: Member = self.membership.arrive(self.peer, "a")
        self.membership.stay(self.member)

    def pass_time(self, until: float) -> None:
        while self.now < until:
            self.now += 0.5
            deque(self.membership.run_due(self.now), maxlen=0)


def test_it_has_no_deadline_to_join() -> None:
    visit = Visit()
    visit.pass_time(59)
    assert visit.peer.closes() == []
    assert len(visit.peer.got("heartbeat")) == 2
    visit.parts.hearing.take(visit.member, Join("u1", "s1"))
    assert visit.member.state is State.JOINED
    assert visit.peer.got("joined")


def test_it_is_closed_if_it_is_silent() -> None:
    visit = Visit()
    visit.pass_time(61)
    assert visit.peer.closes() == [CloseCode.TIMED_OUT]
    assert visit.membership.counters.joins == {"timed_out": 1}
    assert visit.membership.counters.dead_peers == 1


def test_it_stays_while_it_is_heard() -> None:
    visit = Visit()
    for until in range(20, 200, 20):
        visit.pass_time(until)
        visit.parts.hearing.hear(visit.member, ())
    assert visit.member.state is State.CONNECTED


class Lapsed:
    """The cache of a node whose lease has lapsed."""

    vouches = False


def test_it_gets_heartbeats_while_the_hub_cannot_know() -> None:
    visit = Visit()
    visit.membership.recognition.cache = Lapsed()  # type: ignore[assignment]
    visit.pass_time(59)
    assert len(visit.peer.got("heartbeat")) == 2


def test_the_first_message_is_a_join() -> None:
    visit = Visit()
    visit.parts.hearing.take(visit.member, Heartbeat())
    assert visit.peer.closes() == [CloseCode.MALFORMED]


def test_it_is_closed_by_a_shutdown() -> None:
    visit = Visit()
    deque(visit.membership.close_all_websockets(), maxlen=0)
    assert visit.peer.closes() == [CloseCode.GOING_AWAY]


def test_it_leaves() -> None:
    visit = Visit()
    visit.membership.leave(visit.member, hung_up=True)
    assert visit.member.state is State.GONE
    assert not visit.membership.places.taken
    visit.pass_time(100)
    assert visit.peer.got("heartbeat") == []


def test_who_has_joined_or_is_to_go_does_not_become_connected() -> None:
    visit = Visit(max_connections=1)
    refused = visit.membership.arrive(FakePeer(), "b")
    visit.membership.stay(refused)
    assert refused.state is State.CLOSING
    visit.parts.hearing.take(visit.member, Join("u1", "s1"))
    visit.membership.stay(visit.member)
    assert visit.member.state is State.JOINED


def test_who_is_not_admitted_is_known_before_anything_is_made() -> None:
    visit = Visit(max_connections=2, max_connections_per_address=1)
    membership = visit.membership
    assert membership.refusal("a") == (
        CloseCode.TOO_MANY,
        "too many connections from this address",
    )
    assert membership.refusal("b") is None
    membership.arrive(FakePeer(), "b")
    assert membership.refusal("c") == (CloseCode.TRY_AGAIN_LATER, "the server is full")
    deque(membership.close_all_websockets(), maxlen=0)
    assert membership.refusal("c") == (CloseCode.GOING_AWAY, "the server is shutting down")


def test_no_repr_of_a_claim_tells_whose_it_is() -> None:
    claim = Claim("secret", "secret", Ticket("secret", "secret", 1))
    assert repr(claim) == "Claim()"
