"""The one task of a node that reads the log, and reports how far the node has applied it.

It keeps reading while the hub applies changes, to know what other nodes have applied. But it passes
no further changes to the hub, and the node's own entries count only when the others' entries of the
same reading are applied. So a node whose hub is stuck loses its lease.

A missing number means that entries were trimmed, or lost. Then no cached room can be relied upon:
that is a *resync*. After a failover, the log must have all entries that were read or acknowledged.
"""

import logging
import math
from collections.abc import Mapping

import attrs
import trio

from ..proposals import Counts
from .changes import AllCounts, Changes
from .context import Context
from .engine import MAX_ENTRIES, EngineError, Entry, Expelled, Identity, Poll, Registered, Told
from .writer import MAX_RETRY, Writer

logger = logging.getLogger("sse_trio")

# Seconds between two readings when nothing hints at news, half of it jitter.
POLL = 0.1

# Seconds without the engine, after which entries may have been trimmed that were not read.
STALE = 300.0

# Seconds for which the entries of a node that has gone are looked for after a failover.
ANCHORED = 60.0


class CommitsLost(Exception):
    """The engine has lost commits that it had acknowledged."""


class Feed:
    """Reads the log for one node, as long as it is registered.

    With `resync`, nothing counts as applied before the hub has dropped its cache; with `lost`, the
    hub learns that the engine has lost commits.
    """

    def __init__(
        self,
        context: Context,
        registered: Registered,
        writer: Writer,
        *,
        resync: bool = False,
        lost: bool = False,
    ) -> None:
        self.identity = registered.identity
        """The engine that is known to have all that was read and acknowledged."""
        self._writer = writer
        self._me = writer.node
        self._context = context
        self._engine = context.engine
        self._clock = context.clock
        self._keeper = context.keeper
        self._nodes = context.nodes
        self._reaches = context.reaches
        self._offer = context.offer
        self._wall = context.wall
        self._statistics = context.statistics
        # By writer, the last entry that was given to the hub; and that it has applied.
        self._given = dict(registered.position)
        self._applied = {} if resync else self._given
        # The positions last reported to the engine.
        self._reported: Mapping[str, int] = {}
        self._reported_at = -math.inf
        self.reported_to = -math.inf
        """When the log was read whose full application was last reported to the engine."""
        # The hub's counts while they may change, and those that the engine has.
        self._counts: dict[tuple[str, int, str], Counts] = {}
        self._known_counts: dict[tuple[str, int, str], tuple[int, int, bool]] = {}
        # Writers that are not registered any more: since when, by the engine's clock.
        self._gone: dict[str, float] = {}
        # Whether entries may be left, because the hub was busy, or there were too many.
        self._has_more = False
        # When the log was read that was given, and that was applied, to its end.
        self._given_at = self._applied_at = self._clock()
        if resync:
            self._offer_resync(lost=lost)

    @property
    def lag(self) -> float:
        """Seconds since the log was read and applied to its end."""
        return self._clock() - self._applied_at

    async def listen(self) -> None:
        """Read the log whenever another node hints at news, for ever."""
        while True:
            try:
                await self._engine.hinted()
            except EngineError:
                # Reading the log now and then is enough.
                await trio.sleep(MAX_RETRY)
            else:
                self._context.hint.give()

    async def run(self) -> None:
        """Read, and report, for ever.

        Raises:
            Expelled: the node is not registered any more.
            CommitsLost: the engine has lost what it had acknowledged.
        """
        error: EngineError | None = None
        while True:
            self._context.hint.clear()
            try:
                await self._turn()
                await self._report_until_news()
            except EngineError as failure:
                if error is None:
                    logger.warning("the log cannot be read: %s", failure)
                error = failure
                self._statistics.feed_errors += 1
                await self._context.pause(POLL)
            else:
                error = None

    async def _report_until_news(self) -> None:
        """Return when there is something to read, or it is time to look; report until then."""
        hint = self._context.hint
        until = trio.current_time() + POLL * (1 + self._context.jitter()) / 2
        while True:
            with trio.move_on_at(until) as pause:
                await hint.wait()
            if pause.cancelled_caught or hint.is_news:
                return
            hint.clear()
            await self._report()

    async def _turn(self) -> None:
        await self._report()
        asked = self._clock()
        # Of those that are followed from now on, this reading says nothing.
        reaches = self._reaches.followed(asked)
        followed = list(dict.fromkeys((reach.writer, reach.seq) for reach in reaches))
        poll = await self._engine.poll(self._me, self._given, followed)
        now = self._clock()
        self._wall.take(poll.wall, asked)
        if poll.identity != self.identity:
            await self._verify(poll.identity)
        self._observe(poll, now)
        self._reaches.observe(reaches, poll, self._me, now)
        self._has_more = self._offer.current is not None
        if not self._has_more:
            self._take(poll, asked)
        await self._expel_silent()

    async def _report(self) -> None:
        """Report how far the log is applied, and the hub's counts, if they have changed."""
        me, applied, applied_at = self._me, self._applied, self._applied_at
        self._counts |= self._writer.counts
        self._writer.counts = {}
        told = [
            Told(*change, me, *now)
            for change, counts in self._counts.items()
            if (now := (counts.terminated_here, counts.acked_here, counts.finished))
            != self._known_counts.get(change)
        ]
        # Hardly any call waits until a node has read its own entries.
        own = {me: applied.get(me, 0)}
        is_news = told or {**self._reported, **own} != {**applied, **own}
        is_due = self._clock() - self._reported_at >= POLL and self._reported != applied
        if is_news or is_due:
            await self._engine.report(me, applied, told)
            self._reported, self._reported_at = applied, self._clock()
        self.reported_to = applied_at
        for each in told:
            change = each.writer, each.seq, each.room
            self._known_counts[change] = each.terminated, each.acked, each.settled
            if each.settled:
                del self._counts[change]
                del self._known_counts[change]

    async def _verify(self, identity: Identity) -> None:
        """Check that another engine has everything that was read, or acknowledged."""
        acknowledged = dict(self._writer.acknowledged)
        position = {
            writer: seq
            for writer, seq in self._given.items()
            if self._wall() - self._gone.get(writer, math.inf) < ANCHORED
        }
        # Each engine's last one: the number after it may stand there though it is lost itself.
        for seq in {*acknowledged.values(), self._given.get(self._me, 0)}:
            position[self._me] = seq
            if not await self._engine.anchored(position):
                raise CommitsLost
        self.identity = identity
        for other, seq in acknowledged.items():
            if other != identity and self._writer.acknowledged[other] == seq:
                del self._writer.acknowledged[other]

    def _observe(self, poll: Poll, now: float) -> None:
        """Take in who is registered."""
        self._nodes.observe(poll.nodes, now)
        present = {node.name: node for node in poll.nodes}
        if self._me not in present:
            raise Expelled
        reported = present[self._me].applied
        if reported != self._reported:
            # Reports need not be durable: this engine has lost them.
            self._reported = reported
            self._known_counts.clear()
        for writer in self._given:
            if writer in present:
                self._gone.pop(writer, None)
            else:
                self._gone.setdefault(writer, poll.wall)

    def _take(self, poll: Poll, asked: float) -> None:
        """Pass new changes to the hub, if none is missing."""
        ahead = dict(self._given)
        entries = [
            entry
            for entry in poll.entries
            # Until the hub has carried it out, what this node wrote is not applied.
            if entry.writer != self._me or entry.seq <= self._writer.seq
        ]
        is_whole = asked - self._applied_at < STALE
        for entry in entries:
            if entry.seq != ahead.get(entry.writer, 0) + 1:
                if entry.writer == self._me:
                    raise CommitsLost
                is_whole = False
            ahead[entry.writer] = entry.seq
        self._given = ahead
        if len(poll.entries) < MAX_ENTRIES:
            self._given_at = asked
        else:
            self._has_more = True
        news = [entry for entry in map(self._news, entries) if entry is not None]
        if not is_whole:
            logger.warning("entries of the log are missing: all rooms are read again")
            self._offer_resync(lost=False)
        elif news:
            self._offer.make(Changes(news, poll.rooms, applied=self._note_applied))
        else:
            self._advance()

    def _news(self, entry: Entry) -> Entry | None:
        """Return the part of an entry that the hub does not know."""
        if entry.writer != self._me:
            return entry
        untold = self._writer.untold.pop(entry.seq, None)
        if untold is None:
            return None
        return attrs.evolve(entry, rooms={room: entry.rooms[room] for room in untold})

    def _offer_resync(self, *, lost: bool) -> None:
        self._statistics.resyncs += 1
        self._keeper.suspend()
        self._offer.make(Changes(resync=True, lost=lost, applied=self._note_applied))

    def _note_applied(self, changes: Changes, told: AllCounts) -> None:
        if changes is self._offer.current:
            self._offer.clear()
            self._counts.update(told)
            self._advance()
            if self._has_more:
                self._context.hint.give()
            else:
                self._context.hint.applied()

    def _advance(self) -> None:
        """Count all changes that the hub got as applied."""
        self._applied = self._given
        self._applied_at = self._given_at
        self._keeper.apply(self._applied.get(self._me, 0))

    async def _expel_silent(self) -> None:
        for name, beat in list(self._nodes.silent(self._clock(), self._reaches.awaited())):
            if name != self._me and await self._engine.expel(name, beat):
                self._statistics.expulsions += 1
                logger.warning("the node %s has not renewed its lease, and is expelled", name)
                self._context.hint.give()

    def forget(self, before: float) -> None:
        """Delete the positions of writers that have gone: the log has no entries of them."""
        gone = {writer for writer, since in self._gone.items() if since < before}
        for writer in gone:
            del self._gone[writer]
        self._given = {w: seq for w, seq in self._given.items() if w not in gone}
        self._applied = {w: seq for w, seq in self._applied.items() if w not in gone}
