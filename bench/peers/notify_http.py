"""The POST for the libraries that take none: httptools on an asyncio protocol, as in uvicorn."""

import asyncio
from collections.abc import Callable
from typing import cast

import httptools

BACKLOG = 65535


class Caller(asyncio.Protocol):
    """One connection of an application server."""

    def __init__(self, notify: Callable[[bytes], tuple[int, str]]) -> None:
        self._notify = notify
        self._parser = httptools.HttpRequestParser(self)
        self._body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by class

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self._body = b""

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        status, answer = self._notify(self._body)
        self._transport.write(
            f"HTTP/1.1 {status} OK\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(answer)}\r\n\r\n{answer}".encode()
        )


async def listen(port: int, notify: Callable[[bytes], tuple[int, str]]) -> None:
    """Take notifies at this port."""
    loop = asyncio.get_running_loop()
    await loop.create_server(lambda: Caller(notify), "127.0.0.1", port, backlog=BACKLOG)
