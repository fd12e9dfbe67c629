"""What tests of `sse_trio.apps` share: hubs that are real, and hubs that are hostile."""

import contextlib
import itertools
import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import trio

from sse_trio.apps import Client

from ..support import KEY

in_thread = trio.to_thread.run_sync

# Seconds: what a test allows a hub, and what a busy machine may take for all of it.
SHORT = 0.5
LOOSELY = 10

Behaviour = Callable[[socket.socket, bytes], None]
"""Answers a request (its bytes) on a connection."""


def client(*ports: int, **more: Any) -> Client:
    """A client of these hubs."""
    return Client(urls(*ports), KEY, **more)


def urls(*ports: int) -> str:
    return ",".join(f"http://127.0.0.1:{port}" for port in ports)


def at_once() -> Iterator[float]:
    """Pauses that are none."""
    return itertools.repeat(0.0)


def answer(status: int, members: Any, *fields: str, body: bytes | None = None) -> Behaviour:
    """Answer so, and keep the connection."""
    sent = json.dumps(members).encode() if body is None else body
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(sent)}", *fields, "", ""]

    def behave(sock: socket.socket, _: bytes) -> None:
        sock.sendall("\r\n".join(lines).encode() + sent)

    return behave


def raw(data: bytes) -> Behaviour:
    """Send these bytes, and close."""

    def behave(sock: socket.socket, _: bytes) -> None:
        sock.sendall(data)
        sock.close()

    return behave


def trickling(data: bytes) -> Behaviour:
    """Send a byte now and then: each read of the client succeeds, and the whole never comes."""

    def behave(sock: socket.socket, _: bytes) -> None:
        for number in range(1000):
            sock.sendall(data[number : number + 1] or b" ")
            time.sleep(SHORT / 8)

    return behave


def silent(_: socket.socket, __: bytes) -> None:
    """Say nothing."""


def reset(sock: socket.socket, _: bytes) -> None:
    """Die after the request has come."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@attrs.define(eq=False)
class Fake:
    """A hub that does as it is told, request for request, and keeps what it was asked.

    The last behaviour is that of all further requests.
    """

    behaviours: list[Behaviour]
    asked: list[tuple[str, Any]] = attrs.Factory(list)
    """Paths and members."""
    asked_on: list[int] = attrs.Factory(list)
    """The number of the connection that each of them came on."""
    connections: int = 0
    port: int = 0
    came: threading.Semaphore = attrs.Factory(lambda: threading.Semaphore(0))
    """Released with each request."""
    tls: ssl.SSLContext | None = None
    _open: list[socket.socket] = attrs.Factory(list)

    def accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = listener.accept()
                self.connections += 1
                self._open.append(sock)
                threading.Thread(
                    target=self._serve, args=(sock, self.connections), daemon=True
                ).start()

    def _serve(self, sock: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError), sock:
            if self.tls is not None:
                sock = self.tls.wrap_socket(sock, server_side=True)
                self._open.append(sock)
            while request := self._read(sock):
                head, _, body = request.partition(b"\r\n\r\n")
                self.asked.append((head.split(b" ")[1].decode(), json.loads(body)))
                self.asked_on.append(number)
                last = len(self.behaviours) == 1
                behave = self.behaviours[0] if last else self.behaviours.pop(0)
                self.came.release()
                behave(sock, request)

    def _read(self, sock: socket.socket) -> bytes:
        data = b""
        while b"\r\n\r\n" not in data:
            if not (more := sock.recv(65536)):
                return b""
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        (length,) = (
            int(line.split(b":")[1])
            for line in head.lower().split(b"\r\n")
            if line.startswith(b"content-length:")
        )
        while len(body) < length:
            body += sock.recv(65536)
        return head + b"\r\n\r\n" + body

    def close(self) -> None:
        for sock in self._open:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()


@contextlib.contextmanager
def fake(*behaviours: Behaviour, tls: ssl.SSLContext | None = None) -> Iterator[Fake]:
    """``with fake(answer(503, {}), reset, silent) as hub:``."""
    hub = Fake(list(behaviours), tls=tls)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        hub.port = listener.getsockname()[1]
        thread = threading.Thread(target=hub.accept, args=(listener,))
        thread.start()
        try:
            yield hub
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            hub.close()


NOTIFIED = {
    "room": "ada",
    "epoch": 1,
    "floor": 1,
    "standing": ["s1"],
    "ended": [],
    "terminated": 0,
    "acked": 0,
    "pending": 0,
    "ticket": "a.ticket",
    "token": "a.token",
}
RELEASED = {name: value for name, value in NOTIFIED.items() if name not in ("ticket", "token")}
ACTIVE = {"active": True, "room": "ada", "session": "s1", "epoch": 1, "exp": 1798053303}
UNKNOWN = {"active": False, "known": False}
