"""WSGI middleware: single sessions in Flask, Bottle, Pyramid and every other WSGI application.

    app.wsgi_app = SingleSession(app.wsgi_app)
    ...
    login_of(request.environ).user

WSGI: PEP 3333.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

import attrs

from ..errors import HubAway
from ..roster import Roster
from .answers import Notified
from .calls import AtLimit, Configured, New, is_name
from .client import Client
from .cookies import CookieLogin, SharedByCookies
from .settings import Fields, Settings, unavailable

__all__ = ["Login", "Settings", "SingleSession", "login_of"]

# Where the environment has a request's `Login`.
KEY: Final = "sse_trio.login"

# A WSGI application; each framework types it in its own way.
App = Callable[[Any, Any], Iterable[bytes]]


class Login(CookieLogin):
    """The login of a request."""

    def __init__(
        self,
        client: Client,
        shared: SharedByCookies,
        path: str,
        headers: Sequence[bytes],
    ) -> None:
        super().__init__(shared, path, headers)
        self._client = client

    def log_in(
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
        """Log the browser in as the user `room`, once the password is right.

        Every other session of the user beyond the limit ends. So does the browser's old login, also
        if it was another user's. The answer to the request sets the cookie. `session` names the
        login; left out, it is a random one. Values of `end` that are not valid names, or are beyond
        the sixteen allowed, are left out, because `end` may come from a form. For the other
        arguments see `Client.notify`.

        Raises:
            ValueError: `room` or `session` is not a valid name (docs/protocol.md).
            HubAway: nobody is logged in.
            LimitReached: the user has all the sessions allowed; `sessions` are those.
        """
        return self._client.run(
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

    def log_out(self, session: str | None = None) -> Notified | None:
        """Log the browser out. If the hub is unreachable, this is repeated in the background.

        `session` is the form field of that name that a page's guard posts. Pass it on: with the
        cookie of another login, nothing is done.
        """
        return self._client.run(self.logging_out(session))

    def devices(self) -> Roster | None:
        """Return the active sessions of the user; None if nobody is logged in.

        Raises:
            HubAway: the hub did not answer.
        """
        return None if self.user is None else self._client.sessions(self.user)

    def sign_out(self, session: str) -> Notified | None:
        """End one session of the user: another device. An invalid name has no effect."""
        if self.user is None or not is_name(session):
            return None
        return self._client.release(self.user, session)


def login_of(environ: Mapping[str, Any]) -> Login:
    """Return the login of a request; Flask has the environment as ``request.environ``.

    Raises:
        LookupError: the request has not passed `SingleSession`, or that leaves this path out.
    """
    found = environ.get(KEY)
    if not isinstance(found, Login):
        raise LookupError(
            "this request has not passed sse_trio.apps.wsgi.SingleSession, "
            "or its path is in leave_out"
        )
    return found


class SingleSession:
    """The middleware: ``app.wsgi_app = SingleSession(app.wsgi_app)``.

    Raises:
        ConfigError: there is no address of a hub, or no key.
    """

    def __init__(
        self, app: App, *, client: Client | None = None, settings: Settings | None = None
    ) -> None:
        self._app = app
        self._client = client or Client()
        self._settings = settings or Settings()
        self._shared = SharedByCookies(self._settings, self._client)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Handle one request."""
        path = environ.get("PATH_INFO", "")
        if self._settings.leaves_out(path):
            return self._app(environ, start_response)
        cookies = [environ["HTTP_COOKIE"].encode("latin-1")] if "HTTP_COOKIE" in environ else []
        login = Login(self._client, self._shared, path, cookies)
        try:
            self._client.run(login.arriving())
        except HubAway as away:
            status, fields, body = unavailable(away)
            start_response(f"{status} Service Unavailable", fields)
            return [body]
        environ[KEY] = login

        is_begun = False

        def start(status: str, fields: Fields, exc_info: Any = None) -> Any:
            nonlocal is_begun
            self._client.run(login.finishing(int(status[:3])))
            write = start_response(status, login.fields(fields), exc_info)
            is_begun = True
            return partial(_write, write, login)

        try:
            made = self._app(environ, start)
        except BaseException:
            self._client.run(login.abandoning())
            raise
        # Most bodies are passed on as they are: servers send their own kind of file faster.
        return made if is_begun and not login.is_new else _Body(self._client, login, made)


def _write(write: Any, login: Login, data: bytes) -> None:
    write(data)
    login.sent()


@attrs.define(eq=False)
class _Body:
    """A body. Before its first piece nothing was sent, and a new login may still fail."""

    _client: Client
    _login: Login
    _body: Iterable[bytes]

    def __iter__(self) -> Iterator[bytes]:
        try:
            for piece in self._body:
                if piece:
                    self._login.sent()
                yield piece
            self._login.sent()
        except BaseException:
            self._client.run(self._login.abandoning())
            raise

    def close(self) -> None:
        """Close the application's own."""
        close = getattr(self._body, "close", None)
        if close is not None:
            close()
