"""The rooms that this node has read, where several nodes share a ledger.

Unknown is not empty here: memory has the whole room only if the room was read, and it is true only
while the node's lease is valid. Of two versions the newer one is kept, in any order of arrival.
"""

from collections.abc import Callable, Collection, Iterable

from ..config import Config
from ..core.merging import merge
from ..core.standing import Standing
from ..core.standings import Standings
from ..errors import LedgerError
from ..ledger import Proposal, SharedLedger
from ..ledger.proposals import Lost, Version, Versioned

# Seconds until the ledger is asked again after it has failed.
RETRY = 0.25


class _Reading:
    """Rooms that are being read, and those of them that others have changed meanwhile."""

    def __init__(self, rooms: Iterable[str]) -> None:
        self.rooms = set(rooms)
        self.stale: set[str] = set()


class Cache:
    """Puts what is read into `standings`. `wall` is Unix time in seconds."""

    def __init__(
        self, shared: SharedLedger, standings: Standings, *, wall: Callable[[], float]
    ) -> None:
        self.shared = shared
        self._standings = standings
        self._wall = wall
        self._readings: set[_Reading] = set()
        self.asserted: dict[str, Standing] = {}
        """What this node knew when the engine lost commits; it must be written again."""

    def reload(self, config: Config) -> None:
        """Take over another configuration."""
        self._config = config
        self.carries_on = config.on_lost_engine == "carry-on"
        """Whether cached rooms count as true even if the node cannot know."""

    @property
    def vouches(self) -> bool:
        """Whether cached rooms are true at this moment, or count as true."""
        return self.shared.vouches or self.carries_on

    def knows(self, room: str) -> bool:
        """Whether a room is cached, and its cached state is true."""
        return self.vouches and self._standings.get(room) is not None

    async def read_unknown(self, rooms: Collection[str]) -> None:
        """Read those of these rooms that are not known; return in a step in which all are known.

        Raises:
            LedgerError: they cannot be read, or this node cannot know for the moment.
        """
        while unknown := [room for room in rooms if not self.knows(room)]:
            if not self.vouches:
                raise LedgerError("this node cannot know for the moment")
            await self.read(unknown)

    async def read(self, rooms: Collection[str]) -> None:
        """Read these rooms, even if they are cached.

        Raises:
            LedgerError: they cannot be read.
        """
        wanted = set(rooms)
        while wanted:
            reading = _Reading(wanted)
            self._readings.add(reading)
            try:
                found = await self.shared.read(reading.rooms)
            finally:
                self._readings.remove(reading)
            for room in reading.rooms - reading.stale:
                self.learn(room, found.get(room))
            # Changes from the log since may be newer than this reading, and come only once.
            wanted = reading.stale

    def learn(self, room: str, found: Versioned | None) -> None:
        """Cache a room that was read, unless the cached one is newer."""
        cached = self._standings.get(room)
        if found is None:
            if cached is None:
                empty = Standing(self._config, touched=self._wall())
                self._standings.put(room, self.asserted.get(room, empty))
        elif cached is None or cached.version is None or cached.version.count < found.version.count:
            self._replace(room, found)

    async def decided(self, room: str, proposal: Proposal) -> None:
        """Wait until a change of a room is decided; if it has lost, cache the room as it is.

        Raises:
            LedgerError: the result cannot be known for the moment.
        """
        if isinstance(result := await proposal.decision(), Lost):
            self.lose(room, result.current)

    def lose(self, room: str, current: Versioned | None) -> None:
        """Cache a room as it is, because a swap has lost: the cached one was old."""
        cached = self._standings.get(room)
        if current is None:
            # The room was deleted. It can be made again from the cached one.
            if cached is not None:
                cached.version = None
        elif cached is not None:
            # The answer may have come late: then changes from the log are newer. If the room is not
            # cached any more, it has changed since, and must be read.
            self.learn(room, current)

    def is_outdated(self, room: str, version: Version | None) -> bool:
        """Whether a room has changed since it was written with this version.

        Then it is not cached, or the later change is.
        """
        cached = self._standings.get(room)
        if cached is None:
            return True
        return bool(cached.version and version and cached.version.count > version.count)

    def note_changed(self, rooms: Collection[str]) -> None:
        """Note that others have changed these rooms: present readings of them are too old."""
        for reading in self._readings:
            reading.stale |= reading.rooms.intersection(rooms)

    def drop(self, room: str) -> None:
        """Delete a room from the cache."""
        self._standings.drop(room)

    def drop_all(self, *, lost: bool = False) -> None:
        """Delete all rooms from the cache; present readings are too old.

        If the engine has `lost` commits, the known rooms are kept as `asserted`.
        """
        for room in list(self._standings):
            standing = self._standings.get(room)
            if lost and standing is not None and standing.version is not None:
                standing.version = None
                self.asserted[room] = standing
            self._standings.drop(room)
        for reading in self._readings:
            reading.stale |= reading.rooms

    def _replace(self, room: str, found: Versioned) -> None:
        standing = Standing.restore(self._config, found.record)
        if known := self.asserted.get(room):
            # No session may become active again because the engine has lost commits.
            standing = merge(known, standing)
        standing.version = found.version
        self._standings.put(room, standing)
