"""Compares members with the standing of their room, and admits or ends them: each rule is one step.

No rule awaits, so nothing can happen in the middle of a rule. A join registers the member, and
compares it with the standing: this is called to *measure* it. A notify advances the standing and
takes exactly the other sessions' members out of the room.
"""

from collections import deque
from collections.abc import Callable, Iterable
from functools import partial

from ..config import Config
from ..core.logins import Login, Termination
from ..core.messages import CloseCode
from ..core.notify import Notify, Release
from ..core.standing import Standing
from ..core.tickets import Ticket
from ..ledger import Proposal
from .audit import LoginByTicket
from .drafts import Draft, draft
from .member import Ending, Member, Outcome, State, Unmeasured
from .membership import Membership
from .recognition import Decided
from .timers import Timers


class Measuring:
    """Measures the members of one server against the standings of their rooms.

    `began_by_ticket` is called with a login that the room knows by its ticket from now on, and
    with the address that it came from, if any.
    """

    def __init__(
        self,
        config: Config,
        membership: Membership,
        timers: Timers,
        *,
        began_by_ticket: Callable[[LoginByTicket, str | None], None],
    ) -> None:
        self._config = config
        self._membership = membership
        self._rooms = membership.rooms
        self._recognition = membership.recognition
        self._joins = membership.counters.joins
        self._measured = membership.measured
        self._timers = timers
        self._began_by_ticket = began_by_ticket

    def reload(self, config: Config) -> None:
        """Use another configuration, for decisions from now on."""
        self._config = config

    # -- a login is notified, or a logout -----------------------------------------------

    def draft(self, wanted: Notify | Release) -> Draft:
        """Work out the effect of a notify or a release.

        Raises:
            LimitReached: every place is taken.
        """
        room = wanted.room
        present = self._rooms.sessions(room)
        return draft(wanted, self._recognition.draft(room), present, self._config)

    def carry_out(self, draft: Draft) -> Ending:
        """End the members that a decided draft ends; the caller sends the other terminations."""
        room = draft.wanted.room
        ticket, token = self._recognition.prove(draft.standing, room, draft.sender)
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
            telling = self._membership.tell([], outcome, draft.termination)
            next(telling, None)
            return Ending(outcome, [], telling)
        ending = self._membership.end(draft.staying, draft.termination, outcome)
        self._note_measured(room, draft.standing)
        return ending

    # -- a browser joins ----------------------------------------------------------------

    def join(self, member: Member, room: str, session: str, ticket: Ticket | None = None) -> None:
        """Admit a member, or terminate it: it is registered first, then compared with the standing.

        `tell_joined` sends `Joined`: at once, or when `member.admission` is durable. If the verdict
        is not known yet, because the room has to be read or written, the member stays `Unmeasured`.
        """
        member.room, member.session, member.state = room, session, State.JOINED
        self._rooms.join(room, session, member)
        draft = self._recognition.draft(room)
        login = draft.login(session, ticket)
        is_shared = self._recognition.cache is not None
        if is_shared and not (self._recognition.knows(room) and draft.knows(session, login)):
            member.admission = Unmeasured(ticket)
            return
        if termination := draft.superseded(login):
            self._supersede(member, termination)
            return
        if self._refuse_too_many(member):
            return
        self._admit(draft, room, session, login, member.address)
        self._note_joined(member)
        # A ticket will prove the same again. Without tickets, a crash must not lose the join. But a
        # disk that fails keeps no member out.
        ledger = self._recognition.ledger
        if self._config.join == "open" and ledger.ready:
            member.admission = ledger.pending(room)
        if member.admission is None:
            self._membership.tell_joined(member)

    def admit_together(self, room: str, members: Iterable[Member]) -> Proposal | None:
        """Admit or terminate the unmeasured among these members of one room, which is known.

        Members with a login that is new to the room are admitted when the returned proposal is
        decided. A login that raises the room's epoch is proposed alone: others may stay unmeasured
        until the next call.
        """
        draft, cached = self._recognition.draft(room), self._recognition.cached(room)
        # Without a login, if it is another member's of the same session.
        news: list[tuple[Member, Login | None]] = []
        before: set[str] | None = None
        for member in members:
            if (join := member.unmeasured) is None:
                continue
            login = draft.login(member.session, join.ticket)
            raises_epoch = login.epoch > draft.epoch
            if before is not None or (raises_epoch and news):
                continue
            if termination := draft.superseded(login):
                self._supersede(member, termination)
            elif self._refuse_too_many(member):
                pass
            elif cached is not None and cached.knows(member.session, login):
                self._welcome(member)
            else:
                before = draft.standing_sessions() if raises_epoch else None
                news.append((member, login if draft.admit(member.session, login) else None))
        if not news:
            return None
        admitted = partial(self._admit_news, room, news, before)
        return self._propose_admission(room, draft, admitted, before)

    def _admit_news(
        self,
        room: str,
        news: list[tuple[Member, Login | None]],
        before: set[str] | None,
        standing: Standing,
    ) -> None:
        """Admit members whose login the room knows from now on."""
        # Other nodes may have ended them since: then they stay unmeasured, and are measured again.
        is_late = self._is_late(room, standing)
        for member, login in news:
            if login is not None:
                self._note_admitted(room, member.session, login, member.address, before, standing)
            if member.state is State.JOINED and not is_late:
                self._welcome(member)

    def _welcome(self, member: Member) -> None:
        """Send `Joined` to a member, and heartbeats from now on."""
        if self._recognition.knows(member.room):
            self._note_joined(member)
            self._membership.tell_joined(member)

    def _note_joined(self, member: Member) -> None:
        self._joins["joined"] += 1
        self._membership.begin_beats(member)
        if self._recognition.cache is not None and member.room not in self._measured:
            standing = self._recognition.cached(member.room)
            assert standing is not None, "a member was measured against it"
            self._measured[member.room] = standing.epoch

    def _refuse_too_many(self, member: Member) -> bool:
        """Refuse a member, if its room has too many; return whether it has."""
        if self._rooms.size(member.room) <= self._config.max_connections_per_room:
            return False
        self._joins["too_many"] += 1
        self._membership.refuse(member, CloseCode.TOO_MANY, "too many connections in this room")
        return True

    def _supersede(self, member: Member, termination: Termination) -> None:
        """Terminate a member whose login has ended already."""
        self._joins["superseded"] += 1
        self._rooms.leave(member.room, member)
        member.state = State.SUPERSEDED
        outcome = Outcome(member.room, termination.epoch)
        deque(self._membership.tell([member], outcome, termination), maxlen=0)

    # -- a room comes to know a login ---------------------------------------------------

    def recall(self, ticket: Ticket) -> tuple[bool, Proposal | None]:
        """Admit a login that its ticket proves, without a member; False if it has ended.

        If the room did not know it, return the proposal, too.
        """
        draft = self._recognition.draft(ticket.room)
        login = draft.login(ticket.session, ticket)
        if draft.superseded(login):
            return False, None
        return True, self._admit(draft, ticket.room, ticket.session, login, None)

    def _admit(
        self, draft: Standing, room: str, session: str, login: Login, address: str | None
    ) -> Proposal | None:
        """Admit an active login: the room knows it from now on."""
        before = draft.standing_sessions() if login.epoch > draft.epoch else None
        if not draft.admit(session, login):
            self._recognition.touch(room)
            self._recognition.see(room, session)
            return None
        admitted = partial(self._note_admitted, room, session, login, address, before)
        return self._propose_admission(room, draft, admitted, before)

    def _propose_admission(
        self, room: str, draft: Standing, admitted: Decided, before: set[str] | None
    ) -> Proposal:
        """Propose an admission; if it raises the epoch, others that were active `before` end."""
        changes = None
        if before is not None:
            changes = self._recognition.changes(draft, before - draft.standing_sessions())
        return self._recognition.propose(room, draft, admitted, sessions=changes)

    def _note_admitted(
        self,
        room: str,
        session: str,
        login: Login,
        address: str | None,
        before: set[str] | None,
        standing: Standing,
    ) -> None:
        """Note that a room has a new login; if it raised the epoch, end the others of `before`."""
        ended: frozenset[str] = frozenset()
        if before is not None:
            # The room had lost its memory. The newest login's own proof ends the older ones.
            after = standing.standing_sessions()
            ended = frozenset(before - after)
            if self._is_late(room, standing):
                self._end_by_what_is_known(room)
            else:
                termination = Termination(standing.epoch, "login")
                ending = self._membership.end(after, termination, Outcome(room, standing.epoch))
                deque(ending.telling, maxlen=0)
        if login.named:
            self._began_by_ticket(
                LoginByTicket(room, session, login.epoch, ended, before is not None), address
            )

    # -- others have decided ------------------------------------------------------------

    def catch_up(self, room: str) -> list[Ending]:
        """End the members that are not active by what is known now, which other nodes have decided.

        The caller sends the terminations. Members that are not measured yet are admitted later.
        """
        standing = self._recognition.cached(room)
        if standing is None:
            return []
        measured = self._measured.get(room, standing.epoch)
        endings: dict[int, Ending] = {}
        for member in self._rooms.members(room):
            if member.unmeasured is not None:
                continue
            if (termination := standing.ended_since(member.session, measured)) is None:
                continue
            self._rooms.leave(room, member)
            member.state = State.SUPERSEDED
            if termination.epoch not in endings:
                outcome = Outcome(room, termination.epoch, cancel_after=self._timers.cancel_after)
                members: list[Member] = []
                telling = self._membership.tell(members, outcome, termination)
                endings[termination.epoch] = Ending(outcome, members, telling)
            endings[termination.epoch].members.append(member)
        self._note_measured(room, standing)
        return list(endings.values())

    def _end_by_what_is_known(self, room: str) -> None:
        """End the members that other nodes' decisions have ended since."""
        for ending in self.catch_up(room):
            deque(ending.telling, maxlen=0)

    def _is_late(self, room: str, standing: Standing) -> bool:
        """Whether others have changed the room since the decision that this node learns of."""
        cache = self._recognition.cache  # without it, there are no other nodes
        return cache is not None and self._recognition.cached(room) is not standing

    def _note_measured(self, room: str, standing: Standing) -> None:
        """Note with which epoch members were compared, if other nodes decide."""
        if self._recognition.cache is None:
            return
        if room in self._rooms:
            self._measured[room] = standing.epoch
        else:
            self._measured.pop(room, None)
