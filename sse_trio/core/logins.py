"""What a room remembers of its logins, as values."""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from typing import Any, Final

import attrs

from ..roster import SessionInfo
from ..values import frozen
from .tokens import LEEWAY

# In place of an epoch: a release has ended the session, and not a notify.
RELEASED: Final = -1

# How often at most, in a `ticket_lifetime`, the hub writes to the ledger only that a room is used.
# So after a restart, the room may have been used later than its record says, by such a part.
NOTES_A_LIFETIME: Final = 30


def memory_of(ticket_lifetime: float) -> float:
    """Return for how many seconds an unused room, and an ended session, is remembered.

    A ticket may still be valid then, on a clock that is behind, even if it was signed at a use of
    the room that was not written to the ledger.
    """
    return ticket_lifetime + ticket_lifetime / NOTES_A_LIFETIME + LEEWAY


@frozen
class Termination:
    """The message to a superseded session: the notify that ended it."""

    epoch: int
    reason: str
    detail: dict[str, Any] | None = attrs.field(default=None, repr=False)


@frozen
class Decision:
    """The result of a notify or a release."""

    termination: Termination
    """The message to the ended sessions' members."""
    ended: tuple[str, ...] = attrs.field(default=(), repr=False)
    """The sessions that the room knew, and that it has ended; sorted."""


@frozen
class Login:
    """What a room knows of a session. Times are Unix seconds."""

    epoch: int
    since: float
    seen: float = attrs.field(eq=False)
    """When the session last joined or left."""
    named: bool = True
    """By a notify, or by the ticket that it first joined with. False if it has only joined."""
    ended: int | None = None
    """The epoch of the notify that ended it, or `RELEASED`."""
    about: dict[str, Any] | None = attrs.field(default=None, repr=False)
    """The application's description of the login for a person."""
    until: float | None = attrs.field(default=None, eq=False)
    """When it ended; None if it is active."""

    @property
    def is_claim(self) -> bool:
        """Whether it is active, and only its own join says that it has logged in."""
        return not self.named and self.ended is None

    @property
    def holds(self) -> bool:
        """Whether it takes a place: it is active, and was named."""
        return self.named and self.ended is None

    def seen_at(self, now: float) -> "Login":
        """Return the same login, seen `now`.

        Each check of a token needs it, and `attrs.evolve` takes three times as long.
        """
        return Login(self.epoch, self.since, now, self.named, self.ended, self.about, self.until)


class StoredLogins(Mapping[str, Login]):
    """The logins of a room in the text that a ledger has, which `decode` reads whenever it is used.

    Of the rooms that a server finds at its start, it needs few soon. The text takes less memory
    than the logins, and they need not be made.
    """

    __slots__ = ("_decode", "_text", "is_held", "was_named")

    def __init__(
        self,
        text: str,
        decode: Callable[[str], dict[str, Login]],
        *,
        was_named: bool,
        is_held: bool,
    ) -> None:
        self._text = text
        self._decode = decode
        self.was_named = was_named
        """Whether one of them was named."""
        self.is_held = is_held
        """Whether one of them takes a place."""

    def __getitem__(self, session: str) -> Login:
        return self.copy()[session]

    def __iter__(self) -> Iterator[str]:
        return iter(self.copy())

    def __len__(self) -> int:
        return len(self.copy())

    def copy(self) -> dict[str, Login]:
        """Return the logins."""
        return self._decode(self._text)


@attrs.frozen
class Record:
    """One room's standing as a value, for the ledger."""

    epoch: int
    floor: int
    logins: dict[str, Login] | StoredLogins = attrs.field(repr=False)
    terminations: tuple[Termination, ...] = attrs.field(repr=False)
    touched: float
    notified: float
    forgotten: int = -1
    limit: int | None = None


def epoch_of(proved: int, issued: float, epoch: int, notified: float, now: float) -> int:
    """Return the epoch that a login counts as of, if a ticket or a token proves it.

    A login that was `issued` before the room was last `notified` is of an epoch before that, even
    if it proves a later one: the room may have lost its memory, and counted from 0 again. So is a
    login issued in the future: the clock was set back since, and the real time of issue is unknown.
    """
    is_older = issued < notified or issued > now + LEEWAY
    return min(proved, max(0, epoch - 1)) if is_older else proved


def newest_first(logins: Iterable[tuple[str, Login]]) -> list[tuple[str, Login]]:
    """Return the logins that take a place, the newest first."""
    held = [item for item in logins if item[1].holds]
    # Sorting is stable: of those of one epoch, the last remembered is the newest.
    held.sort(key=lambda item: item[1].epoch)
    held.reverse()
    return held


def session_infos(
    logins: Iterable[tuple[str, Login]], now: float, present: Container[str]
) -> list[SessionInfo]:
    """Describe the sessions that take a place, the newest first."""
    return [
        SessionInfo(
            session=session,
            epoch=login.epoch,
            since=login.since,
            seen=now if session in present else login.seen,
            connected=session in present,
            about=login.about,
        )
        for session, login in newest_first(logins)
    ]
