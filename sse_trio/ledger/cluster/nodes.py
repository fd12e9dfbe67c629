"""The other nodes, as one node sees them: which have not renewed their lease for too long.

Like the lease, this is arithmetic on the readings of a clock, in seconds.
"""

import math
from collections.abc import Collection, Iterable, Iterator

import attrs

from .engine import Node
from .lease import ABANDONED, EXPELLED, RENEWED


@attrs.define
class _Beat:
    beat: int
    since: float
    """When it was first seen."""


class Nodes:
    """The beats of the registered nodes, and how long each of them is unchanged."""

    def __init__(self, lease: float) -> None:
        self._lease = lease
        self._beats: dict[str, _Beat] = {}
        self._looked = -math.inf

    def __len__(self) -> int:
        return len(self._beats)

    def observe(self, nodes: Iterable[Node], now: float) -> None:
        """Use a new list of registered nodes. `now` is not before the engine's answer."""
        # While no node could read, none could renew either: all get a lease of time to do so.
        is_blind = now - self._looked > self._lease * RENEWED
        self._looked = now
        before, self._beats = self._beats, {}
        for node in nodes:
            last = before.get(node.name)
            if last is None or last.beat != node.beat or is_blind:
                last = _Beat(node.beat, now)
            self._beats[node.name] = last

    def silent(self, now: float, awaited: Collection[str]) -> Iterator[tuple[str, int]]:
        """Yield the nodes that are to be expelled, each with the beat that it has stopped at.

        A notify waits for those that are `awaited`.
        """
        for name, last in self._beats.items():
            patience = EXPELLED if name in awaited else ABANDONED
            if now - last.since >= self._lease * patience:
                yield name, last.beat
