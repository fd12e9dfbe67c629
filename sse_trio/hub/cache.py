"""The rooms that this node has read, where several nodes share a ledger.

Unknown is not empty here: what memory has of a room is all that there is only if the room was
read, and is true only as long as the node's lease is valid. Of two versions the newer one is kept,
in whichever order they come.
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
        """What this node knew when the engine has lost commits: it is to be written again."""

    def reload(self, config: Config) -> None:
        """Take over another configuration."""
        self._config = config
        self.carries_on = config.on_lost_engine == "carry-on"
        """Whether what is cached is to be taken for true where that cannot be known."""

    @property
    def vouches(self) -> bool:
        """Whether what is cached is true at this very moment, or is to be taken for true."""
        return self.shared.vouches or self.carries_on

    def knows(self, room: str) -> bool:
        """Whether a room is cached, and what is cached is true."""
        return self.vouches and self._standings.get(room) is not None

    async def read_unknown(self, rooms: Collection[str]) -> None:
        """Read those of these rooms that are not known; return in a step in which all are.

        Raises:
            LedgerError: they cannot be read, or this node cannot know for the moment.
        """
        while unknown := [room for room in rooms if not self.knows(room)]:
            if not self.vouches:
                raise LedgerError("this node cannot know for the moment")
            await self.read(unknown)

    async def read(self, rooms: Collection[str]) -> None:
        """Read these rooms, whatever is cached of them.

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
            # What came with the log since may be newer than what was read, and is not given twice.
            wanted = reading.stale

    def learn(self, room: str, found: Versioned | None) -> None:
        """Take in what was read of a room, unless it is older than what is cached."""
        cached = self._standings.get(room)
        if found is None:
            if cached is None:
                empty = Standing(self._config, touched=self._wall())
                self._standings.put(room, self.asserted.get(room, empty))
        elif cached is None or cached.version is None or cached.version.count < found.version.count:
            self._replace(room, found)

    async def decided(self, room: str, proposal: Proposal) -> None:
        """Wait until a change of a room is decided; if it has lost, take in how the room is.

        Raises:
            LedgerError: what it has come to cannot be known for the moment.
        """
        if isinstance(result := await proposal.decision(), Lost):
            self.lose(room, result.current)

    def lose(self, room: str, current: Versioned | None) -> None:
        """Take in how a room is, because a swap has lost: it is not as was cached."""
        cached = self._standings.get(room)
        if current is None:
            # The room was forgotten. With what is cached it can be made anew.
            if cached is not None:
                cached.version = None
        elif cached is not None:
            # The answer may have come late: what came with the log since is newer. And if the
            # room is not cached any more, it has changed since, and is to be read.
            self.learn(room, current)

    def is_outdated(self, room: str, version: Version | None) -> bool:
        """Whether a room has changed since it was written like this, which is known only now.

        It is not cached then, or others' later change of it is.
        """
        cached = self._standings.get(room)
        if cached is None:
            return True
        return bool(cached.version and version and cached.version.count > version.count)

    def note_changed(self, rooms: Collection[str]) -> None:
        """Note that others have changed these rooms: what is being read of them is too old."""
        for reading in self._readings:
            reading.stale |= reading.rooms.intersection(rooms)

    def drop(self, room: str) -> None:
        """Forget what is cached of a room."""
        self._standings.drop(room)

    def drop_all(self, *, lost: bool = False) -> None:
        """Forget everything; what is being read is too old.

        If the engine has `lost` commits, what was known is remembered as `asserted`.
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
            # Nobody is to come back by what the engine has lost.
            standing = merge(known, standing)
        standing.version = found.version
        self._standings.put(room, standing)
