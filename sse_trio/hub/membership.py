"""Every open WebSocket, and each rule about it as one synchronous step.

No rule awaits, so nothing can happen in the middle of a rule: a join registers and
is measured against the standing; a notify advances the standing and takes exactly the
others out of the room. What takes long is a generator that gives way between members, and
cannot change what was decided before its first step.

A WebSocket has one deadline, for what is due next: that it has joined, gets a heartbeat, or has
closed. Members that one notify terminates share one deadline for their acknowledgements.
"""

import math
import secrets
from collections import deque
from collections.abc import Callable, Container, Generator, Iterable
from functools import partial

import attrs

from ..config import Config
from ..core import messages
from ..core.heartbeats import first_delay
from ..core.logins import Login, Termination
from ..core.messages import CloseCode
from ..core.notify import Notify, Release
from ..core.rooms import Rooms
from ..core.standing import Standing
from ..core.tickets import Ticket
from ..errors import RemoteProtocolError
from ..ledger import Ledger, Proposal
from .audit import LoginByTicket
from .drafts import Draft, draft
from .letters import Letter
from .member import Ending, Member, Outcome, Peer, State, Unmeasured
from .places import Places
from .recognition import Decided, Recognition
from .statistics import Counters, Statistics
from .timers import SLICE, HasDeadline, Timers


@attrs.frozen(eq=False)
class ToldTogether:
    """Members that were told to log out at the same time."""

    members: list[Member]


