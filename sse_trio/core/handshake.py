"""A client's WebSocket handshake (RFC 6455, section 4.2)."""

import base64
import binascii
import hashlib
from typing import Final

import h11

from ..config import Config
from ..values import frozen
from .cors import may_come_from
from .headers import Headers, RequestHeaders
from .messages import SUBPROTOCOLS, understands_hold
from .problems import ORIGIN_REFUSED, Problem

# RFC 9110, section 7.8: who sends Upgrade names it in Connection.
_UPGRADE: Final = ((b"Upgrade", b"websocket"), (b"Connection", b"Upgrade"))

_WEBSOCKET_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


@frozen
class Upgrade:
    """A WebSocket handshake; `accept` and `subprotocol` are for the answer."""

    accept: bytes
    subprotocol: str | None

    @property
    def holds(self) -> bool:
        """Whether the client understands `Hold`."""
        return understands_hold(self.subprotocol)

    @property
    def headers(self) -> Headers:
        """The headers of the 101 (RFC 6455, section 4.2.2)."""
        headers = [*_UPGRADE, (b"Sec-WebSocket-Accept", self.accept)]
        if self.subprotocol:
            headers.append((b"Sec-WebSocket-Protocol", self.subprotocol.encode()))
        return headers


def read_handshake(
    request: h11.Request, headers: RequestHeaders, config: Config
) -> Upgrade | Problem:
    """Check a client's handshake (RFC 6455, section 4.2.1)."""
    asked = headers.lists(b"upgrade", b"websocket") and headers.lists(b"connection", b"upgrade")
    if not asked:
        return Problem(
            "upgrade-required", "this path is for WebSockets", _UPGRADE, handshake="no_upgrade"
        )
    if headers.get(b"sec-websocket-version") != b"13":
        return Problem(
            "upgrade-required",
            "this server speaks only version 13",
            (*_UPGRADE, (b"Sec-WebSocket-Version", b"13")),
            handshake="version",
        )
    key = headers.get(b"sec-websocket-key") or b""
    if request.http_version < b"1.1" or not _is_nonce(key):
        malformed = "this is not a well-formed WebSocket handshake"
        return Problem("malformed", malformed, handshake="malformed")
    if not may_come_from(headers.get(b"origin"), config):
        return ORIGIN_REFUSED
    offered = headers.tokens(b"sec-websocket-protocol")
    return Upgrade(
        accept=handshake_accept(key),
        subprotocol=next((known for known in SUBPROTOCOLS if known.encode() in offered), None),
    )


def handshake_accept(key: bytes) -> bytes:
    """Return the ``Sec-WebSocket-Accept`` for a ``Sec-WebSocket-Key``."""
    # RFC 6455 prescribes SHA-1 here; it protects nothing.
    digest = hashlib.sha1(key + _WEBSOCKET_GUID, usedforsecurity=False).digest()
    return base64.b64encode(digest)


def _is_nonce(key: bytes) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == 16
    except binascii.Error:
        return False
