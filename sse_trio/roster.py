"""What is told of the sessions that stand in a room, to whoever asks for them."""

from typing import Any

import attrs


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
