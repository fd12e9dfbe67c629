"""Parking: where connections wait for their peers' next bytes, without a task each.

One task waits for all of them, on the descriptor of an epoll of its own. A task for each connection
would cost 10 KiB and two thirds of the time of each heartbeat's answer. On a system without epoll,
each has a small task.
"""

import logging
import select
from collections.abc import Callable, Iterator
from typing import Protocol

import trio

from ..hub.timers import SLICE
from .transport import Transport

logger = logging.getLogger("sse_trio")


class Parked(Protocol):
    """A connection that waits."""

    @property
    def transport(self) -> Transport:
        """Its socket."""
        ...

    def ready(self) -> None:
        """Read the data that has come, or the end; neither wait nor raise."""
        ...

    def cut(self) -> None:
        """End at once: the parking has ended."""
        ...


class Parking:
    """Connections that wait, each with its own task. `spawn` starts one; `warn` logs."""

    def __init__(
        self, spawn: Callable[..., None], warn: Callable[..., object] = logger.warning
    ) -> None:
        self._warn = warn
        self.spawn = spawn
        """Start a task, for a connection that has to wait for something."""
        self._parked: dict[int, Parked] = {}
        self._waiting: dict[int, trio.CancelScope] = {}
        self._left = trio.Event()
        self._is_over = False

    def park(self, parked: Parked) -> None:
        """Have it called whenever there is something to read, until it leaves.

        It is cut at once if the kernel has no room for it (`fs.epoll.max_user_watches`), and after
        the end of the parking: a task may still have one when that is cancelled.
        """
        if self._is_over:
            parked.cut()
            return
        number = parked.transport.socket.fileno()
        try:
            self._watch(number)
        except OSError as error:
            self._warn("the kernel cannot watch another connection: %s", error.strerror)
            parked.cut()
        else:
            self._parked[number] = parked

    def leave(self, parked: Parked) -> None:
        """Call it no more. Do this before you close its socket, or read from it."""
        number = parked.transport.socket.fileno()
        if self._parked.pop(number, None):
            self._forget(number)
        if not self._parked:
            self._left.set()

    def defer(self, work: Callable[[], None]) -> None:
        """Do `work`, which neither waits nor raises, in this step.

        If many connections are called in it, they have all been called before any of the work is
        done; and what the work defers is done after all of it.
        """
        work()

    def read_pending(self) -> Iterator[int]:
        """Have every connection called that has unread data; yield where others may have a turn.

        Each is called once, even if it has much data: that is enough as a sign of life.
        """
        # Tasks that have data to read wake up in the first turn, and continue in the second.
        yield SLICE
        yield SLICE

    def _watch(self, number: int) -> None:
        scope = self._waiting[number] = trio.CancelScope()
        self.spawn(self._wait, number, scope)

    def _forget(self, number: int) -> None:
        self._waiting.pop(number).cancel()

    async def _wait(self, number: int, scope: trio.CancelScope) -> None:
        with scope:
            while not scope.cancel_called:
                await trio.lowlevel.wait_readable(number)
                # Another one that was ready at the same time may have ended this one.
                if not scope.cancel_called:
                    self._parked[number].ready()

    async def run(self) -> None:
        """Wait for everybody, for ever; when that is cancelled, cut those who are left."""
        try:
            await trio.sleep_forever()
        finally:
            self._cut()

    def _cut(self) -> None:
        self._is_over = True
        for number in list(self._parked):
            # The end of an earlier one may have ended this one.
            if parked := self._parked.get(number):
                parked.cut()

    async def emptied(self) -> None:
        """Wait until no connection is left."""
        while self._parked:
            self._left = trio.Event()
            await self._left.wait()


class EpollParking(Parking):
    """The waiting connections, with one task for all."""

    def __init__(
        self, spawn: Callable[..., None], warn: Callable[..., object] = logger.warning
    ) -> None:
        super().__init__(spawn, warn)
        self._epoll = select.epoll()
        # In a step that calls many: what they have deferred.
        self._deferred: list[Callable[[], None]] | None = None

    def defer(self, work: Callable[[], None]) -> None:
        """See `Parking.defer`.

        All read first, then all decide, then all answer: so the processor's caches hold the code of
        one thing at a time, and 64 notifies at once take a quarter less.
        """
        if self._deferred is None:
            work()
        else:
            self._deferred.append(work)

    def _watch(self, number: int) -> None:
        self._epoll.register(number, select.EPOLLIN)

    def _forget(self, number: int) -> None:
        self._epoll.unregister(number)

    def read_pending(self) -> Iterator[int]:
        """Have every connection called that has unread data; yield where others may have a turn."""
        for number, _ in self._epoll.poll(0, len(self._parked) or 1):
            self._call(number)
            yield 1
        yield from super().read_pending()

    def _call(self, number: int) -> None:
        # An earlier connection of this loop may have ended this one.
        if parked := self._parked.get(number):
            parked.ready()

    def _call_together(self) -> None:
        self._deferred = []
        try:
            for number, _ in self._epoll.poll(0, SLICE):
                self._call(number)
            while self._deferred:
                work, self._deferred = self._deferred, []
                for each in work:
                    each()
        finally:
            self._deferred = None

    async def run(self) -> None:
        """Wait for everybody, for ever; when that is cancelled, cut those who are left."""
        try:
            while True:
                await trio.lowlevel.wait_readable(self._epoll.fileno())
                self._call_together()
        finally:
            self._cut()
            self._epoll.close()


def open_parking(
    spawn: Callable[..., None], warn: Callable[..., object] = logger.warning
) -> Parking:
    """Return the best parking for this platform."""
    return EpollParking(spawn, warn) if hasattr(select, "epoll") else Parking(spawn, warn)
