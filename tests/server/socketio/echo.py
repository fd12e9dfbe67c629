"""What the official suites of Engine.IO and Socket.IO want to talk to, on the hub's own engine.

The suites are in https://github.com/socketio/socket.io, below `docs/engine.io-protocol` and
`docs/socket.io-protocol`. To run one against this, start it with the port and the path of the
suite, and run `npm ci && npm test` in the suite's directory:

    python -m tests.server.socketio.echo 3000 /engine.io/
    python -m tests.server.socketio.echo 3000 /socket.io/
"""

import base64
import sys
from functools import partial
from typing import Any, Final

import trio
from wsproto.connection import Connection as Frames
from wsproto.connection import ConnectionType
from wsproto.events import BytesMessage

import sse_trio
from sse_trio.fields import Tcp
from sse_trio.hub.hub import Hub
from sse_trio.server.connection import Connection
from sse_trio.server.listeners import open_listeners
from sse_trio.server.server import Server
from sse_trio.server.socketio.client import SocketClient
from sse_trio.server.socketio.dialect import MESSAGE
from sse_trio.server.socketio.engine import Engine
from sse_trio.server.socketio.namespaces import Connect, Happened, Leave, accepted
from sse_trio.server.socketio.socket_packets import Kind, SocketPacket, encode
from sse_trio.server.transport import Transport

from .clients import PATH

INTERVAL: Final = 0.3
TIMEOUT: Final = 0.2
CONNECT: Final = 1.0
MAX_PAYLOAD: Final = 1_000_000
"""Seconds and bytes, as the suites want them."""

SLOT: Final = 0.05 / 32
"""Seconds that a deadline may be late."""


class Echo(SocketClient):
    """A client of an application that is not the hub's: it never joins."""

    # The suites ping in time.
    grace = 0.0

    def __init__(self, hub: Hub, *arguments: Any, **named: Any) -> None:
        super().__init__(hub, *arguments, **named)
        self.hub = hub

    @property
    def greeting(self) -> list[str]:
        return []

    def say_bytes(self, data: bytes) -> None:
        """Send a binary message; the hub has none."""
        if (line := self.session.websocket) is not None:
            line.websocket.send(Frames(ConnectionType.SERVER).send(BytesMessage(data=data)))
        else:
            mark = "b4" if self.version == 3 else "b"
            self.peer.say(mark + base64.b64encode(data).decode())


class EngineEcho(Echo):
    """Without Socket.IO: every message is said again."""

    def arrive(self, address: str) -> None:
        super().arrive(address)
        self.hub.timers.drop(self)

    def hear(self, message: str | bytes) -> None:
        if isinstance(message, bytes):
            self.say_bytes(message)
        else:
            self.peer.say(MESSAGE + message)


class SocketEcho(Echo):
    """With Socket.IO: two events are answered, with the arguments and attachments they have."""

    known = frozenset({"/", "/custom"})

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.attachments: list[bytes] = []

    def hear(self, message: str | bytes) -> None:
        if isinstance(message, bytes):
            self.attachments.append(message)
        super().hear(message)

    def take(self, said: Connect | Happened | Leave) -> None:
        match said:
            case Connect(namespace, auth):
                self.hub.timers.drop(self)
                self.peer.say(MESSAGE + accepted(namespace, self.sid, version=5))
                self.emit(namespace, "auth", auth)
            case Happened(namespace, "message", arguments):
                self.emit(namespace, "message-back", *arguments)
            case Happened(namespace, "message-with-ack", arguments, id):
                self.answer(Kind.ACK, Kind.BINARY_ACK, namespace, arguments, id)

    def emit(self, namespace: str, *event: Any) -> None:
        self.answer(Kind.EVENT, Kind.BINARY_EVENT, namespace, list(event), None)

    def answer(
        self, text: Kind, binary: Kind, namespace: str, data: list[Any], id: int | None
    ) -> None:
        attachments, self.attachments = self.attachments, []
        kind = binary if attachments else text
        packet = SocketPacket(kind, namespace, data, id, len(attachments))
        self.peer.say(MESSAGE + encode(packet))
        for attachment in attachments:
            self.say_bytes(attachment)


async def serve_echo(
    client: type[Echo],
    *,
    ipaddr: str = "127.0.0.1",
    port: int = 0,
    path: str = PATH,
    task_status: trio.TaskStatus[Hub] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled."""
    config = sse_trio.Config(
        ipaddr=ipaddr,
        port=port,
        authkey="none that matters",
        socketio=True,
        socketio_path=path,
        heartbeat_interval=INTERVAL,
        heartbeat_timeout=INTERVAL + TIMEOUT,
        join_timeout=CONNECT,
        linger=32 * SLOT,
        max_body=MAX_PAYLOAD,
    )
    async with trio.open_nursery() as nursery:
        server: Server = await nursery.start(partial(serve_engine, config, client=client))
        task_status.started(server.hub)


async def serve_engine(
    config: sse_trio.Config,
    *,
    client: type[SocketClient] = SocketClient,
    task_status: trio.TaskStatus[Server],
) -> None:
    """Serve until cancelled, without a drain; what is reported is the server with its engine."""
    listeners = await open_listeners(Tcp(config.ipaddr, config.port), [])
    async with trio.open_nursery() as nursery:
        hub = Hub(config, sse_trio.MemoryLedger(), nursery.start_soon)
        server = Server(hub, nursery.start_soon)
        server.engine = Engine(hub, server.parking.spawn, client=client)
        hub.port = listeners[0].port

        def accept(transport: Transport) -> None:
            Connection(server, server.public, transport).ready()

        nursery.start_soon(server.parking.run)
        nursery.start_soon(hub.run_timers, server.parking.read_pending)
        for listener in listeners:
            nursery.start_soon(listener.listen, accept)
        task_status.started(server)


if __name__ == "__main__":
    _, number, path = sys.argv
    client = EngineEcho if path == "/engine.io/" else SocketEcho
    trio.run(partial(serve_echo, client, ipaddr="localhost", port=int(number), path=path))
