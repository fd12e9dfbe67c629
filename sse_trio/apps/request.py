"""Whose login a request is of: what every middleware does, whatever moves its bytes.

The token of the login is in a cookie that no script can read. At each request the hub is asked
about it, once, before the application is called. A login that has ended is no login. A 503 of the
application's own is the answer to a request whose login nobody can judge (`while_hub_away`
"closed"); or the login that the hub has confirmed last counts (`"open"`).
"""

import base64
import hashlib
import hmac
import html
import json
import logging
import math
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal

import attrs

from .. import strict_json
from ..core.cookies import cookie_values
from ..errors import ConfigError, HubAway
from . import calls
from .address import PUBLIC_URL
from .answers import Checked, Notified
from .base import BaseClient
from .calls import AtLimit, Flow, New

Fields = list[tuple[str, str]]

# Seconds for which the answer to a check may be remembered.
MAX_REMEMBER: Final = 5.0
# Answers that are remembered.
MAX_REMEMBERED: Final = 10_000

# A cookie is sent anew when so much of its token's time has passed.
RENEW: Final = 0.1

UNAVAILABLE: Final = "It cannot be told now whether you are logged in. Try again."

logger = logging.getLogger("sse_trio")


class Markup(str):
    """HTML that is safe as it is, for the templates of Jinja and Django."""

    __slots__ = ()

    def __html__(self) -> str:
        return self


def _leave_out(value: Iterable[str]) -> tuple[str, ...]:
    paths = (value,) if isinstance(value, str) else tuple(value)
    if not all(isinstance(path, str) and path.startswith("/") for path in paths):
        raise ConfigError("leave_out must be a list of paths, which begin with a slash")
    return paths


@attrs.frozen(kw_only=True)
class Settings:
    """How the middleware behaves.

    Raises:
        ConfigError: a value is wrong.
    """

    while_hub_away: Literal["open", "closed"] = attrs.field(default="closed")
    """What becomes of a request with a login's cookie while the hub cannot be asked. "closed": it
    is answered 503, with ``Retry-After``. "open": whoever was logged in stays so, old logins too;
    then a second cookie says who that is, signed with a key that is made of the authkey."""
    https: bool = True
    """False for a first try over plain http: the cookie is not ``Secure`` then."""
    token_cookie: str | None = None
    """The cookie's name: ``__Host-sse_trio``, or without https ``sse_trio``. Two applications on
    one host need two names."""
    hub: str | None = None
    """Where browsers reach the hub, ``https://sessions.example.com``; an empty string is the
    application's own host. By default it is the environment's ``SSE_TRIO_PUBLIC_URL``, or else the
    address that the client has."""
    persistent: bool = False
    """Whether the cookie outlives the browser. It dies with its token."""
    remember: float = attrs.field(default=0.0)
    """Seconds, 0 to 5, for which a "yes" of the hub is not asked for again. For as long, requests
    of a login that has ended pass."""
    leave_out: tuple[str, ...] = attrs.field(default=("/static/",), converter=_leave_out)
    """Paths whose requests have no login: ``/static/`` is every path below it, ``/favicon.ico``
    that path alone."""

    @while_hub_away.validator
    def _check_while_hub_away(self, _: object, value: object) -> None:
        if value not in ("open", "closed"):
            raise ConfigError('while_hub_away must be "open" or "closed"')

    @remember.validator
    def _check_remember(self, _: object, value: float) -> None:
        if not 0 <= value <= MAX_REMEMBER:
            raise ConfigError(f"remember must be from 0 to {MAX_REMEMBER:g} seconds")

    @property
    def cookie_name(self) -> str:
        """The name of the cookie."""
        return self.token_cookie or ("__Host-sse_trio" if self.https else "sse_trio")

    def leaves_out(self, path: str) -> bool:
        """Whether requests of this path are passed on as they are."""
        folders = tuple(each for each in self.leave_out if each.endswith("/"))
        return path in self.leave_out or path.startswith(folders)


class Shared:
    """What the requests of one middleware have in common."""

    def __init__(self, settings: Settings, client: BaseClient) -> None:
        self.settings = settings
        self.client = client
        hub = settings.hub if settings.hub is not None else os.environ.get(PUBLIC_URL)
        self.hub = (client.public_url if hub is None else hub).rstrip("/")
        self._secret = client.derive(b"sse_trio.apps: who is logged in")
        self._remembered: dict[str, tuple[float, Checked]] = {}
        if not settings.https:
            logger.warning(
                "plain http: the cookie %s is not Secure, and has no __Host- prefix",
                settings.cookie_name,
            )

    def remembered(self, token: str) -> Checked | None:
        """Return a "yes" that still counts."""
        until, found = self._remembered.get(token, (0.0, None))
        return found if time.monotonic() < until else None

    def remember(self, token: str, found: Checked) -> None:
        """Remember a "yes", if that is wanted."""
        if self.settings.remember:
            if len(self._remembered) >= MAX_REMEMBERED:
                self._remembered.clear()
            self._remembered[token] = time.monotonic() + self.settings.remember, found

    def forget(self, token: str | None) -> None:
        """Ask about this token again."""
        if token is not None:
            self._remembered.pop(token, None)

    def sign(self, token: str, login: "Who") -> str:
        """Return what the second cookie says: that the hub has confirmed this login."""
        text = strict_json.dumps([login.room, login.session, login.epoch, login.ticket])
        said = base64.urlsafe_b64encode(text.encode()).decode()
        return f"{said}.{self._signature(token, said)}"

    def read(self, token: str, statement: str) -> "Who | None":
        """Return whom the second cookie names, if it is genuine and belongs to this token."""
        said, _, signature = statement.partition(".")
        if not hmac.compare_digest(signature.encode(), self._signature(token, said).encode()):
            return None
        if _claims(token).get("exp", 0) < time.time():
            return None
        room, session, epoch, ticket = json.loads(base64.urlsafe_b64decode(said))
        return Who(room, session, epoch, ticket)

    def _signature(self, token: str, said: str) -> str:
        signed = f"{hashlib.sha256(token.encode()).hexdigest()}.{said}"
        return hmac.digest(self._secret, signed.encode(), "sha256").hex()


