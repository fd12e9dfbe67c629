"""Whether the hub grows: months of logins in some minutes, by a clock of their own.

The hub and its SQLite file are real; only the hub's clock is set forward, from login to login. Each
login names a new session. Users are unequal: half of the logins are those of an eighth of the
users, and many users come once in months. A room is forgotten when its last ticket is not valid any
more, and so is an ended session of a room in use. So the rooms grow until the first of them are
forgotten, and what each remembers grows as long again; nothing should grow from then on.
"""

import gc
import os
import random
import secrets
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import attrs
import trio

import sse_trio
from sse_trio.hub.hub import Hub
from sse_trio.hub.timers import in_slices

from . import machine

ABOUT = "Whether memory, the ledger's file and a notify's time grow with months of logins"

DAYS = 7
"""In a week."""

CALLERS = 256
"""Logins at once: the ledger writes those of one moment with one commit."""

ALONE = 200
"""Notifies one after the other, of which the median counts."""

SKEW = 3
"""A login is that of the user whose number is all users times a random number to this power."""


@attrs.frozen
class Week:
    """What there is at the end of a week."""

    number: int
    logins: int
    """Since the beginning."""
    rooms: int
    """Rooms that the hub remembers."""
    resident: int
    """Bytes of memory."""
    file: int
    """Bytes of the ledger's files."""
    notify: float
    """Seconds that a notify takes until it is durable, one after the other: the median."""


@attrs.define
class _Clock:
    now: float = attrs.field(factory=time.time)
    """Unix seconds."""


@attrs.define
class _Simulation:
    hub: Hub
    clock: _Clock
    users: int

    async def log_in(self) -> None:
        """Announce the login of a random user."""
        user = int(self.users * random.random() ** SKEW)  # noqa: S311
        await self.hub.notify(f"user{user}", sender=secrets.token_urlsafe(12))

    async def live_a_day(self, logins: int) -> None:
        """Log in so often, and delete what is too old."""
        begun = 0

        async def call() -> None:
            nonlocal begun
            while begun < logins:
                begun += 1
                self.clock.now += 86400 / logins
                await self.log_in()

        async with trio.open_nursery() as callers:
            for _ in range(CALLERS):
                callers.start_soon(call)
        await in_slices(self.hub.recognition.sweep())

    async def notify_alone(self) -> float:
        """Return the median of the seconds that a notify takes, one after the other."""
        took = []
        for _ in range(ALONE):
            started = time.perf_counter()
            await self.log_in()
            took.append(time.perf_counter() - started)
        return statistics.median(took)


def measure(*, logins: int, users: int, weeks: int, report: Callable[[Week], object]) -> None:
    """Simulate so many weeks, with `logins` in all; `report` what there is at the end of each."""
    with tempfile.TemporaryDirectory(prefix="sse-trio-bench-") as directory:
        trio.run(_run, Path(directory), logins, users, weeks, report)


async def _run(
    directory: Path, logins: int, users: int, weeks: int, report: Callable[[Week], object]
) -> None:
    clock = _Clock()
    a_day = logins // (weeks * DAYS)
    config = sse_trio.Config(authkey=secrets.token_urlsafe(32))
    async with (
        sse_trio.SqliteLedger.open(directory / "bench.db") as ledger,
        trio.open_nursery() as nursery,
    ):
        hub = Hub(config, ledger, nursery.start_soon, wall=lambda: clock.now)
        simulation = _Simulation(hub, clock, users)
        for number in range(1, weeks + 1):
            for _ in range(DAYS):
                await simulation.live_a_day(a_day)
            alone = await simulation.notify_alone()
            done = number * (DAYS * a_day + ALONE)
            gc.collect()
            files = _size(directory)
            rooms = hub.statistics().remembered_rooms
            report(Week(number, done, rooms, machine.resident(os.getpid()), files, alone))
        nursery.cancel_scope.cancel()


def _size(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.iterdir())
