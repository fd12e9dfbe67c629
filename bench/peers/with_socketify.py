"""socketify, which is uWebSockets: one after the other in the library's own loop."""

import json
import time
from typing import Any

from socketify import App, CompressOptions, OpCode

from .rooms import Rooms, arguments, dumps, prepare

PORT, _, HEARTBEAT, OPTIONS = arguments()

rooms: Rooms[Any] = Rooms()
places: dict[Any, tuple[str, str]] = {}


def hear(ws: Any, message: str, _: OpCode) -> None:
    room, session, joined = rooms.join(json.loads(message), ws)
    places[ws] = room, session
    ws.send(dumps(joined), OpCode.TEXT)


def close(ws: Any, *_: object) -> None:
    if ws in places:
        rooms.leave(*places.pop(ws), ws)


def send(members: list[Any], message: dict[str, Any]) -> None:
    text = dumps(message)
    for member in members:
        member.send(text, OpCode.TEXT)


def notify(res: Any, _: Any) -> None:
    # With `await res.get_data()`, the documented way, the process aborts under load.
    body = b""

    def part(res: Any, chunk: bytes | None, is_end: bool) -> None:
        nonlocal body
        body += chunk or b""
        if is_end:
            status, answer = rooms.notify(body, send)
            res.write_status(status).write_header("Content-Type", "application/json").end(answer)

    res.on_data(part)


def beat() -> None:
    app.loop.loop.call_later(HEARTBEAT, beat)
    text = dumps({"type": "heartbeat", "time": int(time.time() * 1000)})
    for ws in places:
        ws.send(text, OpCode.TEXT)
        ws.send(b"", OpCode.PING)


if __name__ == "__main__":
    prepare()
    app = App()
    app.ws(
        "/ws",
        {
            "compression": CompressOptions.DISABLED,
            "max_payload_length": 4096,
            "idle_timeout": 0,
            "message": hear,
            "close": close,
        },
    )
    app.post("/notify", notify)
    if HEARTBEAT:
        app.loop.loop.call_later(HEARTBEAT, beat)
    app.listen({"port": PORT, "host": "127.0.0.1"})
    app.run()
