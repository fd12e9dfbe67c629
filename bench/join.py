"""How fast members get in: connection, handshake, join, until `joined` has arrived.

The rate: rooms of two, 64 connections at once in the making, after half as many that warm up;
and how many times the first half's rate that of the second half is, which finds more rooms there.
The storm: the server is killed and started again, and everybody comes back at once, as soon as it
listens; the time runs from that moment. A connection that is refused is tried again at once.
"""

from .figures import Reading, Sample, histogram, milliseconds, percentile
from .load import BUSY, Void
from .scale import Scale
from .servers import Contender, running

ABOUT = "Connections a second until joined, and the storm after a restart"

INFLIGHT = 64


def measure(contender: Contender, scale: Scale) -> Sample:
    """Measure once."""
    with running(contender) as server:
        server.load.do("join", rooms=max(1, scale.joins // 4), size=2)  # warms up
        server.load.do("leave")
        server.settle()
        with server.job():
            first, second = (
                server.load.do("join", rooms=scale.joins // 4, size=2, inflight=INFLIGHT)
                for _ in range(2)
            )
        if min(first["busy"], second["busy"]) > BUSY and not contender.limit:
            raise Void("the load generator was busy all the time")
        joined = first["joined"] + second["joined"]
        server.kill()
        server.load.do("drop")
        server.start()
        back = server.load.do("rejoin")
    return Sample(
        [
            Reading(
                "joins",
                len(joined) / (first["seconds"] + second["seconds"]),
                "joins/s",
                lower_is_better=False,
            ),
            Reading(
                "second half / first half",
                first["seconds"] / second["seconds"],
                "times",
                lower_is_better=False,
            ),
            Reading("storm, median is back", milliseconds(percentile(back["joined"], 50)), "ms"),
            Reading("storm, last is back", milliseconds(max(back["joined"])), "ms"),
        ],
        {"joined": histogram(joined), "back": histogram(back["joined"])},
    )
