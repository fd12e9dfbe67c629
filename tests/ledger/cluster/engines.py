"""Engines of every kind, for tests that are the same for all."""

from typing import Protocol

from sse_trio.ledger.cluster.engine import Engine
from sse_trio.ledger.cluster.memory import MemoryDatabase, MemoryEngine


class Cluster(Protocol):
    """A database that is empty at first, and as many engines on it as are wanted."""

    def engine(self) -> Engine:
        """Return the engine of one more node."""
        ...


class MemoryCluster:
    """In memory, at a time when nothing moves."""

    def __init__(self) -> None:
        self.now = 1.7e9
        self.database = MemoryDatabase(lambda: self.now)

    def engine(self) -> Engine:
        return MemoryEngine(self.database)
