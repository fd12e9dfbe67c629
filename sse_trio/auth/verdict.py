"""The verdict: whose request this is. Pure: time, the room's word and the store's are arguments.

A request is authenticated if it has

1. the CSRF header (page loads, GET and HEAD, may do without, by option),
2. both cookies,
3. and these are authentic, of one login, and of this type of application,
4. whose login has not ended: not superseded, not logged out, not idle for too long, not
   too old.

Otherwise it is anonymous, with a reason for the log; nothing a client sends is an error.

`recognise` looks at the request alone. `judge` then needs to know whether the login
stands in its room, which is in memory; and the store, but only where the cookies were last
checked against it longer ago than the cache time, or the room knows nothing of the login.
"""

import enum
import hmac
from collections.abc import Iterable
from typing import Final, Literal

import attrs

from ..core.tokens import LEEWAY
from . import cookies
from .cookies import Claims, User
from .keys import Keys
from .settings import Kind, Settings

# As the platform spells it, and as Django does.
CSRF_HEADERS: Final = (b"x-csrf-token", b"x-csrftoken")

SAFE_METHODS: Final = ("GET", "HEAD")

Headers = Iterable[tuple[bytes, bytes]]


class Reason(enum.Enum):
    """Why a request is anonymous, in the log's words."""

    NO_COOKIES = "no cookies"
    ONE_COOKIE = "one cookie without the other"
    DUPLICATE_COOKIES = "a cookie comes twice"
    FORGED = "the cookies are not authentic"
    OTHER_APP_TYPE = "the login is of another type of application"
    NO_CSRF = "no CSRF header"
    WRONG_CSRF = "wrong CSRF header"
    SUPERSEDED = "the login has been superseded or logged out"
    ENDED = "the store knows no such login"
    IDLE = "the login was idle for too long"
    EXPIRED = "the login is too old"


@attrs.frozen
class Anonymous:
    """Nobody's request."""

    reason: Reason


@attrs.frozen
class Authenticated:
    """A user's request."""

    claims: Claims = attrs.field(repr=False)
    checked: bool
    """Whether the store was asked: then the cookies are to be renewed."""

    @property
    def user(self) -> User:
        """Whose it is."""
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
    """What the store knows of a login. Times are Unix seconds."""

    id: str = attrs.field(repr=False)
    user: User
    provider: str
    room: str
    kind: Kind
    app_type: str
    epoch: int
    created: float
    seen: float
    """The last contact at which the store was asked, and the cookies signed."""
    user_agent: str = ""
    address: str = ""

    def is_idle(self, settings: Settings, now: float) -> bool:
        """Whether the last contact is too long ago."""
        return now - self.seen > settings.max_idle(self.kind)

    def has_lapsed(self, settings: Settings, keys: Keys, now: float) -> bool:
        """Whether there can be no cookies of it that are worth anything."""
        return (
            self.is_idle(settings, now)
            or _is_expired(self.kind, self.created, self.seen, settings, now)
            or self.seen < keys.oldest.created
        )


def recognise(
    method: str, headers: Headers, *, settings: Settings, keys: Keys, now: float
) -> Claims | Anonymous:
    """Read what a request shows; `headers` have lower-case names."""
    headers = list(headers)
    claims = read_cookies(headers, settings=settings, keys=keys, now=now)
    if isinstance(claims, Anonymous):
        return claims
    tokens = [value for key, value in headers if key in CSRF_HEADERS]
    if not tokens and not (settings.navigations and method in SAFE_METHODS):
        return Anonymous(Reason.NO_CSRF)
    right = claims.csrf.encode()
    matches = [hmac.compare_digest(token, right) for token in tokens]
    return claims if all(matches) else Anonymous(Reason.WRONG_CSRF)


def read_cookies(
    headers: Headers, *, settings: Settings, keys: Keys, now: float
) -> Claims | Anonymous:
    """Read the login that a browser is in, whichever site has made it send the request."""
    found = cookies.find((value for key, value in headers if key == b"cookie"), settings)
    counts = [len(values) for values in found]
    if max(counts) > 1:
        return Anonymous(Reason.DUPLICATE_COOKIES)
    if min(counts) == 0:
        return Anonymous(Reason.NO_COOKIES if max(counts) == 0 else Reason.ONE_COOKIE)
    try:
        claims = cookies.read_untrusted(found[0][0], found[1][0], settings, keys)
    except (ValueError, KeyError):
        return Anonymous(Reason.FORGED)
    if max(claims.issued, claims.checked) > now + LEEWAY:
        return Anonymous(Reason.FORGED)
    if claims.app_type != settings.app_type and not settings.single_sign_on_between_app_types:
        return Anonymous(Reason.OTHER_APP_TYPE)
    return claims


def judge(
    claims: Claims,
    *,
    stands: bool | None,
    store: Session | None | Literal[Ask.STORE] = ASK_STORE,
    settings: Settings,
    now: float,
) -> Authenticated | Anonymous | Literal[Ask.STORE]:
    """Decide; or say that the store is to be asked first.

    `stands` is the room's word: whether the login stands, or None where the room does not
    know it. `store` is the store's: the session, or None where it knows none.
    """
    if stands is False:
        return Anonymous(Reason.SUPERSEDED)
    if _is_expired(claims.kind, claims.issued, claims.checked, settings, now):
        return Anonymous(Reason.EXPIRED)
    if store is ASK_STORE:
        if stands and settings.cache_time and now - claims.checked < settings.cache_time:
            return Authenticated(claims, checked=False)
        return ASK_STORE
    known = store and (store.provider, store.user, store.epoch)
    if store is None or known != (settings.user_provider, claims.user, claims.epoch):
        return Anonymous(Reason.ENDED)
    if store.is_idle(settings, now):
        return Anonymous(Reason.IDLE)
    return Authenticated(attrs.evolve(claims, checked=max(now, claims.checked)), checked=True)


def _is_expired(kind: Kind, issued: float, checked: float, settings: Settings, now: float) -> bool:
    is_old = now - issued > settings.absolute_lifetime
    return is_old or (kind is Kind.PERSISTENT and now - checked > settings.cookie_lifetime)
