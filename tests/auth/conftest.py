"""The world that most tests of the authentication are in."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import sse_trio
from sse_trio.auth.sessions import MemorySessions, SqliteSessions
from sse_trio.ledger import SqliteLedger

from .world import NewWorld, World, open_world


@pytest.fixture(params=["memory", "sqlite"])
def new_world(request: pytest.FixtureRequest, tmp_path: Path) -> NewWorld:
    """``async with new_world(...) as world``; the same ledger and store each time."""
    memory, sessions = sse_trio.MemoryLedger(), MemorySessions()

    @asynccontextmanager
    async def new(**options: Any) -> AsyncIterator[World]:
        if request.param == "memory":
            async with open_world(memory, sessions, **options) as world:
                yield world
        else:
            async with (
                SqliteLedger.open(tmp_path / "test.db") as ledger,
                open_world(ledger, SqliteSessions(ledger), **options) as world,
            ):
                yield world

    return new
