"""The timers: a wheel of slots, O(1) to add, to drop and to turn.

One wheel serves every member of the server: for a living member it holds the next
heartbeat, for a closing one the moment to cut it. A slot is `width` seconds long, and an
item is due when its whole slot has passed: up to one width late, never early.

Varghese and Lauck, "Hashed and Hierarchical Timing Wheels" (1987), scheme 4.
"""

import math
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class Wheel(Generic[T]):
    """Items of type `T`, each in at most one slot. Times are seconds of any one clock."""

    def __init__(self, *, width: float, span: float, now: float) -> None:
        """Cover `span` seconds from any moment on, in slots of `width` seconds."""
        self._width = width
        self._slots: list[dict[T, None]] = [{} for _ in range(math.ceil(span / width) + 2)]
        self._ticks: dict[T, int] = {}
        self._tick = math.floor(now / width)

    def __len__(self) -> int:
        return len(self._ticks)

    def __contains__(self, item: object) -> bool:
        return item in self._ticks

    def add(self, item: T, due: float) -> None:
        """Put `item` into the slot of `due`, taking it out of any other.

        Raises:
            ValueError: `due` is further away than the wheel's span.
        """
        tick = max(math.ceil(due / self._width), self._tick + 1)
        if tick - self._tick >= len(self._slots):
            raise ValueError("due beyond the wheel's span")
        self.drop(item)
        self._ticks[item] = tick
        self._slots[tick % len(self._slots)][item] = None

    def drop(self, item: T) -> None:
        """Take `item` out, if it is in."""
        tick = self._ticks.pop(item, None)
        if tick is not None:
            del self._slots[tick % len(self._slots)][item]

    def turn(self, now: float) -> list[T]:
        """Advance to `now`, and take out and return every item that is due, in order."""
        # The sliver forgives the rounding of `next_due`, whose time must turn its slot.
        tick = max(math.floor(now / self._width + 1e-6), self._tick)
        due: list[T] = []
        # After a jump of more than a whole turn every slot is due, once.
        for passed in range(max(self._tick, tick - len(self._slots)) + 1, tick + 1):
            slot = self._slots[passed % len(self._slots)]
            due += slot
            slot.clear()
        self._tick = tick
        for item in due:
            del self._ticks[item]
        return due

    def next_due(self) -> float:
        """Return when the next item is due; infinity if there is none."""
        if self._ticks:
            for tick in range(self._tick + 1, self._tick + len(self._slots)):
                if self._slots[tick % len(self._slots)]:
                    return tick * self._width
        return math.inf


def first_delay(interval: float, random: Callable[[], float]) -> float:
    """Spread the first heartbeats over half to the whole of an interval.

    Otherwise everyone who reconnected after a restart would beat in step for ever.
    `random` returns a float from 0 to 1.
    """
    return interval * (0.5 + random() / 2)
