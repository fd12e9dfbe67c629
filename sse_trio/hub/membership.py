"""Every open WebSocket: its place, its room, its deadline, and the messages to it.

Nothing here awaits. `measuring` decides who is admitted and who is ended, and this module carries
it out. Long work is a generator that lets other tasks run between members, and cannot change a
decision after its first step.

A WebSocket has one deadline, for what is due next: that it has joined, gets a heartbeat, or has
closed. Members that one notify terminates share one deadline for their acknowledgements.
"""

import math
from collections.abc import Callable, Container, Generator, Iterable
from itertools import islice

from ..config import Config
from ..core import messages
from ..core.heartbeats import first_delay
from ..core.logins import Termination
from ..core.messages import CloseCode
from ..core.rooms import Rooms
from ..ledger import Ledger
from ..values import frozen
from .letters import Letter
from .member import Ending, Member, Outcome, Peer, State
from .places import Places
from .recognition import Recognition
from .statistics import Counters, Statistics
from .timers import SLICE, HasDeadline, Timers

# Those that have not joined.
_STRANGERS = (State.ARRIVING, State.CONNECTED)


@frozen(eq=False)
class ToldTogether:
    """Members that were sent a termination at the same time."""

    members: list[Member]


class Membership:
    """The WebSockets of one server, the rooms they have joined, and their timers.

    `wall` is Unix time in seconds. `failed` is called with an unexpected exception. A fan-out lets
    other tasks run after every `slice` members.
    """

    def __init__(
        self,
        config: Config,
        ledger: Ledger,
        timers: Timers,
        *,
        wall: Callable[[], float],
        jitter: Callable[[], float],
        failed: Callable[[str, Exception], object],
        slice: int = SLICE,
    ) -> None:
        self.draining = False
        self.counters = Counters()
        self._config = config
        self._timers = timers
        self._wall = wall
        self._jitter = jitter
        self._failed = failed
        self._slice = slice
        self.rooms: Rooms[Member] = Rooms()
        self.recognition = Recognition(config, ledger, wall=wall, alive=self.rooms)
        self.places = Places()
        self.measured: dict[str, int] = {}
        """With which epoch a room's members were compared, if other nodes decide too.

        `Measuring` notes it. A room without members has none.
        """
        # Once the server shuts down: the last moment for any WebSocket to close.
        self._last_moment = math.inf

    def statistics(self) -> Statistics:
        """Return the counts and sizes as they are now."""
        lingering = self.places.lingering
        cache = self.recognition.cache
        return self.counters.snapshot(
            connections=len(self.places.taken) + lingering,
            closing=lingering,
            members=self.rooms.population,
            rooms=len(self.rooms),
            remembered_rooms=len(self.recognition),
            ledger_ready=self.recognition.ledger.ready,
            held=sum(member.held for member in self.places.taken) if cache else 0,
            cluster=cache.shared.statistics() if cache else None,
        )

    def reload(self, config: Config) -> None:
        """Use another configuration, for decisions from now on."""
        self._config = config
        self.recognition.reload(config)

    # -- a browser comes and goes -------------------------------------------------------

    def arrive(
        self, peer: Peer, address: str, *, holds: bool = False, listens: bool = False
    ) -> Member:
        """Register a connection whose handshake is done; it may be refused at once.

        `holds` is whether the peer understands `Hold`. A peer that only `listens` sends no sign of
        life: it is there for as long as its connection.
        """
        now = self._timers.now()
        refusal = self.refusal(address)
        member = Member(peer, address, heard=math.inf if listens else now, holds=holds)
        self.places.take(member)
        self._timers.schedule(member, now + self._config.join_timeout)
        if refusal:
            self.refuse(member, *refusal)
        return member

    def refusal(self, address: str) -> tuple[CloseCode, str] | None:
        """Return why nobody else of this address is admitted now, if so."""
        limit = self._config.max_connections_per_address
        if self.draining:
            return CloseCode.GOING_AWAY, "the server is shutting down"
        if len(self.places.taken) >= self._config.max_connections:
            return CloseCode.TRY_AGAIN_LATER, "the server is full"
        if limit is not None and self.places.at(address) >= limit:
            return CloseCode.TOO_MANY, "too many connections from this address"
        return None

    def stay(self, member: Member) -> None:
        """Let one that has arrived take its time to join; it gets heartbeats meanwhile."""
        if member.state is State.ARRIVING:
            member.state = State.CONNECTED
            self.begin_beats(member)

    def note_close(self, member: Member) -> None:
        """Note that the peer has closed: read from it to the end, for `linger` seconds."""
        if member.state in (State.CLOSING, State.GONE):
            return
        if member.state is State.JOINED:
            self._leave_room(member)
        elif member.state is State.TERMINATED:
            # A member that hangs up counts as having acknowledged.
            self._end_termination(member, acked=True)
        self._begin_closing(member)

    def leave(self, member: Member, *, hung_up: bool) -> None:
        """Remove a member whose connection has ended: by the peer (`hung_up`), or by the server."""
        if member.state is State.GONE:
            return
        if member.state is State.JOINED:
            self._leave_room(member)
        elif member.state is State.TERMINATED:
            # A member that is cut has not acknowledged.
            self._end_termination(member, acked=hung_up)
        self._timers.drop(member)
        self.places.leave(member)
        member.state = State.GONE

    def refuse(self, member: Member, code: CloseCode, why: str) -> None:
        """Send why, close with `code`, and give the peer `linger` seconds to do the same."""
        if member.state in _STRANGERS:
            self.counters.joins[code.name.lower()] += 1
        if member.state in (*_STRANGERS, State.JOINED, State.TERMINATED):
            member.peer.offer(Letter(messages.Error(code, why)))
            self.close(member, code, why)

    def close(self, member: Member, code: int, reason: str) -> None:
        """Close the WebSocket; a peer that does not close too is cut after `linger` seconds."""
        if member.state is State.JOINED:
            self._leave_room(member)
        elif member.state is State.TERMINATED:
            self._end_termination(member, acked=False)
        elif member.state is State.SUPERSEDED:
            # The fan-out will not reach it any more: this is its termination.
            code, reason = CloseCode.TERMINATED, ""
        if member.state is not State.GONE:
            member.peer.close(code, reason)
            self._begin_closing(member)

    def acknowledge(self, member: Member) -> None:
        """Close a terminated member, which has logged out."""
        self._end_termination(member, acked=True)
        self.close(member, CloseCode.TERMINATED, "")

    def linger(self) -> float:
        """Return how many seconds a peer has to close, if the server closes now.

        Usually that is `linger`. When the server shuts down, all peers share one deadline.
        """
        return min(self._config.linger, max(0, self._last_moment - self._timers.now()))

    def _begin_closing(self, member: Member) -> None:
        member.state = State.CLOSING
        self._timers.schedule(member, self._timers.now() + self.linger())
        self.places.await_close(member)
        self._limit_lingering()

    def _limit_lingering(self) -> None:
        """Cut the earliest of the closing WebSockets, if there are more than the limit."""
        while self.places.lingering > self._config.max_connections:
            eldest = self.places.give_up_eldest()
            if eldest.state is State.TERMINATED:
                self._end_termination(eldest, acked=False)
            self._abort(eldest)

    def _leave_room(self, member: Member) -> None:
        self.rooms.leave(member.room, member)
        if member.room not in self.rooms:
            self.measured.pop(member.room, None)
        try:
            self.recognition.see(member.room, member.session)
        except Exception as error:  # noqa: BLE001
            # The member must leave, even if something is wrong with its room's memory.
            self._failed("a leaving member could not be recorded", error)

    def _end_termination(self, member: Member, *, acked: bool) -> None:
        """Count how a terminated member ended: it acknowledged, or was cut."""
        if acked:
            self.counters.terminations_acked += 1
        else:
            self.counters.terminations_cut += 1
        if member.outcome:
            member.outcome.note_finished(acked=acked)
        member.state = State.CLOSING

    def _abort(self, member: Member) -> None:
        member.peer.abort()
        self._begin_closing(member)

    def _close_slow(self, member: Member) -> None:
        self.counters.slow_members += 1
        self.close(member, CloseCode.TRY_AGAIN_LATER, "reads too slowly")

    # -- what members are told ----------------------------------------------------------

    def end(self, staying: Container[str], termination: Termination, outcome: Outcome) -> Ending:
        """Take all members out of the room, except those of sessions in `staying`.

        The first ones are sent the termination before the others are looked at: that takes two
        milliseconds for ten thousand.
        """
        evicted = self.rooms.evict(outcome.room, staying)
        members = _superseded(islice(evicted, self._slice))
        telling = self.tell(members, outcome, termination)
        try:
            next(telling, None)
        finally:
            members += _superseded(evicted)
        # The room did not know some of them.
        outcome.note_ended(member.session for member in members)
        if len(members) <= self._slice:
            next(telling, None)
        return Ending(outcome, members, telling)

    def tell(
        self, members: list[Member], outcome: Outcome, termination: Termination
    ) -> Generator[int, None, None]:
        """Send each termination; yield the number sent, wherever other tasks may run."""
        message = Letter(
            messages.Terminate(
                outcome.room, termination.epoch, termination.reason, termination.detail
            )
        )
        due = self._timers.now() + self.linger()
        start = 0
        try:
            while some := members[start : start + self._slice]:
                self._tell_some(some, outcome, message, due)
                start += self._slice
                yield len(some)
        finally:
            outcome.note_all_sent()

    def _tell_some(
        self, members: list[Member], outcome: Outcome, message: Letter, due: float
    ) -> None:
        """Send a slice of the terminations: in a large room each microsecond counts."""
        superseded, terminated = State.SUPERSEDED, State.TERMINATED
        told: list[Member] = []
        for member in members:
            # A member that left while other tasks ran is gone, and superseded too.
            if member.state is not superseded:
                continue
            member.state = terminated
            if member.peer.offer_last(message):
                member.outcome = outcome
                told.append(member)
            else:
                self._abort(member)
        outcome.note_sent(len(told))
        self.counters.terminations_sent += len(told)
        self._timers.schedule(ToldTogether(told), due)
        for member in told:
            self.places.await_answer(member)
        self._limit_lingering()

    def tell_joined(self, member: Member) -> None:
        """Send `Joined` to a member, unless it has been ended or put on hold since."""
        member.admission = None
        if member.state is not State.JOINED or member.held:
            return
        # None, if the lease has just ended: then the member is about to be put on hold.
        if standing := self.recognition.known(member.room):
            interval = self._config.heartbeat_interval
            joined = messages.Joined(member.room, member.session, standing.epoch, interval)
            self.offer(member, Letter(joined))

    def offer(self, member: Member, letter: Letter) -> None:
        """Send a message to a member, or close it if it reads too slowly."""
        if not member.peer.offer(letter):
            self._close_slow(member)

    # -- time passes --------------------------------------------------------------------

    def begin_beats(self, member: Member) -> None:
        """Set when a member gets its first heartbeat."""
        delay = first_delay(self._config.heartbeat_interval, self._jitter)
        member.next_beat = self._timers.now() + delay
        self._schedule_beat(member)

    def answer_heartbeat(self, member: Member) -> None:
        """Send the next heartbeat now: the page asks whether its connection lives.

        If one has just been sent, that was the answer, so a flood of questions causes no more. A
        member on hold gets `Hold` again.
        """
        now = self._timers.now()
        interval = self._config.heartbeat_interval
        is_due = now >= member.next_beat - interval + messages.ANSWER_INTERVAL
        if is_due and member.held:
            member.next_beat = now + interval
            self.offer(member, Letter(messages.Hold()))
        elif is_due and member.admission is None and self.recognition.vouches:
            member.next_beat = now + interval
            self.offer(member, Letter(messages.Heartbeat(self._time())))

    def run_due(self, now: float) -> Generator[int, None, None]:
        """Do what was due by `now`; yield how much was done wherever other tasks may run."""
        due = self._timers.due(now)
        if not due:
            return
        beat = Letter(messages.Heartbeat(self._time()))
        members: list[Member] = []
        for item in due:
            if isinstance(item, Member):
                members.append(item)
            elif isinstance(item, ToldTogether):
                self._close_silent(item)
                yield len(item.members)
            # While other tasks ran, it may have got another deadline.
            elif isinstance(item, HasDeadline) and item not in self._timers:
                item.expire(now)
                yield 1
        for start in range(0, len(members), self._slice):
            some = members[start : start + self._slice]
            self._beat_some(some, now, beat)
            yield len(some)

    def _beat_some(self, members: Iterable[Member], now: float, beat: Letter) -> None:
        """Do what is due for one slice of the members.

        Almost all of them get a heartbeat, and one deadline together for the next: to set their
        deadlines one by one took as long as half of a send.
        """
        again = now + self._config.heartbeat_interval
        patience = self._config.heartbeat_timeout
        # If not, they are about to be put on hold.
        vouches = self.recognition.vouches
        beaten = []
        for member in members:
            if member.state is not State.JOINED and member.state is not State.CONNECTED:
                self._due(member)
            elif member.held:
                pass  # since this turn of the timers has begun
            elif now >= (silent := member.heard + patience):
                self.counters.dead_peers += 1
                self.refuse(member, CloseCode.TIMED_OUT, "no sign of life")
            elif now < member.next_beat:
                self._schedule_beat(member)
            else:
                member.next_beat = again
                # A heartbeat of one that has not joined says nothing about who is active.
                may_beat = vouches or member.state is State.CONNECTED
                if may_beat and member.admission is None and not member.peer.offer_beat(beat):
                    self._close_slow(member)
                elif silent < again:
                    self._schedule_beat(member)
                else:
                    beaten.append(member)
        self._timers.schedule_all(beaten, again)

    def _time(self) -> int:
        """Return the wall clock in the protocol's unit, milliseconds."""
        return int(self._wall() * 1000)

    def _close_silent(self, told: ToldTogether) -> None:
        for member in told.members:
            if member.state is State.TERMINATED:
                self.close(member, CloseCode.TERMINATED, "")

    def _due(self, member: Member) -> None:
        # While others ran, it may have got another deadline.
        if member in self._timers:
            return
        if member.state is State.ARRIVING:
            self.refuse(member, CloseCode.TIMED_OUT, "no join in time")
        elif member.state is State.CLOSING:
            member.peer.abort()
        # The members that one fan-out terminates share a deadline. Those that are gone have none.

    def _schedule_beat(self, member: Member) -> None:
        silent = member.heard + self._config.heartbeat_timeout
        self._timers.schedule(member, min(member.next_beat, silent))

    def close_all_websockets(self, seconds: float = 0) -> Generator[int, None, None]:
        """Close every WebSocket with 1001; yield 1 after each.

        The caller takes so many `seconds` for it.
        """
        self.draining = True
        self._last_moment = self._timers.now() + seconds + self._config.linger
        for member in list(self.places.taken):
            if member.state in (*_STRANGERS, State.JOINED):
                self.close(member, CloseCode.GOING_AWAY, "the server is shutting down")
            yield 1


def _superseded(members: Iterable[Member]) -> list[Member]:
    """Mark members as out of their room."""
    found = list(members)
    for member in found:
        member.state = State.SUPERSEDED
    return found
