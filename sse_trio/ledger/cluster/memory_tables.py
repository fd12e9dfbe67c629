"""The sessions and the keys of `sse_trio.auth` in an engine in memory."""

from collections.abc import Collection, Mapping, Sequence
from itertools import islice

import attrs

from ..sessions import (
    KeyRow,
    OfRoom,
    OfUser,
    Older,
    Session,
    SessionChanges,
    SessionRow,
    SignedByOthers,
    Wanted,
)


class MemoryTables:
    """What there is at one moment."""

    def __init__(self) -> None:
        self.keys: Sequence[KeyRow] = []
        """The newest first."""
        self._sessions: dict[str, SessionRow] = {}

    def copy(self) -> "MemoryTables":
        """Return what there is now, unaffected by what comes after."""
        copied = MemoryTables()
        copied.keys, copied._sessions = self.keys, self._sessions.copy()
        return copied

    def change(self, room: str, changes: SessionChanges) -> None:
        """Do to the rows of a room what a swap does that has won."""
        for row in self.find(OfRoom(room)):
            if changes.end(row):
                del self._sessions[row.id]
        if changes.created is not None:
            self._sessions.setdefault(changes.created.id, changes.created)

    def find(self, wanted: Wanted) -> Sequence[SessionRow]:
        """See `Engine.find_sessions`."""
        kids = {key.kid for key in self.keys}

        def is_wanted(row: SessionRow) -> bool:
            match wanted:
                case Session(id):
                    return row.id == id
                case OfRoom(room):
                    return row.room == room
                case OfUser(provider, user):
                    return (row.provider, row.user) == (provider, user)
                case Older():
                    is_its_kind = (row.provider, row.kind) == (wanted.provider, wanted.kind)
                    is_old = row.seen < wanted.seen or row.created < wanted.created
                    return is_its_kind and is_old and wanted.app_type in (None, row.app_type)
                case SignedByOthers():
                    return row.kid not in kids

        most = wanted.most if isinstance(wanted, Older | SignedByOthers) else None
        return list(islice(filter(is_wanted, self._sessions.values()), most))

    def issuers(self) -> Collection[tuple[str, str]]:
        """See `Engine.issuers`."""
        return {(row.provider, row.app_type) for row in self._sessions.values()}

    def see(self, contacts: Mapping[str, tuple[float, str]]) -> None:
        """See `Engine.see_sessions`."""
        for session, (seen, kid) in contacts.items():
            if (row := self._sessions.get(session)) and row.seen < seen:
                self._sessions[session] = attrs.evolve(row, seen=seen, kid=kid)

    def rotate(self, key: KeyRow, *, newest: str | None, most: int) -> bool:
        """See `Engine.rotate_keys`."""
        if newest != (self.keys[0].kid if self.keys else None):
            return False
        if self.keys:
            # In order, whichever way the clock was put.
            after = self.keys[0].created + 0.001
            key = attrs.evolve(key, created=max(key.created, after))
        self.keys = [key, *self.keys][:most]
        return True

    def replace(self, key: KeyRow) -> None:
        """See `Engine.replace_keys`."""
        self.keys = [key]
