"""Single sessions in a Django application, without a line in its views.

    MIDDLEWARE = [..., "sse_trio.apps.django.SingleSession"]   # after AuthenticationMiddleware

`login` and `logout` of `django.contrib.auth` send signals, and Django's session says whose request
it is. So the hub's answer decides whether that session is valid, and the login needs no cookie of
its own. When a login ends, the middleware deletes it from Django's session store.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs
from django import conf
from django.contrib import auth
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.http import HttpResponse

from ..errors import ConfigError, HubAway, LimitReached, SseTrioError
from ..roster import Roster
from . import calls, django_store
from .answers import Checked, Notified
from .client import Client
from .flows import Flow
from .login import RequestLogin, Shared, Who
from .settings import FAILED, Settings, unavailable

__all__ = ["Login", "SingleSession"]

# In Django's session: room, session, epoch and ticket of the login.
KEY: Final = "sse_trio"

FULL: Final = "You are logged in on the largest number of devices allowed.\n"


def _user_key(user: Any) -> str:
    return str(user.pk)


@attrs.frozen(kw_only=True)
class DjangoSettings(Settings):
    """What ``SSE_TRIO`` in Django's settings may have.

    Raises:
        ConfigError: a value is wrong.
    """

    url: str | None = None
    key: str | None = attrs.field(default=None, repr=False)
    timeout: float = calls.TIMEOUT
    notify_timeout: float = calls.NOTIFY_TIMEOUT
    room: Callable[[Any], str | int] = _user_key
    """The room of a user: the primary key, unless it says otherwise."""
    announcement: Callable[[Any, Any], Mapping[str, Any]] = lambda request, user: {}
    """Further members of a login's notify, from a request and a user: `max_sessions`, `at_limit`,
    `about`, `detail`, `end`."""


class Login(RequestLogin):
    """The login of a request: ``request.sse_trio``."""

    def __init__(self, client: Client, shared: Shared, request: Any) -> None:
        super().__init__(shared, request.path_info)
        self._client = client
        self._request = request
        self.is_new = False
        """Whether this request has logged in."""

    def arriving(self) -> Flow[Checked | None]:
        """Find the login.

        Raises:
            HubAway: the hub did not answer, and `while_hub_away` is "closed".
        """
        who = self._without_hub()
        if who is None:
            return None
        question = calls.check(
            self._client.timeout,
            room=who.room,
            session=who.session,
            epoch=who.epoch,
            seen=True,
            renew=True,
        )
        return (yield from self._asking(who.session, question))

    def devices(self) -> Roster | None:
        """Return the active sessions of the user; None if nobody is logged in.

        Raises:
            HubAway: the hub did not answer.
        """
        return None if self.user is None else self._client.sessions(self.user)

    def sign_out(self, session: str) -> Notified | None:
        """End one session of the user: another device. An invalid name has no effect."""
        if self.user is None or not calls.is_name(session):
            return None
        released = self._client.release(self.user, session)
        if released is not None:
            django_store.delete(released.ended, self._request.session.session_key)
        return released

    def log_in(self, user: Any, settings: DjangoSettings) -> None:
        """Announce a login that Django has just made; undo the login if the hub does not accept it.

        Raises:
            HubAway, LimitReached, Conflict, HubRefused: nobody is logged in.
        """
        session = self._request.session
        if session.session_key == self._request.COOKIES.get(conf.settings.SESSION_COOKIE_NAME):
            # Django keeps it if the same user logs in again. A copy of the old login's cookie must
            # not work for the new login.
            session.cycle_key()
        try:
            more = settings.announcement(self._request, user)
            notified = self._client.run(self.logging_in(settings.room(user), **more))
        except SseTrioError:
            self.log_out()  # of the login that the browser had
            self.forget()
            raise
        django_store.delete(notified.ended, session.session_key)

    def log_out(self) -> None:
        """Tell the hub; Django deletes the session itself."""
        self._client.run(self.logging_out())

    def take_back(self) -> None:
        """There is no answer, or an error: a new login ends, and its session with it."""
        if self.is_new:
            self.log_out()
            self.forget()

    def finishing(self) -> Flow[bool]:
        """Return whether the answer may give the browser its login: a new one may have ended.

        By a second click, the browser may have the session of the login that has ended it.
        """
        if not self.is_new or self._who is None:
            return True
        who = self._who
        question = calls.check(
            self._client.timeout, room=who.room, session=who.session, epoch=who.epoch
        )
        try:
            found = yield question
        except HubAway:
            return True
        return bool(found.active)

    def send_nothing(self) -> None:
        """Delete the session of a new login that has ended, and leave the browser's cookie alone.

        A session that the browser has sent may be that of the newer login: it stays as it is.
        """
        brought = self._request.COOKIES.pop(conf.settings.SESSION_COOKIE_NAME, None)
        session = self._request.session
        if session.session_key != brought:
            session.delete()
        self._request.session, self._who = django_store.store(), None

    def refuse(self) -> None:
        """Treat the request as anonymous: its login has ended, or the hub did not answer."""
        if self.is_hub_away:  # the session is needed to log out
            self._request.user = _nobody()
        else:
            self.forget()

    def forget(self) -> None:
        """Delete Django's session: nobody is logged in."""
        self._request.session.flush()
        self._request.user = _nobody()

    def note(self) -> None:
        """Before the answer is sent: store where the session of the login is, if that is new."""
        session = self._request.session
        if self._who is None or KEY not in session or django_store.is_in_cookie(session):
            return
        if session.session_key is None:
            session.create()
        if session[KEY].get("at") != session.session_key:
            django_store.note(self._who.session, session.session_key)
            session[KEY] = {**session[KEY], "at": session.session_key}

    def _keep(self, notified: Notified) -> None:
        assert self._who is not None
        self.is_new = True
        self._request.session[KEY] = {"who": list(attrs.astuple(self._who))}

    def _drop(self) -> None:
        self.is_new = False

    def _ending(self) -> Flow[None]:
        if (who := self._without_hub()) is not None:
            yield from self._releasing(who)

    def _without_hub(self) -> Who | None:
        kept = self._request.session.get(KEY)
        return None if kept is None else Who(*kept["who"])


