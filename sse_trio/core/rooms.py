"""The registry: the members of each room, and exactly those that a notify ends.

A room exists while somebody is in it: a dict of its members, in the order they came, each with the
session that it belongs to. A notify keeps exactly these: all tabs of the sender, and no other
member.

Every call is O(1) in the number of members and rooms, except those that must look at all members of
one room.
"""

from collections.abc import Collection, Container, Hashable, Iterator, Mapping
from types import MappingProxyType
from typing import Final, Generic, TypeVar

M = TypeVar("M", bound=Hashable)

_NOBODY: Final[Mapping[object, str]] = MappingProxyType({})


class Rooms(Generic[M]):
    """Members of type `M`, distinguished by identity or equality, in rooms, each of a session."""

    def __init__(self) -> None:
        self._rooms: dict[str, dict[M, str]] = {}
        self.population = 0
        """How many members there are in all rooms."""

    def __len__(self) -> int:
        """How many rooms have a member."""
        return len(self._rooms)

    def __contains__(self, room: object) -> bool:
        return room in self._rooms

    def names(self) -> list[str]:
        """Return the rooms that have a member."""
        return list(self._rooms)

    def size(self, room: str) -> int:
        """How many members `room` has."""
        return len(self._rooms.get(room, ()))

    def join(self, room: str, session: str, member: M) -> None:
        """Register `member`; doing it twice is doing it once."""
        members = self._rooms.setdefault(room, {})
        if member not in members:
            members[member] = session
            self.population += 1

    def leave(self, room: str, member: M) -> bool:
        """Remove `member`; False if it was not there."""
        members = self._rooms.get(room, {})
        if member not in members:
            return False
        del members[member]
        self.population -= 1
        if not members:
            del self._rooms[room]
        return True

    def members(self, room: str) -> list[M]:
        """All members of `room`, in the order they came."""
        return list(self._rooms.get(room, ()))

    def sessions(self, room: str) -> Collection[str]:
        """Return a view of each member's session, in the same order."""
        return self._rooms.get(room, _NOBODY).values()

    def evict(self, room: str, staying: Container[str]) -> Iterator[M]:
        """Take out of `room`, and yield, exactly the members of sessions not in `staying`.

        Go to its end in the step that begins it: until then, the room has no members.
        """
        kept: dict[M, str] = {}
        # One pass, because the data of 10,000 members is not in the processor's cache.
        for member, session in self._rooms.pop(room, {}).items():
            if session in staying:
                kept[member] = session
            else:
                self.population -= 1
                yield member
        if kept:
            self._rooms[room] = kept
