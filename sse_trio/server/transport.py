"""A connection: how it is read, written and closed.

A connection is only a non-blocking socket of the standard library. Functions that await ask Trio
when they can go on; a fan-out's send, which must not await, uses the socket directly (`outbox`). A
`trio.SocketStream` around each would cost 20 us and 1 KiB a connection.
"""

import contextlib
import socket

import attrs
import trio


@attrs.define(eq=False, weakref_slot=False)
class Transport:
    """One accepted connection.

    Methods that await raise `trio.BrokenResourceError` once the peer has reset it, and
    `trio.ClosedResourceError` if it is closed meanwhile.
    """

    socket: socket.socket
    host: str
    """The peer's address, by the socket: a proxy's, if there is one. Or `LOCAL`."""

    @property
    def is_closed(self) -> bool:
        """Whether this side has closed it."""
        return self.socket.fileno() < 0

    async def receive(self, most: int) -> bytes:
        """Wait for bytes, at most so many; no bytes mean the end."""
        # A schedule point too, so that a client that always sends more does not delay others.
        await trio.lowlevel.checkpoint()
        while True:
            try:
                data = self.socket.recv(most)
            except BlockingIOError:
                await trio.lowlevel.wait_readable(self.socket)
            except OSError as error:
                raise trio.BrokenResourceError from error
            else:
                return data

    def has_unread(self) -> bool:
        """Whether there is data to be received, or the end of the stream."""
        try:
            self.socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:  # `receive` will raise it
            pass
        return True

    async def send_all(self, data: bytes) -> None:
        """Send, and wait as long as the peer takes; after a cancellation, nothing can be sent."""
        await trio.lowlevel.checkpoint()
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[self.socket.send(rest) :]
            except BlockingIOError:
                await trio.lowlevel.wait_writable(self.socket)
            except OSError as error:
                raise trio.BrokenResourceError from error

    async def close_after_peer(self) -> None:
        """Read until the peer closes too, or until a cancellation, and close.

        A close with unread data resets the connection, and a reset can overtake the last data that
        was sent.
        """
        try:
            with contextlib.suppress(trio.BrokenResourceError):
                while await self.receive(_UNHEARD):
                    pass
        finally:
            self.close()

    def send_eof(self) -> None:
        """Close this side."""
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError as error:
            raise trio.BrokenResourceError from error

    def close(self) -> None:
        """Close; the kernel still sends its data if the peer accepts it."""
        if not self.is_closed:
            trio.lowlevel.notify_closing(self.socket)
            self.socket.close()


# Bytes of one read whose data is ignored.
_UNHEARD = 65536
