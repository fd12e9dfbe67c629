"""The two cookies of a login, written and read. Pure: keys and times are arguments.

    nr1<provider>   HttpOnly. A signed token: who, which session, of which login, since
                    when, and when the store was last asked
    nr2<provider>   readable by script. Who, and the CSRF token: ``crf=...&uid=...&unm=...``

The first is bound to the second by a hash, so that those of two logins do not mix. A
request proves that it comes from the application's own pages by sending the token as a header.
"""

import base64
import contextlib
import functools
import hashlib
from collections.abc import Callable, Iterable
from urllib.parse import quote, unquote, urlencode

import attrs

from ..core.cookies import cookie_values
from ..core.messages import name
from ..core.tickets import REMEMBERED_TOKENS
from ..core.tokens import TokenKind, begin_signature, epoch, number, written
from ..errors import LocalProtocolError
from .keys import Keys
from .settings import Kind, Settings

# Name and value together, in every browser (RFC 6265, section 6.1).
MAX_COOKIE = 4096

LOGIN = TokenKind(
    type="sse-trio-login+jwt",
    audience="sse-trio/login",
    claims=("prv", "sub", "sid", "kind", "app", "epoch", "iat", "chk", "nr2"),
)


def _id(value: object) -> str:
    return checked(value, "the user's id")


def _name(value: object) -> str:
    return checked(value, "the user's name")


def checked(value: object, what: str) -> str:
    """Return a name that the application has given.

    Raises:
        LocalProtocolError: it is not a valid name; the message calls it `what`.
    """
    try:
        return name(value, what)
    except ValueError as error:
        raise LocalProtocolError(str(error)) from None


@attrs.frozen
class User:
    """A user who can log in. Both are 1 to 256 characters; an integer id becomes a string.

    Raises:
        LocalProtocolError: they are not.
    """

    id: str = attrs.field(converter=_id, repr=False)
    name: str = attrs.field(converter=_name, repr=False)


@attrs.frozen(kw_only=True)
class Claims:
    """The claims of a pair of cookies. Times are Unix seconds."""

    user: User
    session: str = attrs.field(repr=False)
    kind: Kind
    app_type: str
    epoch: int
    """The login's, in its room."""
    issued: float
    """When the user logged in."""
    checked: float
    """When the store was last asked."""
    csrf: str = attrs.field(repr=False)
    kid: str = attrs.field(default="", eq=False)
    """Of the key that has signed this."""


def names(settings: Settings) -> tuple[str, str]:
    """Return the cookies' names."""
    prefix = "__Host-" if settings.https and settings.host_prefix else ""
    return f"{prefix}nr1{settings.user_provider}", f"{prefix}nr2{settings.user_provider}"


def write(claims: Claims, settings: Settings, keys: Keys) -> list[str]:
    """Return the values of the two ``Set-Cookie`` headers.

    Raises:
        LocalProtocolError: the user's id and name are too long for a cookie.
    """
    nr2 = urlencode(
        {"crf": claims.csrf, "uid": claims.user.id, "unm": claims.user.name}, quote_via=quote
    )
    token = {
        "prv": settings.user_provider,
        "sub": claims.user.id,
        "sid": claims.session,
        "kind": claims.kind.value,
        "app": claims.app_type,
        "epoch": claims.epoch,
        "iat": claims.issued,
        "chk": claims.checked,
        "nr2": _digest(nr2),
    }
    nr1 = LOGIN.sign(written(token), kid=keys.signing.kid, key=begin_signature(keys.signing.secret))
    pairs = list(zip(names(settings), (nr1, nr2), strict=True))
    if any(len(key) + len(value) > MAX_COOKIE for key, value in pairs):
        raise LocalProtocolError("the user's id and name are too long for a cookie")
    left = claims.issued + settings.absolute_lifetime - claims.checked
    lifetime = max(0.0, min(settings.cookie_lifetime, left))
    age = f"; Max-Age={lifetime:.0f}" if claims.kind is Kind.PERSISTENT else ""
    return [f"{key}={value}{age}{_attributes(settings, key)}" for key, value in pairs]


