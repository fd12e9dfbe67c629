"""The library websockets, on asyncio or uvloop, with its `broadcast`."""

import asyncio
import contextlib
import json
import time

from websockets import ConnectionClosed
from websockets.asyncio.server import ServerConnection, broadcast, serve

from .notify_http import BACKLOG, listen
from .rooms import Rooms, arguments, dumps, prepare

PORT, HTTP_PORT, HEARTBEAT, OPTIONS = arguments()

rooms: Rooms[ServerConnection] = Rooms()
everybody: set[ServerConnection] = set()


async def member(connection: ServerConnection) -> None:
    room, session, joined = rooms.join(json.loads(await connection.recv()), connection)
    await connection.send(dumps(joined))
    everybody.add(connection)
    with contextlib.suppress(ConnectionClosed):
        async for _ in connection:
            pass
    everybody.discard(connection)
    rooms.leave(room, session, connection)


def notify(body: bytes) -> tuple[int, str]:
    return rooms.notify(body, lambda members, text: broadcast(members, dumps(text)))


async def main() -> None:
    async with serve(
        member,
        "127.0.0.1",
        PORT,
        compression=None,
        open_timeout=120,
        ping_interval=HEARTBEAT or None,
        max_size=4096,
        backlog=BACKLOG,
    ) as server:
        await listen(HTTP_PORT, notify)
        while HEARTBEAT:
            await asyncio.sleep(HEARTBEAT)
            text = dumps({"type": "heartbeat", "time": int(time.time() * 1000)})
            broadcast(everybody, text)
        await server.wait_closed()


if __name__ == "__main__":
    prepare()
    if "uvloop" in OPTIONS:
        import uvloop

        uvloop.run(main())
    else:
        asyncio.run(main())
