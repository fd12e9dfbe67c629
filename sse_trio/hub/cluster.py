"""What a node does because of others: it follows them, and holds its members if it cannot.

Decisions of other nodes come with the log, and so do their rooms, if they are few; otherwise the
node reads those that it needs. It terminates members that are no longer active, and only then
reports this. If the lease ends, or entries of the log were missed, no member here may claim to have
joined: the members are put on hold, until their rooms are read again.
"""

from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice

import trio

from ..config import Config
from ..core.standing import Standing
from ..errors import LedgerError
from ..ledger import Changes
from .cache import RETRY, Cache
from .decisions import Follower, SharedFollower
from .holding import Holding
from .measuring import Measuring
from .member import Ending, Outcome, Spawn
from .membership import Membership
from .timers import in_slices, paced

# Rooms that are read and compared together.
AT_ONCE = 1000

# Seconds over which the closing of members is spread that have been on hold for too long.
CLOSING = 30.0

# Seconds between two exchanges of the followers with other nodes.
REFRESH = 0.5


class Cluster:
    """One node's part in a cluster. `config` returns the configuration as it is now."""

    def __init__(
        self,
        membership: Membership,
        measuring: Measuring,
        cache: Cache,
        holding: Holding,
        spawn: Spawn,
        config: Callable[[], Config],
        followers: Sequence[Follower],
        failed: Callable[[str, Exception], object],
    ) -> None:
        self._membership = membership
        self._measuring = measuring
        self._recognition = membership.recognition
        self._cache = cache
        self._holding = holding
        self._spawn = spawn
        self._config = config
        self._followers = followers
        self._failed = failed
        # Whether every member must be measured again before it gets `Joined`.
        self._is_stale = False

    async def run(self) -> None:
        """Follow the other nodes, and hold when that is not possible, for ever."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._follow)
            nursery.start_soon(self._keep_hold)
            nursery.start_soon(self._refresh)

    # -- what others have decided -------------------------------------------------------

    async def _follow(self) -> None:
        async for changes in self._cache.shared.changes():
            if changes.resync:
                await self._resync(changes)
            else:
                changes.applied(await self._apply(changes))

    async def _apply(self, changes: Changes) -> Mapping[tuple[str, int, str], Outcome]:
        """Carry out decisions of other nodes; return the outcomes, by entry and room."""
        told: dict[tuple[str, int, str], Outcome] = {}
        changed = {room for entry in changes.entries for room in entry.rooms}
        self._cache.note_changed(changed)
        members, followers = self._membership.rooms, self._shared_followers()
        needed = [
            room
            for room in changed
            if room in members or any(room in each.watched for each in followers)
        ]
        for room in changed.difference(needed):
            self._cache.drop(room)
        for room in changes.rooms.keys() & needed:
            self._cache.learn(room, changes.rooms[room])
        for rooms in _slices(needed):
            for ending in await self._catch_up(rooms, known=changes.rooms):
                room, epoch = ending.outcome.room, ending.outcome.epoch
                # A release does not change the epoch.
                by = [entry for entry in changes.entries if entry.rooms.get(room, -1) >= epoch]
                entry = by[0] if by else changes.entries[-1]
                told[entry.writer, entry.seq, room] = ending.outcome
        return told

    async def _catch_up(
        self, rooms: Collection[str], *, known: Container[str] = ()
    ) -> list[Ending]:
        """Read rooms, and terminate members that are no longer active; until that succeeds.

        Those that are `known` are not read: the cache has them.
        """
        unread = [room for room in rooms if room not in known]
        while True:
            try:
                await self._cache.read(unread)
            except LedgerError:
                await trio.sleep(RETRY)
            else:
                break
        endings = [ending for room in rooms for ending in self._measuring.catch_up(room)]
        for follower in self._shared_followers():
            for room in rooms:
                follower.decided(room, ())
        for ending in endings:
            await in_slices(ending.telling)
        return endings

    # -- what cannot be known -----------------------------------------------------------

    async def _resync(self, changes: Changes) -> None:
        """Drop every cached room: entries of the log were missed, so none may be true."""
        self._cache.drop_all(lost=changes.lost)
        self._is_stale = True
        await self._hold()
        changes.applied()

    async def _keep_hold(self) -> None:
        """Put the members on hold when the lease ends, and end the hold when it is valid again."""
        while True:
            # The lease may be valid again before a task waits for its end.
            if not self._is_stale and not self._holding.is_on:
                await self._cache.shared.lapsed()
            await self._hold()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._close_slowly)
                await self._restored()
                nursery.cancel_scope.cancel()
            await in_slices(self._holding.resume())

    async def _hold(self) -> None:
        if not self._cache.carries_on:
            for follower in self._shared_followers():
                follower.hold()
            await in_slices(self._holding.hold())

    async def _restored(self) -> None:
        """Wait until this node vouches again, and every member was measured."""
        while True:
            await self._cache.shared.restored()
            if not self._is_stale:
                return
            self._is_stale = False
            watched = (room for follower in self._shared_followers() for room in follower.watched)
            for rooms in _slices({*self._membership.rooms.names(), *watched}):
                await self._catch_up(rooms)
            if self._cache.asserted:
                self._spawn(self._assert_again)

    async def _close_slowly(self) -> None:
        """Close the members that have been on hold for too long, in small groups."""
        config = self._config()
        if self._cache.carries_on:
            return
        if config.on_lost_engine == "hold":
            await trio.sleep(config.hold)
        rate = max(1, self._membership.rooms.population) / CLOSING
        await paced(self._holding.cut(), rate=rate)

    async def _assert_again(self) -> None:
        """Write again what the engine has lost."""
        asserted = self._cache.asserted
        for rooms in _slices(list(asserted)):
            await self._catch_up(rooms)
            async with trio.open_nursery() as nursery:
                for room in rooms:
                    nursery.start_soon(self._assert_room, room)

    async def _assert_room(self, room: str) -> None:
        asserted = self._cache.asserted
        while room in asserted:
            try:
                if self._recognition.cached(room) is None:
                    await self._cache.read([room])
                draft = self._recognition.draft(room)
                note = partial(self._note_asserted, room)
                ended = draft.logins.keys() - draft.standing_sessions()
                changes = self._recognition.changes(draft, ended)
                proposal = self._recognition.propose(room, draft, note, sessions=changes)
                await self._cache.decided(room, proposal)
            except LedgerError:
                await trio.sleep(RETRY)

    def _note_asserted(self, room: str, _: Standing) -> None:
        self._cache.asserted.pop(room, None)
        self._membership.counters.reasserts += 1

    # -- the followers ------------------------------------------------------------------

    def _shared_followers(self) -> list[SharedFollower]:
        return [each for each in self._followers if isinstance(each, SharedFollower)]

    async def _refresh(self) -> None:
        """Let the followers exchange data with other nodes, again and again."""
        while True:
            await trio.sleep(REFRESH)
            for follower in self._shared_followers():
                try:
                    await follower.refresh()
                except Exception as error:  # noqa: BLE001
                    # The other followers are still refreshed.
                    self._failed("refreshing the records of a follower", error)


def _slices(rooms: Iterable[str]) -> Iterator[list[str]]:
    """Yield the rooms in lists of at most `AT_ONCE`."""
    left = iter(rooms)
    while some := list(islice(left, AT_ONCE)):
        yield some
