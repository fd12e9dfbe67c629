"""The client's side of event streams, read by their specification, not by the code under test."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import trio

import sse_trio

from .support import Response, connect, request

TEXT = {"Content-Type": "text/plain;charset=UTF-8"}


@attrs.define
class Stream:
    """The client's side of an event stream, read by the rules of HTML, section 9.2.6."""

    stream: trio.SocketStream
    head: list[str]
    comments: int = 0
    _data: bytes = b""

    async def event(self) -> tuple[str, Any] | None:
        """The next event's type and data; None at the end."""
        while b"\n\n" not in self._data:
            data = bytes(await self.stream.receive_some(65536))
            if not data:
                assert not self._data, "it ends in the middle of an event"
                return None
            self._data += data
        block, _, self._data = self._data.partition(b"\n\n")
        kind = "message"
        text = None
        for line in block.decode().split("\n"):
            field, _, value = line.partition(":")
            if not field:
                self.comments += 1
            elif field == "event":
                kind = value.strip()
            else:
                assert (field, text) == ("data", None)
                text = value.strip()
        assert text is not None
        return kind, json.loads(text)

    async def message(self) -> dict[str, Any]:
        """The next message of the protocol."""
        found = await self.event()
        assert found is not None, "the stream ended"
        kind, message = found
        assert kind == "message", found
        assert isinstance(message, dict)
        return message

    async def closed(self) -> int:
        """The close code, which is the last that comes."""
        found = await self.event()
        assert found is not None
        assert found[0] == "close", found
        assert await self.event() is None
        return int(found[1]["code"])


@asynccontextmanager
async def listening(
    hub: sse_trio.Hub,
    join: dict[str, Any],
    *,
    query: str = "",
    version: str = "1.1",
    headers: str = "",
) -> AsyncIterator[Stream]:
    """Join by a POST, and be answered with a stream."""
    body = json.dumps(join)
    async with await connect(hub) as stream:
        head = (
            f"POST /events{query} HTTP/{version}\r\nHost: test\r\nContent-Type: text/plain\r\n"
            f"Content-Length: {len(body)}\r\n{headers}\r\n"
        )
        await stream.send_all((head + body).encode())
        data = b""
        while b"\r\n\r\n" not in data:
            received = await stream.receive_some(65536)
            assert received, data
            data += bytes(received)
        answered, _, rest = data.partition(b"\r\n\r\n")
        lines = answered.decode().split("\r\n")
        assert lines[0] == "HTTP/1.1 200 OK", lines
        yield Stream(stream, lines[1:], data=rest)


async def say(hub: sse_trio.Hub, message: dict[str, Any], **headers: str) -> Response:
    """Say something to a stream, by another request."""
    return await request(
        hub, "POST", "/events", body=json.dumps(message).encode(), headers=TEXT | headers
    )
