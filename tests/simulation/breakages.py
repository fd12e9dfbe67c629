"""Fourteen ways to build a cluster wrongly. The simulation has to find each of them.

Each is handed to the nodes in the place of what it breaks: a ledger, a hub, or a database.
"""

from typing import Any

import attrs
import trio

from sse_trio import LedgerError
from sse_trio.core.standing import Standing
from sse_trio.hub.admissions import Admissions
from sse_trio.hub.cache import Cache
from sse_trio.hub.decisions import Accepted, Decisions
from sse_trio.hub.hub import Hub
from sse_trio.hub.measuring import Measuring
from sse_trio.hub.member import Member, State, Unmeasured
from sse_trio.ledger.cluster.engine import Batch, Committed, EngineError, Node, Poll
from sse_trio.ledger.cluster.feed import Feed
from sse_trio.ledger.cluster.keeper import Keeper
from sse_trio.ledger.cluster.ledger import ClusterLedger
from sse_trio.ledger.cluster.memory import Transaction
from sse_trio.ledger.cluster.proposal import Proposal
from sse_trio.ledger.cluster.reach import Reaches
from sse_trio.ledger.cluster.registration import Registration
from sse_trio.ledger.cluster.writer import Writer
from sse_trio.ledger.proposals import Lost, Swap, Version

from .cluster import Makers
from .engine import Database, HostileEngine


def become(thing: Any, kind: type) -> None:
    """Make a thing one of a kind that behaves differently."""
    thing.__class__ = kind


class BrokenParts(ClusterLedger):
    """A ledger, some parts of whose nodes are of another kind."""

    writer: type[Writer] = Writer
    feed: type[Feed] = Feed
    keeper: type[Keeper] = Keeper
    reaches: type[Reaches] = Reaches

    def __init__(self, context: Any, registration: Registration, new_name: Any) -> None:
        become(context.keeper, self.keeper)
        become(context.reaches, self.reaches)
        super().__init__(context, registration, new_name)

    @property
    def _registration(self) -> Registration:
        return self._now

    @_registration.setter
    def _registration(self, registration: Registration) -> None:
        become(registration.writer, self.writer)
        become(registration.feed, self.feed)
        self._now = registration


class ReportsBeforeApplying(ClusterLedger):
    """Lets others count on what its hub has only begun to carry out."""

    async def changes(self) -> Any:
        async for changes in super().changes():
            changes.applied({})
            # As if the hub's own turn came only when it has read the rooms.
            await trio.sleep(0.01)
            yield attrs.evolve(changes, applied=lambda *_: None)


class _Unregistered(Admissions):
    """Reads a room for a member that is not in it, and judges it by that."""

    async def admit(self, member: Member, patience: float) -> None:
        rooms, room = self._membership.rooms, member.room
        rooms.leave(room, member)
        try:
            await self._cache.read([room])
            standing = self._membership.recognition.draft(room)
            await trio.sleep(0.05)
        except LedgerError:
            rooms.join(room, member.session, member)
            await super().admit(member, patience)
            return
        rooms.join(room, member.session, member)
        admission = member.admission
        assert isinstance(admission, Unmeasured)
        login = standing.login(member.session, admission.ticket)
        if member.session in standing.logins and not standing.superseded(login):
            if member.state is State.JOINED:
                self._membership.tell_joined(member)
        else:
            await super().admit(member, patience)


class MeasuresBeforeRegistering(Hub):
    """Judges a member before a notify could find it."""

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        assert self._admissions is not None
        become(self._admissions, _Unregistered)


class VouchesWithoutLease(ClusterLedger):
    """Takes what is cached for true, whatever the lease says."""

    vouches = True


class _FromTheReply(Keeper):
    """Counts from when the renewal came back."""

    def apply(self, seq: int) -> None:
        sent = self._lease._sent  # noqa: SLF001
        if sent is not None and sent[0] <= seq:
            self._lease._sent = sent[0], self._clock()  # noqa: SLF001
        super().apply(seq)


class CountsTheLeaseFromTheReply(BrokenParts):
    """Believes in its lease for longer than others do."""

    keeper = _FromTheReply


