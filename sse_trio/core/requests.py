"""An HTTP request, as h11 events, turned into what is to be done about it.

Events go in one at a time; out comes one of

    `Notify`    a login, authenticated and checked
    `Release`   a logout, likewise
    `Check`     whether sessions are active, asked with the key
    `Sessions`  the active sessions of a room, likewise
    `StatisticsQuery`, `DecisionsQuery`
                what the hub has counted and decided, likewise
    `Verify`    whether the request that a proxy holds may pass
    `Upgrade`   a WebSocket handshake that may be answered with 101
    `Listen`    a join whose answer is an event stream
    `Say`       a message of a page that listens to one
    `Engine`    what a client of Socket.IO asks for
    `Page`      something to GET
    `Problem`   why it cannot be done (RFC 9457)

or None while more is needed. Anything else is a bug. A Problem with `close` ends the connection
too, because nobody knows any more where the next request begins.
"""

import functools
from collections.abc import Callable
from typing import Final

import attrs
import h11

from ..config import Config
from ..paths import OPERATOR, PAGES, is_verify
from ..values import frozen
from .cors import CorsHeaders, may_come_from, readable_by
from .events import Listen, Say, read_events, with_headers
from .handshake import Upgrade, read_handshake
from .headers import RequestHeaders, media_type, unlike_media_type
from .keyed import READERS, Keyed, ReadMembers, read_form_untrusted, read_json_untrusted, with_id
from .problems import TOO_LARGE, Problem, not_allowed
from .questions import Verify, read_verify
from .socketio import Engine, cors_headers, is_engine, read_engine

NOT_FOUND: Final = Problem("not-found", "nothing is at this path")

PRIVATE: Final = frozenset({*READERS, "/metrics", "/readyz", "/openapi.json"})
"""The paths that only the internal listener has, if there is one."""


@frozen
class Page:
    """A GET or HEAD of one of `PAGES` or `OPERATOR`, and the versions that the client has of it."""

    path: str
    known: frozenset[bytes] = frozenset()

    def is_known(self, etag: bytes) -> bool:
        """Whether the client has this version (RFC 9110, section 13.1.2)."""
        return etag in self.known or b"*" in self.known


Asked = Keyed | Verify | Upgrade | Listen | Say | Page | Problem
Wanted = Asked | Engine


