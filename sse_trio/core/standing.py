"""Standing: which logins a room still recognises.

Each room counts the notifies it has accepted: its *epoch*. A notify names the sender, whose login
has that epoch. The rule is one line:

    after a notify, the newest `max_sessions` sessions are active, and all others have ended.

The notify may set another limit for its room, until the room's next one.

A session that has joined without ever being named is older than every named one: it takes a place
only if one is left. An ended session stays ended, even if it joins again, until a notify names it
the sender.

A session that the room does not know, or that has only joined, is judged by its ticket: it has
ended if its login is below the room's *floor*, the oldest active login of a room that was full.
Without a ticket it counts as logged in now. If a ticket's epoch is higher than the room's, the room
has lost its memory, and takes that epoch.

What a room remembers is limited, and no limit ends a session: a named, active session is never
forgotten. Of the ended sessions, and of those that only joined, the oldest of each kind are
forgotten; of the ended, also those whose tickets have all expired. A forgotten session with a
ticket does not become active again: the room keeps the highest epoch of the ended sessions that it
has forgotten, and an unknown login of that epoch, or of an older one, has ended too.
"""

from collections.abc import Collection, Container
from typing import Any

import attrs

from ..config import Config
from ..errors import LimitReached
from ..roster import SessionInfo
from .logins import (
    RELEASED,
    Decision,
    Login,
    Record,
    Termination,
    epoch_of,
    memory_of,
    newest_first,
    session_infos,
)
from .notify import AtLimit
from .tickets import Ticket

# Terminations kept per room, to answer members that join late: the last notify or the one before it
# has ended almost all of them.
MAX_TERMINATIONS = 8


