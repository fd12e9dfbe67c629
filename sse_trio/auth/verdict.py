"""The verdict: the user of a request. Pure: time and the answers of room and store are arguments.

A request is authenticated if it has

1. the CSRF header (page loads, GET and HEAD, need none, by option),
2. both cookies,
3. which are authentic, of one login, and of this type of application,
4. whose login has not ended: not superseded, not logged out, not idle for too long, not
   too old.

Otherwise it is anonymous, with a reason for the log; nothing a client sends is an error.

`recognise` reads only the request. `judge` then needs to know whether the login is active in its
room, which is in memory. It needs the store only if the cookies were last checked longer ago than
the cache time, or if the room does not know the login.
"""

import enum
import hmac
from collections.abc import Iterable
from typing import Final, Literal

import attrs

from ..core.tokens import LEEWAY, UnknownKey
from . import cookies
from .browsers import Browser
from .cookies import Claims, ReadPair, User
from .keys import Keys
from .settings import Kind, Settings

# As the platform spells it, and as Django does.
CSRF_HEADERS: Final = (b"x-csrf-token", b"x-csrftoken")

SAFE_METHODS: Final = ("GET", "HEAD")

# Stands in for the method of a WebSocket that a page of any site may have opened.
FOREIGN_WEBSOCKET: Final = "WEBSOCKET"

_FRAMES: Final = (b"embed", b"fencedframe", b"frame", b"iframe", b"object")

Headers = Iterable[tuple[bytes, bytes]]

Issuer = tuple[str, str]
"""A user provider and a type of application, which have made a login."""


class Reason(enum.Enum):
    """Why a request is anonymous, in the log's words."""

    NO_COOKIES = "no cookies"
    ONE_COOKIE = "one cookie without the other"
    DUPLICATE_COOKIES = "a cookie comes twice, with different values"
    FORGED = "the cookies are not authentic"
    OTHER_KEYS = "the cookies are signed with a key that is not in use"
    OTHER_APP_TYPE = "the login belongs to another type of application"
    NO_CSRF = "no CSRF header"
    OTHER_ORIGIN = "a WebSocket whose Origin is not that of its Host header"
    WRONG_CSRF = "wrong CSRF header"
    SUPERSEDED = "the login has been superseded or logged out"
    ENDED = "the store knows no such login"
    IDLE = "the login was idle for too long"
    EXPIRED = "the login is too old"

    @property
    def is_lapse(self) -> bool:
        """Whether it comes from a page of the application whose login has expired."""
        return self in (Reason.ENDED, Reason.IDLE, Reason.EXPIRED)


@attrs.frozen
class Anonymous:
    """An anonymous request."""

    reason: Reason
    browser: Browser = attrs.field(factory=Browser, eq=False, repr=False)
    """The state shared with other requests that have the same cookies."""


@attrs.frozen
class Authenticated:
    """A user's request."""

    claims: Claims = attrs.field(repr=False)
    checked: bool
    """Whether the store was asked, and this is a contact: then the cookies are renewed."""
    browser: Browser = attrs.field(factory=Browser, eq=False, repr=False)
    """The state shared with other requests that have the same cookies."""
    renewals: int = attrs.field(default=0, eq=False, repr=False)
    """How often cookies had been sent to that browser when it arrived."""

    @property
    def user(self) -> User:
        """The user."""
        return self.claims.user

    @property
    def session(self) -> str:
        """Of which login."""
        return self.claims.session


class Ask(enum.Enum):
    """There is no verdict without the store."""

    STORE = "the store"


ASK_STORE: Final = Ask.STORE


@attrs.frozen(kw_only=True)
class Session:
    """A login in the store. Times are Unix seconds."""

    id: str = attrs.field(repr=False)
    user: User
    provider: str
    room: str = attrs.field(repr=False)
    kind: Kind
    app_type: str
    epoch: int
    created: float
    seen: float
    """The last contact at which the store was asked, and the cookies signed."""
    kid: str
    """Of the key that signed them."""
    user_agent: str = attrs.field(default="", repr=False)
    address: str = attrs.field(default="", repr=False)

    @property
    def issuer(self) -> Issuer:
        """The provider and the type of application that made the login."""
        return self.provider, self.app_type

    def has_lapsed(self, settings: Settings, keys: Keys, now: float) -> bool:
        """Whether no valid cookies of it can exist."""
        ended = _lapse(self.kind, self.created, self.seen, settings, now)
        return ended is not None or self.kid not in keys.verifying


