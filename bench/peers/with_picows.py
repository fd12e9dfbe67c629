"""The library picows, on uvloop: a frame is built in C, and sent to one after the other."""

import asyncio
import json
import time
from typing import Any

import uvloop
from picows import (
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    ws_create_server,
)

from .notify_http import BACKLOG, listen
from .rooms import Rooms, arguments, dumps, prepare

PORT, HTTP_PORT, HEARTBEAT, _ = arguments()


class Member(WSListener):  # type: ignore[misc, unused-ignore]
    """One connection."""

    transport: WSTransport
    place: tuple[str, str] | None = None

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        match frame.msg_type:
            case WSMsgType.PING:
                transport.send_pong(frame.get_payload_as_bytes())
            case WSMsgType.CLOSE:
                transport.send_close(frame.get_close_code())
                transport.disconnect()
            case WSMsgType.TEXT if self.place is None:
                message = json.loads(frame.get_payload_as_memoryview().tobytes())
                room, session, joined = rooms.join(message, self)
                self.place = room, session
                transport.send(WSMsgType.TEXT, dumps(joined).encode())

    def on_ws_disconnected(self, _: WSTransport) -> None:
        everybody.discard(self)
        if self.place is not None:
            rooms.leave(*self.place, self)


rooms: Rooms[Member] = Rooms()
everybody: set[Member] = set()


def send(members: list[Member], message: dict[str, Any]) -> None:
    text = dumps(message).encode()
    for member in members:
        member.transport.send(WSMsgType.TEXT, text)


async def main() -> None:
    def made(_: WSUpgradeRequest) -> Member:
        member = Member()
        everybody.add(member)
        return member

    server = await ws_create_server(
        made,
        "127.0.0.1",
        PORT,
        websocket_handshake_timeout=120,
        enable_auto_pong=False,
        backlog=BACKLOG,
    )
    await listen(HTTP_PORT, lambda body: rooms.notify(body, send))
    while HEARTBEAT:
        await asyncio.sleep(HEARTBEAT)
        text = dumps({"type": "heartbeat", "time": int(time.time() * 1000)}).encode()
        for member in everybody:
            if member.place is not None:
                member.transport.send(WSMsgType.TEXT, text)
                member.transport.send_ping()
    await server.serve_forever()


if __name__ == "__main__":
    prepare()
    uvloop.run(main())
