"""What an application asks about logins. No question begins or ends a session.

`Check` asks whether sessions are active, `Verify` whether the session of one request is, and
`Sessions` which sessions of a room are. Operators ask what the hub has counted, and what it has
decided last. Every refusal is a `ValueError` whose message can be shown.
"""

import urllib.parse
from collections.abc import Iterable
from typing import Any, Final

import attrs

from ..values import frozen
from .cookies import cookie_values
from .messages import name
from .notify import check_epoch

MAX_CHECKS = 100

MAX_DECISIONS: Final = 100
"""Records of the last decisions that the hub keeps, and that an answer may have."""


def _room(value: Any) -> str | None:
    return None if value is None else name(value, "room")


def _session(value: Any) -> str | None:
    return None if value is None else name(value, "session")


def _check_token(_: object, __: object, value: Any) -> None:
    if not isinstance(value, str | None):
        raise ValueError("token must be a string")


def _check_flag(_: object, flag: "attrs.Attribute[bool]", value: Any) -> None:
    if not isinstance(value, bool):
        raise ValueError(f"{flag.name} must be true or false")


@frozen(kw_only=True)
class LoginQuery:
    """The question whether one login is active: by its token, or by its room and session.

    Raises:
        ValueError: it is neither, or a value is outside the limits of `docs/protocol.md`.
    """

    token: str | None = attrs.field(default=None, validator=_check_token, repr=False)
    room: str | None = attrs.field(default=None, converter=_room, repr=False)
    session: str | None = attrs.field(default=None, converter=_session, repr=False)
    epoch: int | None = attrs.field(default=None, validator=check_epoch)
    """The login's epoch, if the application has kept it."""
    seen: bool = attrs.field(default=False, validator=_check_flag)
    """Whether the session is in use now. A token says so by itself."""
    renew: bool = attrs.field(default=False, validator=_check_flag)
    """Whether the answer should have a fresh token and ticket."""

    def __attrs_post_init__(self) -> None:
        by_name = self.room is not None or self.session is not None or self.epoch is not None
        if self.token is not None and by_name:
            raise ValueError("either token, or room and session")
        if self.token is None and (self.room is None or self.session is None):
            raise ValueError("token is missing, or room and session are")


@frozen
class Check:
    """Questions that are asked together, and the form of the answer."""

    queries: tuple[LoginQuery, ...]
    is_batch: bool = False
    is_introspection: bool = False
    """Whether question and answer have the form of RFC 7662."""


@frozen
class Sessions:
    """The active sessions of a room."""

    room: str = attrs.field(repr=False)


@frozen
class StatisticsQuery:
    """What the hub has counted."""


def _check_limit(_: object, __: object, value: Any) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_DECISIONS:
        raise ValueError(f"limit must be a whole number from 1 to {MAX_DECISIONS}")


@frozen
class DecisionsQuery:
    """What the hub has decided last, in at most `limit` records.

    Raises:
        ValueError: the limit is not from 1 to `MAX_DECISIONS`.
    """

    limit: int = attrs.field(default=MAX_DECISIONS, validator=_check_limit)


@frozen
class Verify:
    """Whether a request may pass, by its token."""

    token: str | None = attrs.field(default=None, repr=False)
    problem: str = ""
    """Why there is no token: ``missing``, or ``ambiguous`` if there were two."""


def read_check(members: dict[str, Any]) -> Check:
    """Read the members of a check's body.

    Raises:
        ValueError: a member is missing, or wrong.
    """
    if "checks" not in members:
        return Check((_login_query(members),))
    checks = members["checks"]
    if not isinstance(checks, list) or not all(isinstance(each, dict) for each in checks):
        raise ValueError("checks must be a list of objects")
    if not 1 <= len(checks) <= MAX_CHECKS:
        raise ValueError(f"checks must have from 1 to {MAX_CHECKS} objects")
    if any(member in members for member in _QUERY_MEMBERS):
        raise ValueError("either checks, or the members of one")
    return Check(tuple(map(_login_query, checks)), is_batch=True)


def read_introspection(body: bytes) -> Check:
    """Read a form that asks about a token (RFC 7662, section 2.1).

    Raises:
        ValueError: it is not a form, or does not have exactly one token.
    """
    if body.count(b"%") > _ESCAPES:
        raise ValueError(f"the body must not have more than {_ESCAPES} percent signs")
    try:
        fields = urllib.parse.parse_qsl(
            body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_FIELDS
        )
    except ValueError:
        raise ValueError("the body must be a form") from None
    tokens = [value for field, value in fields if field == "token"]
    if len(tokens) != 1:
        raise ValueError("token is missing, or there is more than one")
    return Check((LoginQuery(token=tokens[0]),), is_introspection=True)


def read_sessions(members: dict[str, Any]) -> Sessions:
    """Read the members of the body of a request to ``/sessions``.

    Raises:
        ValueError: `room` is missing, or wrong.
    """
    if "room" not in members:
        raise ValueError("room is missing")
    return Sessions(name(members["room"], "room"))


def read_statistics(_: dict[str, Any]) -> StatisticsQuery:
    """Read the members of the body of a request to ``/statistics``: none means anything."""
    return StatisticsQuery()


def read_decisions(members: dict[str, Any]) -> DecisionsQuery:
    """Read the members of the body of a request to ``/decisions``.

    Raises:
        ValueError: `limit` is wrong.
    """
    return DecisionsQuery(members.get("limit", MAX_DECISIONS))


def read_verify(cookies: Iterable[bytes], authorizations: Iterable[bytes], cookie: str) -> Verify:
    """Find the token that came with a request: in its cookie; without that, as a Bearer token.

    `cookies` and `authorizations` are the values of the headers, `cookie` is the cookie's name
    (RFC 6265, sections 4.1.1 and 5.4, and RFC 6750, section 2.1).
    """
    values = cookie_values(cookies, cookie)
    tokens = {unquoted(value) for value in values if value is not None}
    tokens = tokens or {token for value in authorizations if (token := bearer(value))}
    if len(tokens) > 1:
        return Verify(problem="ambiguous")
    token = tokens.pop() if tokens else b""
    return Verify(token.decode("latin-1")) if token else Verify(problem="missing")


def bearer(authorization: bytes) -> bytes:
    """Return the Bearer token of an ``Authorization``; nothing if that has another scheme."""
    scheme, _, token = authorization.partition(b" ")
    return token.strip() if scheme.lower() == b"bearer" else b""


def unquoted(value: bytes) -> bytes:
    """Return a value without the quotes around it, if there are any."""
    return value[1:-1] if len(value) > 1 and value[:1] == value[-1:] == b'"' else value


_QUERY_MEMBERS: Final = frozenset(attrs.fields_dict(LoginQuery))

# Of a form. To decode 64 KiB of nothing but percent-encoded characters would take 15 ms in one
# step; a token has hardly any that need it.
_FIELDS: Final = 100
_ESCAPES: Final = 1000


def _login_query(members: dict[str, Any]) -> LoginQuery:
    """Read the question about one login; a member that is null counts as left out."""
    known = {key: members[key] for key in _QUERY_MEMBERS if members.get(key) is not None}
    return LoginQuery(**known)
