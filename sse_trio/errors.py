"""Everything sse_trio raises on purpose.

    SseTrioError
     ├── ConfigError            what the operator wrote cannot be used
     ├── LocalProtocolError     what the embedding program passed cannot be sent
     ├── RemoteProtocolError    what the peer sent breaks the protocol
     ├── Conflict               the idempotency id belongs to another notify, or its login has ended
     ├── LimitReached           every place in the room is taken, and none may be taken away
     ├── Draining               the hub is shutting down and takes no more notifies
     ├── LedgerError            the ledger cannot be opened, or a fact not be made durable
     ├── HubAway                (apps) the hub does not answer in time, or cannot know now
     ├── HubRefused             (apps) the hub refuses the request: a mistake, to be corrected
     └── MemberClosed           (client) the connection ended without a termination

Local errors are also ``ValueError``: a caller's mistake. A remote error is never
a caller's mistake and never leaves the connection that it was made on.
"""

from collections.abc import Iterable

from .roster import SessionInfo


class SseTrioError(Exception):
    """The root of the tree."""


class ConfigError(SseTrioError, ValueError):
    """A configuration key is unknown, of the wrong type, or out of range."""


class LocalProtocolError(SseTrioError, ValueError):
    """The caller passed a room, session or other value outside the protocol's limits."""


class RemoteProtocolError(SseTrioError):
    """The peer broke the protocol; `close_code` says how its WebSocket is to be closed."""

    def __init__(self, message: str, close_code: int) -> None:
        super().__init__(message)
        self.close_code = close_code


class Conflict(SseTrioError):
    """The same idempotency id was used for another notify."""


class LoginEnded(Conflict):
    """The login of the earlier notify with this idempotency id has ended since."""


class LimitReached(SseTrioError):
    """The room has `max_sessions` logins, and none may be ended: nothing was changed.

    `sessions` are these logins, the newest first: each that ends frees a place.
    """

    def __init__(self, sessions: Iterable[SessionInfo] = ()) -> None:
        super().__init__("the room has all the sessions that it may have")
        self.sessions = tuple(sessions)


class Draining(SseTrioError):
    """The hub is shutting down."""


class LedgerError(SseTrioError):
    """The ledger cannot be opened, or could not make a fact durable.

    In the second case the caller may try again with the same id.
    """


class HubAway(SseTrioError):
    """The hub has given no answer in time, or one that says that it cannot know now.

    This is not a "no": whether the login is active is not known. `retry_after`: ask again after so
    many seconds.
    """

    def __init__(self, message: str, retry_after: float = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class HubRefused(SseTrioError):
    """The hub refuses the request, and would refuse it again: the key is wrong, for example.

    `status` is that of HTTP; `kind` is the last word of the problem's type (docs/protocol.md), or
    an empty string.
    """

    def __init__(self, path: str, status: int, kind: str = "") -> None:
        super().__init__(f"the hub refuses {path}: {status} {kind}".rstrip())
        self.status = status
        self.kind = kind


class MemberClosed(SseTrioError):
    """The server ended the connection, or the connection was lost, without a termination.

    `code` is the WebSocket close code, 1006 where no close frame came (RFC 6455, section 7.1.5);
    `reason` is the server's text, or an empty string; `reconnect` is whether to connect again, with
    backoff.
    """

    def __init__(self, code: int, reason: str, *, reconnect: bool) -> None:
        super().__init__(f"closed with {code}" + (f": {reason}" if reason else ""))
        self.code = code
        self.reason = reason
        self.reconnect = reconnect
