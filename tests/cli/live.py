"""What tests of the command share: servers in threads, because `main` has a loop of its own."""

import contextlib
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import trio

import sse_trio

from ..support import KEY

Told = Callable[[], str]
"""Returns the one line on standard error; there is nothing on standard output."""

DEADLINE = 20


@attrs.frozen
class Live:
    """A server in another thread."""

    hub: sse_trio.Hub
    nursery: trio.Nursery
    token: trio.lowlevel.TrioToken

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.hub.port}"

    @property
    def ws(self) -> str:
        return f"ws://127.0.0.1:{self.hub.port}/ws"

    def soon(self, function: Callable[..., Any], *arguments: object) -> None:
        """Start a task over there."""
        start = partial(self.nursery.start_soon, function, *arguments)
        trio.from_thread.run_sync(start, trio_token=self.token)


@contextlib.contextmanager
def live(**settings: Any) -> Iterator[Live]:
    """Run a server in a thread, because `main` has a loop of its own."""
    config = sse_trio.Config(**{"port": 0, "authkey": KEY, "linger": 0.1, **settings})
    ready: Future[Live] = Future()

    async def run() -> None:
        async with trio.open_nursery() as nursery:
            hub = await nursery.start(partial(sse_trio.serve, config))
            ready.set_result(Live(hub, nursery, trio.lowlevel.current_trio_token()))

    thread = threading.Thread(target=trio.run, args=(run,))
    thread.start()
    server = ready.result(DEADLINE)
    try:
        yield server
    finally:
        with contextlib.suppress(trio.RunFinishedError):
            trio.from_thread.run_sync(server.hub.drain, trio_token=server.token)
        thread.join(DEADLINE)
        assert not thread.is_alive()


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@contextlib.contextmanager
def fake(answer: bytes, *, at: Path | None = None) -> Iterator[tuple[str, list[bytes]]]:
    """Run a server that gives `answer` to everything; yield its URL and what it was asked.

    `at` is where its Unix socket is to be, if it is to have one.
    """
    asked = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            asked.append(self.rfile.readline())
            self.wfile.write(answer)
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_WR)
            self.rfile.read()

    with contextlib.ExitStack() as stack:
        server: socketserver.BaseServer
        if at:
            url = f"unix:{at}"
            server = stack.enter_context(socketserver.ThreadingUnixStreamServer(url[5:], Handler))
        else:
            tcp = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
            server = stack.enter_context(tcp)
            url = f"http://127.0.0.1:{tcp.socket.getsockname()[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield url, asked
        finally:
            server.shutdown()
            thread.join(DEADLINE)


# What ends a line or a string of orders, is an order by itself, or turns what follows around.
ORDERS = "\x1b[31m \x7f \x9b2J \x85 \u2028 \u202e \u2066 \ufeff \U000e0041"
