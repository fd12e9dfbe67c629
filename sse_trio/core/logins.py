"""What a room remembers of its logins, as values."""

from collections.abc import Container, Iterable
from typing import Any, Final

import attrs

from ..roster import SessionInfo
from .tokens import LEEWAY

# In place of an epoch: a session was ended by a release, and not by a notify.
RELEASED: Final = -1


@attrs.frozen
class Termination:
    """What a superseded session is told: the notify that ended it."""

    epoch: int
    reason: str
    detail: dict[str, Any] | None = attrs.field(default=None, repr=False)


@attrs.frozen
class Decision:
    """What a notify or a release has come to."""

    termination: Termination
    """What the ended sessions' members are told."""
    ended: tuple[str, ...] = attrs.field(default=(), repr=False)
    """The sessions that the room knew, and that it has ended; sorted."""


@attrs.frozen
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
    """What a person knows the login by, as the application has said it."""

    @property
    def is_claim(self) -> bool:
        """Whether it stands, and nothing but its own join says that it logged in."""
        return not self.named and self.ended is None

    @property
    def holds(self) -> bool:
        """Whether it holds a place: it stands, and was named."""
        return self.named and self.ended is None


@attrs.frozen
class Record:
    """One room's standing as a value, for the ledger."""

    epoch: int
    floor: int
    logins: dict[str, Login] = attrs.field(repr=False)
    terminations: tuple[Termination, ...] = attrs.field(repr=False)
    touched: float
    notified: float
    forgotten: int = -1
    limit: int | None = None


def epoch_of(proved: int, issued: float, epoch: int, notified: float, now: float) -> int:
    """Return the epoch that a login counts as of, if a ticket or a token proves it.

    A login that was `issued` before the room was last `notified` is of an epoch before that,
    whatever it proves: the room may have forgotten, and begun to count anew. So is a login
    issued in the future: the clock was put back since, and nobody knows when it was issued.
    """
    is_older = issued < notified or issued > now + LEEWAY
    return min(proved, max(0, epoch - 1)) if is_older else proved


def newest_first(logins: Iterable[tuple[str, Login]]) -> list[tuple[str, Login]]:
    """Return the logins that hold a place, the newest first."""
    held = [item for item in logins if item[1].holds]
    # Sorting is stable: of those of one epoch, the last remembered is the newest.
    held.sort(key=lambda item: item[1].epoch)
    held.reverse()
    return held


def session_infos(
    logins: Iterable[tuple[str, Login]], now: float, present: Container[str]
) -> list[SessionInfo]:
    """Describe the sessions that hold a place, the newest first."""
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
