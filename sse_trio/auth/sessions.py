"""The active sessions, and the keys that sign for them: a restart must keep both.

A store gets every change when it is decided; it returns an object that says when the change is
durable. The store in a file is the hub's ledger: the changes of a room and of its sessions in one
step are one transaction, so that neither is ever seen without the other.
"""

import itertools
import json
from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable
from typing import Any, Protocol, TypeVar

import attrs
import trio

from ..core.logins import epoch_of
from ..core.tokens import LEEWAY
from ..errors import LedgerError
from ..hub.recognition import View
from ..ledger import Commit, SqliteLedger
from ..ledger.checks import KEY, SESSION, check_session
from ..ledger.proposals import DONE
from .browsers import Browsers
from .cookies import User
from .keys import Key, Keys
from .settings import Kind
from .verdict import Issuer, Session

K = TypeVar("K", bound=Hashable)

# Sessions that one query returns at most.
SOME = 1000


class AnySessions(Protocol):
    """A store, which other nodes may write too.

    Times are Unix seconds; users are named by their provider and their id. Authorities of one
    application, of several providers or app types, share one.
    """

    keys: Keys | None
    """The keys in use; None until they are loaded."""

    browsers: Browsers
    """Empty at first, and in memory only."""

    def create(self, session: Session) -> Commit:
        """Keep a new session."""
        ...

    async def get(self, id: str) -> Session | None:
        """Return a session; None if there is none.

        Raises:
            LedgerError: the store cannot be read.
        """
        ...

    def touch(self, id: str, seen: float, kid: str) -> Commit:
        """Note the last contact with a session, and the key that signs its cookies then."""
        ...

    def revoke(self, id: str) -> Commit:
        """Drop a session."""
        ...

    def revoke_superseded(self, room: str, view: View) -> Commit:
        """Delete the sessions of a room that it would call superseded, also unknown ones."""
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

    async def older(
        self, provider: str, app_type: str | None, kind: Kind, *, seen: float, created: float
    ) -> list[Session]:
        """Return sessions of a kind that were last seen, or created, before then; at most `SOME`.

        Of one type of application, or of any.

        Raises:
            LedgerError: the store cannot be read.
        """
        ...

    async def issuers(self) -> list[Issuer]:
        """Return the issuers of all stored sessions. This looks at every session.

        Raises:
            LedgerError: the store cannot be read.
        """
        ...

    async def signed_by_others(self, kids: Collection[str]) -> list[Session]:
        """Return sessions whose cookies none of these keys has signed; at most `SOME`.

        Raises:
            LedgerError: the store cannot be read.
        """
        ...


