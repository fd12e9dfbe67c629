"""Every error that HTTP is answered with, as ``application/problem+json`` (RFC 9457)."""

import http
from typing import Any, ClassVar, Final

import attrs
import h11

from .. import strict_json
from ..errors import Conflict, LimitReached


@attrs.frozen
class Problem:
    """An error as ``application/problem+json`` (RFC 9457)."""

    status: int
    detail: str
    headers: tuple[tuple[bytes, bytes], ...] = ()
    close: bool = False
    extensions: tuple[tuple[str, Any], ...] = ()
    """Further members of the object (RFC 9457, section 3.2)."""
    handshake: str | None = None
    """If it refuses a WebSocket handshake: the reason, as the metrics name it."""

    content_type: ClassVar[str] = "application/problem+json"

    @property
    def body(self) -> bytes:
        """The JSON text."""
        return strict_json.dumps(
            {
                "type": "about:blank",
                "title": http.HTTPStatus(self.status).phrase,
                "status": self.status,
                "detail": self.detail,
                **dict(self.extensions),
            }
        ).encode()


def from_error(error: h11.RemoteProtocolError) -> Problem:
    """Say what h11 found wrong with the bytes. Its words may quote them, so they stay here."""
    if error.error_status_hint == 431:
        return HEADERS_TOO_LARGE
    if error.error_status_hint == 501:
        return Problem(501, "this transfer coding is not understood", close=True)
    return Problem(400, "this is not a well-formed HTTP/1.1 request", close=True)


HEADERS_TOO_LARGE: Final = Problem(431, "the request's head is too large", close=True)
TOO_MANY_HEADERS: Final = Problem(431, "the request's head has too many lines", close=True)
TIMED_OUT: Final = Problem(408, "the request took too long to arrive", close=True)
TOO_LARGE: Final = Problem(413, "the request's body is too large", close=True)
WRONG_KEYS: Final = Problem(
    429, "too many wrong keys from this address", ((b"Retry-After", b"60"),)
)
DRAINING: Final = Problem(503, "the server is shutting down", ((b"Retry-After", b"5"),), close=True)
LOADING: Final = Problem(503, "the server is still reading its ledger", ((b"Retry-After", b"5"),))
UNDURABLE: Final = Problem(
    503,
    "the ledger could not be written; try again, with the same id if there was one",
    ((b"Retry-After", b"1"),),
)


def conflict(error: Conflict) -> Problem:
    """Say why an id cannot be used again."""
    return Problem(409, str(error))


def limit_reached(full: LimitReached) -> Problem:
    """Say that a new login is refused, and name those that are in the way."""
    sessions = [attrs.asdict(session, recurse=False) for session in full.sessions]
    return Problem(409, str(full), extensions=(("sessions", sessions),))
