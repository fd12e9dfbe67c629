"""What is told of the sessions that stand in a room, to whoever asks for them."""

import hashlib
from typing import Any

import attrs


def fingerprint(session: str) -> str:
    """Return what a session is called where its id must not be told: 16 hex digits of its SHA-256.

    Who has the id of a session can claim it. Operators only have to tell one from another.
    """
    return hashlib.sha256(session.encode()).hexdigest()[:16]


@attrs.frozen(kw_only=True)
class SessionInfo:
    """A session that stands. Times are Unix seconds."""

    session: str = attrs.field(repr=False)
    epoch: int
    """Its login's."""
    since: float
    """When it logged in."""
    seen: float
    """When it was last known to be there, if it is not `connected`."""
    connected: bool = False
    """Whether a page of it is connected."""
    about: dict[str, Any] | None = attrs.field(default=None, repr=False)
    """What the application has said of it, for a person to know it by."""


@attrs.frozen(kw_only=True)
class Roster:
    """Who stands in a room."""

    room: str = attrs.field(repr=False)
    epoch: int
    floor: int
    """The epoch below which every login has ended. It says nothing of the others."""
    sessions: tuple[SessionInfo, ...] = attrs.field(repr=False)
    """The newest first."""
