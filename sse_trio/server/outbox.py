"""Frames out: straight to the socket, and a queue only while the socket is full.

There is no task for outbound traffic. `offer` hands a frame to the kernel without
waiting; only what the kernel does not take is kept, and then one task runs for this
connection until the queue is empty again. It ends at once if the connection does, and gives
up when a frame has waited longer than the timeout.

A frame is sent whole or not at all: what has been begun is always finished first, and
nobody but the flush task waits in the middle of one.
"""

import math
import socket
from collections import deque
from collections.abc import Callable

import trio


class Outbox:
    """The sending side of one connection.

    `limit` is how many bytes may wait; `timeout` how many seconds a frame may.
    `stuck` is called when one has.
    """

    def __init__(
        self,
        sock: socket.socket,
        nursery: trio.Nursery,
        *,
        limit: int,
        timeout: float,
        stuck: Callable[[], None],
    ) -> None:
        self._socket = sock
        self._nursery = nursery
        self._limit = limit
        self._timeout = timeout
        self._stuck = stuck
        # What is left of each frame, and when it will have waited too long.
        self._queue: deque[tuple[memoryview, float]] = deque()
        self._begun = False
        self._flushing: trio.CancelScope | None = None
        self._shutting = False
        self.waiting = 0
        """Bytes that the kernel has not taken yet."""
        self.broken = False
        """Whether the connection is lost, or this side of it closed: nothing more can be sent."""

    def offer(self, frame: bytes) -> bool:
        """Send `frame`, or queue it; False if that cannot be.

        It cannot if the connection is `broken`, or if more than `limit` bytes would wait.
        """
        return self._offer(frame, self._limit)

    def offer_last(self, frame: bytes) -> bool:
        """Send `frame` before everything that waits, which is then not worth sending.

        False only if nothing more can be sent: so little waits then that no limit is needed.
        """
        while not self._shutting and len(self._queue) > self._begun:
            view, _ = self._queue.pop()
            self.waiting -= len(view)
        return self._offer(frame, math.inf)

    def finish(self) -> None:
        """Close this side once everything is sent: the peer reads to the end of the stream."""
        self._shutting = True
        if not self._queue:
            self._shut()

    def abandon(self) -> None:
        """Forget what waits; the connection is being closed."""
        self.broken = True
        self._queue.clear()
        self.waiting = 0
        if self._flushing is not None:
            self._flushing.cancel()

    def _offer(self, frame: bytes, limit: float) -> bool:
        if self.broken or self._shutting:
            return False
        view = memoryview(frame)
        if not self._queue:
            sent = self._send(view)
            if self.broken:
                return False
            if sent == len(view):
                return True
            # An empty socket has taken part of it, so it is begun, whatever the limit.
            view, self._begun = view[sent:], sent > 0
            if self._begun:
                self._append(view)
                return True
        if self.waiting + len(view) > limit:
            return False
        self._append(view)
        return True

    def _send(self, view: memoryview) -> int:
        try:
            return self._socket.send(view)
        except BlockingIOError:
            return 0
        except OSError:
            self.broken = True
            return 0

    def _append(self, view: memoryview) -> None:
        self._queue.append((view, trio.current_time() + self._timeout))
        self.waiting += len(view)
        if self._flushing is None:
            self._flushing = trio.CancelScope()
            self._nursery.start_soon(self._flush, self._flushing)
        _, self._flushing.deadline = self._queue[0]

    async def _flush(self, scope: trio.CancelScope) -> None:
        with scope:
            while self._queue:
                _, scope.deadline = self._queue[0]
                try:
                    await trio.lowlevel.wait_writable(self._socket)
                except (trio.ClosedResourceError, OSError, ValueError):
                    # Closed or reset beneath us: its own task is about to notice too.
                    self.abandon()
                else:
                    self._push()
        self._flushing = None
        if self._queue:
            self._stuck()
        elif self._shutting and not self.broken:
            self._shut()

    def _push(self) -> None:
        """Send until the kernel is full again."""
        while self._queue:
            view, due = self._queue[0]
            sent = self._send(view)
            if self.broken:
                self.abandon()
                return
            self.waiting -= sent
            if sent < len(view):
                self._queue[0] = view[sent:], due
                self._begun = self._begun or sent > 0
                return
            self._queue.popleft()
            self._begun = False

    def _shut(self) -> None:
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            self.broken = True
