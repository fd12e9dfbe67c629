"""The effect of a notify or a release, worked out on a copy, so that nothing has happened yet.

The rules are in `core.standing`. This module passes the present sessions and the configuration to
them.
"""

from collections.abc import Collection, Container

import attrs

from ..config import Config
from ..core.logins import Decision, Termination
from ..core.notify import LAST_JOINED, Notify, Release
from ..core.standing import Standing
from ..values import frozen


class _AllBut:
    """Every session but some."""

    def __init__(self, sessions: Collection[str]) -> None:
        self._sessions = sessions

    def __contains__(self, session: object) -> bool:
        return session not in self._sessions


@frozen
class Draft:
    """A notify or a release, and the standing that it would make."""

    wanted: Notify | Release
    standing: Standing = attrs.field(repr=False)
    sender: str | None = attrs.field(repr=False)
    """The session that stays; of a release, None."""
    decision: Decision
    active: set[str] = attrs.field(init=False, repr=False)
    """The sessions that are active in `standing`."""

    @active.default
    def _active(self) -> set[str]:
        return self.standing.standing_sessions()

    @property
    def termination(self) -> Termination:
        """The message to the ended sessions' members."""
        return self.decision.termination

    @property
    def staying(self) -> Container[str]:
        """The sessions whose members stay."""
        if isinstance(self.wanted, Release):
            return _AllBut(self.decision.ended)
        return self.active

    @property
    def ended(self) -> set[str]:
        """The sessions that have ended by it; also named ones that the room does not know."""
        named = (self.wanted.session,) if isinstance(self.wanted, Release) else self.wanted.end
        return {*self.decision.ended, *named} - self.active


def draft(
    wanted: Notify | Release, standing: Standing, present: Collection[str], config: Config
) -> Draft:
    """Carry out a notify or a release on `standing`; `present` are the sessions with members.

    Raises:
        LimitReached: every place is taken.
    """
    if isinstance(wanted, Release):
        decision = standing.release(
            wanted.session, wanted.reason, epoch=wanted.epoch, present=present
        )
        return Draft(wanted, standing, None, decision)
    sender = wanted.sender
    if sender is LAST_JOINED:
        sender = standing.newest(besides=wanted.end)
    decision = standing.advance(
        sender,
        wanted.reason,
        wanted.detail,
        end=wanted.end,
        limit=wanted.limit(config),
        at_limit=wanted.at_limit,
        about=wanted.about,
        present=present,
    )
    return Draft(wanted, standing, sender, decision)
