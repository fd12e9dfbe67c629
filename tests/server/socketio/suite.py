"""What the official suites check of Engine.IO, whichever version, and whatever travels on it.

A suite is a class that inherits these checks, beside a fixture `echo` that starts what it talks to.
Each check of https://github.com/socketio/socket.io is one test. Time is virtual.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from ...support import (
    BINARY,
    TEXT,
    Listening,
    Response,
    client_frame,
    connect,
    raw_websocket,
    request,
    request_on,
)
from .clients import (
    OnRequests,
    OnWebSocket,
    handshake,
    on_requests,
    on_websocket,
    split,
    target,
)
from .echo import INTERVAL, MAX_PAYLOAD, SLOT, TIMEOUT

OPENING = {"pingInterval": 300, "pingTimeout": 200, "maxPayload": MAX_PAYLOAD}

BYTES = bytes([1, 2, 3, 4])


@pytest.fixture
def autojump_clock() -> MockClock:
    # Under load the kernel can deliver on loopback a moment later; time must not jump then.
    return MockClock(autojump_threshold=0.01)


async def answer_to(echo: Listening, handshake: bytes) -> tuple[int, bytes]:
    """The status of the answer to a WebSocket's handshake; if it is 101, all frames after it."""
    async with await connect(echo) as stream:
        await stream.send_all(handshake)
        head = b""
        while b"\r\n\r\n" not in head:
            head += await stream.receive_some(1)
        status = int(head[9:12])
        frames = [bytes(data) async for data in stream] if status == 101 else []
        return status, b"".join(frames)


@asynccontextmanager
async def held(page: OnRequests) -> AsyncIterator[list[Response]]:
    """Hold a GET open; its answer is there in the end."""
    answers: list[Response] = []

    async def get() -> None:
        answers.append(await page.get())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(get)
        await wait_all_tasks_blocked()
        yield answers


