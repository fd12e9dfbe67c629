"""The sessions that are logged in, and the keys that sign for them: what a restart must keep.

A store is told of every change as it is decided; what it returns says when that is durable.
The one in a file is the hub's ledger: what is noted of a room and of its sessions in one
step is one transaction, so that neither is ever seen without the other.
"""

import itertools
import json
from collections.abc import Iterable
from typing import Any, Protocol

import attrs
import trio

from ..core.standing import epoch_of
from ..ledger import Commit, Ledger, SqliteLedger
from ..ledger.memory import DONE
from ..server.recognition import View
from .cookies import User
from .keys import Key, Keys
from .settings import Kind
from .verdict import Session

# Sessions that are looked at at a time.
SOME = 1000


class Sessions(Protocol):
    """The store. Times are Unix seconds; users are named by their provider and their id.

    Authorities of one application, of several providers or app types, share one.
    """

    keys: Keys | None
    """The keys in use; None until they are loaded."""

    def create(self, session: Session) -> Commit:
        """Keep a new session."""
        ...

    async def get(self, id: str) -> Session | None:
        """Return a session; None if there is none.

        Raises:
            LedgerError: the store cannot be read.
        """
        ...

    def touch(self, id: str, seen: float) -> Commit:
        """Note the last contact with a session, if there is that session."""
        ...

    def revoke(self, id: str) -> Commit:
        """Drop a session."""
        ...

    def revoke_superseded(self, room: str, view: View) -> Commit:
        """Drop the sessions of a room that it would call superseded, also unknown ones."""
        ...

    async def of_user(self, provider: str, user: str) -> list[Session]:
        """Return a user's sessions, the newest first.

        Raises:
            LedgerError: the store cannot be read.
        """
        ...

    async def of_room(self, room: str) -> list[Session]:
        """Return a room's sessions, the newest first.

        Raises:
            LedgerError: the store cannot be read.
        """
        ...

    async def seen_before(
        self, provider: str, app_type: str | None, kind: Kind, then: float
    ) -> list[Session]:
        """Return sessions of a kind that were last seen before then, at most `SOME`.

        Of one type of application, or of any.

        Raises:
            LedgerError: the store cannot be read.
        """
        ...

    async def load_keys(self) -> Keys | None:
        """Return the keys; None if there are none yet.

        Raises:
            LedgerError: the store cannot be read.
        """
        ...

    def store_keys(self, keys: Keys) -> Commit:
        """Keep these keys and no others."""
        ...


class MemorySessions:
    """Sessions and keys that last as long as the process."""

    def __init__(self) -> None:
        self._sessions: dict[str, Session] = {}
        self.keys: Keys | None = None
        self._kept: Keys | None = None

    def create(self, session: Session) -> Commit:
        """Keep a new session."""
        self._sessions[session.id] = session
        return DONE

    async def get(self, id: str) -> Session | None:
        """Return a session, if there is one."""
        await trio.lowlevel.checkpoint()
        return self._sessions.get(id)

    def touch(self, id: str, seen: float) -> Commit:
        """Note the last contact with a session."""
        if known := self._sessions.get(id):
            self._sessions[id] = attrs.evolve(known, seen=seen)
        return DONE

    def revoke(self, id: str) -> Commit:
        """Drop a session."""
        self._sessions.pop(id, None)
        return DONE

    def revoke_superseded(self, room: str, view: View) -> Commit:
        """Drop the sessions of a room that it would call superseded."""
        for session in list(self._sessions.values()):
            epoch = epoch_of(session.epoch, session.created, view.epoch, view.notified)
            if session.room == room and session.id not in view.sessions and epoch < view.floor:
                del self._sessions[session.id]
        return DONE

    async def of_user(self, provider: str, user: str) -> list[Session]:
        """Return a user's sessions, the newest first."""
        await trio.lowlevel.checkpoint()
        found = (s for s in self._sessions.values() if (s.provider, s.user.id) == (provider, user))
        return _newest_first(found)

    async def of_room(self, room: str) -> list[Session]:
        """Return a room's sessions, the newest first."""
        await trio.lowlevel.checkpoint()
        return _newest_first(s for s in self._sessions.values() if s.room == room)

    async def seen_before(
        self, provider: str, app_type: str | None, kind: Kind, then: float
    ) -> list[Session]:
        """Return some of the sessions that were last seen before then."""
        await trio.lowlevel.checkpoint()
        old = (
            s
            for s in self._sessions.values()
            if s.provider == provider
            and s.app_type == (app_type or s.app_type)
            and s.kind is kind
            and s.seen < then
        )
        return list(itertools.islice(old, SOME))

    async def load_keys(self) -> Keys | None:
        """Return the keys."""
        await trio.lowlevel.checkpoint()
        return self._kept

    def store_keys(self, keys: Keys) -> Commit:
        """Keep these keys."""
        self._kept = keys
        return DONE