@attrs.frozen
class Who:
    """A login that stands."""

    room: str = attrs.field(repr=False)
    session: str = attrs.field(repr=False)
    epoch: int
    ticket: str | None = attrs.field(repr=False)


class RequestLogin:
    """Whose login a request is of, for the application to ask and to change."""

    def __init__(self, shared: Shared, cookies: Sequence[bytes]) -> None:
        self._shared = shared
        self._cookies = cookies
        self._token: str | None = None
        self._who: Who | None = None
        self._ended: Checked | None = None
        self._is_new = False
        self._written: list[str] = []
        self.is_hub_away = False
        """Whether the hub could not be asked; then `user` is whom it has confirmed before."""
        self.is_asked = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {'nobody' if self._who is None else 'somebody'}>"

    @property
    def user(self) -> str | None:
        """The room of the login, which is the user; None where there is no login that stands."""
        self.is_asked = True
        return None if self._who is None else self._who.room

    @property
    def session(self) -> str | None:
        """The session of the login."""
        self.is_asked = True
        return None if self._who is None else self._who.session

    @property
    def ticket(self) -> str | None:
        """What the pages of the login join with."""
        self.is_asked = True
        return None if self._who is None else self._who.ticket

    @property
    def ended(self) -> Checked | None:
        """What the hub says of the cookie's login, where that does not stand: its `reason`."""
        self.is_asked = True
        return self._ended

    def guard(self, **attributes: str | bool) -> Markup:
        """Return the ``<session-guard>`` of a page, with its script; nothing without a login.

        `attributes` are those of docs/browser.md, such as ``redirect="/login"``. `share` and
        `notice` are there unless they are False.
        """
        if self.ticket is None:
            return Markup()
        hub = self._shared.hub
        told: dict[str, str | bool] = {"src": f"{hub}/ws", "ticket": self.ticket}
        told |= {"share": True, "notice": True, **attributes}
        words = [
            name.replace("_", "-") + ("" if value is True else f'="{html.escape(str(value))}"')
            for name, value in told.items()
            if value is not False
        ]
        script = f'<script type="module" src="{html.escape(hub)}/client.js"></script>'
        return Markup(f"{script}\n<session-guard {' '.join(words)}></session-guard>")

    # -- flows --------------------------------------------------------------------------

    def arriving(self) -> Flow[None]:
        """Find out whose login it is, before the application is called.

        Raises:
            HubAway: nobody can say, and `while_hub_away` is "closed".
        """
        self._token = self._cookie(self._shared.settings.cookie_name)
        if self._token is None:
            return
        found = self._shared.remembered(self._token)
        if found is None:
            try:
                found = yield calls.check(
                    self._shared.client.timeout, token=self._token, renew=True
                )
            except HubAway as away:
                if self._shared.settings.while_hub_away == "closed":
                    raise
                logger.warning("the hub is away, and a login is taken as it was: %s", away)
                self.is_hub_away = True
                self._who = self._stated()
                return
            if found.active:
                self._shared.remember(self._token, found)
        if not found.active:
            self._ended = found
            return
        assert found.room is not None
        assert found.session is not None
        assert found.epoch is not None
        self._who = Who(found.room, found.session, found.epoch, found.ticket)
        if found.token is not None and _is_due(self._token, found.token):
            self._write(found.token)

    def logging_in(
        self,
        room: str | int,
        session: str | int | New = New.SESSION,
        *,
        end: Sequence[str | int] = (),
        max_sessions: int | None = None,
        at_limit: AtLimit | None = None,
        about: Mapping[str, Any] | None = None,
        detail: Mapping[str, Any] | None = None,
    ) -> Flow[Notified]:
        """Log the browser in. The login that it had until now ends in the same step."""
        before = self._who
        ends = list(end)
        is_same_user = before is not None and before.room == str(room)
        if before is not None and is_same_user and before.session != str(session):
            ends.append(before.session)
        call = calls.notify(
            room,
            session,
            self._shared.client.notify_timeout,
            0,
            end=ends or None,
            max_sessions=max_sessions,
            at_limit=at_limit,
            about=about,
            detail=detail,
        )
        notified = yield from calls.announcing(call, self._shared.client.timeout)
        if before is not None and not is_same_user:
            released = yield from self._releasing(before)
            if released is not None:
                notified = attrs.evolve(notified, ended=notified.ended + released.ended)
        assert notified.session is not None
        assert notified.token is not None
        self._shared.forget(self._token)
        self._who = Who(notified.room, notified.session, notified.epoch, notified.ticket)
        self._ended, self._is_new = None, True
        self._write(notified.token)
        return notified

    def logging_out(self, session: str | None = None) -> Flow[Notified | None]:
        """Log the browser out: its login ends, and no other one.

        `session` is what the guard of a page sends: if the cookie is of another login, because the
        same browser has logged in again, nothing is done.
        """
        known = (each.session for each in (self._who, self._ended) if each is not None)
        if session is not None and session not in known:
            return None
        before, self._who, self._is_new = self._who, None, False
        self._shared.forget(self._token)
        self._delete()
        return None if before is None else (yield from self._releasing(before))

    def finishing(self) -> Flow[None]:
        """Before the answer is sent: a login that has ended meanwhile must not set its cookie.

        The browser may have the cookie of the login that has ended it, by a second click for
        example.
        """
        if not self._is_new or self._token is None:
            return
        self._is_new = False
        try:
            found = yield calls.check(self._shared.client.timeout, token=self._token)
        except HubAway:
            return
        if not found.active:
            self._who, self._ended, self._written = None, found, []

    def fields(self, fields: Iterable[tuple[str, str]]) -> Fields:
        """Return the headers of the answer: the application's, and what the login adds."""
        result = list(fields)
        if self.is_asked or self._written:
            result = _depending_on_cookies(result)
        if self._written:
            result = [field for field in result if field[0].lower() != "cache-control"]
            result.append(("Cache-Control", "no-store"))
        return result + [("Set-Cookie", value) for value in self._written]

    # -- cookies ------------------------------------------------------------------------

    def _releasing(self, before: Who) -> Flow[Notified | None]:
        call = calls.release(
            before.room, before.session, self._shared.client.timeout, epoch=before.epoch
        )
        return calls.releasing(call)

    def _cookie(self, name: str) -> str | None:
        """Return the value of a cookie; None where there are two different ones."""
        values = {value for value in cookie_values(self._cookies, name) if value}
        if len(values) != 1 or not (value := values.pop()).isascii():
            return None
        return value.decode()

    def _stated(self) -> Who | None:
        statement = self._cookie(f"{self._shared.settings.cookie_name}_open")
        if statement is None or self._token is None:
            return None
        return self._shared.read(self._token, statement)

    def _write(self, token: str) -> None:
        settings, name = self._shared.settings, self._shared.settings.cookie_name
        self._token = token
        seconds = max(0, int(_claims(token).get("exp", 0) - time.time()))
        age = f"; Max-Age={seconds}" if settings.persistent else ""
        self._written = [self._set_cookie(name, token, age)]
        if settings.while_hub_away == "open" and self._who is not None:
            statement = self._shared.sign(token, self._who)
            self._written.append(self._set_cookie(f"{name}_open", statement, age))

    def _delete(self) -> None:
        name = self._shared.settings.cookie_name
        names = [name]
        if self._shared.settings.while_hub_away == "open":
            names.append(f"{name}_open")
        self._written = [self._set_cookie(each, "", "; Max-Age=0") for each in names]

    def _set_cookie(self, name: str, value: str, age: str) -> str:
        secure = "; Secure" if self._shared.settings.https else ""
        return f"{name}={value}; Path=/; HttpOnly; SameSite=Lax{secure}{age}"


