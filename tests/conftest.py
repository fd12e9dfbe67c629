"""Fixtures that start a real server on a port of the system's choice, and processes."""

from functools import partial
from typing import Any

import pytest
import trio
from hypothesis import settings

import sse_trio
from sse_trio.ledger import Ledger

from .processes import run as run
from .processes import serve as serve
from .support import KEY, Start

# The same examples in every run, and no verdict by the clock of a busy machine.
settings.register_profile("sse-trio", derandomize=True, deadline=None)
settings.load_profile("sse-trio")


@pytest.fixture
async def start(nursery: trio.Nursery) -> Start:
    """``hub = await start(heartbeat_interval=1, ...)``: a server that ends with the test."""

    async def start(*, ledger: Ledger | None = None, **settings: Any) -> sse_trio.Hub:
        config = sse_trio.Config(**{"port": 0, "authkey": KEY, **settings})
        hub: sse_trio.Hub = await nursery.start(partial(sse_trio.serve, config, ledger=ledger))
        return hub

    return start
