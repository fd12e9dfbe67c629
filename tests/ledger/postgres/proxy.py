"""What stands between a node and its database: it loses answers, or takes no options."""

import contextlib
import struct
from collections.abc import AsyncIterator
from functools import partial

import attrs
import trio

# A message of PostgreSQL's protocol: https://www.postgresql.org/docs/current/protocol-message-formats.html
_FIELDS = b"SFATAL\0VFATAL\0C08P01\0Munsupported startup parameter: options\0\0"
_REFUSAL = b"E" + struct.pack("!i", len(_FIELDS) + 4) + _FIELDS


class Gate:
    """One direction of all connections: what comes waits while it is shut."""

    def __init__(self) -> None:
        self._open = trio.Event()
        self.open()

    def open(self) -> None:
        self._open.set()

    def shut(self) -> None:
        self._open = trio.Event()

    async def wait(self) -> None:
        while not self._open.is_set():
            await self._open.wait()


@attrs.define(eq=False)
class Proxy:
    """Passes on what both sides say, until told otherwise."""

    target: int
    cuts: bool = False
    """Whether the next answer of the server is lost, and its connection with it."""
    loses_answer_to: bytes | None = None
    """The first answer to a message with this is lost, and its connection with it."""
    refuses_options: bool = False
    """Whether it is like a pooler."""
    port: int = 0
    requests: Gate = attrs.Factory(Gate)
    answers: Gate = attrs.Factory(Gate)
    """What is held back at a shut gate comes later, as from a network that parts and heals."""
    _sending: trio.Lock = attrs.Factory(trio.Lock)

    async def serve(self, client: trio.SocketStream) -> None:
        async with client, await trio.open_tcp_stream("127.0.0.1", self.target) as server:
            try:
                async with trio.open_nursery() as nursery:
                    is_lost = trio.Event()
                    nursery.start_soon(self._ask, client, server, is_lost, nursery.cancel_scope)
                    async for data in server:
                        if self.cuts or is_lost.is_set():
                            self.cuts = False
                            break
                        await self.answers.wait()
                        async with self._sending:
                            await client.send_all(data)
                    nursery.cancel_scope.cancel()
            except* (trio.BrokenResourceError, trio.ClosedResourceError):
                pass  # either side may end its connection at any time

    async def _ask(
        self,
        client: trio.SocketStream,
        server: trio.SocketStream,
        is_lost: trio.Event,
        scope: trio.CancelScope,
    ) -> None:
        async for data in client:
            await self.requests.wait()
            if self.loses_answer_to is not None and self.loses_answer_to in data:
                self.loses_answer_to = None
                is_lost.set()
            if self.refuses_options and b"\0options\0" in data:
                async with self._sending:
                    await client.send_all(_REFUSAL)
                break
            await server.send_all(data)
        scope.cancel()


@contextlib.asynccontextmanager
async def proxied(target: int) -> AsyncIterator[Proxy]:
    """Run a proxy to a port of this machine."""
    proxy = Proxy(target)
    async with trio.open_nursery() as nursery:
        serve = partial(trio.serve_tcp, proxy.serve, 0, host="127.0.0.1")
        listeners = await nursery.start(serve)
        proxy.port = listeners[0].socket.getsockname()[1]
        yield proxy
        nursery.cancel_scope.cancel()