class Sessions(AnySessions, Protocol):
    """A store that one process writes."""

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
        self._rooms: defaultdict[str, set[str]] = defaultdict(set)
        self._users: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        self.keys: Keys | None = None
        self.browsers = Browsers()
        self._kept: Keys | None = None

    def create(self, session: Session) -> Commit:
        """Keep a new session."""
        self._sessions[session.id] = session
        self._rooms[session.room].add(session.id)
        self._users[session.provider, session.user.id].add(session.id)
        return DONE

    async def get(self, id: str) -> Session | None:
        """Return a session, if there is one."""
        await trio.lowlevel.checkpoint()
        return self._sessions.get(id)

    def touch(self, id: str, seen: float, kid: str) -> Commit:
        """Note the last contact with a session."""
        if known := self._sessions.get(id):
            self._sessions[id] = attrs.evolve(known, seen=seen, kid=kid)
        return DONE

    def revoke(self, id: str) -> Commit:
        """Drop a session."""
        if known := self._sessions.pop(id, None):
            _discard(self._rooms, known.room, id)
            _discard(self._users, (known.provider, known.user.id), id)
        return DONE

    def revoke_superseded(self, room: str, view: View) -> Commit:
        """Drop the sessions of a room that it would call superseded."""
        for session in self._all(self._rooms.get(room, ())):
            epoch = epoch_of(session.epoch, session.created, view.epoch, view.notified, view.now)
            if session.id not in view.logins and epoch < view.ended_below:
                self.revoke(session.id)
        return DONE

    async def of_user(self, provider: str, user: str) -> list[Session]:
        """Return a user's sessions, the newest first."""
        await trio.lowlevel.checkpoint()
        return newest_first(self._all(self._users.get((provider, user), ())))

    async def of_room(self, room: str) -> list[Session]:
        """Return a room's sessions, the newest first."""
        await trio.lowlevel.checkpoint()
        return newest_first(self._all(self._rooms.get(room, ())))

    async def older(
        self, provider: str, app_type: str | None, kind: Kind, *, seen: float, created: float
    ) -> list[Session]:
        """Return some of the sessions that were last seen, or created, before then."""
        await trio.lowlevel.checkpoint()
        found = (
            s
            for s in self._sessions.values()
            if (s.provider, s.app_type, s.kind) == (provider, app_type or s.app_type, kind)
            and (s.seen < seen or s.created < created)
        )
        return list(itertools.islice(found, SOME))

    async def issuers(self) -> list[Issuer]:
        """Return the issuers of all sessions."""
        await trio.lowlevel.checkpoint()
        return list({session.issuer for session in self._sessions.values()})

    async def signed_by_others(self, kids: Collection[str]) -> list[Session]:
        """Return some of the sessions whose cookies none of these keys has signed."""
        await trio.lowlevel.checkpoint()
        found = (s for s in self._sessions.values() if s.kid not in kids)
        return list(itertools.islice(found, SOME))

    async def load_keys(self) -> Keys | None:
        """Return the keys."""
        await trio.lowlevel.checkpoint()
        return self._kept

    def store_keys(self, keys: Keys) -> Commit:
        """Keep these keys."""
        self._kept = keys
        return DONE

    def _all(self, ids: Iterable[str]) -> list[Session]:
        return list(map(self._sessions.__getitem__, ids))


def _discard(index: defaultdict[K, set[str]], key: K, id: str) -> None:
    index[key].discard(id)
    if not index[key]:
        del index[key]


_SELECT = f"SELECT {SESSION} FROM sessions"  # noqa: S608
_CREATE = (
    f"INSERT OR REPLACE INTO sessions ({SESSION}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
)
_TOUCH = "UPDATE sessions SET seen = ?, kid = ? WHERE id = ?"
_REVOKE = "DELETE FROM sessions WHERE id = ?"
_REVOKE_SUPERSEDED = (
    "DELETE FROM sessions WHERE room = ? AND id NOT IN (SELECT value FROM json_each(?)) "
    "AND CASE WHEN created < ? OR created > ? THEN min(epoch, ?) ELSE epoch END < ?"
)
_OLDER = (
    "WHERE provider = ? AND app_type = coalesce(?, app_type) AND kind = ? "
    "AND (seen < ? OR created < ?) LIMIT ?"
)
_SIGNED_BY_OTHERS = (
    "WHERE id IN (SELECT id FROM sessions "
    "WHERE kid NOT IN (SELECT value FROM json_each(?)) LIMIT ?)"
)
_PUT_KEY = f"INSERT OR REPLACE INTO keys ({KEY}) VALUES (?, ?, ?)"  # noqa: S608
_DROP_KEYS = "DELETE FROM keys WHERE kid NOT IN (SELECT value FROM json_each(?))"