class RequestReader:
    """Reads one request after another; `feed` it h11's events.

    `is_public` says whether they come by the public listener. With `internal` in `config`, that
    one has nothing for application servers and operators.
    """

    def __init__(self, config: Config, *, is_public: bool = True) -> None:
        self._config = config
        self._is_public = is_public
        self.decide: Callable[[bytes], Wanted] | None = None
        """Reads from the body what to do. Set when the head has been read."""
        self.max_body = config.max_body
        """Bytes that the body of this request may have."""
        self.missing: str | None = None
        """The path of a POST that nothing takes, where pages of Socket.IO may join."""
        # Makes the refusal of a body that is too long. Set when the head has been read.
        self._too_large: Callable[[], Problem]
        self._body = bytearray()

    def feed(self, event: h11.Request | h11.Data | h11.EndOfMessage) -> Wanted | None:
        """Take the next event of the request; return what to do, once that is known."""
        if isinstance(event, h11.Request):
            return self._head(event)
        if isinstance(event, h11.Data):
            self._body += event.data
            return self._too_large() if len(self._body) > self.max_body else None
        assert self.decide is not None, "h11 gives a Request before an EndOfMessage"
        body = bytes(self._body)
        self._body.clear()
        return self.decide(body)

    def _head(self, request: h11.Request) -> Problem | Verify | None:
        headers = RequestHeaders(request)
        path = _path(request.target)
        if path in self._config.notify_paths:
            path = "/notify"
        self.max_body = self._longest_body(path)
        self._too_large = functools.partial(
            _too_large, path, _query(request.target), headers, self._config
        )
        if problem := _ambiguous(request, headers):
            return problem
        # The target of a CONNECT has no path (RFC 9112, section 3.2.3).
        if is_verify(path) and request.method != b"CONNECT":
            verify = read_verify(
                headers.values(b"cookie"),
                headers.values(b"authorization"),
                self._config.token_cookie,
            )
            # Do not wait for an announced body, and do not read it.
            if headers.announces_body():
                return verify
            self.decide = lambda _: verify
            return None
        if problem := self._unwelcome(headers):
            return problem
        outcome = self._route(request, path, headers)
        self.decide = outcome if callable(outcome) else lambda _: outcome
        # A client that waits for a 100 (Continue) need not send a body that will not be read.
        if isinstance(outcome, Problem) and headers.get(b"expect"):
            return attrs.evolve(outcome, close=True)
        return None

    def _longest_body(self, path: str) -> int:
        match path:
            case "/check":
                return self._config.max_check_body
            case "/events":
                return self._config.max_message
            case _:
                return self._config.max_body

    def _unwelcome(self, headers: RequestHeaders) -> Problem | None:
        """Refuse too long a body, and every ``Expect`` but 100-continue (RFC 9110, 10.1.1)."""
        length = headers.get(b"content-length")
        if length is not None and int(length) > self.max_body:
            return self._too_large()
        expect = headers.get(b"expect")
        if expect is not None and expect.lower() != b"100-continue":
            return Problem("expectation-failed", "only 100-continue can be expected", close=True)
        return None

    def _route(
        self, request: h11.Request, path: str, headers: RequestHeaders
    ) -> Wanted | Callable[[bytes], Wanted]:
        method = request.method
        if self._is_public and self._config.internal and path in PRIVATE:
            return NOT_FOUND
        if read := READERS.get(path):
            if method != b"POST":
                return not_allowed(b"POST")
            return self._with_key(path, read, headers)
        if path in ("/ws", "/events") or is_engine(path, self._config):
            return self._connect(request, path, headers)
        return self._page(method, path, headers)

    def _page(self, method: bytes, path: str, headers: RequestHeaders) -> Page | Problem:
        if not self._is_public and path == "/":
            path = OPERATOR[0]
        is_page = path in PAGES and (path != "/metrics" or self._config.metrics)
        if not is_page and (self._is_public or path not in OPERATOR):
            if self._config.socketio and method == b"POST":
                self.missing = path
            return NOT_FOUND
        if method not in (b"GET", b"HEAD"):
            return not_allowed(b"GET, HEAD")
        return Page(path, headers.etags())

    def _connect(
        self, request: h11.Request, path: str, headers: RequestHeaders
    ) -> Wanted | Callable[[bytes], Wanted]:
        """Check the head of what a page connects with, in one way or another."""
        if path == "/ws":
            if request.method != b"GET":
                return attrs.evolve(not_allowed(b"GET"), handshake="method")
            return read_handshake(request, headers, self._config)
        if path == "/events":
            if request.method != b"POST":
                return not_allowed(b"POST")
            return read_events(_query(request.target), headers, self._config)
        return read_engine(request, path, _query(request.target), headers, self._config)

    def _with_key(
        self, path: str, read: ReadMembers, headers: RequestHeaders
    ) -> Problem | Callable[[bytes], Wanted]:
        """Check the head of a request that needs the key; return what reads its body."""
        media = headers.get(b"content-type")
        is_form = path == "/check" and media_type(media) == "application/x-www-form-urlencoded"
        if not is_form and (problem := unlike_media_type(media, "application/json")):
            return problem
        if (headers.get(b"content-encoding") or b"identity").lower() != b"identity":
            return Problem("unsupported-media-type", "the body must not be compressed")
        if headers.get(b"content-length") is None and headers.get(b"transfer-encoding") is None:
            return Problem("length-required", "this request needs a body")
        authorization = headers.get(b"authorization")
        ids = headers.values(b"idempotency-key")
        if ids and path == "/notify":
            if len(ids) > 1:
                return Problem("malformed", "Idempotency-Key must be sent once")
            read = with_id(read, ids[0])
        if is_form:
            return functools.partial(read_form_untrusted, self._config, authorization)
        return functools.partial(read_json_untrusted, self._config, read, authorization)


def _too_large(path: str, query: str, headers: RequestHeaders, config: Config) -> Problem:
    """Refuse a body that is too long; where pages POST, so that the page may read it."""
    cors: CorsHeaders = ()
    origin = headers.get(b"origin")
    if is_engine(path, config):
        cors = cors_headers(query, headers, config)
    elif path == "/events" and may_come_from(origin, config):
        cors = readable_by(origin)
    return with_headers(TOO_LARGE, cors)


def _ambiguous(request: h11.Request, headers: RequestHeaders) -> Problem | None:
    """Refuse a request whose length is doubtful (RFC 9112, section 6)."""
    if headers.get(b"transfer-encoding") is None:
        return None
    if headers.get(b"content-length") is None and request.http_version >= b"1.1":
        return None
    return Problem("malformed", "the length of the body is ambiguous", close=True)


def _path(target: bytes) -> str:
    """Return the path of an origin-form or absolute-form target (RFC 9112, section 3.2)."""
    text = target.decode("ascii", "replace").partition("?")[0]
    scheme, separator, rest = text.partition("://")
    if separator and scheme.lower() in ("http", "https", "ws", "wss"):
        return "/" + rest.partition("/")[2]
    return text


def _query(target: bytes) -> str:
    return target.decode("ascii", "replace").partition("?")[2]
