"""All deadlines, checked in one place, by a clock that stops while the server is paused.

The silence of a peer means something only while the server reads. So one task, which runs
`Timers.run`, checks every deadline: to join, to answer, to send a request or to accept data. If it
runs later than it should, because the process was stopped or a step of another task was long, it
sets the clock back by the delay. Before it checks deadlines, it reads all data that has arrived. So
a peer that sent something during a pause was in time, and a silent peer is dropped when its time is
over, however long the pause was.
"""

import abc
import contextlib
import math
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator

import trio

from ..config import Config
from ..core.heartbeats import Wheel
from ..values import frozen

# A loop over many items lets other tasks run after this many: other rooms wait for a millisecond of
# sends, not for a hundred. Each time costs the fan-out two or three milliseconds.
SLICE = 64

# Seconds that a step of a busy server takes now and then: this is no pause, even with narrow slots.
USUAL = 0.1


class HasDeadline(abc.ABC):
    """Something whose `expire` is called when its deadline has passed."""

    __slots__ = ()

    @abc.abstractmethod
    def expire(self, now: float) -> None:
        """Do what was due by `now`, or nothing if it is done already; neither wait nor raise."""


@frozen(eq=False)
class TimedWait(HasDeadline):
    """A wait with a deadline: it cancels its scope."""

    scope: trio.CancelScope

    @property
    def is_over(self) -> bool:
        """Whether the deadline has passed and cancelled the wait."""
        return self.scope.cancelled_caught

    def expire(self, now: float) -> None:
        """Cancel the wait."""
        self.scope.cancel()


def slot_width(config: Config) -> float:
    """Return how late a deadline may be noticed: a thirty-second of the shortest timeout."""
    return (
        min(
            config.join_timeout,
            config.heartbeat_interval,
            config.linger,
            config.request_timeout,
            config.keep_alive,
            config.ledger_timeout,
        )
        / 32
    )


class Timers:
    """The deadlines of one server. `clock` is monotonic; all times are seconds.

    What is due is done up to `width` later, never earlier.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        width: float,
        late: Callable[[float], object] = lambda _: None,
    ) -> None:
        self._clock = clock
        self._width = width
        self._tolerance = max(width, USUAL)
        self._late = late
        self._away = 0.0
        self._wheel: Wheel[Hashable] = Wheel(width=width, now=clock())
        self._stepped = clock()
        self._next_due = math.inf
        # What was due in this turn, of which some may not be done yet.
        self._taken: list[Hashable] = []
        self._alarm = trio.Event()
        self._is_over = False

    def __contains__(self, item: object) -> bool:
        return item in self._wheel

    def now(self) -> float:
        """Return the time, without the pauses of the server."""
        return self._clock() - self._away

    def schedule(self, item: Hashable, due: float) -> None:
        """Set the item's deadline; this replaces an earlier one."""
        self.schedule_all((item,), due)

    def schedule_all(self, items: Collection[Hashable], due: float) -> None:
        """Set one deadline for many items, which takes a third of the time."""
        self._wheel.add_all(items, due)
        if due < self._next_due:
            # One alarm is enough until the task has run.
            self._next_due = due
            self._alarm.set()

    def drop(self, item: Hashable) -> None:
        """Remove the item's deadline."""
        self._wheel.drop(item)

    def next_due(self) -> float:
        """Return the next deadline; infinity if there is none."""
        self._next_due = self._wheel.next_due()
        return self._next_due

    def due(self, now: float) -> list[Hashable]:
        """Remove and return the items that are due by `now`."""
        self._taken = self._wheel.turn(now)
        return self._taken

    @contextlib.contextmanager
    def cancel_after(self, seconds: float) -> Iterator[TimedWait]:
        """Cancel the block after so many seconds, as `trio.move_on_after` does."""
        with trio.CancelScope() as scope:
            patience = TimedWait(scope)
            if self._is_over:
                scope.deadline = trio.current_time() + seconds
            else:
                self.schedule(patience, self.now() + seconds)
            try:
                yield patience
            finally:
                self.drop(patience)

    async def run(
        self,
        read_pending: Callable[[], Iterable[int]],
        turn: Callable[[float], Iterable[int]],
    ) -> None:
        """Do what is due, for ever.

        `read_pending` reads the data that has arrived, and `turn` does what was due by the given
        time. Both yield how much they have done wherever other tasks may run. This does not wait
        for data that arrives after `read_pending` has begun, so a flood delays nothing.
        """
        try:
            while True:
                await self._sleep()
                now = self.now()
                if now >= self._next_due:
                    await self._run_in_slices(read_pending())
                    await self._run_in_slices(turn(now))
                    self._taken = []
        finally:
            self._leave_to_trio()

    async def _sleep(self) -> None:
        self._alarm = trio.Event()
        with trio.move_on_at(self.next_due() + self._away):
            await self._alarm.wait()
        self._compensate_pause(self._next_due)

    async def _run_in_slices(self, work: Iterable[int]) -> None:
        await in_slices(work, after=lambda: self._compensate_pause(self._stepped))

    def _compensate_pause(self, due: float) -> None:
        """Set the clock back if this step comes too late: to a moment before what was due.

        So there is time to read and to write. The clock still goes on if every step comes late.
        """
        now = self.now()
        if now > max(due, self._stepped) + self._tolerance:
            late = now - max(due - self._width, self._stepped + self._width)
            self._away += late
            self._late(late)
        self._stepped = self.now()

    def _leave_to_trio(self) -> None:
        """Pass the remaining waits to Trio: from now on nothing here checks their deadlines."""
        self._is_over = True
        for item in self._taken:
            # Unless it has got another deadline since.
            if isinstance(item, TimedWait) and item not in self:
                item.scope.cancel()
        due = self._wheel.next_due()
        while due < math.inf:
            for item in self._wheel.turn(due):
                if isinstance(item, TimedWait):
                    item.scope.deadline = due + self._away
            due = self._wheel.next_due()


async def paced(work: Iterable[int], *, rate: float) -> None:
    """Run `work` to its end, so many things a second, and let other tasks run in between.

    `work` yields how many it has done. What it does at once is `SLICE` things or a twentieth of a
    second's, whichever is less.
    """
    began = trio.current_time()
    done = since = 0
    for count in work:
        done += count
        since += count
        if since >= min(SLICE, rate / 20):
            since = 0
            await trio.sleep_until(began + done / rate)


async def in_slices(work: Iterable[int], *, after: Callable[[], object] = lambda: None) -> None:
    """Run `work` to its end, and let other tasks run after every `SLICE` things.

    `work` yields how many it has done; `after` is called when the others have run.
    """
    done = 0
    for count in work:
        done += count
        if done >= SLICE:
            done = 0
            await trio.lowlevel.checkpoint()
            after()