def unavailable(away: HubAway) -> tuple[int, Fields, bytes]:
    """Return the answer to a request whose login nobody can judge."""
    body = f"{UNAVAILABLE}\n".encode()
    fields = [
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", str(len(body))),
        ("Retry-After", str(max(1, math.ceil(away.retry_after)))),
        ("Cache-Control", "no-store"),
    ]
    return 503, fields, body


def _depending_on_cookies(fields: Fields) -> Fields:
    varied = [value for name, value in fields if name.lower() == "vary"]
    said = {word.strip().lower() for value in varied for word in value.split(",")}
    return fields if said & {"cookie", "*"} else [*fields, ("Vary", "Cookie")]


def _is_due(old: str, new: str) -> bool:
    """Whether the browser should have the new token: much of the old one's time has passed."""
    before, after = _claims(old), _claims(new)
    lifetime = after.get("exp", 0) - after.get("iat", 0)
    return after.get("exp", 0) - before.get("exp", 0) > RENEW * lifetime


def _claims(token: str) -> dict[str, float]:
    """Return the times in a token that the hub has signed or confirmed (RFC 7519, section 4.1)."""
    try:
        part = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        return {name: float(claims[name]) for name in ("iat", "exp")}
    except (ValueError, LookupError, TypeError):
        return {}
