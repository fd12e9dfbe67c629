"""How a connection with a member ends: by its peer, or by the kernel that waits for it in vain."""

import errno
import socket

import attrs
import pytest
import trio
from trio.testing import MockClock

import sse_trio
from sse_trio.core.events import Listen
from sse_trio.core.messages import Join
from sse_trio.server.events import start_listening
from sse_trio.server.server import Server
from sse_trio.server.transport import Transport

from ..support import Start, post_notify


@attrs.define
class Failing:
    """A socket from which there is nothing to read but an error."""

    sock: socket.socket
    error: int

    family = socket.AF_UNIX

    def fileno(self) -> int:
        return self.sock.fileno()

    def send(self, data: bytes) -> int:
        return self.sock.send(data)

    def recv(self, most: int) -> bytes:
        raise OSError(self.error, "")

    def shutdown(self, how: int) -> None:
        self.sock.shutdown(how)

    def close(self) -> None:
        self.sock.close()


@pytest.mark.parametrize(("error", "acked"), [(errno.ECONNRESET, 1), (errno.ETIMEDOUT, 0)])
async def test_a_machine_that_is_gone_acknowledges_nothing(
    start: Start,
    nursery: trio.Nursery,
    autojump_clock: MockClock,
    error: int,
    acked: int,
) -> None:
    hub = await start()
    ours, theirs = socket.socketpair()
    with theirs:
        listen(hub, nursery, ours, error)
        await post_notify(hub, room="u1", sender="new")
        theirs.send(b"anything, so that it is read")
        await trio.sleep(1)
    now = hub.statistics()
    assert (now.terminations_acked, now.dead_peers, now.connections) == (acked, 0, 0)


@pytest.mark.parametrize(("error", "dead"), [(errno.ECONNRESET, 0), (errno.ETIMEDOUT, 1)])
async def test_and_counts_as_dead(
    start: Start, nursery: trio.Nursery, autojump_clock: MockClock, error: int, dead: int
) -> None:
    hub = await start()
    ours, theirs = socket.socketpair()
    with theirs:
        listen(hub, nursery, ours, error)
        theirs.send(b"anything, so that it is read")
        await trio.sleep(1)
    now = hub.statistics()
    assert (now.members, now.dead_peers, now.connections) == (0, dead, 0)


def listen(hub: sse_trio.Hub, nursery: trio.Nursery, sock: socket.socket, error: int) -> None:
    """Have a page join whose connection ends with this error, once it is read."""
    sock.setblocking(False)
    server = Server(hub, nursery.start_soon)
    nursery.start_soon(server.parking.run)
    transport = Transport(Failing(sock, error), "192.0.2.1")  # type: ignore[arg-type]
    start_listening(server, transport, "192.0.2.1", b"", Listen(Join("u1", "old")))
