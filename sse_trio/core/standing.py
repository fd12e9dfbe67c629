"""Standing: which logins a room still recognises.

Each room counts the notifies it has accepted: its *epoch*. A notify names the sender, and
that is the sender's login, of that epoch. The rule is one line:

    after a notify, the newest `max_sessions` sessions stand, and all others have ended.

A session that has joined without ever being named is older than any that was: it takes a
place only where one is left. What has ended stays so, however often it comes back, until a
notify names it the sender again.

A session that the room does not know is judged by its ticket: it has ended if its login is
below the room's *floor*, the oldest login that a full room left standing. Without a ticket
it counts as logged in now. A ticket from beyond the room's epoch shows that the room has
lost its memory, and lifts it.

What a room remembers is bounded: the oldest session is forgotten first, and then counts as
never seen.
"""

from collections.abc import Container
from typing import Any, Final

import attrs

from ..config import Config
from ..errors import LimitReached
from .tickets import Ticket

# Terminations kept per room to answer those who come back late: almost everybody is
# ended by the last notify or the one before it.
MAX_TERMINATIONS = 8

# What ended a session that was not ended by a notify, and so by no epoch.
RELEASED: Final = -1


@attrs.frozen
class Termination:
    """What a superseded session is told: the notify that ended it."""

    epoch: int
    reason: str
    detail: dict[str, Any] | None = attrs.field(default=None, repr=False)


@attrs.frozen
class Login:
    """What a room knows of a session. Times are Unix seconds."""

    epoch: int
    since: float
    seen: float = attrs.field(eq=False)
    """When the session last joined or left."""
    named: bool = True
    """By a notify, or by the ticket it first joined with; not so where it has merely joined."""
    ended: int | None = None
    """The epoch of the notify that ended it, or `RELEASED`."""


def epoch_of(proved: int, issued: float, epoch: int, notified: float) -> int:
    """Return the epoch that a login counts as of, where something else has proved it.

    A login that was `issued` before the room was last `notified` is of an epoch before that,
    whatever it proves: the room may have forgotten, and begun to count anew.
    """
    return min(proved, epoch - 1) if issued < notified else proved


