"""Frames out: straight to the socket, and a queue only while the socket is full.

There is no task for outbound traffic. `offer` hands a frame to the kernel without
waiting; only what the kernel does not take is kept, and then one task runs for this
connection until the queue is empty again. It ends at once if the connection does, and gives
up when a frame has waited longer than the timeout.

A frame is sent whole or not at all: what has been begun is always finished first, and
nobody but the flush task waits in the middle of one.
"""

import contextlib
import math
import socket
from collections import deque
from collections.abc import Callable

import trio


class Outbox:
    """The sending side of one connection.

    `spawn` starts a task. `limit` is how many bytes may wait; `timeout` how many seconds a
    frame may, or the connection is aborted.
    """

    __slots__ = (
        "_begun", "_flushing", "_limit", "_queue", "_shutting", "_socket", "_spawn", "_timeout",
        "aborted", "broken", "waiting",
    )  # fmt: skip

    def __init__(
        self,
        sock: socket.socket,
        spawn: Callable[..., None],
        *,
        limit: int,
        timeout: float,
    ) -> None:
        self._socket = sock
        self._spawn = spawn
        self._limit = limit
        self._timeout = timeout
        # What is left of each frame, and when it will have waited too long. Made when there
        # is something: with hardly any connection there ever is.
        self._queue: deque[tuple[memoryview, float]] | None = None
        self._begun = False
        self._flushing: trio.CancelScope | None = None
        self._shutting = False
        self.waiting = 0
        """Bytes that the kernel has not taken yet."""
        self.broken = False
        """Whether the connection is lost, or this side of it closed: nothing more can be sent."""
        self.aborted = False
        """Whether this side has given it up."""

    def offer(self, frame: bytes) -> bool:
        """Send `frame`, or queue it; False if that cannot be.

        It cannot if the connection is `broken`, or if more than `limit` bytes would wait.
        """
        return self._offer(frame, self._limit)

    def offer_last(self, frame: bytes) -> bool:
        """Send `frame` before everything that waits, which is then not worth sending.

        False only if nothing more can be sent: so little waits then that no limit is needed.
        """
        if self._queue and not self._shutting:
            while len(self._queue) > self._begun:
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
        self._queue = None
        self.waiting = 0
        if self._flushing is not None:
            self._flushing.cancel()

    def abort(self) -> None:
        """End the connection at once, without a word; whoever reads from it reads its end."""
        self.aborted = True
        self.abandon()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _offer(self, frame: bytes, limit: float) -> bool:
        if self.broken or self._shutting:
            return False
        sent = 0
        if not self._queue:
            # Almost always it is nothing but this; a fan-out consists of it.
            try:
                sent = self._socket.send(frame)
            except BlockingIOError:
                pass
            except OSError:
                self.broken = True
                return False
            if sent == len(frame):
                return True
            # An empty socket has taken part of it, so it is begun, whatever the limit.
            self._begun = sent > 0
        left = memoryview(frame)[sent:]
        if not sent and self.waiting + len(left) > limit:
            return False
        self._append(left)
        return True

    def _append(self, view: memoryview) -> None:
        if self._queue is None:
            self._queue = deque()
        self._queue.append((view, trio.current_time() + self._timeout))
        self.waiting += len(view)
        if self._flushing is None:
            self._flushing = trio.CancelScope()
            self._spawn(self._flush, self._flushing)
        _, self._flushing.deadline = self._queue[0]

    async def _flush(self, scope: trio.CancelScope) -> None:
        with scope:
            while self._queue:
                _, scope.deadline = self._queue[0]
                try:
                    await trio.lowlevel.wait_writable(self._socket)
                except (trio.ClosedResourceError, OSError, ValueError):
                    # Closed or reset beneath us: whoever reads from it is about to notice too.
                    self.abandon()
                else:
                    self._push()
        self._flushing = None
        if self._queue:
            self.abort()
            return
        self._queue = None
        if self._shutting and not self.broken:
            self._shut()

    def _push(self) -> None:
        """Send until the kernel is full again."""
        while self._queue:
            view, due = self._queue[0]
            try:
                sent = self._socket.send(view)
            except BlockingIOError:
                return
            except OSError:
                self.abandon()
                return
            self.waiting -= sent
            if sent < len(view):
                self._queue[0] = view[sent:], due
                self._begun = True
                return
            self._queue.popleft()
            self._begun = False

    def _shut(self) -> None:
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            self.broken = True
