"""How a ledger stores a room and an answer: texts and numbers, for a file or a database.

SQLite has a column for each part of a record. PostgreSQL has the whole of it in one text, a JSON
object with the same parts. Rows are checked when they are read, and raise one of `DAMAGE`.
"""

import functools
import json
from typing import Any

import attrs

from .. import strict_json
from ..core.logins import RELEASED, Login, Record, StoredLogins, Termination
from ..core.notify import LAST_JOINED, Answer
from .checks import a_name, a_number, a_whole, an_object, check_key, check_session

# Raised for data that no server can have written.
DAMAGE = (ValueError, TypeError, LookupError, AttributeError, RecursionError)

# Texts of terminations that are cached while rooms are read: most rooms have the same few.
_TEXTS = 1024


def from_record(room: str, record: Record) -> tuple[Any, ...]:
    """Return the columns of SQLite."""
    return (
        room,
        record.epoch,
        record.floor,
        record.touched,
        record.notified,
        strict_json.dumps(
            {session: _from_login(login) for session, login in record.logins.items()}
        ),
        strict_json.dumps(_from_terminations(record)),
        record.forgotten,
        record.limit,
    )


def to_record(
    room: str,
    epoch: int,
    floor: int,
    touched: float,
    notified: float,
    logins: str,
    ends: str,
    forgotten: int,
    places: int | None,
) -> tuple[str, Record]:
    """Read the columns of SQLite: the logins are checked, and made only when they are needed."""
    sessions, end = _decode(logins)
    if end != len(logins):
        raise ValueError
    was_named = is_held = False
    for session, login in sessions.items():
        a_name(session)
        if _check_login(*login):
            was_named = True
            is_held = is_held or len(login) <= _ENDED or login[_ENDED] is None
    stored = StoredLogins(logins, _to_logins, was_named=was_named, is_held=is_held)
    terminations = _to_terminations(ends)
    return a_name(room), _record(
        epoch, floor, touched, notified, stored, terminations, forgotten, places
    )


def record_to_text(record: Record) -> str:
    """Return the whole of a record as a JSON object."""
    return strict_json.dumps(
        {
            "epoch": record.epoch,
            "floor": record.floor,
            "touched": record.touched,
            "notified": record.notified,
            "logins": {
                session: attrs.astuple(login, recurse=False)[:_UNTIL]
                for session, login in record.logins.items()
            },
            # Apart from them: an older node, which may run beside this one, reads six parts.
            "until": {
                session: login.until
                for session, login in record.logins.items()
                if login.until is not None
            },
            "terminations": _from_terminations(record),
            "forgotten": record.forgotten,
            "limit": record.limit,
        }
    )


def record_from_text(text: str) -> Record:
    """Read a record; members that a newer version has added are ignored."""
    found = json.loads(text)
    until = found.get("until", {})
    return _record(
        found["epoch"],
        found["floor"],
        found["touched"],
        found["notified"],
        {
            a_name(session): _to_login(parts, until.get(session))
            for session, parts in found["logins"].items()
        },
        tuple(_to_termination(*parts) for parts in found["terminations"]),
        found["forgotten"],
        found["limit"],
    )


def to_session(*columns: Any) -> tuple[Any, ...]:
    """Check the columns of a session, as `checks.SESSION` names them."""
    check_session(*columns)
    return columns


def to_key(*columns: Any) -> tuple[Any, ...]:
    """Check the columns of a key, as `checks.KEY` names them."""
    check_key(*columns)
    return columns


def _from_login(login: Login) -> list[Any]:
    """Return the parts of a login, without those at the end that are None."""
    parts = list(attrs.astuple(login, recurse=False))
    while parts[-1] is None:
        parts.pop()
    return parts


def _from_terminations(record: Record) -> list[tuple[Any, ...]]:
    return [attrs.astuple(each, recurse=False) for each in record.terminations]


def _record(
    epoch: int,
    floor: int,
    touched: float,
    notified: float,
    logins: dict[str, Login] | StoredLogins,
    terminations: tuple[Termination, ...],
    forgotten: int,
    places: int | None,
) -> Record:
    if a_whole(floor) > a_whole(epoch):
        raise ValueError
    # -1 means that no ended session is forgotten.
    if forgotten != -1:
        a_whole(forgotten)
    if places is not None and a_whole(places) < 1:
        raise ValueError
    return Record(
        epoch,
        floor,
        logins,
        terminations,
        a_number(touched),
        a_number(notified),
        forgotten,
        places,
    )


# `json.loads` without its set-up, which takes as long as decoding a small record.
_decode = json.JSONDecoder().raw_decode


# The places of `ended` and `until` in what is stored of a login.
_ENDED, _UNTIL = 4, 6


def _check_login(
    epoch: int,
    since: float,
    seen: float,
    named: bool,
    ended: int | None = None,
    about: dict[str, Any] | None = None,
    until: float | None = None,
) -> bool:
    """Check what is stored of a login; return whether it was named."""
    if named is not True and named is not False:
        raise TypeError
    if ended is not None and ended != RELEASED:
        a_whole(ended)
    if about is not None:
        an_object(about)
    if until is not None:
        a_number(until)
    a_whole(epoch)
    a_number(since)
    a_number(seen)
    return named


def _to_login(parts: list[Any], until: float | None) -> Login:
    whole = [*parts, *[None] * (_UNTIL - len(parts)), until]
    _check_login(*whole)
    return Login(*whole)


def _to_logins(text: str) -> dict[str, Login]:
    """Read the logins of a room, which have been checked."""
    sessions, _ = _decode(text)
    return {session: Login(*login) for session, login in sessions.items()}


@functools.lru_cache(_TEXTS)
def _to_terminations(text: str) -> tuple[Termination, ...]:
    return tuple(_to_termination(*parts) for parts in json.loads(text))


def forget_texts() -> None:
    """Clear the cache that was used while rooms were read."""
    _to_terminations.cache_clear()


def _to_termination(epoch: int, reason: str, detail: dict[str, Any] | None) -> Termination:
    if not isinstance(reason, str):
        raise TypeError
    # It could not be sent with a lone surrogate.
    reason.encode()
    if detail is not None:
        an_object(detail)
    return Termination(a_whole(epoch), reason, detail)


def from_answer(answer: Answer) -> tuple[str, float, str]:
    """Return its id, its time, and the rest as a JSON object."""
    members = {
        field.name: getattr(answer, field.name)
        for field in attrs.fields(Answer)
        if field.name not in ("id", "at")
    }
    if answer.asked is LAST_JOINED:
        del members["asked"]
    return answer.id, answer.at, strict_json.dumps(members)


def to_answer(id: str, at: float, answer: str) -> Answer:
    """Read the result of `from_answer`."""
    members = {"asked": LAST_JOINED, "end": [], "ended": [], **json.loads(answer)}
    if type(members["end"]) is not list or type(members["ended"]) is not list:
        raise TypeError
    found = Answer(id=id, at=a_number(at), **members)
    for session in (found.asked, found.sender, *found.end, *found.ended):
        if session is not None and session is not LAST_JOINED:
            a_name(session)
    if type(id) is not str or not id:
        raise ValueError
    return attrs.evolve(
        found,
        room=a_name(found.room),
        epoch=a_whole(found.epoch),
        terminated=a_whole(found.terminated),
    )
