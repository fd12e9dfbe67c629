"""An HTTP request, as h11 events, turned into what is to be done about it.

Events go in one at a time; out comes one of

    `Notify`    a login, authenticated and checked
    `Release`   a logout, likewise
    `Upgrade`   a WebSocket handshake that may be answered with 101
    `Page`      something to GET
    `Problem`   why it cannot be done (RFC 9457)

or None while more is needed. Anything else is a bug. What can be answered only by giving
up the connection, because where the next request begins is no longer known, is a Problem
that says `close`.
"""

import base64
import binascii
import functools
import hashlib
import hmac
from collections.abc import Callable
from typing import Any, Final

import attrs
import h11

from .. import strict_json
from ..config import Config
from ..origins import normalise
from .messages import SUBPROTOCOL
from .notify import Notify, Release
from .problems import TOO_LARGE, Problem

PAGES: Final = ("/", "/client.js", "/healthz", "/readyz", "/metrics")

# RFC 9110, section 7.8: who sends Upgrade names it in Connection.
_UPGRADE: Final = ((b"Upgrade", b"websocket"), (b"Connection", b"Upgrade"))

# What an application server announces, and where.
_ANNOUNCEMENTS: Final[dict[str, type[Notify | Release]]] = {
    "/notify": Notify,
    "/release": Release,
}

_WEBSOCKET_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

Headers = list[tuple[bytes, bytes]]


@attrs.frozen
class Upgrade:
    """A WebSocket handshake; `accept` and `subprotocol` are for the answer."""

    accept: bytes
    subprotocol: str | None

    @property
    def headers(self) -> Headers:
        """The headers of the 101 (RFC 6455, section 4.2.2)."""
        headers = [*_UPGRADE, (b"Sec-WebSocket-Accept", self.accept)]
        if self.subprotocol:
            headers.append((b"Sec-WebSocket-Protocol", self.subprotocol.encode()))
        return headers


@attrs.frozen
class Page:
    """A GET or HEAD of one of `PAGES`, and the versions that the client has of it."""

    path: str
    known: frozenset[bytes] = frozenset()

    def is_known(self, etag: bytes) -> bool:
        """Whether the client has this version (RFC 9110, section 13.1.2)."""
        return etag in self.known or b"*" in self.known


Outcome = Notify | Release | Upgrade | Page | Problem