def recognise(
    method: str, headers: Headers, *, settings: Settings, read: ReadPair
) -> Claims | Anonymous:
    """Read the cookies and the CSRF header of a request; `headers` have lower-case names."""
    headers = list(headers)
    claims = _read_cookies(headers, settings=settings, read=read)
    if isinstance(claims, Anonymous):
        return claims
    tokens = [value for key, value in headers if key in CSRF_HEADERS]
    if not tokens and not (settings.navigations and _is_navigation(method, headers)):
        # Without navigations it would need the token, wherever it came from.
        is_foreign = settings.navigations and method == FOREIGN_WEBSOCKET
        return Anonymous(Reason.OTHER_ORIGIN if is_foreign else Reason.NO_CSRF)
    right = claims.csrf.encode()
    matches = [hmac.compare_digest(token, right) for token in tokens]
    return claims if all(matches) else Anonymous(Reason.WRONG_CSRF)


def _is_navigation(method: str, headers: Headers) -> bool:
    """Whether it may be a page load: not another site's script or image, if the browser says so.

    Fetch Metadata: https://www.w3.org/TR/fetch-metadata/
    """
    said = dict(headers)
    is_foreign = said.get(b"sec-fetch-site") in (b"cross-site", b"same-site")
    is_embedded = (
        said.get(b"sec-fetch-mode", b"navigate") != b"navigate"
        or said.get(b"sec-fetch-dest") in _FRAMES
    )
    return method in SAFE_METHODS and not (is_foreign and is_embedded)


def _read_cookies(headers: Headers, *, settings: Settings, read: ReadPair) -> Claims | Anonymous:
    """Read the login of a browser, even if another site has made it send the request."""
    first, second = cookies.find([value for key, value in headers if key == b"cookie"], settings)
    if len(first) > 1 or len(second) > 1:
        return Anonymous(Reason.DUPLICATE_COOKIES)
    if not first or not second:
        return Anonymous(Reason.ONE_COOKIE if first or second else Reason.NO_COOKIES)
    try:
        claims = read(first[0], second[0])
    except UnknownKey:
        return Anonymous(Reason.OTHER_KEYS)
    except (ValueError, KeyError):
        return Anonymous(Reason.FORGED)
    if claims.app_type != settings.app_type and not settings.single_sign_on_between_app_types:
        return Anonymous(Reason.OTHER_APP_TYPE)
    return claims


def judge(
    claims: Claims,
    browser: Browser,
    renewals: int = 0,
    *,
    stands: bool | None,
    store: Session | None | Literal[Ask.STORE] = ASK_STORE,
    settings: Settings,
    now: float,
) -> Authenticated | Anonymous | Literal[Ask.STORE]:
    """Decide, or say that the store must be asked first.

    `stands` is the room's answer: whether the login is active, or None if the room does not know
    it. `store` is the store's answer: the session, or None if there is none. `renewals` is as
    `Authenticated` has it.
    """
    if stands is False:
        return Anonymous(Reason.SUPERSEDED, browser)
    # This also concerns old cookies of an active login: by now they are another client's copies.
    if lapse := _lapse(claims.kind, claims.issued, claims.checked, settings, now):
        return Anonymous(lapse, browser)
    # Signed when the clock was ahead, before it was set back: the cache time would be too long.
    is_ahead = claims.checked > now + LEEWAY
    if store is ASK_STORE:
        cache_time = settings.cache_time
        if stands and cache_time and now - claims.checked < cache_time and not is_ahead:
            return Authenticated(claims, False, browser, renewals)
        return ASK_STORE
    if store is None or (store.user, store.epoch) != (claims.user, claims.epoch):
        return Anonymous(Reason.ENDED, browser)
    checked = now if is_ahead else max(now, claims.checked)
    return Authenticated(attrs.evolve(claims, checked=checked), True, browser, renewals)


def _lapse(
    kind: Kind, issued: float, checked: float, settings: Settings, now: float
) -> Reason | None:
    """Return how a login has expired, if it has."""
    if now - issued > settings.absolute_lifetime:
        return Reason.EXPIRED
    if kind is Kind.PERSISTENT and now - checked > settings.cookie_lifetime:
        return Reason.EXPIRED
    return Reason.IDLE if now - checked > settings.max_idle(kind) else None