class _Reuses(Writer):
    """Takes a batch that is in doubt for not written, and its number for free."""

    is_in_doubt = False

    async def _commit(self, batch: Batch) -> Committed:
        try:
            return await self._context.engine.commit(batch)
        except EngineError:
            self.is_in_doubt = True
            identity = next(iter(self.acknowledged))
            return Committed([Lost(None)] * len(batch.writes), identity, 0.0, is_alone=False)

    def _decide(self, draft: Any, committed: Committed) -> None:
        before = dict(self.acknowledged)
        super()._decide(draft, committed)
        if self.is_in_doubt:
            self.is_in_doubt = False
            self.seq -= 1
            self.acknowledged = before


class ReusesNumbers(BrokenParts):
    """Writes something else under a number that is in doubt."""

    writer = _Reuses


class Unfenced(Database):
    """Takes swaps of nodes that have been expelled."""

    def _write(self, batch: Batch) -> Transaction:
        if batch.writer in self._nodes:
            return super()._write(batch)
        self._nodes[batch.writer] = Node(batch.writer, 0, {}, False, "", "")
        try:
            return super()._write(batch)
        finally:
            del self._nodes[batch.writer]


class WritesSessionsApart(Database):
    """Commits a swap without what it does to the rows of sessions, which would come later."""

    def _write(self, batch: Batch) -> Transaction:
        writes = [attrs.evolve(write, sessions=None) for write in batch.writes]
        return super()._write(attrs.evolve(batch, writes=writes))


class ReadsNodesBeforeTheCommit(HostileEngine):
    """Does not wait for a node that registers while its batch is under way."""

    async def commit(self, batch: Batch) -> Committed:
        is_alone = self._database.snapshot().nodes.keys() <= {batch.writer}
        return attrs.evolve(await super().commit(batch), is_alone=is_alone)


class _Gapless(Feed):
    """Takes the log as it comes."""

    def _take(self, poll: Poll, asked: float) -> None:
        first = dict(self._given)
        for entry in poll.entries:
            if entry.writer != self._me and entry.seq > first.get(entry.writer, 0) + 1:
                first[entry.writer] = entry.seq - 1
                break
        self._given = first
        super()._take(poll, asked)


class IgnoresGaps(BrokenParts):
    """Does not notice that entries of the log are missing."""

    feed = _Gapless


class TellsBeforeTheDecision(ClusterLedger):
    """Has the members told as soon as something is proposed."""

    def propose(self, swap: Swap) -> Proposal:
        if swap.won is not None:
            swap.won(swap.expected)
        return super().propose(swap)


class _Hasty(Decisions):
    """Refuses by what is cached."""

    async def _propose_when_known(self, accepted: Accepted) -> None:
        room, cache = accepted.wanted.room, self._recognition.cache
        if cache is not None and self._recognition.cached(room) is not None:
            self._propose(accepted)
        else:
            await super()._propose_when_known(accepted)


class RefusesFromTheCache(Hub):
    """Says that a room is full though it may not be any more."""

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        become(self.decisions, _Hasty)


class _Credulous(Cache):
    """Takes what it hears last for the newest."""

    def is_outdated(self, room: str, version: Version | None) -> bool:
        return False


class BelievesLateAnswers(Hub):
    """Has an older standing in the place of a newer one, because it hears of it later."""

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        become(self.recognition.cache, _Credulous)


class _Obliging(Measuring):
    """Does not look at what is true when it hears of a decision."""

    def _is_late(self, room: str, standing: Standing) -> bool:
        return False


class AdmitsLate(Hub):
    """Admits whoever stood when the join was written."""

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        become(self.measuring, _Obliging)


BREAKAGES: dict[str, Makers] = {
    "report before apply": Makers(ledger=ReportsBeforeApplying),
    "measure before register": Makers(hub=MeasuresBeforeRegistering),
    "a cached join without the lease check": Makers(ledger=VouchesWithoutLease),
    "the lease counted from the reply": Makers(ledger=CountsTheLeaseFromTheReply),
    "a number reused when in doubt": Makers(ledger=ReusesNumbers),
    "a swap without the fencing line": Makers(database=Unfenced),
    "rows of sessions apart from the swap": Makers(database=WritesSessionsApart),
    "hold for clients that do not understand it": Makers(holds=True),
    "nodes read before the commit": Makers(engine=ReadsNodesBeforeTheCommit),
    "no gap check": Makers(ledger=IgnoresGaps),
    "told before the decision": Makers(ledger=TellsBeforeTheDecision),
    "a 409 from the cache": Makers(hub=RefusesFromTheCache),
    "a late answer taken for the newest": Makers(hub=BelievesLateAnswers),
    "a join admitted by a late answer": Makers(hub=AdmitsLate),
}