class SqliteSessions:
    """Sessions and keys in the file of the hub's ledger, written by the ledger's one task."""

    def __init__(self, ledger: SqliteLedger) -> None:
        self.keys: Keys | None = None
        self.browsers = Browsers()
        self._ledger = ledger

    def create(self, session: Session) -> Commit:
        """Keep a new session."""
        return self._ledger.change(("session", session.id), _CREATE, *_from_session(session))

    async def get(self, id: str) -> Session | None:
        """Return a session as it was last committed, if there is one."""
        found = await self._query("WHERE id = ?", id)
        return found[0] if found else None

    def touch(self, id: str, seen: float, kid: str) -> Commit:
        """Note the last contact with a session."""
        return self._ledger.change(("seen", id), _TOUCH, seen, kid, id)

    def revoke(self, id: str) -> Commit:
        """Drop a session."""
        return self._ledger.change(("session", id), _REVOKE, id, last=True)

    def revoke_superseded(self, room: str, view: View) -> Commit:
        """Drop the sessions of a room that it would call superseded."""
        kept = json.dumps(sorted(view.logins))
        return self._ledger.change(
            ("superseded", room),
            _REVOKE_SUPERSEDED,
            room,
            kept,
            # As `epoch_of` has it.
            view.notified,
            view.now + LEEWAY,
            max(0, view.epoch - 1),
            view.ended_below,
            last=True,
        )

    async def of_user(self, provider: str, user: str) -> list[Session]:
        """Return a user's sessions, the newest first."""
        return newest_first(await self._query("WHERE provider = ? AND user = ?", provider, user))

    async def of_room(self, room: str) -> list[Session]:
        """Return a room's sessions, the newest first."""
        return newest_first(await self._query("WHERE room = ?", room))

    async def older(
        self, provider: str, app_type: str | None, kind: Kind, *, seen: float, created: float
    ) -> list[Session]:
        """Return some of the sessions that were last seen, or created, before then."""
        found = await self._query(_OLDER, provider, app_type, kind.value, seen, created, SOME)
        # Their last contact may wait for the disk.
        return [s for s in found if s.seen < seen or s.created < created]

    async def issuers(self) -> list[Issuer]:
        """Return the issuers of the committed sessions."""
        rows = await self._ledger.query("SELECT DISTINCT provider, app_type FROM sessions")
        return [(provider, app_type) for provider, app_type in rows]

    async def signed_by_others(self, kids: Collection[str]) -> list[Session]:
        """Return some of the sessions whose cookies none of these keys has signed."""
        found = await self._query(_SIGNED_BY_OTHERS, json.dumps(sorted(kids)), SOME)
        return [session for session in found if session.kid not in kids]

    async def _query(self, where: str, *values: Any) -> list[Session]:
        waiting = self._ledger.waiting()
        rows = await self._ledger.query(f"{_SELECT} {where}", *values)
        found = []
        for row in rows:
            try:
                check_session(*row)
                session = _to_session(*row)
            except (ValueError, TypeError):
                # Its text may quote stored data.
                raise LedgerError("the stored sessions are damaged: restore a copy") from None
            contact = waiting(("seen", session.id))
            # The sessions that were read may be newer.
            if contact and contact[0] > session.seen:
                session = attrs.evolve(session, seen=contact[0], kid=contact[1])
            found.append(session)
        return found

    async def load_keys(self) -> Keys | None:
        """Return the keys as they were last committed."""
        rows = await self._ledger.query(
            f"SELECT {KEY} FROM keys ORDER BY created DESC"  # noqa: S608
        )
        return Keys(tuple(Key(*row) for row in rows)) if rows else None

    def store_keys(self, keys: Keys) -> Commit:
        """Keep these keys and no others."""
        # Keyed by place, so that no more than these wait while a disk fails.
        for place, key in enumerate(keys.keys):
            self._ledger.change(("key", place), _PUT_KEY, *attrs.astuple(key))
        kids = json.dumps([key.kid for key in keys.keys])
        return self._ledger.change("keys", _DROP_KEYS, kids, last=True)


def newest_first(sessions: Iterable[Session]) -> list[Session]:
    """Return sessions in the order in which they are listed."""
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
        session.kid,
        session.user_agent,
        session.address,
    )


def _to_session(
    id: str, user: str, user_name: str, provider: str, room: str, kind: str, *more: Any
) -> Session:
    names = ("app_type", "epoch", "created", "seen", "kid", "user_agent", "address")
    return Session(
        id=id,
        user=User(user, user_name),
        provider=provider,
        room=room,
        kind=Kind(kind),
        **dict(zip(names, more, strict=True)),
    )
