"""What a start costs with many remembered rooms, and the memory that these need.

A SQLite file is written first: each room has two logins, of which the second has ended the first.
Then the hub is started on it, and on a file without rooms, by turns. The time is that from the
start of the process until `/readyz` is 200, and the memory is what the process has then.
"""

import contextlib
import http.client
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs

from sse_trio.core.logins import Login, Record, Termination
from sse_trio.ledger.copying import opened

from .servers import Server, free_port, hub

ABOUT = "How long a start takes with many remembered rooms, and the memory that these need"

DAYS = 20
"""The last uses of the rooms are spread over so many."""


@attrs.frozen
class Start:
    """One start."""

    rooms: int
    """Rooms that the hub remembers."""
    file: int
    """Bytes of the ledger's file."""
    seconds: float
    """Until it was ready."""
    resident: int
    """Bytes of memory."""


def measure(*, rooms: int, repetitions: int, report: Callable[[Start], object]) -> None:
    """Start it so many times on each of two files; `report` each start.

    Raises:
        Void: it did not start.
    """
    with tempfile.TemporaryDirectory(prefix="sse-trio-bench-") as directory:
        files = {count: Path(directory, f"{count}.db") for count in (0, rooms)}
        for count, path in files.items():
            with opened(f"sqlite:///{path}", is_target=True) as store:
                store.fill([("rooms", _rooms(count))])
        for _ in range(repetitions):
            for path in files.values():
                report(_start(path))


def _rooms(count: int) -> Iterator[tuple[str, Record]]:
    now, names = time.time(), random.Random(0)  # noqa: S311
    terminations = Termination(1, "login"), Termination(2, "login")
    for number in range(count):
        at = now - names.uniform(0, DAYS * 86400)
        first, second = (f"{names.getrandbits(96):024x}" for _ in range(2))
        logins = {
            first: Login(1, at - 60, at - 60, ended=2, until=at),
            second: Login(2, at, at),
        }
        yield f"user{number}", Record(2, 2, logins, terminations, at, at)


def _start(path: Path) -> Start:
    port = free_port()
    server = Server(hub(ledger=f"sqlite:///{path}"), port, port, path.parent, 0)
    began = time.perf_counter()
    try:
        server.start()
        seconds = time.perf_counter() - began
        server.settle()
        return Start(_remembered(port), path.stat().st_size, seconds, server.resident())
    finally:
        server.kill()


def _remembered(port: int) -> int:
    """Return how many rooms the hub at this port says it remembers."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port)) as connection:
        connection.request("GET", "/metrics")
        lines = connection.getresponse().read().decode().splitlines()
    name = "sse_trio_remembered_rooms "
    return int(float(next(line for line in lines if line.startswith(name)).split()[1]))