@attrs.frozen
class Record:
    """One room's standing as a value, for the ledger."""

    epoch: int
    floor: int
    logins: dict[str, Login] = attrs.field(repr=False)
    terminations: tuple[Termination, ...] = attrs.field(repr=False)
    touched: float
    notified: float


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
    """Unix seconds of the last admission or notify; it is now, to every step below."""
    notified: float = 0.0
    """Unix seconds of the last notify."""
    noted: float = attrs.field(default=0.0, eq=False)
    """When the ledger was last told of it."""

    def login(self, session: str, ticket: Ticket | None = None) -> Login:
        """Return a session's login: what is known, what its ticket proves, or as of now.

        What is known outweighs the ticket, but for one from beyond the epoch. A ticket issued
        before the last notify is older than that, whatever its epoch, and so is one issued
        before the session was released: the room may have forgotten, and begun to count anew.
        """
        known = self.logins.get(session)
        if ticket is None:
            return known or Login(self.epoch, self.touched, self.touched, named=False)
        epoch = epoch_of(ticket.epoch, ticket.issued, self.epoch, self.notified)
        is_over = known and known.ended == RELEASED and ticket.issued < known.seen
        if known and (epoch <= self.epoch or is_over):
            return known
        return Login(epoch, ticket.issued, self.touched)

    def superseded(self, login: Login) -> Termination | None:
        """Return what ended a login, or None if it stands."""
        if self._has_not_ended(login):
            return None
        if login.ended == RELEASED:
            return self._released()
        since = login.epoch + 1 if login.ended is None else login.ended
        for termination in self.terminations:
            if termination.epoch >= since:
                return termination
        # The room was lifted by a ticket: nobody is left who knows the notify's words.
        return Termination(self.epoch, "login")

    def stands(self, session: str) -> bool:
        """Whether the room knows the session, and nothing has ended it."""
        login = self.logins.get(session)
        return login is not None and self._has_not_ended(login)

    def _has_not_ended(self, login: Login) -> bool:
        return login.ended is None and login.epoch >= self.floor

    def standing(self) -> set[str]:
        """Return the sessions that the room knows, and nothing has ended."""
        return {session for session, login in self.logins.items() if self._has_not_ended(login)}

    def newest(self) -> str | None:
        """Return the session that joined last among those that stand.

        A session joins when its login is first seen: an old one that merely reconnects, at a
        network's whim, does not become the newest by it.
        """
        return next((session for session in reversed(self.logins) if self.stands(session)), None)

    def admit(self, session: str, login: Login) -> bool:
        """Note that a session that stands was seen; False if the room knew its `login` already.

        A login above the room's epoch means that the room has lost its memory: it is
        lifted to that login, which ends older ones as its notify did.
        """
        if self.logins.get(session) == login:
            return False
        self._remember(session, login)
        if login.epoch > self.epoch:
            self.epoch = login.epoch
            self._end_oldest(keep=self.config.max_sessions)
        return True

    def see(self, session: str, now: float) -> None:
        """Note that a session, if it is known, is there or has been until now."""
        if login := self.logins.get(session):
            self.logins[session] = attrs.evolve(login, seen=now)

    def advance(
        self,
        sender: str | None,
        reason: str,
        detail: dict[str, Any] | None,
        *,
        present: Container[str] = (),
    ) -> Termination:
        """Accept a notify: all but the newest sessions end, the `sender` being the newest.

        Without a sender, all end. Places of sessions that are not `present`, and have not
        been for `ticket_lifetime`, are free.

        Raises:
            LimitReached: every place is taken, and none may be taken away.
        """
        absent = self._absent(present)
        if sender is not None and self.config.at_limit == "refuse-new":
            self._check_limit({sender, *absent})
        for session in absent:
            self.release(session)
        self.epoch += 1
        self.notified = self.touched
        termination = Termination(self.epoch, reason, detail)
        self.terminations.append(termination)
        del self.terminations[:-MAX_TERMINATIONS]
        if sender is not None:
            self._remember(sender, Login(self.epoch, self.touched, self.touched))
        self._end_oldest(keep=0 if sender is None else self.config.max_sessions)
        return termination

    def release(self, session: str, reason: str = "logout") -> Termination:
        """End the session, unless something has already: it logs out. No other is concerned."""
        login = self.login(session)
        if ended := self.superseded(login):
            return ended
        self._remember(session, attrs.evolve(login, ended=RELEASED, seen=self.touched))
        return attrs.evolve(self._released(), reason=reason)

    def record(self) -> Record:
        """Return the standing as it is now, unaffected by what comes after."""
        return Record(
            self.epoch,
            self.floor,
            dict(self.logins),
            tuple(self.terminations),
            self.touched,
            self.notified,
        )

    def _released(self) -> Termination:
        return Termination(self.epoch, "logout")

    def _end_oldest(self, *, keep: int) -> None:
        """End all sessions but the newest, and lift the floor if those are logins all."""
        standing = [item for item in self.logins.items() if self._has_not_ended(item[1])]
        if len(standing) > keep:
            # Sorting is stable: of those of one epoch, the last seen is the newest.
            standing.sort(key=lambda item: (item[1].named, item[1].epoch))
            over = len(standing) - keep
            for session, login in standing[:over]:
                self.logins[session] = Login(
                    login.epoch, login.since, login.seen, login.named, self.epoch
                )
            standing = standing[over:]
        held = [login.epoch for _, login in standing if login.named]
        if len(held) == keep:
            self.floor = min(held, default=self.epoch)

    def _remember(self, session: str, login: Login) -> None:
        self.logins.pop(session, None)
        self.logins[session] = login
        while len(self.logins) > self.config.max_remembered_sessions:
            del self.logins[next(iter(self.logins))]

    def _holds(self, login: Login) -> bool:
        """Whether it holds a place: as those do that stand and were named."""
        return login.named and self._has_not_ended(login)

    def _absent(self, present: Container[str]) -> list[str]:
        """Return the sessions that have been away for so long that their places are free."""
        lifetime = self.config.ticket_lifetime
        return [
            session
            for session, login in self.logins.items()
            if self.touched - login.seen > lifetime
            and self._holds(login)
            and session not in present
        ]

    def _check_limit(self, besides: Container[str]) -> None:
        others = [g for s, g in self.logins.items() if self._holds(g) and s not in besides]
        if len(others) >= self.config.max_sessions:
            # A ticket may be of a clock that is ahead.
            raise LimitReached(sorted(max(0.0, self.touched - login.since) for login in others))