_COLUMNS = (
    "id, user, name, provider, room, kind, app_type, epoch, created, seen, user_agent, address"
)
_SELECT = f"SELECT {_COLUMNS} FROM sessions"  # noqa: S608
_CREATE = (
    f"INSERT OR REPLACE INTO sessions ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
)
_TOUCH = "UPDATE sessions SET seen = ? WHERE id = ?"
_REVOKE = "DELETE FROM sessions WHERE id = ?"
_REVOKE_SUPERSEDED = (
    "DELETE FROM sessions WHERE room = ? AND id NOT IN (SELECT value FROM json_each(?)) "
    "AND CASE WHEN created < ? THEN min(epoch, ?) ELSE epoch END < ?"
)
_PUT_KEY = "INSERT OR REPLACE INTO keys (kid, secret, created) VALUES (?, ?, ?)"
_DROP_KEYS = "DELETE FROM keys WHERE kid NOT IN (SELECT value FROM json_each(?))"


class SqliteSessions:
    """Sessions and keys in the file of the hub's ledger, written by the ledger's one task."""

    def __init__(self, ledger: SqliteLedger) -> None:
        self.keys: Keys | None = None
        self._ledger = ledger

    def create(self, session: Session) -> Commit:
        """Keep a new session."""
        return self._ledger.change(("session", session.id), _CREATE, *_from_session(session))

    async def get(self, id: str) -> Session | None:
        """Return a session as it was last committed, if there is one."""
        found = await self._query("WHERE id = ?", id)
        return found[0] if found else None

    def touch(self, id: str, seen: float) -> Commit:
        """Note the last contact with a session."""
        return self._ledger.change(("seen", id), _TOUCH, seen, id)

    def revoke(self, id: str) -> Commit:
        """Drop a session."""
        return self._ledger.change(("session", id), _REVOKE, id, last=True)

    def revoke_superseded(self, room: str, view: View) -> Commit:
        """Drop the sessions of a room that it would call superseded."""
        kept = json.dumps(sorted(view.sessions))
        return self._ledger.change(
            ("superseded", room),
            _REVOKE_SUPERSEDED,
            room,
            kept,
            view.notified,
            view.epoch - 1,
            view.floor,
            last=True,
        )

    async def of_user(self, provider: str, user: str) -> list[Session]:
        """Return a user's sessions, the newest first."""
        return _newest_first(await self._query("WHERE provider = ? AND user = ?", provider, user))

    async def of_room(self, room: str) -> list[Session]:
        """Return a room's sessions, the newest first."""
        return _newest_first(await self._query("WHERE room = ?", room))

    async def seen_before(
        self, provider: str, app_type: str | None, kind: Kind, then: float
    ) -> list[Session]:
        """Return some of the sessions that were last seen before then."""
        where = (
            "WHERE provider = ? AND app_type = coalesce(?, app_type) AND kind = ? AND seen < ? "
            f"LIMIT {SOME}"
        )
        found = await self._query(where, provider, app_type, kind.value, then)
        return [session for session in found if session.seen < then]

    async def _query(self, where: str, *values: Any) -> list[Session]:
        rows = await self._ledger.query(f"{_SELECT} {where}", *values)
        return [self._as_seen(_to_session(*row)) for row in rows]

    def _as_seen(self, session: Session) -> Session:
        """Add the last contact, where that waits for the disk."""
        seen = self._ledger.changing(("seen", session.id))
        return session if seen is None else attrs.evolve(session, seen=seen[0])

    async def load_keys(self) -> Keys | None:
        """Return the keys as they were last committed."""
        rows = await self._ledger.query(
            "SELECT kid, secret, created FROM keys ORDER BY created DESC"
        )
        return Keys(tuple(Key(*row) for row in rows)) if rows else None

    def store_keys(self, keys: Keys) -> Commit:
        """Keep these keys and no others."""
        for key in keys.keys:
            self._ledger.change(("key", key.kid), _PUT_KEY, *attrs.astuple(key))
        kids = json.dumps([key.kid for key in keys.keys])
        return self._ledger.change("keys", _DROP_KEYS, kids, last=True)


def store_in(ledger: Ledger) -> Sessions:
    """Return a store that lasts as long as what this ledger keeps."""
    return SqliteSessions(ledger) if isinstance(ledger, SqliteLedger) else MemorySessions()


def _newest_first(sessions: Iterable[Session]) -> list[Session]:
    return sorted(sessions, key=lambda session: (session.created, session.id), reverse=True)


def _from_session(session: Session) -> tuple[Any, ...]:
    return (
        session.id,
        session.user.id,
        session.user.name,
        session.provider,
        session.room,
        session.kind.value,
        session.app_type,
        session.epoch,
        session.created,
        session.seen,
        session.user_agent,
        session.address,
    )


def _to_session(
    id: str, user: str, user_name: str, provider: str, room: str, kind: str, *more: Any
) -> Session:
    names = ("app_type", "epoch", "created", "seen", "user_agent", "address")
    return Session(
        id=id,
        user=User(user, user_name),
        provider=provider,
        room=room,
        kind=Kind(kind),
        **dict(zip(names, more, strict=True)),
    )
