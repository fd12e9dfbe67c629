"""A parked connection with its member: each piece of data is handled in one synchronous step."""

import abc
import errno
from collections.abc import Callable
from typing import Generic, TypeVar

import attrs

from ..hub.member import Member, State
from .outbox import Outbox
from .server import Server
from .transport import Transport

# Bytes of one read: a whole message of a page fits in.
READ = 1024

P = TypeVar("P", bound=Outbox)


@attrs.define(eq=False, weakref_slot=False)
class Attended(abc.ABC, Generic[P]):
    """A connection with its member.

    It refers to the member, and the member refers to the peer. The peer refers to neither, so no
    cycle keeps them in memory after the end.
    """

    transport: Transport
    _server: Server
    _peer: P
    _member: Member

    @abc.abstractmethod
    def _handle(self, data: bytes) -> None:
        """Handle the peer's data."""

    def ready(self) -> None:
        """Read the data that has arrived, and handle it."""
        self._contain(self._read)

    def cut(self) -> None:
        """End at once, without a close."""
        try:
            self._leave(hung_up=False)
        except Exception as error:  # noqa: BLE001
            self._server.hub.limited_log.failed("a connection could not be ended cleanly", error)
        finally:
            self._close()

    def _contain(self, step: Callable[[], None]) -> None:
        """Run one step; an exception in it ends this connection, and nothing else."""
        try:
            step()
        except Exception as error:  # noqa: BLE001
            self._server.hub.limited_log.failed("a connection failed", error)
            self.cut()

    def _read(self) -> None:
        try:
            data = self.transport.socket.recv(READ)
        except BlockingIOError:
            return
        except OSError as error:  # reset by the peer, or given up by the kernel
            if error.errno == errno.ETIMEDOUT:
                self._lose()
                return
            data = b""
        if self._peer.aborted:
            if self._member.state is State.JOINED:
                # A frame has waited too long, because this member does not read.
                self._server.hub.counters.slow_members += 1
            self.cut()
        elif data:
            self._handle(data)
        else:
            self._end()

    def _lose(self) -> None:
        """End, because the peer acknowledges nothing: it has not hung up."""
        if self._member.state is State.JOINED:
            self._server.hub.counters.dead_peers += 1
        self.cut()

    def _end(self) -> None:
        """End, because the peer has ended."""
        self._leave(hung_up=True)
        self._close()

    def _admit(self, before: object) -> None:
        """Start a task that admits the member, if it has begun to wait for that since `before`."""
        if self._member.admission is not before:
            self._server.parking.spawn(self._server.hub.admit, self._member)

    def _leave(self, *, hung_up: bool) -> None:
        if self._member.state is not State.GONE:
            self._server.parking.leave(self)
            self._server.hub.membership.leave(self._member, hung_up=hung_up)

    def _close(self) -> None:
        self._peer.abandon()
        self.transport.close()
