"""The timers: a wheel of slots, O(1) to add, to drop and to turn.

One wheel serves every member of the server: it holds the next heartbeat of a living member, and the
moment when a closing one is cut. A slot is `width` seconds long, and an item is due when its whole
slot has passed: up to one width late, never early.

Only slots that are in use exist, and a heap tells which comes next: opening one costs its
logarithm, and the many items that share it cost nothing more. So an item may be due at any time in
the future, and the wheel may be turned at any time.
"""

import heapq
import math
from collections.abc import Callable, Collection, Hashable
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class Wheel(Generic[T]):
    """Items of type `T`, each in at most one slot. Times are seconds of any one clock."""

    def __init__(self, *, width: float, now: float) -> None:
        self._width = width
        self._tick = math.floor(now / width)
        self._ticks: dict[T, int] = {}
        self._slots: dict[int, dict[T, None]] = {}
        self._order: list[int] = []

    def __len__(self) -> int:
        return len(self._ticks)

    def __contains__(self, item: object) -> bool:
        return item in self._ticks

    def add(self, item: T, due: float) -> None:
        """Put `item` into the slot of `due`, taking it out of any other.

        An overdue item goes into the next slot, so that time passes between two turns that return
        the same item.
        """
        self.add_all((item,), due)

    def add_all(self, items: Collection[T], due: float) -> None:
        """Do so with many that are due at the same time, which takes a third of the time."""
        if not items:
            return
        for item in items:
            self.drop(item)
        tick = max(math.ceil(due / self._width), self._tick + 1)
        if tick not in self._slots:
            self._slots[tick] = {}
            heapq.heappush(self._order, tick)
        self._slots[tick] |= dict.fromkeys(items)
        self._ticks |= dict.fromkeys(items, tick)

    def drop(self, item: T) -> None:
        """Take `item` out, if it is in."""
        tick = self._ticks.pop(item, None)
        if tick is not None:
            del self._slots[tick][item]

    def turn(self, now: float) -> list[T]:
        """Advance to `now`, and take out and return every item that is due, in order."""
        tick = math.floor(now / self._width)
        # A quotient may be rounded down. At the time that `next_due` has returned, its slot must
        # turn.
        tick += (tick + 1) * self._width <= now
        self._tick = max(tick, self._tick)
        due: list[T] = []
        while self._order and self._order[0] <= self._tick:
            due += self._slots.pop(heapq.heappop(self._order))
        for item in due:
            del self._ticks[item]
        return due

    def next_due(self) -> float:
        """Return when the next item is due; infinity if there is none."""
        while self._order and not self._slots[self._order[0]]:
            del self._slots[heapq.heappop(self._order)]
        return self._order[0] * self._width if self._order else math.inf


def first_delay(interval: float, random: Callable[[], float]) -> float:
    """Spread the first heartbeats over half to the whole of an interval.

    Otherwise all members that reconnect after a restart would get their heartbeats at the same time
    for ever. `random` returns a float from 0 to 1.
    """
    return interval * (0.5 + random() / 2)
