"""What a notify or a release would come to: worked out on a copy, so that nothing has happened yet.

The rules are `core.standing`'s. Here they are given who is present, and what is configured.
"""

from collections.abc import Collection, Container

import attrs

from ..config import Config
from ..core.logins import Decision, Termination
from ..core.notify import LAST_JOINED, Notify, Release
from ..core.standing import Standing


class _AllBut:
    """Every session but some."""

    def __init__(self, sessions: Collection[str]) -> None:
        self._sessions = sessions

    def __contains__(self, session: object) -> bool:
        return session not in self._sessions


@attrs.frozen
class Draft:
    """A notify or a release, and the standing that it would make."""

    wanted: Notify | Release
    standing: Standing = attrs.field(repr=False)
    sender: str | None = attrs.field(repr=False)
    """The session that stays; of a release, None."""
    decision: Decision

    @property
    def termination(self) -> Termination:
        """What the ended sessions' members are told."""
        return self.decision.termination

    @property
    def spared(self) -> Container[str]:
        """The sessions whose members stay."""
        if isinstance(self.wanted, Release):
            return _AllBut(self.decision.ended)
        return self.standing.standing_sessions()

    @property
    def ended(self) -> set[str]:
        """The sessions that have ended by it; also named ones that the room does not know."""
        named = (self.wanted.session,) if isinstance(self.wanted, Release) else self.wanted.end
        return {*self.decision.ended, *named} - self.standing.standing_sessions()


def draft(
    wanted: Notify | Release, standing: Standing, present: Collection[str], config: Config
) -> Draft:
    """Carry out on `standing` what is wanted; `present` are the sessions that have members.

    Raises:
        LimitReached: there is no place for another login.
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
