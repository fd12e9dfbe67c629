"""What a session of Engine.IO wants done."""

from typing import Generic, TypeVar

import attrs

from ...values import frozen

Request = TypeVar("Request")
Socket = TypeVar("Socket")


@frozen
class Answer(Generic[Request]):
    """Answer a GET with these packets."""

    request: Request
    packets: bytes = attrs.field(repr=False)


@frozen
class Accept(Generic[Request]):
    """Answer a POST: its packets were taken."""

    request: Request


@frozen
class Refuse(Generic[Request]):
    """Answer a request: it may not come here and now."""

    request: Request


@frozen
class Send(Generic[Socket]):
    """Send packets on a WebSocket; with `keep`, even if others come last."""

    websocket: Socket
    packets: bytes = attrs.field(repr=False)
    keep: bool = False


@frozen
class Drop(Generic[Socket]):
    """Close a WebSocket that is not this session's, or not any more."""

    websocket: Socket


@frozen
class Deliver:
    """Hear what the client says."""

    message: str | bytes = attrs.field(repr=False)


@frozen
class Ended:
    """The session has ended: by the client, if `hung_up`. Nothing comes after it."""

    hung_up: bool
