"""Everybody's dates, judged in one place, by a clock that stands while nobody listens.

A peer's silence means something only as long as somebody listens. So whatever is given a time
here, to join, to answer, to send its request or to take what it is sent, is judged by the one
task that runs `Timers.keep`. It notices when it is called later than it should be, because the
process was stopped, or a step of another task was long, and puts the clock back by that much.
And before it judges, what has come is read. So whoever has spoken in time has been in time, and
whoever is silent is dropped when its time is over, however long nobody listened.
"""

import abc
import contextlib
import math
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator

import attrs
import trio

from ..config import Config
from ..core.heartbeats import Wheel

# Whatever goes through many things gives way to everybody else after this many: other rooms
# wait for a millisecond of sends, not for a hundred, and each time costs the fan-out two or three.
SLICE = 64


class Timed(abc.ABC):
    """Whatever is told when its date has come."""

    __slots__ = ()

    @abc.abstractmethod
    def expire(self, now: float) -> None:
        """Do what was due by `now`, or nothing, if that is past; neither wait nor raise."""


@attrs.frozen(eq=False)
class Patience(Timed):
    """Somebody who waits for something, but not for ever."""

    scope: trio.CancelScope

    @property
    def is_over(self) -> bool:
        """Whether what was waited for has not come in time."""
        return self.scope.cancelled_caught

    def expire(self, now: float) -> None:
        """Wait no more."""
        self.scope.cancel()


def slot_width(config: Config) -> float:
    """Return how exactly dates are kept: a thirty-second of the shortest delay is enough."""
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
    """The dates of one server. `clock` is monotonic; all times are seconds.

    A date is kept to `width`: what is due then is done up to so much later, never earlier.
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
        self._late = late
        self._away = 0.0
        self._wheel: Wheel[Hashable] = Wheel(width=width, now=clock())
        self._stepped = clock()
        self._next_due = math.inf
        self._alarm = trio.Event()
        self._is_over = False

    def __contains__(self, item: object) -> bool:
        return item in self._wheel

    def now(self) -> float:
        """Return the time, without that in which nobody listened."""
        return self._clock() - self._away

    def schedule(self, item: Hashable, due: float) -> None:
        """Have it done then what is due, instead of at any other time."""
        self.schedule_all((item,), due)

    def schedule_all(self, items: Collection[Hashable], due: float) -> None:
        """Do so with many, which takes a third of the time."""
        self._wheel.add_all(items, due)
        if due < self._next_due:
            # Once is enough, whoever else comes before the task does.
            self._next_due = due
            self._alarm.set()

    def drop(self, item: Hashable) -> None:
        """Have it done no more."""
        self._wheel.drop(item)

    def next_due(self) -> float:
        """Return when there is something to do next; infinity if never."""
        self._next_due = self._wheel.next_due()
        return self._next_due

    def due(self, now: float) -> list[Hashable]:
        """Take out, and return, what is due by `now`."""
        return self._wheel.turn(now)

    @contextlib.contextmanager
    def in_time(self, seconds: float) -> Iterator[Patience]:
        """Cancel what is within after so many seconds, as `trio.move_on_after` does."""
        with trio.CancelScope() as scope:
            patience = Patience(scope)
            if self._is_over:
                scope.deadline = trio.current_time() + seconds
            else:
                self.schedule(patience, self.now() + seconds)
            try:
                yield patience
            finally:
                self.drop(patience)

    async def keep(
        self,
        catch_up: Callable[[], Iterable[int]],
        turn: Callable[[float], Iterable[int]],
    ) -> None:
        """Do what is due, for ever.

        `catch_up` reads what has come, and `turn` does what was due by the time that it is
        given. Both yield, with how much they have done, where others have a turn. What comes
        after `catch_up` has begun is not waited for: whoever floods puts nothing off.
        """
        try:
            while True:
                await self._sleep()
                now = self.now()
                if now >= self._next_due:
                    await self._gently(catch_up())
                    await self._gently(turn(now))
        finally:
            self._hand_over()

    async def _sleep(self) -> None:
        self._alarm = trio.Event()
        with trio.move_on_at(self.next_due() + self._away):
            await self._alarm.wait()
        self._notice(self._next_due)

    async def _gently(self, work: Iterable[int]) -> None:
        done = 0
        for count in work:
            done += count
            if done >= SLICE:
                done = 0
                await trio.lowlevel.checkpoint()
                self._notice(self._stepped)

    def _notice(self, due: float) -> None:
        """Put the clock back if this step comes too late: to a moment before what was due.

        So there is time to read and to write. But it goes on, however late every step comes.
        """
        now = self.now()
        if now > max(due, self._stepped) + self._width:
            late = now - max(due - self._width, self._stepped + self._width)
            self._away += late
            self._late(late)
        self._stepped = self.now()

    def _hand_over(self) -> None:
        """Leave to Trio whoever waits still: nobody is going to keep their time."""
        self._is_over = True
        due = self._wheel.next_due()
        while due < math.inf:
            for item in self._wheel.turn(due):
                if isinstance(item, Patience):
                    item.scope.deadline = due + self._away
            due = self._wheel.next_due()
