"""python-socketio on uvicorn with uvloop: its rooms, its `emit`, and Engine.IO's heartbeats."""

from typing import Any

import socketio
import uvicorn

from .rooms import Rooms, arguments, prepare

PORT, _, HEARTBEAT, OPTIONS = arguments()
NEVER = 3600

server = socketio.AsyncServer(
    async_mode="asgi",
    ping_interval=HEARTBEAT or NEVER,
    ping_timeout=NEVER,
    cors_allowed_origins="*",
)
rooms: Rooms[str] = Rooms()
places: dict[str, tuple[str, str]] = {}


@server.event  # type: ignore[untyped-decorator, unused-ignore]
async def join(sid: str, message: dict[str, Any]) -> None:
    room, session, joined = rooms.join(message, sid)
    places[sid] = room, session
    await server.enter_room(sid, room)
    await server.emit("joined", joined, to=sid)


@server.event  # type: ignore[untyped-decorator, unused-ignore]
async def disconnect(sid: str, _: str) -> None:
    if sid in places:
        rooms.leave(*places.pop(sid), sid)


async def notify(receive: Any, send: Any) -> None:
    body, more = b"", True
    while more:
        event = await receive()
        body += event.get("body", b"")
        more = event.get("more_body", False)
    told: list[tuple[list[str], dict[str, Any]]] = []
    status, answer = rooms.notify(body, lambda members, text: told.append((members, text)))
    for _, text in told:
        room = text["room"]
        kept = [sid for of in rooms.rooms[room].values() for sid in of]
        await server.emit("terminate", text, to=room, skip_sid=kept)
    head = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": answer.encode()})
    # Only now, because it holds up the tasks that write.
    for members, text in told:
        for sid in members:
            await server.leave_room(sid, text["room"])


socket_io = socketio.ASGIApp(server)


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http" and scope["path"] == "/notify":
        await notify(receive, send)
    else:
        await socket_io(scope, receive, send)


if __name__ == "__main__":
    prepare()
    uvicorn.run(
        application,
        host="127.0.0.1",
        port=PORT,
        loop="uvloop",
        http="httptools",
        ws="websockets-sansio",
        ws_ping_interval=None,
        ws_per_message_deflate=False,
        backlog=65535,
        log_level="warning",
        access_log=False,
    )
