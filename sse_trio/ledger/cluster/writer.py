"""The one task of a node that writes: batches, one after the other, each until it is known.

All proposals that come while a batch is being written are the next batch. If the engine fails, it
is not known whether it has written the batch. So the same batch is sent again, under the same
number, until the engine gives the result. No swap is drafted again before that.

The hub carries out a decision (`Swap.won`) in the step that learns of it, before the tasks that
wait are woken, and even if none waits.
"""

import logging
from collections.abc import Collection

import trio

from ...values import frozen
from ..proposals import Counts, Swap, Won
from .context import Context
from .engine import Batch, Committed, EngineError, Identity, Write
from .proposal import Proposal

logger = logging.getLogger("sse_trio")

# In one batch at most, so that it does not take long: rooms; and the logins that they remember,
# which are some hundred bytes each. One room is written whatever it remembers.
MAX_WRITES = 500
MAX_LOGINS = 20_000

# Seconds until a batch that is in doubt is sent again: at first, and at most. Half of it is jitter.
RETRY = 0.1
MAX_RETRY = 1.0


@frozen
class _Draft:
    """A batch, and the proposals that it is made of."""

    batch: Batch
    proposals: Collection[Proposal]


class Writer:
    """Writes what is proposed to one node, as long as it is registered as `node`."""

    def __init__(self, context: Context, node: str) -> None:
        self.node = node
        self.seq = 0
        """The last batch of which everything is known, and was carried out here."""
        self.acknowledged: dict[Identity, int] = {}
        """By engine, the last batch that it has acknowledged."""
        self.untold: dict[int, Collection[str]] = {}
        """By batch, rooms of which the hub does not know that they have changed."""
        self.counts: dict[tuple[str, int, str], Counts] = {}
        """This node's own counts of its changes, until the feed takes them."""
        self._context = context
        # What waits, by room: the first ones of `MAX_WRITES` rooms are the next batch.
        self._queue: dict[str, list[Proposal]] = {}
        self._current: Collection[Proposal] = ()
        self._last: dict[str, Proposal] = {}
        self._closed: str | None = None
        self._work = trio.Event()
        self._progress = trio.Event()

    def propose(self, swap: Swap) -> Proposal:
        """Have a swap written with one of the next batches."""
        proposal = Proposal(swap, self.node, self._context.reaches)
        if self._closed is not None:
            proposal.fail(self._closed)
        else:
            self._queue.setdefault(swap.room, []).append(proposal)
            self._last[swap.room] = proposal
            self.wake()
        return proposal

    def pending(self, room: str) -> Proposal | None:
        """Return the room's last proposal, if that is not decided yet."""
        return self._last.get(room)

    @property
    def undecided(self) -> int:
        """Rooms with a proposal that is not decided yet."""
        return len(self._last)

    def wake(self) -> None:
        """Have a batch written if there is anything to write, or the lease is to be renewed."""
        self._work.set()

    async def finished(self) -> None:
        """Wait until everything that was proposed is decided."""
        while self._last:
            await self._progress.wait()

    def close(self, why: str) -> None:
        """Accept no more proposals: those that are not decided fail."""
        self._closed = why
        for proposal in [*self._current, *(p for queue in self._queue.values() for p in queue)]:
            proposal.fail(why)
        self._current = ()
        self._queue.clear()
        self._last.clear()
        self._note_progress()

    async def run(self) -> None:
        """Write for ever.

        Raises:
            Expelled: the node is not registered any more.
        """
        while True:
            while not self._queue and not self._context.lease.is_due(self._context.clock()):
                await self._work.wait()
                self._work = trio.Event()
            draft = self._draft()
            self._current = draft.proposals
            self._decide(draft, await self._commit(draft.batch))

    def _draft(self) -> _Draft:
        """Take the first proposal of each room, the rooms in turn, as long as there is space."""
        proposals: list[Proposal] = []
        writes: list[Write] = []
        again: dict[str, list[Proposal]] = {}
        logins = 0
        while self._queue and len(writes) < MAX_WRITES:
            room = next(iter(self._queue))
            swap = self._queue[room][0].swap
            record = None if swap.standing is None else swap.standing.record()
            logins += 0 if record is None else len(record.logins)
            if writes and logins > MAX_LOGINS:
                break
            writes.append(Write(room, swap.expected, record, swap.answer, swap.sessions))
            queue = self._queue.pop(room)
            proposals.append(queue.pop(0))
            if queue:
                again[room] = queue
        self._queue |= again
        seq, now = self.seq + 1, self._context.clock()
        renews = self._context.lease.is_due(now)
        if renews:
            self._context.lease.send(seq, now)
        return _Draft(Batch(self.node, seq, writes, renews), proposals)

    async def _commit(self, batch: Batch) -> Committed:
        """Send a batch until its result is known."""
        started = self._context.clock()
        pause = 0.0
        while True:
            try:
                committed = await self._context.engine.commit(batch)
            except EngineError as error:
                if not pause:
                    self._context.statistics.in_doubt += 1
                    logger.warning("it is not known whether a batch was written: %s", error)
                pause = min(2 * pause or RETRY, MAX_RETRY)
                await self._context.pause(pause)
            else:
                self._context.statistics.commits.count(self._context.clock() - started)
                return committed

    def _decide(self, draft: _Draft, committed: Committed) -> None:
        """Carry out the decisions, and then wake the tasks that wait, in one step."""
        seq = draft.batch.seq
        self.acknowledged[committed.identity] = seq
        # Another engine may have lost registered nodes, which do not know it yet.
        all_known = self._context.clock() >= self._context.reaches.known_from
        is_alone = committed.is_alone and len(self.acknowledged) == 1 and all_known
        untold = []
        for proposal, result in zip(draft.proposals, committed.results, strict=True):
            room = proposal.swap.room
            proposal.decide(result, seq, is_alone=is_alone)
            if self._last[room] is proposal:
                del self._last[room]
            if isinstance(result, Won) and not self._carry_out(proposal.swap, seq, result):
                untold.append(room)
        if untold:
            self.untold[seq] = untold
        self.seq = seq
        self._current = ()
        for proposal in draft.proposals:
            proposal.wake()
        self._note_progress()

    def _carry_out(self, swap: Swap, seq: int, won: Won) -> bool:
        """Call the hub; False if that has failed."""
        if swap.won is None:
            return False
        try:
            counts = swap.won(won.version)
        except Exception:
            # It is decided, in spite of this error: the hub gets it again from the log.
            self._context.statistics.failures += 1
            logger.exception("a decision could not be carried out at once")
            return False
        if counts is not None and (counts.terminated_here or not counts.finished):
            self.counts[self.node, seq, swap.room] = counts
        return True

    def _note_progress(self) -> None:
        self._progress.set()
        self._progress = trio.Event()