class EngineChecks:
    """The checks of handshakes, heartbeats, closes and upgrades: 16, in each suite."""

    version: ClassVar[int] = 4
    """Of Engine.IO."""

    async def check_use(self, page: OnWebSocket) -> None:
        """Have an application hear and answer on a WebSocket."""
        await page.say("4hello")
        assert await page.hear() == "4hello"

    @asynccontextmanager
    async def upgraded(self, echo: Listening, page: OnRequests) -> AsyncIterator[OnWebSocket]:
        """Go over to a WebSocket."""
        async with self.probed(echo, page) as line:
            await line.say("5")
            yield line

    @asynccontextmanager
    async def probed(self, echo: Listening, page: OnRequests) -> AsyncIterator[OnWebSocket]:
        """Be about to go over to a WebSocket."""
        line = OnWebSocket(await raw_websocket(echo, handshake=self.upgrading(page)))
        async with line.raw.stream:
            await line.say("2probe")
            assert await line.hear() == "3probe"
            yield line

    def upgrading(self, page: OnRequests) -> bytes:
        return handshake(version=self.version, sid=page.sid)

    # -- handshake -----------------------------------------------------------------------

    async def test_handshake_on_requests(self, echo: Listening, autojump_clock: MockClock) -> None:
        response = await request(echo, "GET", target(version=self.version))
        assert response.status == 200
        (packet,) = split(response.body, self.version)
        assert packet[0] == "0"
        opening: dict[str, Any] = json.loads(packet[1:])
        assert isinstance(opening.pop("sid"), str)
        assert opening == {"upgrades": ["websocket"], **OPENING}

    @pytest.mark.parametrize("query", ["transport=polling", "EIO=abc&transport=polling"])
    async def test_wrong_version_on_requests(
        self, echo: Listening, autojump_clock: MockClock, query: str
    ) -> None:
        """The suite of version 3 has it for WebSockets alone."""
        assert (await request(echo, "GET", f"/socket.io/?{query}")).status == 400

    @pytest.mark.parametrize("transport", ["", "&transport=abc"])
    async def test_wrong_transport_on_requests(
        self, echo: Listening, autojump_clock: MockClock, transport: str
    ) -> None:
        path = f"/socket.io/?EIO={self.version}{transport}"
        assert (await request(echo, "GET", path)).status == 400

    @pytest.mark.parametrize("method", ["POST", "PUT"])
    async def test_handshake_by_another_method(
        self, echo: Listening, autojump_clock: MockClock, method: str
    ) -> None:
        assert (await request(echo, method, target(version=self.version))).status == 400

    async def test_handshake_on_a_websocket(
        self, echo: Listening, autojump_clock: MockClock
    ) -> None:
        async with on_websocket(echo, version=self.version) as page:
            assert isinstance(page.opening.pop("sid"), str)
            assert page.opening == {"upgrades": [], **OPENING}

    @pytest.mark.parametrize("version", ["", "EIO=abc&"])
    async def test_wrong_version_on_a_websocket(
        self, echo: Listening, autojump_clock: MockClock, version: str
    ) -> None:
        right = f"EIO={self.version}&".encode()
        asked = handshake(version=self.version).replace(right, version.encode())
        assert await answer_to(echo, asked) == (400, b"")

    @pytest.mark.parametrize("transport", ["", "&transport=abc"])
    async def test_wrong_transport_on_a_websocket(
        self, echo: Listening, autojump_clock: MockClock, transport: str
    ) -> None:
        asked = handshake(version=self.version)
        asked = asked.replace(b"&transport=websocket", transport.encode())
        assert await answer_to(echo, asked) == (400, b"")

    # -- heartbeat -----------------------------------------------------------------------

    async def test_pings_on_requests(self, echo: Listening, autojump_clock: MockClock) -> None:
        async with on_requests(echo, version=self.version) as page:
            for _ in range(3):
                if self.version == 3:
                    await page.say("2")
                    assert await page.packets() == ["3"]
                else:
                    assert await page.packets() == ["2"]
                    await page.say("3")

    async def test_no_ping_on_requests(self, echo: Listening, autojump_clock: MockClock) -> None:
        async with on_requests(echo, version=self.version) as page:
            await trio.sleep(INTERVAL + TIMEOUT + 2 * SLOT)
            response = await page.post("1:2") if self.version == 3 else await page.get()
            assert response.status == 400

    async def test_pings_on_a_websocket(self, echo: Listening, autojump_clock: MockClock) -> None:
        async with on_websocket(echo, version=self.version) as page:
            for _ in range(3):
                if self.version == 3:
                    await page.say("2")
                    assert await page.hear() == "3"
                else:
                    assert await page.hear() == "2"
                    await page.say("3")

    async def test_no_ping_on_a_websocket(self, echo: Listening, autojump_clock: MockClock) -> None:
        began = trio.current_time()
        async with on_websocket(echo, version=self.version) as page:
            heard = []
            while (packet := await page.hear()) is not None:
                heard.append(packet)
        # The first comes after half of the interval at the earliest.
        assert heard in ([[]] if self.version == 3 else [["2"], ["2"] * 2])
        assert 0 <= trio.current_time() - began - (INTERVAL + TIMEOUT) <= 2 * SLOT

    # -- close ---------------------------------------------------------------------------

    async def test_close_on_requests(self, echo: Listening, autojump_clock: MockClock) -> None:
        async with on_requests(echo, version=self.version) as page:
            async with held(page) as answers:
                await page.say("1")
            assert split(answers[0].body, self.version) == ["6"]
            assert (await page.get()).status == 400

    async def test_close_on_a_websocket(self, echo: Listening, autojump_clock: MockClock) -> None:
        async with on_websocket(echo, version=self.version) as page:
            began = trio.current_time()
            await page.say("1")
            assert await page.hear() is None
            assert trio.current_time() == began

    # -- upgrade -------------------------------------------------------------------------

    async def test_upgrade(self, echo: Listening, autojump_clock: MockClock) -> None:
        async with (
            on_requests(echo, version=self.version) as page,
            self.probed(echo, page) as line,
        ):
            assert await page.packets() == ["6"]
            await line.say("5")
            await self.check_use(line)

    async def test_request_after_an_upgrade(
        self, echo: Listening, autojump_clock: MockClock
    ) -> None:
        async with (
            on_requests(echo, version=self.version) as page,
            self.upgraded(echo, page) as line,
        ):
            await wait_all_tasks_blocked()
            assert (await page.get()).status == 400
            await self.check_use(line)

    async def test_second_websocket_after_an_upgrade(
        self, echo: Listening, autojump_clock: MockClock
    ) -> None:
        async with (
            on_requests(echo, version=self.version) as page,
            self.upgraded(echo, page) as line,
        ):
            await wait_all_tasks_blocked()
            status, frames = await answer_to(echo, self.upgrading(page))
            assert (status, frames[:1]) == (101, b"\x88")
            await self.check_use(line)


