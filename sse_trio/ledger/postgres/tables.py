"""Queries for the sessions and the keys of `sse_trio.auth`."""

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

# With the identity of the engine.
_ROWS: LiteralString = """
    SELECT json_build_array(
        json_agg(json_build_array(s.id, s."user", s.name, s.provider, s.room, s.kind,
            s.app_type, s.epoch, s.created, s.seen, s.kid, s.user_agent, s.address)),
        sse_trio.identity()
    )
    FROM (SELECT * FROM sse_trio."""
_WHERE: LiteralString = _ROWS + "sessions s WHERE "
_SESSION: LiteralString = _WHERE + "s.id = $1) s"
_OF_ROOM: LiteralString = _WHERE + "s.room = $1) s"
_OF_USER: LiteralString = _WHERE + 's.provider = $1 AND s."user" = $2) s'
_OLDER: LiteralString = (
    _WHERE
    + """s.provider = $1 AND s.app_type = coalesce($2, s.app_type) AND s.kind = $3 AND (
            s.hour <= floor($4::double precision / 3600)::bigint AND s.seen < $4::double precision
            OR s.created < $5::double precision
        ) LIMIT $6) s"""
)
_SIGNED_BY_OTHERS: LiteralString = _ROWS + "signed_by_others($1)) s"
ISSUERS: LiteralString = (
    "SELECT json_agg(DISTINCT jsonb_build_array(provider, app_type)) FROM sse_trio.sessions"
)
SEE: LiteralString = "SELECT FROM sse_trio.see_sessions($1)"
KEYS: LiteralString = """
    SELECT json_build_array(
        json_agg(json_build_array(kid, encode(secret, 'hex'), created) ORDER BY created DESC),
        sse_trio.identity()
    )
    FROM sse_trio.keys
"""
ROTATE: LiteralString = "SELECT to_json(sse_trio.rotate_keys($1, $2, $3, $4))"
REPLACE: LiteralString = "SELECT FROM sse_trio.replace_keys($1, $2)"


def changes(writes: Iterable[Write]) -> str:
    """Return the arguments of the function `change_sessions`."""
    made = {
        write.room: attrs.asdict(write.sessions) for write in writes if write.sessions is not None
    }
    return strict_json.dumps(made)


def find(wanted: Wanted) -> tuple[Any, ...]:
    """Return a query and its parameters."""
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
            return _OLDER, *about, seen, wanted.created, wanted.most


def to_rows(rows: Sequence[Sequence[Any]]) -> Sequence[SessionRow]:
    """Read sessions; raises one of `DAMAGE`."""
    for row in rows:
        check_session(*row)
    return [SessionRow(**dict(zip(_COLUMNS, row, strict=True))) for row in rows]


_COLUMNS = [field.name for field in attrs.fields(SessionRow)]


def seen(contacts: Mapping[str, tuple[float, str]]) -> str:
    """Return the arguments of the function `see_sessions`."""
    rows = [{"id": name, "seen": at, "kid": kid} for name, (at, kid) in contacts.items()]
    return strict_json.dumps(rows)


def to_keys(found: Sequence[tuple[Any, str, Any]]) -> Sequence[KeyRow]:
    """Read keys; raises one of `DAMAGE`."""
    rows = [(kid, bytes.fromhex(secret), created) for kid, secret, created in found]
    for row in rows:
        check_key(*row)
    return [KeyRow(*row) for row in rows]