class RequestReader:
    """Reads one request after another; `feed` it h11's events."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self.decide: Callable[[bytes], Outcome] | None = None
        """What is to be done, by the body; known when the head is."""
        self._body = bytearray()

    def feed(self, event: h11.Request | h11.Data | h11.EndOfMessage) -> Outcome | None:
        """Take the next event of the request; return what to do, once that is known."""
        if isinstance(event, h11.Request):
            return self._head(event)
        if isinstance(event, h11.Data):
            self._body += event.data
            return TOO_LARGE if len(self._body) > self._config.max_body else None
        assert self.decide is not None, "h11 gives a Request before an EndOfMessage"
        body = bytes(self._body)
        self._body.clear()
        return self.decide(body)

    def _head(self, request: h11.Request) -> Problem | None:
        headers = _Headers(request)
        if problem := self._framing(request, headers):
            return problem
        outcome = self._route(request, headers)
        self.decide = outcome if callable(outcome) else lambda _: outcome
        # Who waits for a 100 (Continue) is spared sending a body that will not be read.
        if isinstance(outcome, Problem) and headers.get(b"expect"):
            return attrs.evolve(outcome, close=True)
        return None

    def _framing(self, request: h11.Request, headers: "_Headers") -> Problem | None:
        """Find what makes the message's own length doubtful (RFC 9112, section 6)."""
        chunked = headers.get(b"transfer-encoding") is not None
        length = headers.get(b"content-length")
        if chunked and (length is not None or request.http_version < b"1.1"):
            return Problem(400, "the length of the body is ambiguous", close=True)
        if length is not None and int(length) > self._config.max_body:
            return TOO_LARGE
        expect = headers.get(b"expect")
        if expect is not None and expect.lower() != b"100-continue":
            return Problem(417, "only 100-continue can be expected", close=True)
        return None

    def _route(
        self, request: h11.Request, headers: "_Headers"
    ) -> Outcome | Callable[[bytes], Outcome]:
        method, path = request.method, _path(request.target)
        if announced := _ANNOUNCEMENTS.get(path):
            if method != b"POST":
                return _not_allowed(b"POST")
            return self._announcement(announced, headers)
        if path == "/ws":
            if method != b"GET":
                return attrs.evolve(_not_allowed(b"GET"), handshake="method")
            return self._upgrade(request, headers)
        if path in PAGES and (path != "/metrics" or self._config.metrics):
            if method not in (b"GET", b"HEAD"):
                return _not_allowed(b"GET, HEAD")
            # By the weak comparison, because a proxy that compresses makes an ETag weak.
            known = headers.tokens(b"if-none-match")
            return Page(path, frozenset(etag.removeprefix(b"W/") for etag in known))
        return Problem(404, "there is nothing here")

    def _announcement(
        self, kind: type[Notify | Release], headers: "_Headers"
    ) -> Problem | Callable[[bytes], Outcome]:
        if problem := _check_content_type(headers.get(b"content-type")):
            return problem
        if (headers.get(b"content-encoding") or b"identity").lower() != b"identity":
            return Problem(415, "the body must not be compressed")
        if headers.get(b"content-length") is None and headers.get(b"transfer-encoding") is None:
            return Problem(411, "this request needs a body")
        return functools.partial(
            _parse_untrusted, self._config, kind, headers.get(b"authorization")
        )

    def _upgrade(self, request: h11.Request, headers: "_Headers") -> Upgrade | Problem:
        """Check a client's handshake (RFC 6455, section 4.2.1)."""
        asked = headers.lists(b"upgrade", b"websocket") and headers.lists(b"connection", b"upgrade")
        if not asked:
            return Problem(426, "this path is for WebSockets", _UPGRADE, handshake="no_upgrade")
        if headers.get(b"sec-websocket-version") != b"13":
            return Problem(
                426,
                "only version 13 is spoken here",
                (*_UPGRADE, (b"Sec-WebSocket-Version", b"13")),
                handshake="version",
            )
        key = headers.get(b"sec-websocket-key") or b""
        if request.http_version < b"1.1" or not _is_nonce(key):
            malformed = "this is not a well-formed WebSocket handshake"
            return Problem(400, malformed, handshake="malformed")
        if not self._may_come_from(headers.get(b"origin")):
            return Problem(403, "pages of this origin may not connect", handshake="origin")
        offered = headers.tokens(b"sec-websocket-protocol")
        return Upgrade(
            accept=handshake_accept(key),
            subprotocol=SUBPROTOCOL if SUBPROTOCOL.encode() in offered else None,
        )

    def _may_come_from(self, origin: bytes | None) -> bool:
        # Browsers always send an Origin; who sends none is not a page in one.
        if origin is None or self._config.origins is None:
            return True
        try:
            return normalise(origin.decode("ascii")) in self._config.origins
        except ValueError:
            return False


class _Headers:
    """The headers of one request. h11 has lowered the names and checked the values."""

    def __init__(self, request: h11.Request) -> None:
        self._items = list(request.headers)

    def get(self, wanted: bytes) -> bytes | None:
        """Return the value; a header sent twice is joined as RFC 9110, section 5.3 says."""
        values = [value for key, value in self._items if key == wanted]
        return b", ".join(values) if values else None

    def tokens(self, wanted: bytes) -> list[bytes]:
        """Return a comma-separated list (RFC 9110, section 5.6.1: empty elements are none)."""
        tokens = map(bytes.strip, (self.get(wanted) or b"").split(b","))
        return [token for token in tokens if token]

    def lists(self, wanted: bytes, token: bytes) -> bool:
        """Whether a case-insensitive list holds `token`."""
        return token in map(bytes.lower, self.tokens(wanted))


