"""What the soaks share: real `sse-trio serve` processes, requests to them, and pages.

Nothing here uses the code under test to talk: HTTP is h11's client side, WebSockets are wsproto's.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import attrs
import h11
import trio
from wsproto.connection import Connection, ConnectionType
from wsproto.events import CloseConnection, TextMessage

from .support import HANDSHAKE, RawWebSocket, Response, read_response

HOST = "127.0.0.1"
KEY = "the key of the soak"

# Seconds: for anything that a server which lives has to do; and for its start.
PATIENCE = 10.0
STARTING = 120.0

# What a connection ends with when its server is killed.
LOST = (OSError, trio.BrokenResourceError, h11.RemoteProtocolError)

# The handshake of a page that understands `hold`.
HOLDS = HANDSHAKE.removesuffix(b"\r\n") + b"Sec-WebSocket-Protocol: sse-trio.v1.1\r\n\r\n"


def write_config(directory: Path, **settings: Any) -> None:
    """Write what `serving` configures its server by."""
    config = {"port": 0, "authkey": KEY, **settings}
    (directory / "config.json").write_text(json.dumps(config))


@contextlib.asynccontextmanager
async def serving(
    directory: Path, *, log_level: str = "error", prefix: Sequence[str] = ()
) -> AsyncIterator[tuple[trio.Process, int]]:
    """Run `sse-trio serve` in `directory`; its errors go where this process's go."""
    command = [*prefix, sys.executable, "-m", "sse_trio", "serve", "--config", "config.json"]
    process = await trio.lowlevel.open_process(
        [*command, "--log-level", log_level],
        stdout=subprocess.PIPE,
        cwd=directory,
        env={name: value for name, value in os.environ.items() if not name.startswith("SSE_TRIO_")},
    )
    assert process.stdout is not None
    try:
        with trio.fail_after(STARTING):
            port = await _printed_port(process.stdout)
        yield process, port
    finally:
        with trio.CancelScope(shield=True):
            process.kill()
            await process.wait()
            await process.stdout.aclose()


async def _printed_port(output: trio.abc.ReceiveStream) -> int:
    """Wait until the server says where it listens."""
    said = b""
    async for data in output:
        said += data
        if found := re.search(rb"listening on http://[\d.]+:(\d+) ", said):
            return int(found[1])
    raise RuntimeError("the server did not start")


async def ask(
    port: int,
    method: str,
    target: str,
    members: dict[str, Any] | None = None,
    *,
    host: str = HOST,
    patience: float = PATIENCE,
    sent: Callable[[], object] = lambda: None,
) -> Response | None:
    """Send a request as an application server does; None if there is no answer.

    `sent` is called when it is on its way.
    """
    http = h11.Connection(h11.CLIENT)
    body = b"" if members is None else json.dumps({"key": KEY, **members}).encode()
    fields = {"Host": HOST, "Content-Type": "application/json", "Content-Length": str(len(body))}
    head = h11.Request(method=method, target=target, headers=list(fields.items()))
    data = http.send(head) + http.send(h11.Data(data=body)) + http.send(h11.EndOfMessage())
    with contextlib.suppress(*LOST), trio.move_on_after(patience):
        async with await trio.open_tcp_stream(host, port) as stream:
            await stream.send_all(data)
            sent()
            return await read_response(stream, http)
    return None


async def shake_hands(stream: trio.SocketStream, handshake: bytes = HANDSHAKE) -> RawWebSocket:
    """Open a WebSocket on a connection."""
    await stream.send_all(handshake)
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        data = await stream.receive_some()
        if not data:
            raise trio.BrokenResourceError("the server hung up")
        head += bytes(data)
    if not head.startswith(b"HTTP/1.1 101 "):
        raise trio.BrokenResourceError(f"not switched: {head[:20]!r}")
    return RawWebSocket(stream, Connection(ConnectionType.CLIENT))


@attrs.define(eq=False)
class Node:
    """One of several servers, running or not; it may run again and again."""

    directory: Path
    port: int = 0
    is_up: bool = False
    """Whether it listens, as far as anybody can know who does not ask."""
    process: trio.Process | None = None
    host: str = HOST
    """Where its clients reach it."""
    prefix: Sequence[str] = ()
    """What its command runs under."""

    async def run(
        self,
        *,
        log_level: str = "error",
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Run it from its start to its end."""
        running = serving(self.directory, log_level=log_level, prefix=self.prefix)
        async with running as (self.process, self.port):
            self.is_up = True
            task_status.started()
            await self.process.wait()
            self.is_up = False

    async def signal(self, number: signal.Signals) -> None:
        """Send a signal; wait for its end if that ends it."""
        assert self.process is not None
        self.process.send_signal(number)
        if number in (signal.SIGKILL, signal.SIGTERM):
            self.is_up = number is signal.SIGTERM
            await self.process.wait()


@attrs.define(eq=False)
class Page:
    """An open WebSocket. What has arrived by now can be read in any step, and not only by a task.

    So what a server has sent before an answer can be told from what it has sent after it.
    """

    websocket: RawWebSocket
    hear: Callable[["Page", dict[str, Any]], object]
    """Called with each message."""
    is_over: bool = False
    code: int | None = None
    """With which the server has closed; None if it only hung up."""
    ended: trio.Event = attrs.Factory(trio.Event)
    """Set once nobody reads from it any more."""

    async def listen(self) -> None:
        """Read until the end."""
        with contextlib.suppress(trio.ClosedResourceError):
            while not self.is_over:
                await trio.lowlevel.wait_readable(self.websocket.stream.socket)
                self.drain()

    def leave(self) -> None:
        """Read no more."""
        self.is_over = True
        trio.lowlevel.notify_closing(self.websocket.stream.socket)

    def drain(self) -> None:
        """Take in what has arrived by now."""
        while not self.is_over:
            try:
                data = os.read(self.websocket.stream.socket.fileno(), 65536)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self.leave()
                return
            self.websocket.connection.receive_data(data)
            for event in self.websocket.connection.events():
                if isinstance(event, TextMessage):
                    self.hear(self, json.loads(event.data))
                elif isinstance(event, CloseConnection):
                    self.code = int(event.code)
                    self.leave()


@contextlib.asynccontextmanager
async def open_page(
    port: int,
    join: dict[str, str],
    hear: Callable[[Page, dict[str, Any]], object],
    host: str = HOST,
) -> AsyncIterator[Page]:
    """Connect, and ask to be admitted.

    Raises:
        OSError, trio.BrokenResourceError: that is not possible.
    """
    async with await trio.open_tcp_stream(host, port) as stream:
        websocket = await shake_hands(stream, HOLDS)
        await websocket.send({"type": "join", **join})
        page = Page(websocket, hear)
        try:
            yield page
        finally:
            page.ended.set()