@attrs.define
class Standing:
    """One room's epoch and floor, and the logins of the sessions it has seen."""

    config: Config = attrs.field(repr=False)
    epoch: int = 0
    floor: int = 0
    logins: dict[str, Login] = attrs.field(factory=dict, repr=False)
    """By session, the newest last."""
    terminations: list[Termination] = attrs.Factory(list)
    touched: float = 0.0
    """Unix seconds of the last admission or notify. Every step below uses it as the present."""
    notified: float = 0.0
    """Unix seconds of the last notify."""
    forgotten: int = -1
    """The highest epoch of the ended sessions that were forgotten; -1 if none was."""
    limit: int | None = None
    """How many logins may be active, as the last notify with a sender said; None: as configured."""
    noted: float = attrs.field(default=0.0, eq=False)
    """When it was last proposed to the ledger."""
    version: Any = attrs.field(default=None, eq=False)
    """Its version in the ledger, where other nodes write too."""

    @classmethod
    def restore(cls, config: Config, record: Record) -> "Standing":
        """Return the standing that a ledger has remembered."""
        return cls(
            config,
            record.epoch,
            record.floor,
            record.logins.copy(),
            list(record.terminations),
            record.touched,
            record.notified,
            record.forgotten,
            record.limit,
            record.touched,
        )

    def draft(self, config: Config, now: float) -> "Standing":
        """Return a copy, touched `now`, for a step that may still fail."""
        return Standing(
            config,
            self.epoch,
            self.floor,
            dict(self.logins),
            self.terminations.copy(),
            now,
            self.notified,
            self.forgotten,
            self.limit,
            self.noted,
            self.version,
        )

    @property
    def ended_below(self) -> int:
        """The epoch below which a login that the room does not know has ended."""
        return max(self.floor, self.forgotten + 1)

    @property
    def places(self) -> int:
        """How many logins may be active at once."""
        return self.config.max_sessions if self.limit is None else self.limit

    def login(
        self, session: str, ticket: Ticket | None = None, *, now: float | None = None
    ) -> Login:
        """Return a session's login: the known one, or that of its ticket, or one as of now.

        The known login counts more than the ticket, unless the ticket's epoch is higher than the
        room's. A ticket counts more than a mere claim. A ticket issued before the last notify is
        older than that, with any epoch, and so is one issued before the session was released: the
        room may have lost its memory, and counted from 0 again. `now` is Unix seconds where nothing
        is touched.
        """
        known = self.logins.get(session)
        now = self.touched if now is None else now
        if ticket is None:
            return known or Login(self.epoch, now, now, named=False)
        epoch = epoch_of(ticket.epoch, ticket.issued, self.epoch, self.notified, now)
        if known and not known.is_claim:
            is_over = known.ended == RELEASED and ticket.issued < known.seen
            # What was released may have been proved to be of a later epoch than the room's.
            if epoch <= max(self.epoch, known.epoch) or is_over:
                return known
        login = self._proved(epoch, ticket.issued, now)
        return attrs.evolve(login, about=known.about) if known and known.about else login

    def superseded(self, login: Login) -> Termination | None:
        """Return what ended a login, or None if it is active."""
        if login.ended is None:
            return None
        if login.ended == RELEASED:
            return self._released()
        for termination in self.terminations:
            if termination.epoch >= login.ended:
                return termination
        # A ticket has raised the room's epoch: the words of that notify are lost.
        return Termination(self.epoch, "login")

    def ended_since(self, session: str, measured: int) -> Termination | None:
        """Return what has ended a session that was active at epoch `measured`; None if it is.

        A session that the room has forgotten was ended by the next notify, if there was one.
        """
        login = self.logins.get(session)
        if login is None:
            if self.epoch <= measured:
                return None
            login = Login(measured, 0.0, 0.0, named=False, ended=measured + 1)
        return self.superseded(login)

    def stands(self, session: str) -> bool:
        """Whether the room knows the session, and nothing has ended it."""
        login = self.logins.get(session)
        return login is not None and login.ended is None

    def standing_sessions(self) -> set[str]:
        """Return the sessions that the room knows, and nothing has ended."""
        return {session for session, login in self.logins.items() if login.ended is None}

    def placed_sessions(self) -> set[str]:
        """Return the named, active sessions: each takes a place."""
        return {session for session, login in self.logins.items() if login.holds}

    def sessions(self, now: float, *, present: Container[str] = ()) -> list[SessionInfo]:
        """Describe the named, active sessions, the newest first; the `present` are seen now."""
        return session_infos(self.logins.items(), now, present)

    def names(self) -> list[str]:
        """Return the named, active sessions, the newest first."""
        return [session for session, _ in newest_first(self.logins.items())]

    def check(
        self, session: str, proof: Ticket | int | None = None, *, now: float
    ) -> Login | Termination | None:
        """Return the verdict of a join, and change nothing: the login, or what has ended it.

        Return None if the room does not know the session: it has only joined, was never named, or
        was forgotten. A join with a ticket may be admitted then. A named, active session is always
        known. `proof` may be just the number of an epoch. It can show that an unknown session has
        ended, and is ignored for a known one.
        """
        known = self.logins.get(session)
        if known and known.holds:
            return known
        if isinstance(proof, int):
            login = self._proved(proof, now, now) if known is None or known.is_claim else known
        else:
            login = self.login(session, proof, now=now)
        return self.superseded(login)

    def newest(self, *, besides: Container[str] = ()) -> str | None:
        """Return the active session that joined last, leaving out `besides`.

        A session joins when its login is first seen: an old one that only reconnects does not
        become the newest.
        """
        for session in reversed(self.logins):
            if self.stands(session) and session not in besides:
                return session
        return None

    def knows(self, session: str, login: Login) -> bool:
        """Whether the room has exactly this login of a session."""
        return self.logins.get(session) == login

    def admit(self, session: str, login: Login) -> bool:
        """Note that an active session was seen; False if the room knew its `login` already.

        A login above the room's epoch means that the room has lost its memory. Then the room takes
        that epoch, and ends older logins as the notify did.
        """
        if self.knows(session, login):
            return False
        self._remember(session, login)
        if login.epoch > self.epoch:
            self.epoch = login.epoch
            self._end_oldest(keep=self.places)
        elif not login.named:
            self._forget(ended=False, named=False)
        return True

    def mark_named(self, session: str) -> bool:
        """Count a session as named from now on; False if it was already, or has ended.

        Call this before a ticket is signed for the session.
        """
        login = self.login(session)
        if login.named or login.ended is not None:
            return False
        return self.admit(session, Login(self.epoch, self.touched, self.touched))

    def see(self, session: str, now: float) -> None:
        """Note that a session, if it is known, was seen at `now`."""
        if login := self.logins.get(session):
            self.logins[session] = login.seen_at(now)

    def advance(
        self,
        sender: str | None,
        reason: str,
        detail: dict[str, Any] | None,
        *,
        end: Collection[str] = (),
        limit: int | None = None,
        at_limit: AtLimit | None = None,
        about: dict[str, Any] | None = None,
        present: Collection[str] = (),
    ) -> Decision:
        """Accept a notify: all sessions except the newest end; the `sender` is the newest.

        The sessions of `end` end first, and free their places; without a sender, all end. Places of
        sessions that are not `present`, and have not been for `ticket_lifetime`, are free. With a
        sender, `limit` is the room's from now on; None: the configured one. `about` describes the
        sender for a person; None keeps the present value.

        Raises:
            LimitReached: every place is taken, and no session may be ended for it.
        """
        absent = self._absent(present)
        if sender is not None:
            if (at_limit or self.config.at_limit) == "refuse-new":
                places = self.config.max_sessions if limit is None else limit
                self._check_limit(places, {sender, *absent, *end}, present)
            self.limit = limit
        before = self.standing_sessions()
        for session in absent:
            self.release(session)
        self.epoch += 1
        self.notified = self.touched
        termination = Termination(self.epoch, reason, detail)
        self.terminations.append(termination)
        del self.terminations[:-MAX_TERMINATIONS]
        for session in end:
            if (login := self._known(session, present)) and login.ended is None:
                self._end(session, login, self.epoch)
        if sender is not None:
            if about is None and (known := self.logins.get(sender)):
                about = known.about
            self._remember(sender, Login(self.epoch, self.touched, self.touched, about=about))
        self._end_oldest(keep=0 if sender is None else self.places)
        return Decision(termination, tuple(sorted(before - self.standing_sessions())))

    def release(
        self,
        session: str,
        reason: str = "logout",
        *,
        epoch: int | None = None,
        present: Container[str] = (),
    ) -> Decision:
        """End the session, which logs out, unless it has ended already. No other session ends.

        With the `epoch` of its login, a newer login stays. A session that is neither known nor
        `present` is barred only with an `epoch`: otherwise a caller could fill the memory with such
        names.
        """
        told = attrs.evolve(self._released(), reason=reason)
        login = self._known(session, present)
        stood = login is not None and login.ended is None
        if epoch is not None and (login is None or login.is_claim):
            # As with a ticket, a proof counts more than a claim.
            login = self._proved(epoch, self.touched, self.touched)
        if login is None:
            return Decision(told)
        if epoch is not None and stood and login.epoch > epoch:
            return Decision(told)
        if not stood and (ended := self.superseded(login)):
            if epoch is not None and session in self.logins:
                self.logins[session] = attrs.evolve(login, epoch=max(login.epoch, epoch))
            return Decision(ended)
        # Without an epoch, the time says which login it was: one older than this.
        seen = self.touched if epoch is None else 0.0
        login = attrs.evolve(login, epoch=max(login.epoch, epoch or 0), seen=seen)
        self._end(session, login, RELEASED)
        self._forget_ended()
        return Decision(told, (session,) if stood else ())

    def forget(self) -> None:
        """Forget the oldest sessions of each kind that are more than may be remembered."""
        self._forget_ended()
        self._forget(ended=False, named=False)

    def record(self) -> Record:
        """Return the standing as it is now; later changes do not affect it."""
        return Record(
            self.epoch,
            self.floor,
            dict(self.logins),
            tuple(self.terminations),
            self.touched,
            self.notified,
            self.forgotten,
            self.limit,
        )

    def _released(self) -> Termination:
        return Termination(self.epoch, "logout")

    def _proved(self, epoch: int, issued: float, now: float) -> Login:
        """Return a login of which only its proof is known: an epoch, and when it was issued."""
        ended = None
        if epoch < self.ended_below:
            # No later notify can have ended a login of the present epoch.
            ended = epoch + 1 if epoch < self.epoch else RELEASED
        return Login(epoch, issued, now, ended=ended)

    def _known(self, session: str, present: Container[str]) -> Login | None:
        """Return what is known of a session; a present one has at least joined."""
        return self.logins.get(session) or (self.login(session) if session in present else None)

    def _end_oldest(self, *, keep: int) -> None:
        """End all sessions except the `keep` newest; raise the floor if all of these were named."""
        standing = [item for item in self.logins.items() if item[1].ended is None]
        if len(standing) > keep:
            # Sorting is stable: of those of one epoch, the last seen is the newest.
            standing.sort(key=lambda item: (item[1].named, item[1].epoch))
            over = len(standing) - keep
            for session, login in standing[:over]:
                self._end(session, login, self.epoch)
            standing = standing[over:]
        held = [login.epoch for _, login in standing if login.named]
        if len(held) == keep:
            self.floor = min(held, default=self.epoch)
        self._forget_ended()

    def _end(self, session: str, login: Login, by: int) -> None:
        """Note what has ended a session. The sessions that ended last are forgotten last."""
        ended = Login(
            login.epoch, login.since, login.seen, login.named, by, login.about, self.touched
        )
        self._remember(session, ended)

    def _remember(self, session: str, login: Login) -> None:
        self.logins.pop(session, None)
        self.logins[session] = login

    def _forget_ended(self) -> None:
        self._forget_expired()
        # Two kinds, so that sessions that only joined cannot make the room forget logins.
        self._forget(ended=True, named=False)
        self._forget(ended=True, named=True)

    def _forget_expired(self) -> None:
        """Forget the sessions that ended so long ago that none of their tickets is valid."""
        kept = memory_of(self.config.ticket_lifetime)
        for session, login in list(self.logins.items()):
            if login.until is not None and self.touched - login.until > kept:
                self._forget_one(session)

    def _forget(self, *, ended: bool, named: bool) -> None:
        """Forget the oldest sessions of one kind, if there are more than may be remembered."""
        limit = self.config.max_remembered_sessions
        if len(self.logins) <= limit:
            return
        kind = [
            session
            for session, login in self.logins.items()
            if login.named is named and (login.ended is not None) is ended
        ]
        for session in kind[:-limit]:
            self._forget_one(session)

    def _forget_one(self, session: str) -> None:
        """Forget a session that has ended, or has only joined."""
        login = self.logins.pop(session)
        # A session that has only joined proves no epoch, and must not end one that proves it.
        if login.named:
            self.forgotten = max(self.forgotten, login.epoch)

    def _absent(self, present: Container[str]) -> list[str]:
        """Return the sessions that were not seen for so long that their places are free."""
        lifetime = self.config.ticket_lifetime
        return [
            session
            for session, login in self.logins.items()
            if self.touched - login.seen > lifetime and login.holds and session not in present
        ]

    def _check_limit(self, places: int, besides: Container[str], present: Collection[str]) -> None:
        others = [item for item in self.logins.items() if item[1].holds and item[0] not in besides]
        if len(others) >= places:
            raise LimitReached(session_infos(others, self.touched, set(present)))
