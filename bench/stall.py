"""Whether members that never read hold up the others.

One room; 1% of its members have a small receive buffer, do not read, and have filled the kernel's
buffers with the answers to their pings; some more wait in the server. Then a fan-out, and the
same without them: the 99th percentile of the arrivals at the others, in a room of its own each.
Without, with, with, without, and the mean of each two, so that a server that gets faster, or
slower, with its age says nothing. One may close those that do not read; they are not waited for.
"""

import statistics

from .figures import Reading, Sample, milliseconds, percentile
from .scale import Scale
from .servers import Contender, Server, running

ABOUT = "1% of a room never read: the others' p99, beside that without them"

STALLED = 0.01
FEW = 0.1
"""Of a room that is so small that it would have nobody."""


def measure(contender: Contender, scale: Scale) -> Sample:
    """Measure once, twice without and twice with."""
    share = STALLED if scale.stalling * STALLED >= 1 else FEW
    with running(contender) as server:
        _fan_out(server, scale.stalling // 10, 0)  # warms up
        order = (0, share, share, 0)
        first, *both, last = (_fan_out(server, scale.stalling, each) for each in order)
        without, stalled = statistics.fmean((first, last)), statistics.fmean(both)
    return Sample(
        [
            Reading("p99 without", without, "ms"),
            Reading("p99 with", stalled, "ms"),
            Reading("with / without", stalled / without, "times"),
        ]
    )


def _fan_out(server: Server, members: int, share: float) -> float:
    server.load.do("leave")
    server.settle()
    joined = server.load.do("join", rooms=1, size=members + 1, stalled=share)
    if share:
        server.load.do("flood")
    server.settle()
    with server.job():
        found = server.load.do("fanout", room=joined["first"])
    return milliseconds(percentile(found["arrived"], 99))
