"""What is asked of the database about the sessions and the keys of `sse_trio.auth`."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, LiteralString

import attrs

from ... import strict_json
from ..checks import check_key, check_session
from ..cluster.engine import Write
from ..sessions import (
    KeyRow,
    OfRoom,
    OfUser,
    Older,
    Session,
    SessionRow,
    SignedByOthers,
    Wanted,
)

# All of it in one row, with which engine it is of.
_ROWS: LiteralString = """
    SELECT json_agg(json_build_array(s.id, s."user", s.name, s.provider, s.room, s.kind,
        s.app_type, s.epoch, s.created, s.seen, s.kid, s.user_agent, s.address))::text,
        sse_trio.identity()
    FROM (SELECT * FROM sse_trio.sessions s WHERE """
_SESSION: LiteralString = _ROWS + "s.id = %s) s"
_OF_ROOM: LiteralString = _ROWS + "s.room = %s) s"
_OF_USER: LiteralString = _ROWS + 's.provider = %s AND s."user" = %s) s'
_OLDER: LiteralString = (
    _ROWS
    + """s.provider = %s AND s.app_type = coalesce(%s, s.app_type) AND s.kind = %s
        AND (s.hour <= floor(%s / 3600) AND s.seen < %s OR s.created < %s) LIMIT %s) s"""
)
_SIGNED_BY_OTHERS: LiteralString = (
    _ROWS + "NOT EXISTS (SELECT FROM sse_trio.keys k WHERE k.kid = s.kid) LIMIT %s) s"
)
ISSUERS: LiteralString = (
    "SELECT json_agg(DISTINCT jsonb_build_array(provider, app_type)) FROM sse_trio.sessions"
)
SEE: LiteralString = "SELECT sse_trio.see_sessions(%s::text[], %s::double precision[], %s::text[])"
KEYS: LiteralString = """
    SELECT array_agg(kid ORDER BY created DESC), array_agg(secret ORDER BY created DESC),
        array_agg(created ORDER BY created DESC), sse_trio.identity()
    FROM sse_trio.keys
"""
ROTATE: LiteralString = "SELECT sse_trio.rotate_keys(%s, %s, %s, %s)"
REPLACE: LiteralString = "SELECT sse_trio.replace_keys(%s, %s)"


def changes(writes: Iterable[Write]) -> str:
    """Return what the function `change_sessions` takes."""
    made = [
        {"room": write.room, **attrs.asdict(write.sessions)}
        for write in writes
        if write.sessions is not None
    ]
    return strict_json.dumps(made)


def find(wanted: Wanted) -> tuple[Any, ...]:
    """Return a question and its parameters."""
    match wanted:
        case Session(id):
            return _SESSION, id
        case OfRoom(room):
            return _OF_ROOM, room
        case OfUser(provider, user):
            return _OF_USER, provider, user
        case SignedByOthers(most):
            return _SIGNED_BY_OTHERS, most
        case Older(seen=seen):
            about = wanted.provider, wanted.app_type, wanted.kind
            return _OLDER, *about, seen, seen, wanted.created, wanted.most


def to_rows(found: str | None) -> Sequence[SessionRow]:
    """Read sessions; raises one of `DAMAGE`."""
    rows = json.loads(found) if found else []
    for row in rows:
        check_session(*row)
    return [SessionRow(**dict(zip(_COLUMNS, row, strict=True))) for row in rows]


_COLUMNS = [field.name for field in attrs.fields(SessionRow)]


def columns(contacts: Mapping[str, tuple[float, str]]) -> tuple[list[Any], ...]:
    """Return what the function `see_sessions` takes."""
    moments = list(contacts.values())
    return list(contacts), [seen for seen, _ in moments], [kid for _, kid in moments]


def to_keys(
    kids: list[str] | None, secrets: list[bytes] | None, created: list[float] | None
) -> Sequence[KeyRow]:
    """Read keys; raises one of `DAMAGE`."""
    rows = list(zip(kids or (), secrets or (), created or (), strict=True))
    for row in rows:
        check_key(*row)
    return [KeyRow(*row) for row in rows]
