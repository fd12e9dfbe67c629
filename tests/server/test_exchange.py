"""An exchange by itself, on a connection that takes as long as the test says."""

import socket
from contextlib import closing

import attrs
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

import sse_trio
from sse_trio.hub.hub import Hub
from sse_trio.server.exchange import READ, Exchange
from sse_trio.server.server import Server
from sse_trio.server.transport import Transport
from sse_trio.strict_json import dumps

from ..support import HANDSHAKE, KEY


@attrs.define(eq=False)
class Held(Transport):
    """Sends when it is told to."""

    go_on: trio.Event = attrs.Factory(trio.Event)

    async def send_all(self, data: bytes) -> None:
        await self.go_on.wait()
        await super().send_all(data)


async def test_a_handshake_that_is_answered_when_the_drain_is_over_ends_in_order(
    autojump_clock: MockClock,
) -> None:
    """Its WebSocket has `linger` seconds like any other."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    config = sse_trio.Config(authkey=KEY, linger=3)
    with closing(theirs):
        async with trio.open_nursery() as timers:
            async with trio.open_nursery() as connections:
                hub = Hub(config, sse_trio.MemoryLedger(), connections.start_soon)
                server = Server(hub, connections.start_soon)
                timers.start_soon(server.parking.run)
                timers.start_soon(hub.run_timers, server.parking.read_pending)
                transport = Held(ours, "127.0.0.1")
                exchange = Exchange(server, server.public, transport, lambda _: None, HANDSHAKE)
                connections.start_soon(exchange.run, 10)
                await wait_all_tasks_blocked()
                # As `serve` ends.
                hub.drain()
                server.end_idle()
                await hub.close_all_websockets(by=trio.current_time())
                await server.parking.emptied()
                await hub.membership.places.emptied()
                begin = trio.current_time()
                transport.go_on.set()
            assert 3 <= trio.current_time() - begin < 4
            timers.cancel_scope.cancel()
        told = theirs.recv(1000)
    assert told.startswith(b"HTTP/1.1 101 ")
    assert b"\x03\xe9the server is shutting down" in told


async def test_what_arrived_in_time_is_read_when_the_time_is_over(
    autojump_clock: MockClock,
) -> None:
    """The server was busy meanwhile. The body takes several reads."""
    body = dumps({"key": KEY, "room": "u1", "session": "s1"}).encode().ljust(3 * READ)
    head = b"POST /check HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\n"
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    config = sse_trio.Config(authkey=KEY, max_check_body=4 * READ)
    with closing(theirs), closing(ours):
        async with trio.open_nursery() as nursery:
            hub = Hub(config, sse_trio.MemoryLedger(), nursery.start_soon)
            server = Server(hub, nursery.start_soon)
            nursery.start_soon(hub.run_timers, server.parking.read_pending)
            await wait_all_tasks_blocked()
            theirs.sendall(body)
            exchange = Exchange(
                server,
                server.public,
                Transport(ours, "127.0.0.1"),
                lambda _: None,
                head + b"Content-Length: %d\r\n\r\n" % len(body),
            )
            await exchange.run(0)
            nursery.cancel_scope.cancel()
        assert theirs.recv(1000).startswith(b"HTTP/1.1 200 ")
