"""Reads of rooms: the rooms asked for in one moment are one query.

The result was true at some moment after the call. It is valid only if it comes from the same engine
as the node's log, and if the cache was not dropped in between: otherwise old rooms would come back
into the cache.
"""

from collections.abc import Callable, Collection, Mapping

import trio

from ...errors import LedgerError
from ..proposals import Versioned
from .context import Context
from .engine import EngineError, Identity

# Rooms in one query.
MAX_ROOMS = 1000

# Seconds for one query.
PATIENCE = 5.0


class _Query:
    """Rooms that are asked for together."""

    def __init__(self) -> None:
        self.rooms: dict[str, None] = {}
        self.found: Mapping[str, Versioned] = {}
        self.error: str | None = None
        self.done = trio.Event()


class Reader:
    """Reads for one node. `identity` returns which engine the node's log is of."""

    def __init__(self, context: Context, identity: Callable[[], Identity]) -> None:
        self._engine = context.engine
        self._keeper = context.keeper
        self._hint = context.hint
        self._identity = identity
        self._queries: list[_Query] = []
        self._asked = trio.Event()

    async def read(self, rooms: Collection[str]) -> Mapping[str, Versioned]:
        """Read these rooms; those that there are not are left out.

        Raises:
            LedgerError: they cannot be read, or what was read does not count.
        """
        before = self._keeper.suspensions
        queries = {self._ask(room) for room in rooms}
        found: dict[str, Versioned] = {}
        for query in queries:
            await query.done.wait()
            if query.error is not None:
                raise LedgerError(query.error)
            found |= query.found
        if not queries:
            await trio.lowlevel.checkpoint()
        if self._keeper.suspensions != before:
            raise LedgerError("entries of the log were missed meanwhile")
        return {room: found[room] for room in rooms if room in found}

    def _ask(self, room: str) -> _Query:
        query = next((q for q in self._queries if room in q.rooms), None)
        if query is None:
            if not self._queries or len(self._queries[-1].rooms) == MAX_ROOMS:
                self._queries.append(_Query())
            query = self._queries[-1]
            query.rooms[room] = None
            self._asked.set()
        return query

    async def run(self) -> None:
        """Read for ever."""
        while True:
            while not self._queries:
                await self._asked.wait()
                self._asked = trio.Event()
            query = self._queries.pop(0)
            await self._query(query)
            query.done.set()

    async def _query(self, query: _Query) -> None:
        try:
            with trio.fail_after(PATIENCE):
                query.found, identity = await self._engine.read(query.rooms)
        except EngineError as error:
            query.error = f"the rooms cannot be read: {error}"
        except trio.TooSlowError:
            query.error = "the engine takes too long to read"
        else:
            if identity != self._identity():
                self._hint.give()
                query.error = "the engine has changed"
