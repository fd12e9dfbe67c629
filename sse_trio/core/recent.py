"""Recent events: bounded in number and in time; the oldest is deleted first.

Two rules of the REST API need it: the same idempotency id has one effect, and an address that keeps
sending wrong keys must wait.
"""

import math
from collections import OrderedDict
from typing import Generic, TypeVar

V = TypeVar("V")


class Recent(Generic[V]):
    """A mapping that deletes entries older than `lifetime` seconds, or in excess of `size`."""

    def __init__(self, *, lifetime: float, size: int) -> None:
        self._lifetime = lifetime
        self._size = size
        self._entries: OrderedDict[str, tuple[float, V]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: str, now: float) -> V | None:
        """Return what was put under `key`, unless that is too long ago."""
        self._forget(now)
        entry = self._entries.get(key)
        return entry[1] if entry else None

    def put(self, key: str, value: V, now: float) -> None:
        """Remember `value` from now on."""
        self._entries[key] = (now, value)
        self._entries.move_to_end(key)
        self._forget(now)

    def _forget(self, now: float) -> None:
        while self._entries:
            put, _ = next(iter(self._entries.values()))
            if now - put < self._lifetime and len(self._entries) <= self._size:
                return
            self._entries.popitem(last=False)


class WrongKeys:
    """Counts wrong keys by client address; an address over `limit` is refused.

    The key of such a request is not read. Each further wrong key starts the `window` (seconds)
    again. An address that has sent a right key within it is not refused: others who share the
    address cannot lock it.
    """

    def __init__(self, *, limit: int, window: float = 60.0, size: int = 65536) -> None:
        self.limit = limit
        self._window = window
        self._size = size
        self._counts: Recent[int] = Recent(lifetime=window, size=size)
        self._right: dict[str, float] = {}

    def count(self, address: str, now: float) -> int:
        """Note a wrong key from `address`; return how many there are in this window."""
        count = (self._counts.get(address, now) or 0) + 1
        self._counts.put(address, count, now)
        return count

    def count_right(self, address: str, now: float) -> None:
        """Note a right key from `address`, which is not refused."""
        # This runs with every request, so it is cheap. Few addresses have the key, so hardly any is
        # deleted, and its next request adds it again.
        self._right[address] = now
        if len(self._right) > self._size:
            del self._right[next(iter(self._right))]

    def refused(self, address: str, now: float) -> bool:
        """Whether `address` has to wait."""
        is_over = (self._counts.get(address, now) or 0) >= self.limit
        return is_over and now - self._right.get(address, -math.inf) >= self._window