def _parse_untrusted(
    config: Config, kind: type[Notify | Release], authorization: bytes | None, body: bytes
) -> Outcome:
    try:
        members = strict_json.loads_untrusted(body)
        if not isinstance(members, dict):
            raise ValueError("the body must be a JSON object")
        announced = _announced(kind, members)
        presented = _presented_keys(members, authorization)
    except ValueError as error:
        return Problem(400, str(error))
    # The key comes last: a right one turns a 401 into an effect and nothing else, so
    # that whoever is refused for guessing cannot tell by a 400 that a guess was right.
    # All that are presented must be right, so that neither hides behind the other.
    if not presented or not all(is_authkey(config, key) for key in presented):
        return Problem(401, "a valid key is required", ((b"WWW-Authenticate", b"Bearer"),))
    return announced


def _announced(kind: type[Notify | Release], members: dict[str, Any]) -> Notify | Release:
    required, known = _MEMBERS[kind]
    for missing in required:
        if missing not in members:
            raise ValueError(f"{missing} is missing")
    return kind(**{key: value for key, value in members.items() if key in known})


# The members that have to be there, and all of them.
_MEMBERS: Final = {
    kind: (
        [name for name, field in attrs.fields_dict(kind).items() if field.default is attrs.NOTHING],
        # Only a program that embeds the hub can set these.
        frozenset(attrs.fields_dict(kind)) - {"end"},
    )
    for kind in _ANNOUNCEMENTS.values()
}


def is_authkey(config: Config, presented: bytes) -> bool:
    """Compare with every key, in a time that depends on none of them."""
    given = hashlib.sha256(presented).digest()
    matches = [hmac.compare_digest(given, digest) for digest in _digests(config.authkey)]
    return any(matches)


@functools.lru_cache(8)
def _digests(authkeys: tuple[str, ...]) -> list[bytes]:
    return [hashlib.sha256(key.encode()).digest() for key in authkeys]


def handshake_accept(key: bytes) -> bytes:
    """Return the ``Sec-WebSocket-Accept`` for a ``Sec-WebSocket-Key``."""
    # RFC 6455 prescribes SHA-1 here; it protects nothing.
    digest = hashlib.sha1(key + _WEBSOCKET_GUID, usedforsecurity=False).digest()
    return base64.b64encode(digest)


def _presented_keys(members: dict[str, Any], authorization: bytes | None) -> list[bytes]:
    keys = []
    if authorization is not None:
        scheme, _, token = authorization.partition(b" ")
        # Another scheme presents a key that cannot be right: an empty one never is.
        keys.append(token.strip() if scheme.lower() == b"bearer" else b"")
    if "key" in members:
        if not isinstance(members["key"], str):
            raise ValueError("key must be a string")
        keys.append(members["key"].encode())
    return keys


def _path(target: bytes) -> str:
    """Return the path of an origin-form or absolute-form target (RFC 9112, section 3.2)."""
    text = target.decode("ascii", "replace").partition("?")[0]
    scheme, separator, rest = text.partition("://")
    if separator and scheme.lower() in ("http", "https", "ws", "wss"):
        return "/" + rest.partition("/")[2]
    return text


def _not_allowed(allow: bytes) -> Problem:
    return Problem(405, f"only {allow.decode()} is allowed here", ((b"Allow", allow),))


def _check_content_type(value: bytes | None) -> Problem | None:
    media, _, parameters = (value or b"").decode("latin-1").lower().partition(";")
    if media.strip() != "application/json":
        return Problem(415, "Content-Type must be application/json")
    for parameter in parameters.split(";"):
        key, _, text = parameter.partition("=")
        if key.strip() == "charset" and text.strip().strip('"') not in ("utf-8", "utf8"):
            return Problem(415, "the only charset of JSON is UTF-8")
    return None


def _is_nonce(key: bytes) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == 16
    except binascii.Error:
        return False
