"""How far the change of a room has come: which nodes have carried it out, and their counts.

Only readings after the commit's answer count: each node that was registered then must report the
entry as applied, or be no longer registered.
"""

import math
from collections.abc import Callable, Iterable

import trio

from ..proposals import Elsewhere
from .engine import Poll, Told

# Seconds for which the counts of an entry are kept up to date, once it is everywhere.
COUNTED = 60.0

# Seconds between two readings of counts that no task waits for.
COUNTS_EVERY = 1.0


class Reach(Elsewhere):
    """What other nodes have done about one room of an entry."""

    def __init__(self, writer: str, seq: int, room: str) -> None:
        super().__init__()
        self.writer = writer
        self.seq = seq
        self.room = room
        self.behind: dict[str, bool] = {}
        """Nodes that have not applied it, and whether they are leaving by themselves."""
        self._there: set[str] = set()
        self._told: dict[str, Told] = {}
        self._until = 0.0
        self._waiting = 0
        self._everywhere = trio.Event()
        self._settled = trio.Event()

    @property
    def is_everywhere(self) -> bool:
        """Whether every other node has carried it out, or is no longer registered."""
        return self._everywhere.is_set()

    @property
    def is_settled(self) -> bool:
        """Whether no count will change any more."""
        return self._settled.is_set()

    async def everywhere(self) -> None:
        """Wait until it is."""
        await self._everywhere.wait()

    @property
    def is_awaited(self) -> bool:
        """Whether a task may wait for it."""
        return self._waiting > 0 or not self.is_everywhere

    async def settled(self) -> None:
        """Wait until no count will change any more."""
        self._waiting += 1
        try:
            await self._settled.wait()
        finally:
            self._waiting -= 1

    def observe(
        self, poll: Poll, told: Iterable[Told], me: str, now: float, *, all_known: bool
    ) -> None:
        """Use a reading by the node `me`, after the entry was committed.

        `all_known` is whether there is no other node than those that are registered.
        """
        present = {node.name for node in poll.nodes}
        if not self.is_everywhere:
            self._advance(poll, present, me)
            if all_known and not self.behind:
                self._until = now + COUNTED
                self._everywhere.set()
        # This node counts its own terminations itself.
        own = me if me == self.writer else None
        self._told.update((each.node, each) for each in told if each.node != own)
        self.terminated = sum(each.terminated for each in self._told.values())
        self.acked = sum(each.acked for each in self._told.values())
        # A node without members reports no counts. Counts come together with the report that the
        # entry is applied.
        open_counts = (not t.settled and t.node in present for t in self._told.values())
        if self.is_everywhere and (now >= self._until or not any(open_counts)):
            self._settled.set()

    def _advance(self, poll: Poll, present: set[str], me: str) -> None:
        for node in poll.nodes:
            # It has carried out its own entry before any reading.
            if node.name == me == self.writer:
                continue
            if node.applied.get(self.writer, 0) >= self.seq:
                self._there.add(node.name)
                self.behind.pop(node.name, None)
            else:
                self.behind[node.name] = node.draining
        for name in self.behind.keys() - present:
            self.lapsed += not self.behind.pop(name)
        self.nodes = len(self._there - {me})


class Reaches:
    """The entries that callers follow. `followed` is called when there is another one."""

    def __init__(self, followed: Callable[[], object]) -> None:
        self.known_from = -math.inf
        """When, by the node's clock, there is no other node than those that are registered: one
        that the engine has lost may vouch until then."""
        self._followed = followed
        self._counted_at = -math.inf
        self._reaches: dict[tuple[str, int, str], Reach] = {}

    def follow(self, writer: str, seq: int, room: str) -> Reach:
        """Follow a change that is committed, until no count of it will change any more."""
        reach = self._reaches.get((writer, seq, room))
        if reach is None:
            reach = self._reaches[writer, seq, room] = Reach(writer, seq, room)
            self._followed()
        return reach

    def followed(self, now: float) -> list[Reach]:
        """Return those that are to be observed in a reading that begins now.

        A member that does not answer keeps its entry here for up to a minute. So entries that no
        task waits for are returned only now and then: many of them would slow down each notify.
        """
        if now - self._counted_at >= COUNTS_EVERY:
            self._counted_at = now
            return list(self._reaches.values())
        return [reach for reach in self._reaches.values() if reach.is_awaited]

    def observe(self, reaches: Iterable[Reach], poll: Poll, me: str, now: float) -> None:
        """Use a reading that was begun after these were followed."""
        told: dict[tuple[str, int, str], list[Told]] = {}
        for each in poll.told:
            told.setdefault((each.writer, each.seq, each.room), []).append(each)
        for reach in reaches:
            change = reach.writer, reach.seq, reach.room
            all_known = now >= self.known_from
            reach.observe(poll, told.get(change, ()), me, now, all_known=all_known)
            if reach.is_settled:
                del self._reaches[change]

    def awaited(self) -> set[str]:
        """Return the nodes that notifies wait for."""
        return {name for reach in self._reaches.values() for name in reach.behind}
