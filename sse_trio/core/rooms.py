"""The registry: who is in which room, and exactly whom a notify ends.

A room exists while somebody is in it. Members of one room are grouped by session,
because that is what a notify spares: all tabs of the sender, and nobody else.

Every call is O(1) in the number of members and rooms, but for the two that must
name the members they are about. The registry is never changed while somebody walks
over it: both of those return lists of their own.
"""

from collections.abc import Container, Hashable
from typing import Generic, TypeVar

M = TypeVar("M", bound=Hashable)


class Rooms(Generic[M]):
    """Members of type `M`, told apart by identity or equality, in rooms by session."""

    def __init__(self) -> None:
        # Dicts serve as insertion-ordered sets, so that every walk is deterministic.
        self._rooms: dict[str, dict[str, dict[M, None]]] = {}
        self._sizes: dict[str, int] = {}
        self.population = 0
        """How many members there are in all rooms."""

    def __len__(self) -> int:
        """How many rooms have a member."""
        return len(self._rooms)

    def __contains__(self, room: object) -> bool:
        return room in self._rooms

    def size(self, room: str) -> int:
        """How many members `room` has."""
        return self._sizes.get(room, 0)

    def join(self, room: str, session: str, member: M) -> None:
        """Register `member`; doing it twice is doing it once."""
        members = self._rooms.setdefault(room, {}).setdefault(session, {})
        if member not in members:
            members[member] = None
            self._sizes[room] = self._sizes.get(room, 0) + 1
            self.population += 1

    def leave(self, room: str, session: str, member: M) -> bool:
        """Forget `member`; False if it was not there."""
        sessions = self._rooms.get(room, {})
        members = sessions.get(session, {})
        if member not in members:
            return False
        del members[member]
        self._sizes[room] -= 1
        self.population -= 1
        if not members:
            del sessions[session]
        if not sessions:
            del self._rooms[room], self._sizes[room]
        return True

    def members(self, room: str, session: str | None = None) -> list[M]:
        """All members of `room`, or those of one session, in the order they came."""
        sessions = self._rooms.get(room, {})
        if session is not None:
            return list(sessions.get(session, ()))
        return [member for members in sessions.values() for member in members]

    def sessions(self, room: str) -> list[str]:
        """All sessions that have a member in `room`."""
        return list(self._rooms.get(room, ()))

    def others(self, room: str, spared: Container[str]) -> list[M]:
        """Exactly the members of `room` whose session is not one of those that are spared."""
        return [
            member
            for session, members in self._rooms.get(room, {}).items()
            if session not in spared
            for member in members
        ]

    def evict(self, room: str, spared: Container[str]) -> list[M]:
        """Take :meth:`others` out of the room, and return them."""
        evicted = self.others(room, spared)
        # What stays is put back rather than what goes deleted: a notify's cost beyond its
        # own members is the sender's tabs.
        kept = [(s, m) for s in self.sessions(room) if s in spared for m in self.members(room, s)]
        self._rooms.pop(room, None)
        self.population -= self._sizes.pop(room, 0)
        for session, member in kept:
            self.join(room, session, member)
        return evicted
