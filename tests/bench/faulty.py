"""A server that does one thing wrong: ``python -m tests.bench.faulty PORT FAULT``.

It is the smallest that the load generator can talk to: no limits, no checks.
"""

import base64
import contextlib
import hashlib
import json
import re
import sys
from typing import Any

import trio

from bench.load import ACCEPT

members: dict[str, trio.SocketStream] = {}
"""One room: by session, in the order in which they have joined."""


def dumps(value: dict[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"))


def frame(text: str) -> bytes:
    data = text.encode()
    return b"\x81\x7e" + len(data).to_bytes(2, "big") + data


async def read_head(stream: trio.SocketStream) -> bytes:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        more = await stream.receive_some(1)
        if not more:
            raise trio.ClosedResourceError
        head += more
    return head


async def be_member(stream: trio.SocketStream, key: bytes, fault: str) -> None:
    digest = hashlib.sha1(key + ACCEPT.encode()).digest()
    await stream.send_all(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n"
    )
    data = bytes(await stream.receive_some(1000))
    asked = json.loads(bytes(c ^ data[2 + i % 4] for i, c in enumerate(data[6:])))
    members[asked["session"]] = stream
    session = "another" if fault == "stranger" else asked["session"]
    joined = {"type": "joined", "room": asked["room"], "session": session}
    if fault == "early":
        await stream.send_all(frame(dumps({"type": "heartbeat", "time": 1})))
    await stream.send_all(frame(dumps(joined)))
    while await stream.receive_some(1000):
        pass


async def notify(stream: trio.SocketStream, body: bytes, fault: str) -> None:
    asked = json.loads(body)
    others = [session for session in members if session != asked["sender"]]
    epoch = 2 if fault == "altered" else 1
    text = dumps(
        {
            "type": "terminate",
            "room": asked["room"],
            "epoch": 1,
            "reason": "login",
            "detail": None,
            "reconnect": False,
        }
    )
    for session in others:
        first = session == others[0]
        if first and fault == "lost":
            await members[session].aclose()
        elif first and fault == "altered":
            await members[session].send_all(frame(text.replace("1", str(epoch), 1)))
        elif not (first and fault == "missing"):
            await members[session].send_all(frame(text))
        if first and fault == "duplicate":
            await members[session].send_all(frame(text))
    if fault == "stray":
        await members[asked["sender"]].send_all(frame(text))
    if fault == "silent":
        return
    told = len(others) + (fault == "count")
    answer = dumps({"room": asked["room"], "epoch": 1, "terminated": told})
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(answer)}\r\n\r\n"
    await stream.send_all(f"{head}{answer}".encode())


async def handle(stream: trio.SocketStream, fault: str) -> None:
    head = await read_head(stream)
    if found := re.search(rb"Sec-WebSocket-Key: (\S+)", head):
        await be_member(stream, found[1], fault)
        return
    found = re.search(rb"Content-Length: (\d+)", head)
    assert found
    body = b""
    while len(body) < int(found[1]):
        body += await stream.receive_some(1000)
    await notify(stream, body, fault)
    await stream.receive_some(1)


async def main(port: int, fault: str) -> None:
    async def contained(stream: trio.SocketStream) -> None:
        # The harness probes, and resets.
        with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await handle(stream, fault)

    await trio.serve_tcp(contained, port, host="127.0.0.1")


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]), sys.argv[2])
