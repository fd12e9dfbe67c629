"""What the official suite of Engine.IO 3 checks, in 23 tests, and what it leaves out of version 4.

One answer is another one than the suite wants, which therefore passes 22 of them.
"""

from functools import partial

import pytest
import trio
from trio.testing import MockClock

from sse_trio.hub.hub import Hub

from ...support import Listening
from .clients import on_requests
from .echo import EngineEcho, serve_echo
from .suite import EngineChecks, MessageChecks
from .suite import autojump_clock as autojump_clock


@pytest.fixture
async def echo(nursery: trio.Nursery) -> Hub:
    hub: Hub = await nursery.start(partial(serve_echo, EngineEcho))
    return hub


class TestEngine3(EngineChecks, MessageChecks):
    """All but one are as in version 4."""

    version = 3

    async def test_bytes_without_base64(self, echo: Listening, autojump_clock: MockClock) -> None:
        """The suite wants a body in binary, unless the client has asked for base64 (`b64=1`).

        The hub sends no bytes to pages. So it has no encoder of such bodies, and says all in text,
        which clients read too.
        """
        async with on_requests(echo, version=3) as page:
            await page.say("4hello", "b4AQIDBA==")
            response = await page.get()
            assert response.headers["content-type"] == "text/plain; charset=UTF-8"
            assert response.body == b"6:4hello10:b4AQIDBA=="

    async def test_bytes_in_binary(self, echo: Listening, autojump_clock: MockClock) -> None:
        """Of a client, such a body is read."""
        body = b"\x00\x06\xff4hello\x01\x05\xff\x04\x01\x02\x03\x04"
        media = {"Content-Type": "application/octet-stream"}
        async with on_requests(echo, version=3) as page:
            assert (await page.post(body, **media)).body == b"ok"
            assert await page.packets() == ["4hello", "b4AQIDBA=="]
