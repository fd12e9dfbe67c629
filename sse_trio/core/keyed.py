"""Requests that need the authkey: what their bodies say, and whether they have the right key.

The key is a member of the body, or a Bearer token (RFC 6750, section 2.1).
"""

import functools
import hashlib
import hmac
from collections.abc import Callable
from typing import Any, Final

import attrs

from .. import strict_json
from ..config import Config
from .notify import LAST_JOINED, Notify, Release
from .problems import UNAUTHORIZED, Problem
from .questions import (
    Check,
    DecisionsQuery,
    Sessions,
    StatisticsQuery,
    bearer,
    read_check,
    read_decisions,
    read_introspection,
    read_sessions,
    read_statistics,
    unquoted,
)

Keyed = Notify | Release | Check | Sessions | StatisticsQuery | DecisionsQuery
"""A request that needs the key, read and checked."""

ReadMembers = Callable[[dict[str, Any]], Keyed]
"""Reads such a request from the members of a JSON object.

Raises a `ValueError` whose message can be shown.
"""


def read_json_untrusted(
    config: Config, read: ReadMembers, authorization: bytes | None, body: bytes
) -> Keyed | Problem:
    """Read a body in JSON, and check the key that is in it, or in the ``Authorization``."""
    try:
        members = strict_json.loads_untrusted(body)
        if not isinstance(members, dict):
            raise ValueError("the body must be a JSON object")
        wanted = read(members)
        if isinstance(wanted, Notify):
            if wanted.sender is LAST_JOINED and config.without_sender == "all-end":
                wanted = attrs.evolve(wanted, sender=None)
            wanted.check_limit(config)
        presented = _presented_keys(members, authorization)
    except ValueError as error:
        return Problem("malformed", str(error))
    return _if_authorized(config, presented, wanted)


def read_form_untrusted(
    config: Config, authorization: bytes | None, body: bytes
) -> Keyed | Problem:
    """Read a form, and check the key that is in the ``Authorization`` (RFC 7662, section 2.1)."""
    try:
        wanted = read_introspection(body)
    except ValueError as error:
        return Problem("malformed", str(error))
    return _if_authorized(config, _presented_keys({}, authorization), wanted)


def _if_authorized(config: Config, presented: list[bytes], wanted: Keyed) -> Keyed | Problem:
    """Return what is asked for, if the request has the right key.

    The key is checked last. So with a right key a 401 becomes an effect, and never a 400: a client
    that is refused for guessing cannot see by a 400 that its guess was right. Every key in the
    request must be right, so that a client cannot send a guess together with a right key.
    """
    if not presented or not all(is_authkey(config, key) for key in presented):
        return UNAUTHORIZED
    return wanted


def _read_announcement(kind: type[Notify | Release]) -> ReadMembers:
    """Return what reads a notify, or a release."""
    fields = attrs.fields_dict(kind)
    required = [name for name, field in fields.items() if field.default is attrs.NOTHING]

    def read(members: dict[str, Any]) -> Notify | Release:
        for missing in required:
            if missing not in members:
                raise ValueError(f"{missing} is missing")
        return kind(**{key: value for key, value in members.items() if key in fields})

    return read


def with_id(read: ReadMembers, header: bytes) -> ReadMembers:
    """Return a reader that takes a notify's `id` from the header ``Idempotency-Key``."""
    given = unquoted(header).decode("latin-1")

    def read_with_id(members: dict[str, Any]) -> Keyed:
        if members.get("id") not in (None, given):
            raise ValueError("id and Idempotency-Key must be the same")
        return read(members | {"id": given})

    return read_with_id


def is_authkey(config: Config, presented: bytes) -> bool:
    """Compare with every key, in a time that does not depend on the keys."""
    given = hashlib.sha256(presented).digest()
    matches = [hmac.compare_digest(given, digest) for digest in _digests(config.authkey)]
    return any(matches)


@functools.lru_cache(8)
def _digests(authkeys: tuple[str, ...]) -> list[bytes]:
    return [hashlib.sha256(key.encode()).digest() for key in authkeys]


def _presented_keys(members: dict[str, Any], authorization: bytes | None) -> list[bytes]:
    keys = []
    if authorization is not None:
        # Another scheme counts as an empty key, which is never right.
        keys.append(bearer(authorization))
    if "key" in members:
        if not isinstance(members["key"], str):
            raise ValueError("key must be a string")
        keys.append(members["key"].encode())
    return keys


# The paths that need the key, and what reads their bodies.
READERS: Final[dict[str, ReadMembers]] = {
    "/notify": _read_announcement(Notify),
    "/release": _read_announcement(Release),
    "/check": read_check,
    "/sessions": read_sessions,
    "/statistics": read_statistics,
    "/decisions": read_decisions,
}