def delete(settings: Settings) -> list[str]:
    """Return the values of the two ``Set-Cookie`` headers that delete the cookies.

    A browser identifies a cookie by its name, domain and path. For a name with `__Host-`, it
    demands the required attributes also to delete the cookie.
    """
    gone = "; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT"
    return [f"{key}={gone}{_attributes(settings, key)}" for key in names(settings)]


def _attributes(settings: Settings, cookie: str) -> str:
    script = "" if cookie == names(settings)[1] else "; HttpOnly"
    secure = "; Secure" if settings.https else ""
    return f"; Path=/{secure}{script}; SameSite={settings.same_site}"


def find(headers: Iterable[bytes], settings: Settings) -> tuple[list[str], list[str]]:
    """Return the different values of each cookie in the ``Cookie`` headers, in their order."""
    lines = list(headers)
    first, second = names(settings)
    return _different(cookie_values(lines, first)), _different(cookie_values(lines, second))


def _different(values: list[bytes | None]) -> list[str]:
    # The same value twice, for example from a parent domain too, is not ambiguous.
    return list({(value or b"").decode("latin-1"): None for value in values})


ReadPair = Callable[[str, str], Claims]
"""`read_untrusted` with some settings and keys."""


def remembering(settings: Settings, keys: Keys) -> ReadPair:
    """Return what reads pairs of cookies, and remembers those that it has read last.

    A browser sends the same pair with each request until it is renewed. What the pair says never
    changes, so this is all that is remembered: whether its login is active, and how old it is, is
    judged for each request. Pairs that cannot be read are not remembered.

    A pair is looked up by its hash, with a random key of the process. It is compared with a
    remembered one only if all 64 bits of the hashes are equal. So the time tells nothing about how
    much of a guess is right.
    """
    read = functools.partial(read_untrusted, settings=settings, keys=keys)
    return functools.lru_cache(REMEMBERED_TOKENS)(read)


def read_untrusted(nr1: str, nr2: str, settings: Settings, keys: Keys) -> Claims:
    """Read a pair of cookies.

    Raises:
        ValueError: they are forged, of another user provider, or not of one login.
    """
    kid, token = LOGIN.read_untrusted(nr1, keys.verifying)
    # Their names say so too, but a client can send any name.
    if token["prv"] != settings.user_provider:
        raise ValueError("the cookies belong to another user provider")
    # The server has signed exactly these bytes, so other spellings need no check.
    if token["nr2"] != _digest(nr2):
        raise ValueError("the cookies belong to different logins")
    csrf, _, user_name = [unquote(pair.partition("=")[2]) for pair in nr2.split("&")]
    return Claims(
        user=User(token["sub"], user_name),
        session=name(token["sid"], "session"),
        kind=Kind(token["kind"]),
        app_type=str(token["app"]),
        epoch=epoch(token["epoch"]),
        issued=number(token["iat"]),
        checked=number(token["chk"]),
        csrf=csrf,
        kid=kid,
    )


def sessions_untrusted(headers: Iterable[bytes], settings: Settings, keys: Keys) -> list[str]:
    """Return the sessions of every authentic first cookie in the ``Cookie`` headers.

    The first cookie alone is enough to end a login, and for nothing else. Even if the second cookie
    is wrong, or the request is anonymous, the browser that sends it has had that login.
    """
    sessions = []
    for nr1 in find(headers, settings)[0]:
        with contextlib.suppress(ValueError):
            _, token = LOGIN.read_untrusted(nr1, keys.verifying)
            if token["prv"] == settings.user_provider:
                sessions.append(name(token["sid"], "session"))
    return list(dict.fromkeys(sessions))


def _digest(nr2: str) -> str:
    digest = hashlib.sha256(nr2.encode("utf-8", "surrogatepass")).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
