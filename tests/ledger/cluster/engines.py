"""Engines of every kind, for tests that are the same for all."""

import contextlib
from collections.abc import AsyncIterator
from typing import Protocol

import attrs

from sse_trio.ledger.cluster.engine import Engine
from sse_trio.ledger.cluster.memory import MemoryDatabase, MemoryEngine
from sse_trio.ledger.postgres.engine import PostgresEngine
from sse_trio.ledger.postgres.settings import Settings

from ...postgres import Server

TABLES = ("rooms", "log", "answers", "nodes", "told", "sessions", "keys")


class Cluster(Protocol):
    """A database that is empty at first, and as many engines on it as are wanted."""

    async def engine(self) -> Engine:
        """Return the engine of one more node."""
        ...


class MemoryCluster:
    """In memory, at a time when nothing moves."""

    def __init__(self) -> None:
        self.now = 1.7e9
        self.database = MemoryDatabase(lambda: self.now)

    async def engine(self) -> Engine:
        return MemoryEngine(self.database)


@attrs.define(eq=False)
class PostgresCluster:
    """In a database; each engine has its own connections, until the end."""

    server: Server
    url: str
    _stack: contextlib.AsyncExitStack

    async def engine(self) -> Engine:
        return await self._stack.enter_async_context(
            PostgresEngine.open(Settings(self.url, patience=20.0))
        )


@contextlib.asynccontextmanager
async def in_postgres(server: Server, database: str) -> AsyncIterator[PostgresCluster]:
    """Use a database, which is made if it is not there, and is made empty."""
    with server.connect() as connection:
        found = connection.execute("SELECT FROM pg_database WHERE datname = %s", (database,))
        url = server.url(database) if found.fetchone() is not None else server.create(database)
    async with PostgresEngine.open(Settings(url)):
        with server.connect(database) as connection:
            for table in TABLES:
                connection.execute(f"DELETE FROM sse_trio.{table}".encode())
    async with contextlib.AsyncExitStack() as stack:
        yield PostgresCluster(server, url, stack)