class SingleSession:
    """The middleware. Put it into ``MIDDLEWARE`` after Django's `AuthenticationMiddleware`.

    ``SSE_TRIO`` in Django's settings is a dict of the attributes of `DjangoSettings`. Sessions from
    before the middleware was added are not valid: their users must log in once.

    Raises:
        ConfigError: there is no address of a hub, or no key, or a setting is wrong.
    """

    sync_capable = True
    async_capable = False

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        self._get_response = get_response
        given: Mapping[str, Any] = getattr(conf.settings, "SSE_TRIO", {})
        try:
            self._settings = DjangoSettings(**given)
        except TypeError as error:
            raise ConfigError(f"SSE_TRIO: {error}") from None
        self._client = Client(
            self._settings.url,
            self._settings.key,
            timeout=self._settings.timeout,
            notify_timeout=self._settings.notify_timeout,
        )
        self._shared = Shared(self._settings, self._client)

    def __call__(self, request: Any) -> Any:
        """Handle one request."""
        login = Login(self._client, self._shared, request)
        if self._settings.leaves_out(request.path_info):
            request.user = _nobody()
            return self._get_response(request)
        request.sse_trio, request.sse_trio_settings = login, self._settings
        if conf.settings.SESSION_COOKIE_NAME in request.COOKIES:
            try:
                self._client.run(login.arriving())
            except HubAway as away:
                return _response(*unavailable(away))
            if login.user is None and auth.SESSION_KEY in request.session:
                login.refuse()
        try:
            response = self._get_response(request)
        except BaseException:
            login.take_back()
            raise
        if response.status_code >= FAILED:
            login.take_back()
        elif not self._client.run(login.finishing()):
            login.send_nothing()
        login.note()
        return response

    def process_exception(self, request: Any, exception: Exception) -> Any:
        """Answer a login that could not be announced, unless the view has done so itself."""
        if isinstance(exception, HubAway):
            return _response(*unavailable(exception))
        if isinstance(exception, LimitReached):
            return HttpResponse(FULL, status=409, content_type="text/plain; charset=utf-8")
        return None


def _nobody() -> Any:
    from django.contrib.auth.models import AnonymousUser  # once Django's applications are loaded

    return AnonymousUser()


def _response(status: int, fields: list[tuple[str, str]], body: bytes) -> Any:
    return HttpResponse(body, status=status, headers=dict(fields))


# -- what Django announces ---------------------------------------------------------------


def _logged_in(sender: object, request: Any, user: Any, **_: object) -> None:
    login = getattr(request, "sse_trio", None)
    if isinstance(login, Login):
        login.log_in(user, request.sse_trio_settings)


def _logged_out(sender: object, request: Any, **_: object) -> None:
    login = getattr(request, "sse_trio", None)
    if isinstance(login, Login):
        login.log_out()


user_logged_in.connect(_logged_in, dispatch_uid="sse_trio")
user_logged_out.connect(_logged_out, dispatch_uid="sse_trio")