class MessageChecks:
    """The checks of messages without Socket.IO: 9 in version 4."""

    version: ClassVar[int] = 4

    # -- on requests ---------------------------------------------------------------------

    async def test_one_message(self, echo: Listening, autojump_clock: MockClock) -> None:
        async with on_requests(echo, version=self.version) as page:
            await page.say("4hello")
            assert await page.packets() == ["4hello"]

    async def test_several_messages(self, echo: Listening, autojump_clock: MockClock) -> None:
        async with on_requests(echo, version=self.version) as page:
            await page.say("4a", "4bc", "4def")
            assert await page.packets() == ["4a", "4bc", "4def"]

    async def test_text_and_bytes(self, echo: Listening, autojump_clock: MockClock) -> None:
        binary = "b4AQIDBA==" if self.version == 3 else "bAQIDBA=="
        async with on_requests(echo, version=self.version) as page:
            await page.say("4hello", binary)
            assert await page.packets() == ["4hello", binary]

    async def test_no_packet_on_requests(self, echo: Listening, autojump_clock: MockClock) -> None:
        async with on_requests(echo, version=self.version) as page:
            assert (await page.post("abc")).status == 400
            assert (await page.get()).status == 400

    async def test_two_gets_at_once(self, echo: Listening, autojump_clock: MockClock) -> None:
        """The suite of version 3 passes over it."""
        async with on_requests(echo, version=self.version) as page:
            async with held(page) as answers:
                second = target(version=self.version, sid=page.sid)
                assert (await request_on(page.posting, "GET", second)).status == 400
            assert answers[0].status == 200
            assert split(answers[0].body, self.version) == ["1"]
            assert (await page.get()).status == 400

    async def test_get_that_is_given_up(self, echo: Listening, autojump_clock: MockClock) -> None:
        """Version 3 is the same, but its suite has nothing of it."""
        async with on_requests(echo, version=self.version) as page:
            here = target(version=self.version, sid=page.sid)
            await page.hold_get()
            await page.getting.aclose()
            assert (await request_on(page.posting, "GET", here)).status == 400

    # -- on a WebSocket ------------------------------------------------------------------

    async def test_text_on_a_websocket(self, echo: Listening, autojump_clock: MockClock) -> None:
        async with on_websocket(echo, version=self.version) as page:
            await page.say("4hello")
            assert await page.hear() == "4hello"

    async def test_bytes_on_a_websocket(self, echo: Listening, autojump_clock: MockClock) -> None:
        data = b"\x04" + BYTES if self.version == 3 else BYTES
        async with on_websocket(echo, version=self.version) as page:
            await page.raw.stream.send_all(client_frame(BINARY, data))
            assert await page.hear_bytes() == data

    async def test_no_packet_on_a_websocket(
        self, echo: Listening, autojump_clock: MockClock
    ) -> None:
        async with on_websocket(echo, version=self.version) as page:
            began = trio.current_time()
            await page.raw.stream.send_all(client_frame(TEXT, b"abc"))
            assert await page.hear() is None
            assert trio.current_time() == began
