"""A client of Socket.IO for tests: by hand, so that every packet is seen, and any can be sent."""

import json
import urllib.parse
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import attrs
import trio
from trio.testing import wait_all_tasks_blocked
from wsproto.events import BytesMessage, CloseConnection, TextMessage

from ...support import (
    HANDSHAKE,
    Listening,
    RawWebSocket,
    Response,
    connect,
    raw_websocket,
    request_on,
)

PATH = "/socket.io/"

UPGRADE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    "Sec-WebSocket-Version": "13",
}


def target(transport: str = "polling", *, version: int = 4, path: str = PATH, **query: str) -> str:
    fields = {"EIO": str(version), "transport": transport, **query}
    return f"{path}?{urllib.parse.urlencode(fields)}"


def handshake(**query: Any) -> bytes:
    return HANDSHAKE.replace(b"GET /ws", b"GET " + target("websocket", **query).encode())


@attrs.define(eq=False)
class OnWebSocket:
    """A client on its WebSocket."""

    raw: RawWebSocket
    opening: dict[str, Any] = attrs.Factory(dict)

    async def say(self, packet: str) -> None:
        await self.raw.stream.send_all(self.raw.connection.send(TextMessage(data=packet)))

    async def emit(self, *arguments: Any, id: str = "") -> None:
        await self.say(f"42{id}{json.dumps(arguments)}")

    async def hear(self) -> str | None:
        """The next packet; None if the server has closed, or hung up."""
        event = await self.raw.event()
        if event is None or isinstance(event, CloseConnection):
            return None
        assert isinstance(event, TextMessage), event
        return str(event.data)

    async def hear_bytes(self) -> bytes:
        """The next message, which is binary."""
        event = await self.raw.event()
        assert isinstance(event, BytesMessage), event
        return bytes(event.data)

    async def heard(self) -> list[Any]:
        """The next event: its name and arguments."""
        packet = await self.hear()
        assert packet is not None
        assert packet.startswith("42"), packet
        event: list[Any] = json.loads(packet[2:])
        return event

    async def close(self) -> None:
        await self.raw.stream.send_all(self.raw.connection.send(CloseConnection(code=1005)))

    async def connect(self, auth: dict[str, Any] | None = None) -> dict[str, Any]:
        """Connect to the main namespace; return the ids."""
        await self.say("40" + ("" if auth is None else json.dumps(auth)))
        packet = await self.hear()
        assert packet is not None
        assert packet.startswith("40{"), packet
        ids: dict[str, Any] = json.loads(packet[2:])
        return ids

    async def join(self, *arguments: Any) -> dict[str, Any]:
        """Join; return what is told of it."""
        await self.emit("join", *arguments)
        name, joined = await self.heard()
        assert name == "joined"
        members: dict[str, Any] = joined
        return members


@asynccontextmanager
async def on_websocket(hub: Listening, **query: Any) -> AsyncIterator[OnWebSocket]:
    """Open a session on a WebSocket."""
    raw = await raw_websocket(hub, handshake=handshake(**query))
    async with raw.stream:
        client = OnWebSocket(raw)
        packet = await client.hear()
        assert packet is not None
        assert packet[0] == "0", packet
        client.opening = json.loads(packet[1:])
        yield client


@asynccontextmanager
async def joined(
    hub: Listening, room: str, session: str | None = None
) -> AsyncIterator[OnWebSocket]:
    """Open a session on a WebSocket, connect, and join."""
    async with on_websocket(hub) as client:
        await client.connect()
        await client.join(*filter(None, (room, session)))
        yield client


@attrs.define(eq=False)
class OnRequests:
    """A client on requests: `get` and `post` have a connection each, as in a browser."""

    hub: Listening
    version: int
    opening: dict[str, Any]
    getting: trio.SocketStream
    posting: trio.SocketStream

    @property
    def sid(self) -> str:
        sid: str = self.opening["sid"]
        return sid

    async def get(self) -> Response:
        here = target(version=self.version, sid=self.sid)
        return await request_on(self.getting, "GET", here, headers=NO_BODY)

    async def hold_get(self) -> None:
        """Send a GET that is not answered at once, and do not wait for its answer."""
        here = target(version=self.version, sid=self.sid)
        await self.getting.send_all(f"GET {here} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        await wait_all_tasks_blocked()

    async def post(self, body: str | bytes, **headers: str) -> Response:
        here = target(version=self.version, sid=self.sid)
        data = body.encode() if isinstance(body, str) else body
        media = {"Content-Type": "text/plain;charset=UTF-8"} | headers
        return await request_on(self.posting, "POST", here, body=data, headers=media)

    async def packets(self) -> list[str]:
        """What the next GET is answered with."""
        response = await self.get()
        assert response.status == 200, response
        return split(response.body, self.version)

    async def say(self, *packets: str) -> None:
        response = await self.post(join(packets, self.version))
        assert (response.status, response.body) == (200, b"ok"), response

    async def connect(self, auth: dict[str, Any] | None = None) -> dict[str, Any]:
        await self.say("40" + ("" if auth is None else json.dumps(auth)))
        (packet,) = await self.packets()
        assert packet.startswith("40{"), packet
        ids: dict[str, Any] = json.loads(packet[2:])
        return ids

    async def join(self, *arguments: Any) -> dict[str, Any]:
        await self.say(f"42{json.dumps(['join', *arguments])}")
        (packet,) = await self.packets()
        name, members = json.loads(packet.removeprefix("42"))
        assert name == "joined"
        told: dict[str, Any] = members
        return told


NO_BODY: dict[str, str] = {}


def join(packets: Iterable[str], version: int) -> str:
    """Make a body of packets; in version 3 they are ASCII here."""
    if version == 3:
        return "".join(f"{len(packet)}:{packet}" for packet in packets)
    return "\x1e".join(packets)


def split(body: bytes, version: int) -> list[str]:
    """Read the packets of a body."""
    if version > 3:
        return body.decode().split("\x1e")
    packets, text = [], body.decode("ascii")
    while text:
        length, _, text = text.partition(":")
        packets.append(text[: int(length)])
        text = text[int(length) :]
    return packets


@asynccontextmanager
async def on_requests(hub: Listening, **query: Any) -> AsyncIterator[OnRequests]:
    """Open a session on requests."""
    async with await connect(hub) as getting, await connect(hub) as posting:
        response = await request_on(getting, "GET", target(**query))
        assert response.status == 200, response
        body = response.body.decode()
        opening = json.loads(body[body.index("{") : body.index("}") + 1])
        yield OnRequests(hub, query.get("version", 4), opening, getting, posting)
