"""What the official suite of Engine.IO 4 checks, in 25 tests."""

from functools import partial

import pytest
import trio

from sse_trio.hub.hub import Hub

from .echo import EngineEcho, serve_echo
from .suite import EngineChecks, MessageChecks
from .suite import autojump_clock as autojump_clock


@pytest.fixture
async def echo(nursery: trio.Nursery) -> Hub:
    hub: Hub = await nursery.start(partial(serve_echo, EngineEcho))
    return hub


class TestEngine4(EngineChecks, MessageChecks):
    """It passes as it is."""
