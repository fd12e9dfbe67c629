"""The standings of all rooms: bounded in number and in time; the longest unused is deleted first.

A room that has members is never deleted; a deleted one counts as never seen. Rooms are kept in
three groups (`Kind`), so that rooms that any client can make do not displace the others. The rooms
with an active named session are limited by time only.
"""

import enum
import itertools
import math
from collections import OrderedDict
from collections.abc import Container, Iterator

from ..config import Config
from .logins import Record, memory_of
from .standing import Standing


class Kind(enum.IntEnum):
    """Which sessions a room has: the limits of memory depend on it.

    `Standings.get` looks for a room in this order, so most rooms are found first. The hash of an
    integer takes no call.
    """

    HELD = 1
    """A named session is active."""
    OVER = 2
    """Sessions were named, and none of them is active."""
    CLAIMED = 3
    """No session was ever named."""


def _kind(room: Standing | Record) -> Kind:
    """Return the kind of a room."""
    logins = room.logins
    was_named = room.epoch > 0
    if isinstance(logins, dict):
        # The newest ones are the most likely to be active.
        for login in reversed(logins.values()):
            if login.named:
                if login.ended is None:
                    return Kind.HELD
                was_named = True
    elif logins.is_held:
        return Kind.HELD
    else:
        was_named = was_named or logins.was_named
    return Kind.OVER if was_named else Kind.CLAIMED


class Standings:
    """The standing of every room.

    `alive` holds the rooms that have members: those are never deleted. `now` is Unix seconds
    throughout. If it `is_cache`, a deleted room can be read again: then every group is limited in
    number.
    """

    def __init__(self, config: Config, *, alive: Container[str], is_cache: bool = False) -> None:
        self._config = config
        self._alive = alive
        self._is_cache = is_cache
        # In each group the room that was unused for longest comes first. A room of the ledger is a
        # record until it is asked for.
        self._kinds = {kind: OrderedDict[str, Standing | Record]() for kind in Kind}

    def __len__(self) -> int:
        return sum(map(len, self._kinds.values()))

    def __iter__(self) -> Iterator[str]:
        return itertools.chain(*self._kinds.values())

    def reload(self, config: Config) -> None:
        """Use another configuration; each room does when it is next asked for."""
        self._config = config

    def get(self, room: str) -> Standing | None:
        """Return the room's standing, if there is one."""
        for rooms in self._kinds.values():
            if standing := rooms.get(room):
                if isinstance(standing, Record):
                    standing = rooms[room] = Standing.restore(self._config, standing)
                standing.config = self._config
                return standing
        return None

    def draft(self, room: str, now: float) -> Standing:
        """Return a copy of the room's standing, or a new one; it changes nothing."""
        known = self.get(room)
        return known.draft(self._config, now) if known else Standing(self._config, touched=now)

    def put(self, room: str, standing: Standing) -> None:
        """Make this the room's standing, and the room the most recently used one."""
        self.drop(room)
        self._kinds[_kind(standing)][room] = standing

    def drop(self, room: str) -> None:
        """Delete a room, if there is such a room."""
        for rooms in self._kinds.values():
            if rooms.pop(room, None):
                break

    def touch(self, room: str, now: float) -> None:
        """Make the room the most recently used one, if there is such a room."""
        if standing := self.get(room):
            standing.touched = now
            self.put(room, standing)

    def restore(self, room: str, record: Record) -> None:
        """Add a room from the ledger. Call this for the oldest first, before any use of a room."""
        self._kinds[_kind(record)][room] = record

    def forget(
        self, now: float, *, keep: str | None = None, most: float = math.inf
    ) -> Iterator[str]:
        """Delete the rooms that are too old or too many; yield each that was checked.

        A room that has members stays; if it was too old, it counts as used. Goes no further than
        `keep`, stops when it is not asked for more, and checks at most `most` rooms of each kind.
        """
        kept = memory_of(self._config.ticket_lifetime)
        for kind, rooms in self._kinds.items():
            is_limited = self._is_cache or kind is not Kind.HELD
            bound = self._config.max_remembered_rooms if is_limited else math.inf
            looks = min(len(rooms), most)
            while looks > 0 and (first := next(iter(rooms.items()), None)):
                room, oldest = first
                expired = now - oldest.touched > kept
                enough = not expired and len(rooms) <= bound
                if room == keep or enough:
                    break
                if room not in self._alive:
                    del rooms[room]
                elif expired:
                    self.touch(room, now)
                else:
                    rooms.move_to_end(room)
                looks -= 1
                yield room
