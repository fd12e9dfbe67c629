"""Many processes in one simulated time, each with a clock of its own; any can be stopped.

A process is a whole `trio.run` in a thread, and only one thread runs at any moment: the simulator
lets a process run until all of its tasks wait, and then takes the next event in time. A process
that is stopped (SIGSTOP) is not let run, while its clock goes on; what was sent to it meanwhile
finds it when it continues. So all that a process reads or sleeps by is its own clock, and a run is
the same whenever it is repeated with the same choices.

What it does not show: a stop in the midst of a step, between two checkpoints of one task; and
steps that take time.
"""

import heapq
import math
from collections.abc import Awaitable, Callable
from itertools import count
from threading import Lock, Thread

import attrs
import trio

EPOCH = 1.7e9
"""Unix seconds at the beginning of the simulation."""

READING = 1e-8
"""Seconds that it takes to look at a clock."""

# Real seconds that a process may think: it hangs, then.
_PATIENCE = 60.0


@attrs.define(eq=False)
class Baton:
    """Handed to and fro between the simulator and one process."""

    _lock: Lock = attrs.field(factory=Lock)

    def __attrs_post_init__(self) -> None:
        self._lock.acquire()

    def give(self) -> None:
        self._lock.release()

    def take(self, patience: float = -1) -> None:
        assert self._lock.acquire(timeout=patience), "a simulated process hangs"


class SimulatedClock(trio.abc.Clock):
    """The monotonic clock of one process: it starts anywhere, and is fast or slow by its `rate`."""

    def __init__(self, now: Callable[[], float], *, rate: float = 1.0, offset: float = 0.0) -> None:
        self._now = now
        self.rate = rate
        self.offset = offset
        """Seconds by which its Unix time is off."""
        self.idle: Callable[[float], None] = lambda _: None
        self._has_looked = False

    def start_clock(self) -> None:
        pass

    def current_time(self) -> float:
        return self._now() * self.rate

    def unix(self) -> float:
        """Return what the machine takes for the time, in Unix seconds."""
        return EPOCH + self.offset + self.current_time()

    def when(self, reading: float) -> float:
        """Return the simulated time from which it shows this."""
        time = reading / self.rate
        while time * self.rate < reading:
            time = math.nextafter(time, math.inf)
        return time

    def deadline_to_sleep_time(self, deadline: float) -> float:
        # What a process has sent to itself is noticed when it has looked once.
        self._has_looked = not self._has_looked
        if deadline > self.current_time() and not self._has_looked:
            self.idle(deadline)
        return 0.0


class Process:
    """One `trio.run`; made by :meth:`Simulation.start`."""

    def __init__(
        self,
        simulation: "Simulation",
        main: Callable[[], Awaitable[object]],
        clock: SimulatedClock,
    ) -> None:
        self.clock = clock
        self.stopped = False
        self.ended = False
        self.failure: BaseException | None = None
        self._simulation = simulation
        self._main = main
        self._mine, self._theirs = Baton(), Baton()
        self._wakes = 0.0
        self._token: trio.lowlevel.TrioToken | None = None
        self._scope = trio.CancelScope()
        clock.idle = self._idle
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self._mine.take()
        try:
            trio.run(self._guarded, clock=self.clock)
        except BaseException as failure:  # noqa: BLE001
            self.failure = failure
        self.ended = True
        self._theirs.give()

    async def _guarded(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        with self._scope:
            await self._main()

    def _idle(self, deadline: float) -> None:
        self._wakes = self.clock.when(deadline)
        self._theirs.give()
        self._mine.take()

    # -- for the simulator ----------------------------------------------------------------

    @property
    def wakes(self) -> float:
        """When it has something to do; infinity if it waits for others, or is stopped."""
        return math.inf if self.stopped else self._wakes

    def advance(self) -> None:
        """Let it run until all of its tasks wait."""
        self._mine.give()
        self._theirs.take(_PATIENCE)
        if self.ended:
            self._thread.join()

    def send(self, step: Callable[[], object]) -> None:
        """Have it carry out a step, as soon as it runs."""
        if not self.ended and self._token is not None:
            self._token.run_sync_soon(step)
            self._wakes = self._simulation.now

    def cancel(self) -> None:
        """Have it end in an orderly way."""
        self.send(self._scope.cancel)


class Simulation:
    """What happens, in the order of time. `now` is seconds since the beginning."""

    def __init__(self) -> None:
        self.now = 0.0
        self.processes: list[Process] = []
        # The number tells two of one time apart: the earlier one happens first.
        self._events: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = count()

    def read(self) -> float:
        """Return the time for a process, which takes time too: so whoever spins comes to an end."""
        self.now += READING
        return self.now

    def unix(self) -> float:
        """Return the true time, in Unix seconds."""
        return EPOCH + self.now

    def start(
        self,
        main: Callable[[], Awaitable[object]],
        clock: SimulatedClock | None = None,
        made: Callable[[Process], object] = lambda _: None,
    ) -> Process:
        """Start a process, which runs in this step until it waits; `made` is called before."""
        process = Process(self, main, clock or SimulatedClock(lambda: self.now))
        made(process)
        self.processes.append(process)
        self._advance(process)
        return process

    def _advance(self, process: Process) -> None:
        process.advance()
        if process.ended:
            self.processes.remove(process)
            if process.failure is not None:
                raise process.failure

    def after(self, seconds: float, happen: Callable[[], object]) -> None:
        """Have something happen, in the simulator itself."""
        heapq.heappush(self._events, (self.now + seconds, next(self._numbers), happen))

    def run(self, seconds: float) -> None:
        """Let time pass. What a process raises is raised here."""
        end = self.now + seconds
        while True:
            wakes, process = math.inf, None
            for each in self.processes:
                if each.wakes < wakes:
                    wakes, process = each.wakes, each
            happens = self._events[0][0] if self._events else math.inf
            if min(wakes, happens) > end:
                break
            self.now = max(self.now, min(wakes, happens))
            if happens <= wakes:
                heapq.heappop(self._events)[2]()
            else:
                assert process is not None
                self._advance(process)
        self.now = max(self.now, end)

    def close(self) -> None:
        """End all processes, whatever state they are in."""
        while self.processes:
            for process in self.processes:
                process.stopped = False
                process.cancel()
            self.run(1.0)
