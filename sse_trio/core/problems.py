"""Every error answer of HTTP, as ``application/problem+json`` (RFC 9457)."""

import http
from typing import Any, ClassVar, Final

import attrs
import h11

from .. import strict_json
from ..errors import Conflict, LimitReached, LoginEnded
from ..values import frozen

STATUSES: Final = {
    "malformed": 400,
    "unauthorized": 401,
    "not-standing": 401,
    "origin-refused": 403,
    "not-found": 404,
    "method-not-allowed": 405,
    "timed-out": 408,
    "id-used": 409,
    "login-ended": 409,
    "limit-reached": 409,
    "length-required": 411,
    "body-too-large": 413,
    "unsupported-media-type": 415,
    "expectation-failed": 417,
    "upgrade-required": 426,
    "too-many-wrong-keys": 429,
    "head-too-large": 431,
    "internal-error": 500,
    "coding-not-implemented": 501,
    "draining": 503,
    "loading": 503,
    "not-current": 503,
    "not-durable": 503,
}
"""Every kind of problem, and its status."""

PREFIX: Final = "urn:sse-trio:problem:"
"""What the `type` of every problem begins with; the kind follows."""


@frozen
class Problem:
    """An error as ``application/problem+json`` (RFC 9457)."""

    kind: str
    """One of `STATUSES`."""
    detail: str
    headers: tuple[tuple[bytes, bytes], ...] = ()
    close: bool = False
    extensions: tuple[tuple[str, Any], ...] = ()
    """Further members of the object (RFC 9457, section 3.2)."""
    handshake: str | None = None
    """If it refuses a WebSocket handshake: the `reason` in the metrics."""

    content_type: ClassVar[str] = "application/problem+json"

    @property
    def status(self) -> int:
        """The status of its kind."""
        return STATUSES[self.kind]

    @property
    def body(self) -> bytes:
        """The JSON text."""
        return strict_json.dumps(
            {
                "type": f"{PREFIX}{self.kind}",
                "title": http.HTTPStatus(self.status).phrase,
                "status": self.status,
                "detail": self.detail,
                **dict(self.extensions),
            }
        ).encode()


def from_error(error: h11.RemoteProtocolError) -> Problem:
    """Return the problem for an error of h11, without its message, which may quote the client."""
    if error.error_status_hint == 431:
        return HEADERS_TOO_LARGE
    if error.error_status_hint == 501:
        return Problem(
            "coding-not-implemented", "this server does not support the transfer coding", close=True
        )
    return Problem("malformed", "this is not a well-formed HTTP/1.1 request", close=True)


HEADERS_TOO_LARGE: Final = Problem("head-too-large", "the request's head is too large", close=True)
TOO_MANY_HEADERS: Final = Problem(
    "head-too-large", "the request's head has too many lines", close=True
)
TIMED_OUT: Final = Problem("timed-out", "the request took too long to arrive", close=True)
TOO_LARGE: Final = Problem("body-too-large", "the request's body is too large", close=True)
ORIGIN_REFUSED: Final = Problem(
    "origin-refused", "pages of this origin may not connect", handshake="origin"
)
UNAUTHORIZED: Final = Problem(
    "unauthorized", "a valid key is required", ((b"WWW-Authenticate", b"Bearer"),)
)
WRONG_KEYS: Final = Problem(
    "too-many-wrong-keys", "too many wrong keys from this address", ((b"Retry-After", b"60"),)
)
BROKEN: Final = Problem("internal-error", "the server has failed; its log says why", close=True)
DRAINING: Final = Problem(
    "draining", "the server is shutting down", ((b"Retry-After", b"5"),), close=True
)
NO_STREAM: Final = Problem("not-found", "there is no such stream, or it has ended")
LOADING: Final = Problem(
    "loading", "the server is still reading its ledger", ((b"Retry-After", b"5"),)
)
NOT_CURRENT: Final = Problem(
    "not-current",
    "this node cannot know now which sessions are active; ask another, or try again",
    ((b"Retry-After", b"1"),),
)
UNDURABLE: Final = Problem(
    "not-durable",
    "the ledger could not be written; try again, with the same id if there was one",
    ((b"Retry-After", b"1"),),
)


def not_allowed(allow: bytes) -> Problem:
    """Return the problem that names the methods which are allowed."""
    return Problem(
        "method-not-allowed", f"only {allow.decode()} is allowed here", ((b"Allow", allow),)
    )


def conflict(error: Conflict) -> Problem:
    """Return the problem that says why a notify's id cannot be used again."""
    return Problem("login-ended" if isinstance(error, LoginEnded) else "id-used", str(error))


def limit_reached(full: LimitReached) -> Problem:
    """Return the problem that says that the room is full, with the sessions that fill it."""
    sessions = [attrs.asdict(session, recurse=False) for session in full.sessions]
    return Problem("limit-reached", str(full), extensions=(("sessions", sessions),))