class Membership:
    """The WebSockets of one server, the rooms they have joined, and their timers.

    `wall` is Unix time in seconds. `began_by_ticket` is called with a login that the room knows by
    its ticket from now on, and with the address that it came from, if any. `failed` is called with
    an unexpected exception. A fan-out gives way after every `slice` members.
    """

    def __init__(
        self,
        config: Config,
        ledger: Ledger,
        timers: Timers,
        *,
        wall: Callable[[], float],
        jitter: Callable[[], float],
        began_by_ticket: Callable[[LoginByTicket, str | None], None],
        failed: Callable[[str, Exception], object],
        slice: int = SLICE,
    ) -> None:
        self.draining = False
        self.counters = Counters()
        self._config = config
        self._timers = timers
        self._wall = wall
        self._jitter = jitter
        self._began_by_ticket = began_by_ticket
        self._failed = failed
        self._slice = slice
        self.rooms: Rooms[Member] = Rooms()
        self.recognition = Recognition(config, ledger, wall=wall, alive=self.rooms)
        self.places = Places()
        # By which epoch a room's members were measured, where other nodes decide too.
        self._measured: dict[str, int] = {}
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

    # -- a login is notified, or a logout -----------------------------------------------

    def draft(self, wanted: Notify | Release) -> Draft:
        """Work out what a notify or a release would come to.

        Raises:
            LimitReached: there is no place for another login.
        """
        room = wanted.room
        present = self.rooms.sessions(room)
        return draft(wanted, self.recognition.draft(room), present, self._config)

    def carry_out(self, draft: Draft) -> Ending:
        """End the members that a draft ends, as it has been decided; the caller has them told."""
        room = draft.wanted.room
        ticket, token = self.recognition.prove(draft.standing, room, draft.sender)
        outcome = Outcome(
            room,
            draft.standing.epoch,
            draft.sender,
            ticket,
            token,
            draft.decision.ended,
            cancel_after=self._timers.cancel_after,
        )
        if self._is_late(room, draft.standing):
            self._end_by_what_is_known(room)
            return Ending(outcome, [], self._tell([], outcome, draft.termination))
        ending = self._end(draft.spared, draft.termination, outcome)
        self._note_measured(room, draft.standing)
        return ending

    def _end(self, spared: Container[str], termination: Termination, outcome: Outcome) -> Ending:
        """Take all but the spared sessions' members out of the room; they are to be told."""
        members = self.rooms.evict(outcome.room, spared)
        for member in members:
            member.state = State.SUPERSEDED
        return Ending(outcome, members, self._tell(members, outcome, termination))

    def _tell(
        self, members: list[Member], outcome: Outcome, termination: Termination
    ) -> Generator[int, None, None]:
        """Tell each member to log out; yield, with how many it was, where others have a turn."""
        message = Letter(
            messages.Terminate(
                outcome.room, termination.epoch, termination.reason, termination.detail
            )
        )
        due = self._timers.now() + self.linger()
        try:
            for start in range(0, len(members), self._slice):
                if start:
                    yield self._slice
                self._tell_some(members[start : start + self._slice], outcome, message, due)
                if not start:
                    # Some of them the room did not know. The first need not wait for this.
                    outcome.note_ended(member.session for member in members)
        finally:
            outcome.note_all_sent()

    def _tell_some(
        self, members: list[Member], outcome: Outcome, message: Letter, due: float
    ) -> None:
        """Tell one slice of the members. In a large room each microsecond of this loop counts."""
        superseded, terminated = State.SUPERSEDED, State.TERMINATED
        told: list[Member] = []
        for member in members:
            # Whoever left while the fan-out gave way is gone, and superseded all the same.
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

    # -- a browser comes, speaks and goes -----------------------------------------------

    def reload(self, config: Config) -> None:
        """Take over another configuration, for what is decided from now on."""
        self._config = config
        self.recognition.reload(config)

    def arrive(self, peer: Peer, address: str, *, holds: bool = False) -> Member:
        """Register a WebSocket whose handshake is done; it may be refused at once.

        `holds` is whether the peer understands `Hold`.
        """
        now = self._timers.now()
        member = Member(peer, address, heard=now, holds=holds)
        self.places.take(member)
        self._timers.schedule(member, now + self._config.join_timeout)
        limit = self._config.max_connections_per_address
        if self.draining:
            self.refuse(member, CloseCode.GOING_AWAY, "the server is shutting down")
        elif len(self.places.taken) > self._config.max_connections:
            self.refuse(member, CloseCode.TRY_AGAIN_LATER, "the server is full")
        elif limit is not None and self.places.at(address) > limit:
            self.refuse(member, CloseCode.TOO_MANY, "too many connections from this address")
        return member

    def hear(self, member: Member, heard: Iterable[str | bytes]) -> None:
        """Take what came in from a member: any bytes at all, and the messages they held."""
        member.heard = self._timers.now()
        for message in heard:
            try:
                if isinstance(message, bytes):
                    raise RemoteProtocolError("messages are text, not binary", CloseCode.MALFORMED)
                self._handle_message(member, messages.parse_untrusted(message))
            except RemoteProtocolError as error:
                self.refuse(member, CloseCode(error.close_code), str(error))

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
        """Forget a member whose connection has ended: by the peer (`hung_up`), or by us."""
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
        """Say why, close with `code`, and give the peer `linger` seconds to do the same."""
        if member.state is State.ARRIVING:
            self.counters.joins[code.name.lower()] += 1
        if member.state in (State.ARRIVING, State.JOINED, State.TERMINATED):
            member.peer.offer(Letter(messages.Error(code, why)))
            self.close(member, code, why)

    def close(self, member: Member, code: int, reason: str) -> None:
        """Close the WebSocket; whoever does not follow is cut after `linger` seconds."""
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

    def linger(self) -> float:
        """Return how many seconds a peer that is told to close now has for it.

        Usually that is `linger`. When the server shuts down, all peers share one deadline.
        """
        return min(self._config.linger, max(0, self._last_moment - self._timers.now()))

    def _begin_closing(self, member: Member) -> None:
        member.state = State.CLOSING
        self._timers.schedule(member, self._timers.now() + self.linger())
        self.places.await_close(member)
        self._limit_lingering()

    def _limit_lingering(self) -> None:
        """Cut the earliest of those that were told to go, if there are more than the limit."""
        while self.places.lingering > self._config.max_connections:
            eldest = self.places.give_up_eldest()
            if eldest.state is State.TERMINATED:
                self._end_termination(eldest, acked=False)
            self._abort(eldest)

    def _handle_message(self, member: Member, message: messages.ClientMessage) -> None:
        match member.state, message:
            case State.ARRIVING, messages.Join():
                self._join(member, message)
            case State.TERMINATED, messages.Terminated():
                self._end_termination(member, acked=True)
                self.close(member, CloseCode.TERMINATED, "")
            case State.JOINED, messages.Heartbeat():
                self._answer_heartbeat(member)
            case (State.SUPERSEDED | State.TERMINATED | State.CLOSING | State.GONE, _):
                pass
            case State.ARRIVING, _:
                raise RemoteProtocolError("the first message is a join", CloseCode.MALFORMED)
            case _:
                raise RemoteProtocolError("unexpected message", CloseCode.MALFORMED)

    def _answer_heartbeat(self, member: Member) -> None:
        """Send the next heartbeat now: the page asks whether its connection lives.

        If one has just been sent, that was the answer: a flood of questions causes no more. A
        member on hold is told that again.
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

    def _join(self, member: Member, join: messages.Join) -> None:
        if join.ticket is not None:
            ticket = self.recognition.verify_untrusted(join.ticket)
            self.join(member, ticket.room, ticket.session, ticket)
        elif self._config.join == "ticket":
            raise RemoteProtocolError("a ticket is required", CloseCode.BAD_TICKET)
        else:
            assert join.room is not None, "parse_untrusted sees to it"
            self.join(member, join.room, join.session or secrets.token_urlsafe(16))

    def join(self, member: Member, room: str, session: str, ticket: Ticket | None = None) -> None:
        """Admit a member, or terminate it: it is registered first, then compared with the standing.

        `tell_joined` tells it that it is admitted: at once, or when `member.admission` is durable.
        If that is not known yet, because the room has to be read or written, the member is left
        `Unmeasured`.
        """
        member.room, member.session, member.state = room, session, State.JOINED
        self.rooms.join(room, session, member)
        draft = self.recognition.draft(room)
        login = draft.login(session, ticket)
        is_shared = self.recognition.cache is not None
        if is_shared and not (self.recognition.knows(room) and draft.knows(session, login)):
            member.admission = Unmeasured(ticket)
            return
        if termination := draft.superseded(login):
            self._supersede(member, termination)
            return
        if self._refuse_too_many(member):
            return
        self._admit(draft, room, session, login, member.address)
        self._note_joined(member)
        # A ticket will prove the same again. Where none is needed, a crash must not forget; but
        # nobody is kept out because of a disk that fails.
        ledger = self.recognition.ledger
        if self._config.join == "open" and ledger.ready:
            member.admission = ledger.pending(room)
        if member.admission is None:
            self.tell_joined(member)

    def admit_together(self, room: str, members: Iterable[Member]) -> Proposal | None:
        """Admit or terminate the unmeasured among these members of one room, which is known.

        Those whose login the room has to be told are admitted when what is returned is decided. A
        login that lifts the room goes alone: others may stay unmeasured, for the next time.
        """
        draft, cached = self.recognition.draft(room), self.recognition.cached(room)
        # Without a login, if it is another member's of the same session.
        news: list[tuple[Member, Login | None]] = []
        before: set[str] | None = None
        for member in members:
            if (join := member.unmeasured) is None:
                continue
            login = draft.login(member.session, join.ticket)
            lifts = login.epoch > draft.epoch
            if before is not None or (lifts and news):
                continue
            if termination := draft.superseded(login):
                self._supersede(member, termination)
            elif self._refuse_too_many(member):
                pass
            elif cached is not None and cached.knows(member.session, login):
                self._welcome(member)
            else:
                before = draft.standing_sessions() if lifts else None
                news.append((member, login if draft.admit(member.session, login) else None))
        if not news:
            return None
        admitted = partial(self._admit_news, room, news, before)
        return self._propose_lift(room, draft, admitted, before)

    def _admit_news(
        self,
        room: str,
        news: list[tuple[Member, Login | None]],
        before: set[str] | None,
        standing: Standing,
    ) -> None:
        """Admit members whose login the room knows from now on."""
        # Others may have ended them since: then they stay unmeasured, and are measured anew.
        is_late = self._is_late(room, standing)
        for member, login in news:
            if login is not None:
                self._note_admitted(room, member.session, login, member.address, before, standing)
            if member.state is State.JOINED and not is_late:
                self._welcome(member)

    def _is_late(self, room: str, standing: Standing) -> bool:
        """Whether a decision is known so late that others have changed the room since."""
        return self.recognition.cached(room) is not standing

    def _end_by_what_is_known(self, room: str) -> None:
        """End the members that do not stand by what others have decided since."""
        for ending in self.catch_up(room):
            deque(ending.telling, maxlen=0)
            ending.outcome.told.set()

    def _welcome(self, member: Member) -> None:
        """Tell a member that it has joined, and send it heartbeats from now on."""
        if self.recognition.knows(member.room):
            self._note_joined(member)
            self.tell_joined(member)

    def _note_joined(self, member: Member) -> None:
        self.counters.joins["joined"] += 1
        self.begin_beats(member)
        if self.recognition.cache is not None and member.room not in self._measured:
            standing = self.recognition.cached(member.room)
            assert standing is not None, "a member was measured against it"
            self._measured[member.room] = standing.epoch

    def _refuse_too_many(self, member: Member) -> bool:
        """Refuse a member, if its room has too many; return whether it has."""
        if self.rooms.size(member.room) <= self._config.max_connections_per_room:
            return False
        self.counters.joins["too_many"] += 1
        self.refuse(member, CloseCode.TOO_MANY, "too many connections in this room")
        return True

    def _supersede(self, member: Member, termination: Termination) -> None:
        """Terminate a member whose login has ended already."""
        self.counters.joins["superseded"] += 1
        self.rooms.leave(member.room, member)
        member.state = State.SUPERSEDED
        outcome = Outcome(member.room, termination.epoch)
        deque(self._tell([member], outcome, termination), maxlen=0)

    def catch_up(self, room: str) -> list[Ending]:
        """End the members that do not stand by what is known now, which others have decided.

        The caller has them told. Those that are not measured yet are left to be admitted.
        """
        standing = self.recognition.cached(room)
        if standing is None:
            return []
        measured = self._measured.get(room, standing.epoch)
        endings: dict[int, Ending] = {}
        for member in self.rooms.members(room):
            if member.unmeasured is not None:
                continue
            if (termination := standing.ended_since(member.session, measured)) is None:
                continue
            self.rooms.leave(room, member)
            member.state = State.SUPERSEDED
            if termination.epoch not in endings:
                outcome = Outcome(room, termination.epoch, cancel_after=self._timers.cancel_after)
                members: list[Member] = []
                telling = self._tell(members, outcome, termination)
                endings[termination.epoch] = Ending(outcome, members, telling)
            endings[termination.epoch].members.append(member)
        self._note_measured(room, standing)
        return list(endings.values())

    def _note_measured(self, room: str, standing: Standing) -> None:
        """Note the epoch by which the members of a room were measured, where others decide too."""
        if self.recognition.cache is None:
            return
        if room in self.rooms:
            self._measured[room] = standing.epoch
        else:
            self._measured.pop(room, None)

    def recall(self, ticket: Ticket) -> tuple[bool, Proposal | None]:
        """Admit a login that its ticket proves, without a member; False if it has ended.

        If the room did not know it, return what has to be decided for that, too.
        """
        draft = self.recognition.draft(ticket.room)
        login = draft.login(ticket.session, ticket)
        if draft.superseded(login):
            return False, None
        return True, self._admit(draft, ticket.room, ticket.session, login, None)

    def _admit(
        self, draft: Standing, room: str, session: str, login: Login, address: str | None
    ) -> Proposal | None:
        """Admit a login that stands: the room knows it from now on."""
        before = draft.standing_sessions() if login.epoch > draft.epoch else None
        if not draft.admit(session, login):
            self.recognition.touch(room)
            self.recognition.see(room, session)
            return None
        admitted = partial(self._note_admitted, room, session, login, address, before)
        return self._propose_lift(room, draft, admitted, before)

    def _propose_lift(
        self, room: str, draft: Standing, admitted: Decided, before: set[str] | None
    ) -> Proposal:
        """Propose an admission; if it lifts the room, others of those that stood `before` end."""
        changes = None
        if before is not None:
            changes = self.recognition.changes(draft, before - draft.standing_sessions())
        return self.recognition.propose(room, draft, admitted, sessions=changes)

    def _note_admitted(
        self,
        room: str,
        session: str,
        login: Login,
        address: str | None,
        before: set[str] | None,
        standing: Standing,
    ) -> None:
        """Note that a room has a new login; if that has lifted it, end the others of `before`."""
        ended: frozenset[str] = frozenset()
        if before is not None:
            # The room had lost its memory. The newest login's own proof ends the older ones.
            after = standing.standing_sessions()
            ended = frozenset(before - after)
            if self._is_late(room, standing):
                self._end_by_what_is_known(room)
            else:
                termination = Termination(standing.epoch, "login")
                ending = self._end(after, termination, Outcome(room, standing.epoch))
                deque(ending.telling, maxlen=0)
        if login.named:
            self._began_by_ticket(
                LoginByTicket(room, session, login.epoch, ended, before is not None), address
            )

    def tell_joined(self, member: Member) -> None:
        """Tell a member that it is admitted, unless it has been ended or put on hold since."""
        member.admission = None
        if member.state is not State.JOINED or member.held:
            return
        # None, if the lease has lapsed in this moment: then it is about to be put on hold.
        if standing := self.recognition.known(member.room):
            interval = self._config.heartbeat_interval
            joined = messages.Joined(member.room, member.session, standing.epoch, interval)
            self.offer(member, Letter(joined))

    def begin_beats(self, member: Member) -> None:
        """Set when a member gets its first heartbeat."""
        delay = first_delay(self._config.heartbeat_interval, self._jitter)
        member.next_beat = self._timers.now() + delay
        self._schedule_beat(member)

    def offer(self, member: Member, letter: Letter) -> None:
        """Send a message to a member, or close it if it reads too slowly."""
        if not member.peer.offer(letter):
            self._close_slow(member)

    def _leave_room(self, member: Member) -> None:
        self.rooms.leave(member.room, member)
        if member.room not in self.rooms:
            self._measured.pop(member.room, None)
        try:
            self.recognition.see(member.room, member.session)
        except Exception as error:  # noqa: BLE001
            # The member must leave, whatever is wrong with what is remembered of its room.
            self._failed("a departure could not be noted", error)

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

    # -- time passes --------------------------------------------------------------------

    def run_due(self, now: float) -> Generator[int, None, None]:
        """Do what was due by `now`; yield how much was done wherever others may have a turn."""
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
            # While other tasks had their turn, it may have been given another deadline.
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
            if member.state is not State.JOINED:
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
                if vouches and member.admission is None and not member.peer.offer_beat(beat):
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
        # While others had their turn, it may have been given another deadline.
        if member in self._timers:
            return
        if member.state is State.ARRIVING:
            self.refuse(member, CloseCode.TIMED_OUT, "no join in time")
        elif member.state is State.CLOSING:
            member.peer.abort()
        # The members that a fan-out has told share a deadline. Those that are gone have none.

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
            if member.state in (State.ARRIVING, State.JOINED):
                self.close(member, CloseCode.GOING_AWAY, "the server is shutting down")
            yield 1
