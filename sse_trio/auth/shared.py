"""The sessions and keys of several nodes, in the database that they share.

The swaps of a room make and delete the rows of its sessions, in their transactions. So a decision
about a login, on any node, also decides about its row, and this module does nothing for that. Rows
are not cached. A cookie has the data of its row, and the room says whether the session is still
active.

The node reads the keys again and again. A node that has not read them for a lease judges no
request. So a lease after a key was made or removed, every node that judges requests knows it. A new
key signs only then, unless no other key is old enough. A node that finds none makes the first one.
"""

import contextlib
from collections.abc import Callable, Collection, Iterable
from itertools import islice

import attrs
import trio

from ..errors import LedgerError
from ..hub.recognition import View
from ..ledger import Commit
from ..ledger.cluster.tables import Tables
from ..ledger.cluster.wall import MAX_OFF
from ..ledger.proposals import DONE
from ..ledger.sessions import (
    KeyRow,
    OfRoom,
    OfUser,
    Older,
    SessionRow,
    SignedByOthers,
    Wanted,
)
from ..ledger.sessions import Session as ById
from .browsers import Browsers
from .cookies import User
from .keyring import Keyring
from .keys import MAX_KEYS, Key, Keys
from .sessions import SOME, newest_first
from .settings import Kind
from .verdict import Issuer, Session

# Seconds for which contacts are collected, to be written together.
COLLECTED = 5.0

# Seconds between a session's expiry and its sweep: another node may have had a contact that it has
# not written yet.
LATE = 60.0

# In leases: how often the keys are read.
READ = 1 / 4

# Seconds between two readings of the keys at least, even if clients send unknown keys.
READ_AGAIN = 0.25


