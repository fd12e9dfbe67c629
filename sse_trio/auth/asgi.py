"""ASGI middleware: it finds the user of every request.

For any framework on an ASGI server that runs on Trio. It puts a `RequestAuth` into the scope, sends
the cookies of the answer, and keeps the answer out of caches. It refuses no request: the
application decides what an anonymous request may do.

ASGI: https://asgi.readthedocs.io/en/latest/specs/www.html
"""

import contextlib
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import partial
from typing import Any, Final

from ..core.messages import CloseCode
from ..errors import LedgerError
from ..origins import normalise
from . import responses
from .authority import Authority
from .cookie_hint import CookieHint
from .request import RequestAuth, Scope
from .responses import NO_STORE, Fields
from .settings import Settings
from .verdict import FOREIGN_WEBSOCKET, Anonymous, Headers

__all__ = ["App", "Authentication", "Message", "RequestAuth", "Scope", "auth"]

Message = Mapping[str, Any]

App = Callable[[Any, Any, Any], Awaitable[None]]
"""An ASGI application. Each framework has its own types for its arguments."""

# Where the scope has a request's `RequestAuth`.
KEY = "sse_trio"

# The messages that begin an answer, and have headers.
_STARTS: Final = ("http.response.start", "websocket.accept", "websocket.http.response.start")

logger = logging.getLogger("sse_trio")


def auth(scope: Scope) -> RequestAuth:
    """Return the authentication of a request; frameworks have the scope as ``request.scope``.

    Raises:
        LookupError: the request has not passed :class:`Authentication`, or that leaves this path
            out.
    """
    found = scope.get(KEY)
    if not isinstance(found, RequestAuth):
        raise LookupError(
            "this request has not passed sse_trio.auth.asgi.Authentication, "
            "or its path is in leave_out"
        )
    found.is_asked = True
    return found


class Authentication:
    """The middleware: ``app = Authentication(app, authority)``.

    `authority` may be a function that returns it, for one that is opened when the server
    starts. With `no_store`, answers to authenticated requests have ``Cache-Control:
    no-store`` unless the application says something else. `is_activity` says for a scope whether
    the request is a contact with the user: a page's own automatic request is not. `leave_out` are
    paths whose requests are passed on untouched, such as those of static files: ``/favicon.ico``
    means that path alone, ``/static/`` every path below it. `clear_site_data` is what a logout
    tells the browser to delete, besides the two cookies.

    A WebSocket cannot have the CSRF header. With `navigations` it can do without, if its
    ``Origin`` is this host; else it is anonymous. When its login ends it is closed with 4001.
    """

    def __init__(
        self,
        app: App,
        authority: Authority | Callable[[], Authority],
        *,
        no_store: bool = True,
        is_activity: Callable[[Scope], bool] = lambda _: True,
        leave_out: Collection[str] = (),
        clear_site_data: Collection[str] = ("storage",),
    ) -> None:
        self._app = app
        self._authority = authority
        self._no_store = no_store
        self._is_activity = is_activity
        self._leave_out = responses.Paths(leave_out)
        self._clear_site_data = responses.clear_site_data(clear_site_data)
        self._hint = CookieHint()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Handle one request."""
        if scope["type"] not in ("http", "websocket") or scope["path"] in self._leave_out:
            await self._app(scope, receive, send)
            return
        found = self._authority
        authority = found if isinstance(found, Authority) else found()
        if not isinstance(authority, Authority):
            raise TypeError("the authority is not open yet: open it when the server starts")
        try:
            identity = await authority.authenticate(
                _method(scope, authority.settings),
                scope["headers"],
                activity=self._is_activity(scope),
            )
        except LedgerError as error:
            authority.limited_log.error("a request could not be authenticated: %s", error)
            for message in responses.unavailable(scope):
                await send(message)
            return
        if isinstance(identity, Anonymous):
            logger.debug("an anonymous request: %s", identity.reason.value)
        self._hint.note_request(scope, identity)
        request = RequestAuth(authority, scope, identity)
        inner = {**scope, KEY: request}
        serve = self._http if scope["type"] == "http" else self._websocket
        try:
            await serve(request, inner, receive, send)
        finally:
            request.abandon()

    async def _http(self, request: RequestAuth, scope: Scope, receive: Any, send: Any) -> None:
        answer = partial(self._answer, request, scope, send)
        try:
            await self._app(scope, receive, answer)
        except Exception:
            # The server would answer this without deleting the browser's invalid cookies.
            if request.has_to_delete_cookies:
                # Then it does not matter whether the client is still connected.
                with contextlib.suppress(Exception):
                    for message in responses.failed():
                        await answer(message)
            raise

    async def _websocket(self, request: RequestAuth, scope: Scope, receive: Any, send: Any) -> None:
        is_closed = False

        async def answer(message: Message) -> None:
            nonlocal is_closed
            is_closed = is_closed or message["type"] == "websocket.close"
            await self._answer(request, scope, send, message)

        if request.user is None:
            await self._app(scope, receive, answer)
            return
        with request.while_standing() as standing:
            await self._app(scope, receive, answer)
        if standing.cancelled_caught and not is_closed:
            # Perhaps only this node cannot know whether it has ended, and another node can.
            code = CloseCode.TERMINATED if request.has_ended else CloseCode.TRY_AGAIN_LATER
            await send({"type": "websocket.close", "code": code.value})

    async def _answer(
        self, request: RequestAuth, scope: Scope, send: Any, message: Message
    ) -> None:
        """Send one message of an answer."""
        if message["type"] not in _STARTS:
            await send(message)
            return
        headers = self._headers(request, list(message.get("headers", ())))
        try:
            await send({**message, "headers": headers})
        except BaseException:
            request.note_answer_refused()
            raise
        if request.note_answer_sent():
            self._hint.note_cookies_sent(scope)

    def _headers(self, request: RequestAuth, headers: Fields) -> Fields:
        """Return the headers of an answer that begins, with those that the middleware adds."""
        if request.is_asked:
            headers = responses.depending_on_cookies(headers)
        if cookies := request.begin_answer():
            # Even if the application allows caching: a cache would give these cookies to others.
            headers = [(key, value) for key, value in headers if not responses.is_caching(key)]
            headers.append(NO_STORE)
            headers += [(b"set-cookie", cookie.encode()) for cookie in cookies]
            return headers + self._clear_site_data if request.is_logout else headers
        if self._no_store and request.user and not any(responses.is_caching(k) for k, _ in headers):
            headers.append(NO_STORE)
        return headers


def _method(scope: Scope, settings: Settings) -> str:
    """Return the method that a request is judged by."""
    if scope["type"] == "http":
        return str(scope["method"])
    # Pages of any site may open a WebSocket to this server, with cookies.
    schemes = ("https",) if settings.https else ("https", "http")
    return "GET" if _is_own(scope["headers"], schemes) else FOREIGN_WEBSOCKET


def _is_own(headers: Headers, schemes: Collection[str]) -> bool:
    """Whether the request's ``Origin`` is the host that its ``Host`` header names."""
    found = [[value for key, value in headers if key == name] for name in (b"origin", b"host")]
    if list(map(len, found)) != [1, 1]:
        return False
    try:
        (origin,), (host,) = [[value.decode("ascii") for value in values] for values in found]
        return normalise(origin) in [normalise(f"{scheme}://{host}") for scheme in schemes]
    except ValueError:  # one of them is not a valid origin
        return False
