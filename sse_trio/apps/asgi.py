"""ASGI middleware on asyncio: single sessions in FastAPI, Starlette and Litestar on Uvicorn.

    app.add_middleware(SingleSession)
    ...
    login_of(request.scope).user

For an application on Trio there is `sse_trio.auth`.

ASGI: https://asgi.readthedocs.io/en/latest/specs/www.html
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from ..errors import HubAway
from ..roster import Roster
from .aio import AsyncClient
from .answers import Notified
from .calls import AtLimit, Configured, New, is_name
from .cookies import CookieLogin, SharedByCookies
from .settings import Settings, unavailable

__all__ = ["Login", "Settings", "SingleSession", "login_of"]

# Where the scope has a request's `Login`.
KEY: Final = "sse_trio.login"

# WebSocket close code (RFC 6455): try again later.
_TRY_AGAIN_LATER: Final = 1013

App = Callable[[Any, Any, Any], Awaitable[None]]
"""An ASGI application. Each framework has its own types for its arguments."""


class Login(CookieLogin):
    """The login of a request."""

    def __init__(
        self,
        client: AsyncClient,
        shared: SharedByCookies,
        path: str,
        headers: Sequence[bytes],
    ) -> None:
        super().__init__(shared, path, headers)
        self._client = client

    async def log_in(
        self,
        room: str | int,
        session: str | int | New = New.SESSION,
        *,
        end: Sequence[str | int] = (),
        max_sessions: int | Configured | None = Configured.LIMIT,
        at_limit: AtLimit | None = None,
        about: Mapping[str, Any] | None = None,
        detail: Mapping[str, Any] | None = None,
    ) -> Notified:
        """Log the browser in as the user `room`, once the password is right; as in `wsgi`.

        Raises:
            HubAway: nobody is logged in.
            LimitReached: the user has all the sessions allowed; `sessions` are those.
        """
        return await self._client.run(
            self.logging_in(
                room,
                session,
                end=end,
                max_sessions=max_sessions,
                at_limit=at_limit,
                about=about,
                detail=detail,
            )
        )

    async def log_out(self, session: str | None = None) -> Notified | None:
        """Log the browser out; as in `wsgi`."""
        return await self._client.run(self.logging_out(session))

    async def devices(self) -> Roster | None:
        """Return the active sessions of the user; None if nobody is logged in.

        Raises:
            HubAway: the hub did not answer.
        """
        return None if self.user is None else await self._client.sessions(self.user)

    async def sign_out(self, session: str) -> Notified | None:
        """End one session of the user: another device. An invalid name has no effect."""
        if self.user is None or not is_name(session):
            return None
        return await self._client.release(self.user, session)


def login_of(scope: Mapping[str, Any]) -> Login:
    """Return the login of a request; frameworks have the scope as ``request.scope``.

    Raises:
        LookupError: the request has not passed `SingleSession`, or that leaves this path out.
    """
    found = scope.get(KEY)
    if not isinstance(found, Login):
        raise LookupError(
            "this request has not passed sse_trio.apps.asgi.SingleSession, "
            "or its path is in leave_out"
        )
    return found


class SingleSession:
    """The middleware: ``app.add_middleware(SingleSession)``, or ``SingleSession(app)``.

    A WebSocket has the login that its handshake had. If the middleware has made the client itself,
    it closes the client when the application's lifespan ends.

    Raises:
        ConfigError: there is no address of a hub, or no key.
    """

    def __init__(
        self, app: App, *, client: AsyncClient | None = None, settings: Settings | None = None
    ) -> None:
        self._app = app
        self._is_owner = client is None
        self._client = client or AsyncClient()
        self._settings = settings or Settings()
        self._shared = SharedByCookies(self._settings, self._client)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Handle one request, or the lifespan."""
        if scope["type"] == "lifespan":
            try:
                await self._app(scope, receive, send)
            finally:
                if self._is_owner:
                    await self._client.aclose()
            return
        path = scope["path"]
        if self._settings.leaves_out(path):
            await self._app(scope, receive, send)
            return
        headers = [value for name, value in scope["headers"] if name == b"cookie"]
        login = Login(self._client, self._shared, path, headers)
        try:
            await self._client.run(login.arriving())
        except HubAway as away:
            await _refuse(scope, send, away)
            return

        async def answer(message: Any) -> None:
            if message["type"] == "http.response.start":
                await self._client.run(login.finishing(message["status"]))
                fields = [
                    (name.decode("latin-1"), value.decode("latin-1"))
                    for name, value in message.get("headers", ())
                ]
                await send({**message, "headers": _encoded(login.fields(fields))})
                login.sent()
            else:
                await send(message)

        try:
            await self._app({**scope, KEY: login}, receive, answer)
        except Exception:
            await self._client.run(login.abandoning())
            raise
        except BaseException:  # cancelled: nothing can be waited for
            self._client.leave(login.abandoning())
            raise


async def _refuse(scope: Any, send: Any, away: HubAway) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": _TRY_AGAIN_LATER})
        return
    status, fields, body = unavailable(away)
    await send({"type": "http.response.start", "status": status, "headers": _encoded(fields)})
    await send({"type": "http.response.body", "body": body})


def _encoded(fields: Sequence[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in fields]