class SharedSessions:
    """The store of one node. `wall` is the engine's clock, in Unix seconds."""

    def __init__(self, tables: Tables, wall: Callable[[], float]) -> None:
        self.keys: Keys | None = None
        self.browsers = Browsers()
        self.tables = tables
        self._wall = wall
        self._contacts: dict[str, tuple[float, str]] = {}
        self._noting: dict[str, tuple[float, str]] = {}
        self._noted = tables.clock()
        self._reading = trio.Lock()
        # When the last reading of the keys was begun.
        self._read: float | None = None

    # -- sessions -----------------------------------------------------------------------

    def row(self, session: Session) -> SessionRow:
        """Return what the swap that names the session has to write."""
        user, about = session.user, attrs.asdict(session, recurse=False)
        return SessionRow(**{**about, "user": user.id, "name": user.name})

    def create(self, session: Session) -> Commit:
        """Do nothing: its row came with the swap."""
        return DONE

    async def get(self, id: str) -> Session | None:
        """Return a session, if there is one."""
        found = await self._find(ById(id))
        return found[0] if found else None

    def touch(self, id: str, seen: float, kid: str) -> Commit:
        """Write the last contact with a session, some seconds later."""
        self._contacts[id] = seen, kid
        return DONE

    def revoke(self, id: str) -> Commit:
        """Do nothing: its row went with the swap."""
        return DONE

    def revoke_superseded(self, room: str, view: View) -> Commit:
        """Do nothing: their rows went with the swap."""
        return DONE

    async def of_user(self, provider: str, user: str) -> list[Session]:
        """Return a user's sessions, the newest first."""
        return newest_first(await self._find(OfUser(provider, user)))

    async def of_room(self, room: str) -> list[Session]:
        """Return a room's sessions, the newest first."""
        return newest_first(await self._find(OfRoom(room)))

    async def older(
        self, provider: str, app_type: str | None, kind: Kind, *, seen: float, created: float
    ) -> list[Session]:
        """Return some of the sessions that were last seen, or created, before then; late."""
        wanted = Older(
            provider=provider,
            app_type=app_type,
            kind=kind.value,
            seen=seen - LATE,
            created=created,
            most=SOME,
        )
        return [s for s in await self._find(wanted) if s.seen < seen or s.created < created]

    async def issuers(self) -> list[Issuer]:
        """Return the issuers of all sessions."""
        return list(await self.tables.issuers())

    async def signed_by_others(self, kids: Collection[str]) -> list[Session]:
        """Return some of the sessions whose cookies no existing key has signed."""
        return await self._find(SignedByOthers(SOME))

    async def _find(self, wanted: Wanted) -> list[Session]:
        found = [self._to_session(row) for row in await self.tables.find(wanted)]
        if not all(session.kid in self._verifying() for session in found):
            # The key is newer, or it is not in use any more.
            await self.read_keys()
        return found

    def _to_session(self, row: SessionRow) -> Session:
        about = attrs.asdict(row)
        user = User(about.pop("user"), about.pop("name"))
        session = Session(**{**about, "user": user, "kind": Kind(row.kind)})
        for contacts in (self._contacts, self._noting):
            if (contact := contacts.get(session.id)) and contact[0] > session.seen:
                return attrs.evolve(session, seen=contact[0], kid=contact[1])
        return session

    async def refresh(self) -> None:
        """Write contacts, and read the keys, if it is time; the next call repeats a failure."""
        now = self.tables.clock()
        with contextlib.suppress(LedgerError):
            if self._contacts and now - self._noted >= COLLECTED:
                await self._note_contacts()
        with contextlib.suppress(LedgerError):
            if self._read is None or now - self._read >= self.tables.lease * READ:
                await self.read_keys()

    async def _note_contacts(self) -> None:
        self._noted = self.tables.clock()
        waiting = iter(list(self._contacts))
        # No more at a time than the engine writes within its time limit.
        while some := list(islice(waiting, SOME)):
            self._noting = {session: self._contacts.pop(session) for session in some}
            try:
                await self.tables.see(self._noting)
            except BaseException:
                self._contacts = {**self._noting, **self._contacts}
                raise
            finally:
                self._noting = {}

    # -- keys ---------------------------------------------------------------------------

    @property
    def is_current(self) -> bool:
        """Whether the keys were read in the last lease."""
        return self._read is not None and self.tables.clock() - self._read < self.tables.lease

    async def read_keys(self, *, since: float | None = None) -> None:
        """Read the keys, unless that was begun after the moment `since` of the clock.

        If there are none, because they were lost or this is the first node, make one.

        Raises:
            LedgerError: they cannot be read, or not be written.
        """
        since = self.tables.clock() if since is None else since
        async with self._reading:
            if self._read is not None and self._read > since:
                return
            begun = self.tables.clock()
            while not (rows := await self.tables.keys()):
                key = Key.new(self._wall())
                await self.tables.rotate(key.kid, key.secret, newest=None, most=MAX_KEYS)
            keys = self._in_use(rows)
            # What is remembered for the same keys stays.
            self.keys = self.keys if keys == self.keys else keys
            self._read = begun

    async def look_again(self) -> None:
        """Read the keys, because a request has an unknown one: now, but not too often.

        Raises:
            LedgerError: they cannot be read.
        """
        asked = self.tables.clock()
        if self._read is not None and asked - self._read < READ_AGAIN:
            await trio.sleep(READ_AGAIN)
        await self.read_keys(since=asked)

    def _in_use(self, rows: Iterable[KeyRow]) -> Keys:
        keys = tuple(Key(row.kid, row.secret, row.created) for row in rows)
        wait = self.tables.lease * (1 + READ) + MAX_OFF
        old = self._wall() - wait
        coming = tuple(key for key in keys[:-1] if key.created > old)
        return Keys(keys[len(coming) :], coming)

    def _verifying(self) -> Collection[str]:
        return self.keys.verifying if self.keys else ()


class SharedKeyring(Keyring[SharedSessions]):
    """The keys of a store that other nodes have, too."""

    @property
    def is_current(self) -> bool:
        """Whether the known keys are new enough to judge requests."""
        return self.store.is_current

    async def update(self) -> None:
        """Read the keys, if the known ones are too old.

        Raises:
            LedgerError: they cannot be read, or not be written.
        """
        if not self.is_current:
            await self.load()

    async def look_again(self) -> bool:
        """Read the keys, because a request has an unknown one; True.

        Raises:
            LedgerError: they cannot be read.
        """
        await self.store.look_again()
        return True

    async def load(self) -> None:
        """Use the keys that nodes use, or make the first one, if no other node does.

        Raises:
            LedgerError: they cannot be read, or not be written.
        """
        await self.store.read_keys()

    async def rotate(self) -> None:
        """Make a new key, unless another node does at this moment; it signs a bit later.

        Raises:
            LedgerError: it could not be made durable, as far as is known.
        """
        key, newest = self.new_key(), self.keys.newest.kid
        await self.store.tables.rotate(key.kid, key.secret, newest=newest, most=MAX_KEYS)
        await self.store.read_keys()

    async def replace(self) -> None:
        """Use a new key, and no other; return when no node accepts the old ones any more.

        Raises:
            LedgerError: it could not be made durable, as far as is known.
        """
        key = self.new_key()
        await self.store.tables.replace(key.kid, key.secret)
        await self.store.read_keys()
        # By any node's clock, which may be a bit slower than this one.
        await trio.sleep(self.store.tables.lease * 1.05)
