"""How fast members get in: connection, handshake, join, until `joined` has arrived.

The rate: rooms of two, 64 connections at once in the making. The storm: the server is killed and
started again, and everybody comes back at once, as soon as it listens; the time runs
from that moment. A connection that is refused is tried again at once.
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
        server.load.do("join", rooms=max(1, scale.joins // 20), size=2)  # warms up
        server.load.do("leave")
        server.settle()
        with server.job():
            found = server.load.do("join", rooms=scale.joins // 2, size=2, inflight=INFLIGHT)
        if found["busy"] > BUSY and not contender.limit:
            raise Void("the load generator was busy all the time")
        rate = len(found["joined"]) / found["seconds"]
        server.kill()
        server.load.do("drop")
        server.start()
        back = server.load.do("rejoin")
    return Sample(
        [
            Reading("joins", rate, "joins/s", lower_is_better=False),
            Reading("storm, median is back", milliseconds(percentile(back["joined"], 50)), "ms"),
            Reading("storm, last is back", milliseconds(max(back["joined"])), "ms"),
        ],
        {"joined": histogram(found["joined"]), "back": histogram(back["joined"])},
    )
