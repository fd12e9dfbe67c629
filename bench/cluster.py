"""What several nodes cost: notifies over a PostgreSQL, beside a bare commit of the same one.

Rooms of two, as in `notify`. The members are at one node, and the notifies go to another one, if
there is another. Times are of one caller, one notify after the other: until the member is told, and
until the POST is answered. The answer waits until every node has carried it out.

The bare commit is a small ``INSERT … ON CONFLICT DO UPDATE`` on a connection of its own, right
before and right after, as often: each after a pause of `PAUSE`, because to the database, and to the
machine, notifies of one caller are so far apart too; and, for comparison, without pauses. The last
contender has a hundred times as many rooms in the table as are notified.
"""

import contextlib
import statistics
import subprocess
import time
from collections.abc import Iterator

import attrs

from . import figures
from .figures import Reading, Sample, milliseconds
from .load import SOCKET_IO, Load, Void
from .pool import Pool
from .postgres import Server as Database
from .postgres import directory_of_programs
from .postgres import running as own_database
from .scale import Scale
from .servers import Contender, Server, free_port, hub, node_peer, running

ABOUT = "Nodes over a PostgreSQL: the cost of one notify, beside a bare commit; and of many at once"

CALLERS = 200
ROOMS = 4000
"""At the most: with ten thousand, each contender would take three minutes."""
COUNTS = {
    "sse_trio, 1 node": 1,
    "sse_trio, 2 nodes": 2,
    "sse_trio, 3 nodes": 3,
    "sse_trio, 1 node, many rooms": 1,
    "socket.io, 1 node, Redis": 1,
    "socket.io, 2 nodes, Redis": 2,
}


# A node of socket.io does not wait for the others, and does not know how many they have told.
_APART = attrs.evolve(SOCKET_IO, answer='{"room":"$R","epoch":$E')


def _socket_io(name: str, redis: int = 0) -> Contender:
    return node_peer(name, "@socket.io/redis-streams-adapter", "socketio", _APART, str(redis))


CONTENDERS = (
    *(hub(name) for name in COUNTS if name.startswith("sse_trio")),
    *(_socket_io(name) for name in COUNTS if name.startswith("socket.io")),
)
MANY_ROOMS = "sse_trio, 1 node, many rooms"

# Seconds between two bare commits.
PAUSE = 0.003

# So many times as many rooms in the table as are notified.
MANY = 100

_BARE = "INSERT INTO bare VALUES (%s, %s) ON CONFLICT (key) DO UPDATE SET value = excluded.value"

# As a node writes them, each under another name.
_MANY = """
INSERT INTO sse_trio.rooms (room, count, writer, seq, touched, record)
SELECT 'many' || n, r.count, r.writer, r.seq, r.touched, r.record
FROM generate_series(1, %s) n, (SELECT * FROM sse_trio.rooms LIMIT 1) r
"""


def measure(contender: Contender, scale: Scale) -> Sample:
    """Measure once.

    Raises:
        Void: there is no PostgreSQL, or no Redis, or a node did not do its job.
    """
    scale = attrs.evolve(scale, rooms=min(scale.rooms, ROOMS))
    if contender.dialect is _APART:
        return _with_redis(contender, scale)
    sample = Sample()
    with _database() as database:
        if contender.name == MANY_ROOMS:
            _fill(database, MANY * scale.rooms)
        at_once = statistics.median(_bare_commits(database, scale.rooms // 2))
        bare = _bare_commits(database, scale.rooms // 4, PAUSE)
        with _nodes(hub(contender.name, database.url())) as (there, started):
            told, answered = _notify(sample, there, scale)
        bare += _bare_commits(database, scale.rooms // 4, PAUSE)
    commit = statistics.median(bare)
    sample.readings += [
        Reading("one notify told / bare commit", told / commit, "times"),
        Reading("one notify answered / bare commit", answered / commit, "times"),
        Reading("bare commit, median", milliseconds(commit), "ms"),
        Reading("bare commit without pauses, median", milliseconds(at_once), "ms"),
        Reading("a node's start", milliseconds(started), "ms"),
    ]
    return sample


def _with_redis(contender: Contender, scale: Scale) -> Sample:
    sample = Sample()
    with _redis() as port, _nodes(_socket_io(contender.name, port)) as (there, _):
        _notify(sample, there, scale)
    return sample


@contextlib.contextmanager
def _nodes(node: Contender) -> Iterator[tuple[Server, float]]:
    """Run as many as its name says; yield the last one, and how long its start took, in ns.

    Its load generator has its members at the first one.
    """
    with contextlib.ExitStack() as stack:
        nodes: list[Server] = []
        for _ in range(COUNTS[node.name]):
            began = time.perf_counter_ns()
            nodes.append(stack.enter_context(running(node)))
            started = time.perf_counter_ns() - began
        here, there = nodes[0], nodes[-1]
        there.load = stack.enter_context(Load.running(here.port, there.port, node.dialect))
        yield there, started


def _notify(sample: Sample, server: Server, scale: Scale) -> list[float]:
    """Return the medians until the member was told, and until the answer, in nanoseconds."""
    pool, count = Pool(server, scale.rooms), scale.rooms // 4
    server.load.do("notify", callers=1, **pool.take(count))  # it warms up
    found = server.load.do("notify", callers=1, **pool.take(count))
    medians = []
    for what, key in (("told", "event"), ("answered", "answer")):
        took = statistics.median(found[key])
        medians.append(took)
        sample.spectra[what] = figures.histogram(found[key])
        sample.readings.append(Reading(f"one notify {what}, median", milliseconds(took), "ms"))
    alone = len(found["answer"]) / found["seconds"]
    found = server.load.do("notify", callers=CALLERS, **pool.take(scale.rooms // 2))
    together = len(found["answer"]) / found["seconds"]
    sample.readings += [
        Reading("capacity", together, "notifies/s", lower_is_better=False),
        Reading("capacity / of one caller", together / alone, "times", lower_is_better=False),
    ]
    return medians


def _bare_commits(database: Database, count: int, pause: float = 0) -> list[int]:
    took = []
    with database.connect() as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS bare (key text PRIMARY KEY, value text)")
        for number in range(count):
            time.sleep(pause)
            began = time.perf_counter_ns()
            connection.execute(_BARE, (f"u{number}", "x" * 200), prepare=True)
            took.append(time.perf_counter_ns() - began)
    return took


def _fill(database: Database, count: int) -> None:
    """Have a node make the tables and one room, and then many like it."""
    with running(hub("sse_trio", database.url())) as server:
        server.load.do("join", rooms=1, size=2)
    with database.connect() as connection:
        connection.execute(_MANY, (count,))
        connection.execute("ANALYZE sse_trio.rooms")


@contextlib.contextmanager
def _database() -> Iterator[Database]:
    programs = directory_of_programs()
    if programs is None:
        raise Void("no PostgreSQL here: apt-get install postgresql")
    with own_database(programs) as database:
        yield database


@contextlib.contextmanager
def _redis() -> Iterator[int]:
    """Run a Redis that keeps nothing on the disk; yield its port."""
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    try:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)  # noqa: S603
    except FileNotFoundError:
        raise Void("no Redis here: apt-get install redis-server") from None
    try:
        yield port
    finally:
        process.terminate()
        process.wait()
