"""Requests of Engine.IO, on which Socket.IO travels: what each asks for, by its head.

A session begins with a GET, or with a WebSocket. Its id is in the query of all further requests.
A refusal has one of the codes that clients know. They read it only with the headers of CORS.
(https://github.com/socketio/socket.io, docs/engine.io-protocol)
"""

import urllib.parse
from collections.abc import Callable
from typing import ClassVar, Final

import attrs
import h11

from .. import paths, strict_json
from ..config import Config
from ..values import frozen
from .cors import CorsHeaders, may_come_from, readable_by
from .handshake import Upgrade, read_handshake
from .headers import RequestHeaders, media_type
from .problems import Problem, not_allowed

# What a page may have put into the query of its handshake, as it would into `auth`.
_CLAIMS: Final = ("ticket", "room", "session")

_VERSIONS: Final = {"3": 3, "4": 4}


@frozen
class Refusal:
    """Why a request is refused: a `code` and a message that clients know.

    `reason` is the one in the metrics.
    """

    code: int
    message: str
    reason: str
    status: int = 400
    headers: CorsHeaders = ()

    content_type: ClassVar[str] = "application/json"

    @property
    def body(self) -> bytes:
        """The JSON text."""
        return strict_json.dumps({"code": self.code, "message": self.message}).encode()

    def to(self, cors: CorsHeaders) -> "Refusal":
        """Return the refusal so that the page may read it."""
        return attrs.evolve(self, headers=cors)


UNKNOWN_TRANSPORT: Final = Refusal(0, "Transport unknown", "transport")
UNKNOWN_SESSION: Final = Refusal(1, "Session ID unknown", "unknown_session")
BAD_METHOD: Final = Refusal(2, "Bad handshake method", "method")
BAD_REQUEST: Final = Refusal(3, "Bad request", "malformed")
FORBIDDEN: Final = Refusal(4, "Forbidden", "origin", 403)
UNKNOWN_VERSION: Final = Refusal(5, "Unsupported protocol version", "version")


@frozen
class Begin:
    """Begin a session on requests; `version` is that of Engine.IO."""

    version: int
    claims: dict[str, str] = attrs.field(repr=False)
    """What the query says of the login: `ticket`, `room`, `session`."""
    cors: CorsHeaders = ()


@frozen
class Poll:
    """Answer with what there is to say, as soon as there is something."""

    sid: str = attrs.field(repr=False)
    cors: CorsHeaders = ()


@frozen
class Push:
    """Take the packets of a body."""

    sid: str = attrs.field(repr=False)
    body: bytes = attrs.field(repr=False)
    is_binary: bool
    cors: CorsHeaders = ()


@frozen
class Attach:
    """A WebSocket, for the session `sid`, or for a new one if that is None."""

    upgrade: Upgrade
    version: int
    sid: str | None = attrs.field(repr=False)
    claims: dict[str, str] = attrs.field(repr=False)


@frozen
class Preflight:
    """A browser asks whether a page may make a request (Fetch, section 3.3)."""

    headers: CorsHeaders


@frozen
class Script:
    """The client's file, and the versions that a browser has of it."""

    known: frozenset[bytes]


EngineRequest = Begin | Poll | Push | Preflight | Script | Refusal
"""What is answered by HTTP, in contrast to a WebSocket."""

Engine = EngineRequest | Attach


def is_engine(path: str, config: Config) -> bool:
    """Whether a path is that of Socket.IO."""
    if not config.socketio:
        return False
    return path in paths.of_socketio(config.socketio_path) or _is_script(path, config)


def _is_script(path: str, config: Config) -> bool:
    return config.socketio_client is not None and path in paths.of_scripts(config.socketio_path)


def read_engine(
    request: h11.Request, path: str, query: str, headers: RequestHeaders, config: Config
) -> Engine | Problem | Callable[[bytes], Engine]:
    """Say what a request asks for, by its head; or return what reads its body."""
    if _is_script(path, config):
        if request.method not in (b"GET", b"HEAD"):
            return not_allowed(b"GET, HEAD")
        return Script(headers.etags())
    if not may_come_from(headers.get(b"origin"), config):
        return FORBIDDEN
    fields = _fields(query)
    cors = _cors(fields, headers)
    if request.method == b"OPTIONS":
        return Preflight((*cors, *_allowed(headers)))
    if fields.get("transport") == "websocket":
        return _read_websocket(request, headers, config, fields, cors)
    return _read_polling(request, headers, fields, cors)


def _read_polling(
    request: h11.Request, headers: RequestHeaders, fields: dict[str, str], cors: CorsHeaders
) -> Engine | Callable[[bytes], Engine]:
    transport, sid = fields.get("transport"), fields.get("sid")
    if transport != "polling":
        return UNKNOWN_TRANSPORT.to(cors)
    if sid is None:
        if request.method != b"GET":
            return BAD_METHOD.to(cors)
        version = _VERSIONS.get(fields.get("EIO", ""))
        return Begin(version, _claims(fields), cors) if version else UNKNOWN_VERSION.to(cors)
    if request.method == b"GET":
        return Poll(sid, cors)
    if request.method != b"POST":
        return BAD_REQUEST.to(cors)
    is_binary = media_type(headers.get(b"content-type")) == "application/octet-stream"
    return lambda body: Push(sid, body, is_binary, cors)


def _read_websocket(
    request: h11.Request,
    headers: RequestHeaders,
    config: Config,
    fields: dict[str, str],
    cors: CorsHeaders,
) -> Attach | Refusal | Problem:
    if request.method != b"GET" or not headers.lists(b"upgrade", b"websocket"):
        return BAD_REQUEST.to(cors)
    version = _VERSIONS.get(fields.get("EIO", ""))
    if version is None:
        return UNKNOWN_VERSION.to(cors)
    upgrade = read_handshake(request, headers, config)
    if isinstance(upgrade, Problem):
        return upgrade
    return Attach(upgrade, version, fields.get("sid"), _claims(fields))


def _fields(query: str) -> dict[str, str]:
    """Read a query; of two values for one name the first counts."""
    pairs = urllib.parse.parse_qsl(query, keep_blank_values=True)
    return dict(reversed(pairs))


def _claims(fields: dict[str, str]) -> dict[str, str]:
    return {name: fields[name] for name in _CLAIMS if name in fields}


def cors_headers(query: str, headers: RequestHeaders, config: Config) -> CorsHeaders:
    """Return the headers with which a page may read the answer, if it may."""
    may_read = may_come_from(headers.get(b"origin"), config)
    return _cors(_fields(query), headers) if may_read else ()


def _cors(fields: dict[str, str], headers: RequestHeaders) -> CorsHeaders:
    readable = readable_by(headers.get(b"origin"))
    if readable and fields.get("EIO") == "3":
        # Clients 2.x send credentials, of which nothing is read here.
        return *readable, (b"Access-Control-Allow-Credentials", b"true")
    return readable


def _allowed(headers: RequestHeaders) -> CorsHeaders:
    asked = headers.get(b"access-control-request-headers")
    return (
        (b"Access-Control-Allow-Methods", b"GET, POST"),
        *(((b"Access-Control-Allow-Headers", asked),) if asked else ()),
        (b"Access-Control-Max-Age", b"600"),
    )
