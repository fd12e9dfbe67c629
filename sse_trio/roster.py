"""The active sessions of a room, as applications and operators see them."""

import hashlib
from typing import Any

import attrs


def fingerprint(session: str) -> str:
    """Return 16 hex digits of a session's SHA-256: its name where its id must not be shown.

    Anyone who has the id of a session can join as it. Operators only have to distinguish sessions.
    """
    return hashlib.sha256(session.encode()).hexdigest()[:16]


@attrs.frozen(kw_only=True)
class SessionInfo:
    """An active session. Times are Unix seconds."""

    session: str = attrs.field(repr=False)
    epoch: int
    """The login's epoch."""
    since: float
    """When it logged in."""
    seen: float
    """When it was last seen; now, if it is `connected`."""
    connected: bool = False
    """Whether one of its pages is connected."""
    about: dict[str, Any] | None = attrs.field(default=None, repr=False)
    """The application's description of the login for a person."""


@attrs.frozen(kw_only=True)
class Roster:
    """The active sessions of a room."""

    room: str = attrs.field(repr=False)
    epoch: int
    floor: int
    """Every login of an older epoch has ended. It says nothing about the others."""
    sessions: tuple[SessionInfo, ...] = attrs.field(repr=False)
    """The newest first."""
