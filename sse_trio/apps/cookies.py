"""The login of a request, where it is kept in a cookie: for WSGI and ASGI.

The cookie has the login's token, and no script can read it. With `while_hub_away` "open" there is a
second cookie, because the application cannot read a token. It names the login that the hub has
confirmed, and is signed with a key that is derived from the authkey.
"""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, Final

from .. import strict_json
from ..core.cookies import cookie_values
from ..errors import HubAway
from . import calls, flows
from .answers import Notified
from .base import BaseClient
from .flows import Flow, Later
from .login import RequestLogin, Shared, Who, logger
from .settings import FAILED, Fields, Settings

# A cookie is sent again when so much of its token's time has passed.
RENEW: Final = 0.1


class SharedByCookies(Shared):
    """What is common to the requests of one middleware."""

    def __init__(self, settings: Settings, client: BaseClient) -> None:
        super().__init__(settings, client)
        self._secret = client.derive(b"sse_trio.apps: who is logged in")
        if not settings.https:
            logger.warning(
                "plain http: the cookie %s is not Secure, and has no __Host- prefix",
                settings.cookie_name,
            )

    def sign(self, token: str, login: Who) -> str:
        """Return the text of the second cookie: that the hub has confirmed this login."""
        text = strict_json.dumps([login.room, login.session, login.epoch, login.ticket])
        said = base64.urlsafe_b64encode(text.encode()).decode()
        return f"{said}.{self._signature(token, said)}"

    def read(self, token: str, statement: str) -> Who | None:
        """Return the user in the second cookie, if it is genuine and belongs to this token."""
        said, _, signature = statement.partition(".")
        if not hmac.compare_digest(signature, self._signature(token, said)):
            return None
        if _claims(token).get("exp", 0) < time.time():
            return None
        room, session, epoch, ticket = json.loads(base64.urlsafe_b64decode(said))
        return Who(room, session, epoch, ticket)

    def _signature(self, token: str, said: str) -> str:
        signed = f"{hashlib.sha256(token.encode()).hexdigest()}.{said}"
        return hmac.digest(self._secret, signed.encode(), "sha256").hex()


class CookieLogin(RequestLogin):
    """The login of a request, by its cookie."""

    _shared: SharedByCookies

    def __init__(self, shared: SharedByCookies, path: str, headers: Sequence[bytes]) -> None:
        super().__init__(shared, path)
        self._headers = headers
        self.is_new = False
        """Whether this request has logged in, and the browser does not know it yet."""
        self._written: list[str] = []
        self._is_told = False
        """Whether the answer sets a cookie with a token."""

    def arriving(self) -> Flow[None]:
        """Find the login, before the application is called.

        Raises:
            HubAway: the hub did not answer, and `while_hub_away` is "closed".
        """
        token = self._cookie(self._shared.settings.cookie_name)
        if token is None:
            return
        question = calls.check(self._shared.client.timeout, token=token, renew=True)
        found = yield from self._asking(token, question)
        if found is not None and found.token is not None and _is_due(token, found.token):
            self._write(found.token)

    def finishing(self, status: int) -> Flow[None]:
        """Before the answer is sent: take the login back if the answer is an error.

        A login that has ended meanwhile must not set its cookie either, new or renewed: by a second
        click, the browser may have the cookie of the login that has ended it.
        """
        if status >= FAILED:
            yield from self.abandoning()
        if not self._is_told or self._key is None:
            return
        try:
            found = yield calls.check(self._shared.client.timeout, token=self._key)
        except HubAway:
            if not self.is_new:  # a later request renews it
                self._written = []
            return
        if not found.active:
            self.is_new = False
            self._who, self._ended, self._written = None, found, []

    def sent(self) -> None:
        """Assume that the browser has the cookie: the head of the answer is on its way."""
        self.is_new = False

    def abandoning(self) -> Flow[None]:
        """There is no answer, or an error: a new login ends, and sets no cookie."""
        if self.is_new:
            yield from self.logging_out()

    def fields(self, fields: Iterable[tuple[str, str]]) -> Fields:
        """Return the headers of the answer: the application's, and what the login adds."""
        result = list(fields)
        if self._is_asked or self._written:
            result = _depending_on_cookies(result)
        if self._written:
            result = [field for field in result if field[0].lower() != "cache-control"]
            result.append(("Cache-Control", "no-store"))
        return result + [("Set-Cookie", value) for value in self._written]

    def _keep(self, notified: Notified) -> None:
        assert notified.token is not None
        self.is_new = True
        self._write(notified.token)

    def _drop(self) -> None:
        self.is_new = self._is_told = False
        self._written = [self._set_cookie(name, "", "; Max-Age=0") for name in self._names()]

    def _without_hub(self) -> Who | None:
        statement = self._cookie(f"{self._shared.settings.cookie_name}_open")
        if statement is None or self._key is None:
            return None
        return self._shared.read(self._key, statement)

    def _unconfirmed_session(self) -> str | None:
        session = None if self._key is None else _read(self._key).get("session")
        return session if isinstance(session, str) else None

    def _ending(self) -> Flow[None]:
        if self._key is not None:
            yield Later(partial(flows.ending, self._key, self._shared.client.timeout))

    # -- cookies ------------------------------------------------------------------------

    def _names(self) -> list[str]:
        name = self._shared.settings.cookie_name
        is_open = self._shared.settings.while_hub_away == "open"
        return [name, f"{name}_open"] if is_open else [name]

    def _cookie(self, name: str) -> str | None:
        """Return the value of a cookie; None if there are two different ones."""
        values = {value for value in cookie_values(self._headers, name) if value}
        if len(values) != 1 or not (value := values.pop()).isascii():
            return None
        return value.decode()

    def _write(self, token: str) -> None:
        assert self._who is not None
        self._key, self._is_told = token, True
        values = [token, self._shared.sign(token, self._who)]
        age = ""
        if self._shared.settings.persistent:
            age = f"; Max-Age={max(0, int(_claims(token).get('exp', 0) - time.time()))}"
        self._written = [
            self._set_cookie(name, value, age)
            for name, value in zip(self._names(), values, strict=False)
        ]

    def _set_cookie(self, name: str, value: str, age: str) -> str:
        secure = "; Secure" if self._shared.settings.https else ""
        return f"{name}={value}; Path=/; HttpOnly; SameSite=Lax{secure}{age}"


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
    claims = _read(token)
    try:
        return {name: float(claims[name]) for name in ("iat", "exp")}
    except (ValueError, LookupError, TypeError):
        return {}


def _read(token: str) -> dict[str, Any]:
    """Return the claims of a token, without verifying them."""
    try:
        part = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, LookupError, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}
