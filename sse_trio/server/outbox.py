"""Frames out: straight to the socket, and a queue only while the socket is full.

There is no task for outbound traffic. `send` hands a frame to the kernel without waiting; it keeps
only the bytes that the kernel does not accept, and then one task runs for this connection until the
queue is empty again. The task ends at once if the connection does, and when a frame has waited
longer than the timeout.

A frame is sent whole or not at all: a frame that has been begun is always finished first, and only
the flush task waits in the middle of one.

The frames that wait are counted by the memory that they take: a frame of two bytes takes seventy
times as much.
"""

import contextlib
import math
import socket
from collections import deque
from collections.abc import Callable
from typing import Final

import attrs
import trio

from ..hub.timers import HasDeadline, Timers

# The memory of a waiting frame beside its own bytes, at most: 48 as the header of an object and for
# the allocator's rounding, 48 for a `_Waiting`, 24 for a deadline, and its place in the queue.
FRAME_COST: Final = 128


@attrs.define(eq=False, weakref_slot=False)
class _Waiting:
    left: bytes
    """What is left of a frame."""
    due: float
    """When it will have waited too long."""


class Outbox(HasDeadline):
    """The sending side of one connection.

    `spawn` starts a task. `limit` is the memory in bytes that waiting frames may take. `timeout` is
    how many seconds a frame may wait; then `timers` abort the connection.
    """

    __slots__ = (
        "_flushing", "_kept", "_limit", "_newest", "_queue", "_shutting", "_socket", "_spawn",
        "_timeout", "_timers", "aborted", "broken", "waiting",
    )  # fmt: skip

    def __init__(
        self,
        sock: socket.socket,
        spawn: Callable[..., None],
        *,
        limit: int,
        timeout: float,
        timers: Timers,
    ) -> None:
        self._socket = sock
        self._spawn = spawn
        self._limit = limit
        self._timeout = timeout
        self._timers = timers
        # Made when a frame has to wait, which happens on hardly any connection.
        self._queue: deque[_Waiting] | None = None
        self._newest: _Waiting | None = None
        # The first so many of them are sent whatever comes: one that is begun, and up to one that
        # is to be kept.
        self._kept = 0
        self._flushing: trio.CancelScope | None = None
        self._shutting = False
        self.waiting = 0
        """Bytes of memory that the frames take which the kernel has not accepted yet."""
        self.broken = False
        """Whether the connection is lost, or this side of it closed: nothing more can be sent."""
        self.aborted = False
        """Whether this side has aborted it."""

    def send(self, frame: bytes, *, keep: bool = False) -> bool:
        """Send `frame`, or queue it; False if that cannot be.

        It cannot if the connection is `broken`, or if the waiting frames would be over the `limit`.
        With `keep` it is sent even if others turn out to be the last.
        """
        sent = self._send(frame, self._limit)
        if keep and sent and self._queue:
            self._kept = len(self._queue)
        return sent

    def send_newest(self, frame: bytes) -> None:
        """Send `frame`, or queue it; it replaces an earlier one of these that still waits.

        It takes that frame's place in the queue and its deadline. As there is only one, and it
        is short, it needs no limit.
        """
        if self._newest is not None:
            self.waiting += len(frame) - len(self._newest.left)
            self._newest.left = frame
        elif self._send(frame, math.inf) and self._queue:
            is_begun = len(self._queue) == self._kept
            self._newest = None if is_begun else self._queue[-1]

    def send_last(self, frame: bytes) -> bool:
        """Send `frame` next, and drop the frames that wait, but for those that are to be kept.

        False only if nothing more can be sent: so little waits then that no limit is needed.
        """
        if self._queue and not self._shutting:
            while len(self._queue) > self._kept:
                self.waiting -= len(self._queue.pop().left) + FRAME_COST
            self._newest = None
        return self._send(frame, math.inf)

    def finish(self) -> None:
        """Close this side once everything is sent: the peer reads to the end of the stream."""
        self._shutting = True
        if not self._queue:
            self._shut()

    def abandon(self) -> None:
        """Drop the frames that wait; the connection is being closed."""
        self.broken = True
        self._queue = self._newest = None
        self.waiting = 0
        self._timers.drop(self)
        if self._flushing is not None:
            self._flushing.cancel()

    def abort(self) -> None:
        """End the connection at once, without a close; a reader of it reads its end."""
        self.aborted = True
        self.abandon()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def expire(self, now: float) -> None:
        """Abort the connection, if a frame has waited for too long."""
        if self._queue:
            due = self._queue[0].due
            if now < due:
                self._timers.schedule(self, due)
            else:
                self.abort()

    def _send(self, frame: bytes, limit: float) -> bool:
        if self.broken or self._shutting:
            return False
        sent = 0
        if not self._queue:
            # Almost always only this happens; a fan-out consists of it.
            try:
                sent = self._socket.send(frame)
            except BlockingIOError:
                pass
            except OSError:
                self.broken = True
                return False
            if sent == len(frame):
                return True
            # An empty socket has accepted a part of it, so it is begun, even over the limit.
            self._kept = int(sent > 0)
        left = frame[sent:]
        if not sent and self.waiting + len(left) + FRAME_COST > limit:
            return False
        self._append(left)
        return True

    def _append(self, left: bytes) -> None:
        if self._queue is None:
            self._queue = deque()
        due = self._timers.now() + self._timeout
        self._queue.append(_Waiting(left, due))
        self.waiting += len(left) + FRAME_COST
        if self._flushing is None:
            self._flushing = trio.CancelScope()
            self._spawn(self._flush, self._flushing)
            self._timers.schedule(self, due)

    async def _flush(self, scope: trio.CancelScope) -> None:
        with scope:
            while self._queue:
                try:
                    await trio.lowlevel.wait_writable(self._socket)
                except (trio.ClosedResourceError, OSError, ValueError):
                    # Closed or reset meanwhile: the reader is about to notice too.
                    self.abandon()
                else:
                    self._push()
        self._flushing = self._queue = None
        if self._shutting and not self.broken:
            self._shut()

    def _push(self) -> None:
        """Send until the kernel is full again."""
        while self._queue:
            first = self._queue[0]
            try:
                sent = self._socket.send(first.left)
            except BlockingIOError:
                return
            except OSError:
                self.abandon()
                return
            if first is self._newest:
                self._newest = None
            self.waiting -= sent
            if sent < len(first.left):
                first.left = first.left[sent:]
                self._kept = max(self._kept, 1)
                return
            self._queue.popleft()
            self.waiting -= FRAME_COST
            self._kept = max(self._kept - 1, 0)

    def _shut(self) -> None:
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            self.broken = True
