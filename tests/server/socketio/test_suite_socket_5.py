"""What the official suite of Socket.IO 5 checks, in 32 tests: 16 of Engine.IO, and these 16."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from sse_trio.hub.hub import Hub

from ...support import BINARY, Listening, client_frame
from .clients import OnWebSocket, on_websocket
from .echo import CONNECT, SLOT, SocketEcho, serve_echo
from .suite import EngineChecks
from .suite import autojump_clock as autojump_clock


@pytest.fixture
async def echo(nursery: trio.Nursery) -> Hub:
    hub: Hub = await nursery.start(partial(serve_echo, SocketEcho))
    return hub


@asynccontextmanager
async def connected(echo: Listening) -> AsyncIterator[OnWebSocket]:
    """Open a session on a WebSocket, and connect to the main namespace."""
    async with on_websocket(echo) as page:
        await connect_to(page, "")
        yield page


async def connect_to(page: OnWebSocket, prefix: str, auth: dict[str, Any] | None = None) -> None:
    """Connect, and see that the answer has an id alone, and that `auth` has come."""
    await page.say(f"40{prefix}{'' if auth is None else json.dumps(auth)}")
    accepted = str(await page.hear())
    assert accepted.startswith(f"40{prefix}")
    ids = json.loads(accepted.removeprefix(f"40{prefix}"))
    assert list(ids) == ["sid"]
    assert isinstance(ids["sid"], str)
    told = str(await page.hear())
    assert told.startswith(f"42{prefix}")
    assert json.loads(told.removeprefix(f"42{prefix}")) == ["auth", auth or {}]


async def is_closed(page: OnWebSocket) -> bool:
    """Whether the server closes at once."""
    began = trio.current_time()
    return await page.hear() is None and trio.current_time() == began


class TestSocket5(EngineChecks):
    """On a WebSocket, as the suite has it."""

    async def check_use(self, page: OnWebSocket) -> None:
        await connect_to(page, "")

    # -- connect -------------------------------------------------------------------------

    @pytest.mark.parametrize("prefix", ["", "/custom,"])
    @pytest.mark.parametrize("auth", [None, {"token": "abc"}])
    async def test_connect(
        self,
        echo: Listening,
        autojump_clock: MockClock,
        prefix: str,
        auth: dict[str, str] | None,
    ) -> None:
        """These are four checks."""
        async with on_websocket(echo) as page:
            await connect_to(page, prefix, auth)

    async def test_namespace_that_there_is_not(
        self, echo: Listening, autojump_clock: MockClock
    ) -> None:
        async with on_websocket(echo) as page:
            await page.say("40/random")
            assert await page.hear() == '44/random,{"message":"Invalid namespace"}'

    async def test_wrong_connect(self, echo: Listening, autojump_clock: MockClock) -> None:
        async with on_websocket(echo) as page:
            await page.say("4abc")
            assert await is_closed(page)

    async def test_no_connect(self, echo: Listening, autojump_clock: MockClock) -> None:
        began = trio.current_time()
        async with on_websocket(echo) as page:
            while (packet := await page.hear()) is not None:
                assert packet == "2"
                await page.say("3")
        assert 0 <= trio.current_time() - began - CONNECT <= 2 * SLOT

    # -- disconnect ----------------------------------------------------------------------

    async def test_disconnect(self, echo: Listening, autojump_clock: MockClock) -> None:
        """The connection stays."""
        async with connected(echo) as page:
            await page.say("41")
            assert await page.hear() == "2"

    async def test_disconnect_from_one_of_two_namespaces(
        self, echo: Listening, autojump_clock: MockClock
    ) -> None:
        async with connected(echo) as page:
            assert await page.hear() == "2"
            await connect_to(page, "/custom,")
            await page.say("41/custom")
            await page.emit("message", "to the main namespace")
            assert await page.heard() == ["message-back", "to the main namespace"]

    # -- messages ------------------------------------------------------------------------

    async def test_event(self, echo: Listening, autojump_clock: MockClock) -> None:
        async with connected(echo) as page:
            await page.emit("message", 1, "2", {"3": [True]})
            assert await page.hear() == '42["message-back",1,"2",{"3":[true]}]'

    async def test_acknowledgement(self, echo: Listening, autojump_clock: MockClock) -> None:
        async with connected(echo) as page:
            await page.emit("message-with-ack", 1, "2", {"3": [False]}, id="456")
            assert await page.hear() == '43456[1,"2",{"3":[false]}]'

    @pytest.mark.parametrize(
        ("said", "answer"),
        [('-["message",', '452-["message-back",'), ('-789["message-with-ack",', "462-789[")],
        ids=["event", "acknowledgement"],
    )
    async def test_attachments(
        self, echo: Listening, autojump_clock: MockClock, said: str, answer: str
    ) -> None:
        """These are two checks."""
        places = '{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]'
        async with connected(echo) as page:
            await page.say(f"452{said}{places}")
            for data in (b"\x01\x02\x03", b"\x04\x05\x06"):
                await page.raw.stream.send_all(client_frame(BINARY, data))
            assert await page.hear() == answer + places
            assert await page.hear_bytes() == b"\x01\x02\x03"
            assert await page.hear_bytes() == b"\x04\x05\x06"

    @pytest.mark.parametrize("said", ["4abc", "42{}", '42abc["message-with-ack",1,"2"]'])
    async def test_no_packet(self, echo: Listening, autojump_clock: MockClock, said: str) -> None:
        """These are three checks."""
        async with connected(echo) as page:
            await page.say(said)
            assert await is_closed(page)
