"""How fast members get in: connection, handshake, join, until `joined` has arrived.

The rate: rooms of two, 64 connections at once in the making, after half as many that warm up;
and how many times the first half's rate that of the second half is, which finds more rooms there.
The storm: the server is killed and started again, and everybody comes back at once, as soon as it
listens; the time runs from that moment. A connection that is refused is tried again at once.
"""

from typing import Any

from .figures import Reading, Sample, histogram, milliseconds, percentile
from .load import BUSY, Void
from .scale import Scale
from .servers import Contender, Server, running

ABOUT = "Connections a second until joined, and the storm after a restart"

INFLIGHT = 64


def come_in(server: Server, scale: Scale) -> tuple[dict[str, Any], dict[str, Any]]:
    """Let members in, after half as many that warm up; return what was reported of each half.

    Raises:
        Void: the load generator was busy all the time.
    """
    server.load.do("join", rooms=max(1, scale.joins // 4), size=2)
    server.load.do("leave")
    server.settle()
    with server.job():
        first, second = (
            server.load.do("join", rooms=scale.joins // 4, size=2, inflight=INFLIGHT)
            for _ in range(2)
        )
    if min(first["busy"], second["busy"]) > BUSY and not server.contender.limit:
        raise Void("the load generator was busy all the time")
    return first, second


def rate(*halves: dict[str, Any]) -> Reading:
    """Return the joins a second."""
    joined = sum(len(half["joined"]) for half in halves)
    seconds = sum(half["seconds"] for half in halves)
    return Reading("joins", joined / seconds, "joins/s", lower_is_better=False)


def measure(contender: Contender, scale: Scale) -> Sample:
    """Measure once."""
    with running(contender) as server:
        first, second = come_in(server, scale)
        joined = first["joined"] + second["joined"]
        server.kill()
        server.load.do("drop")
        server.start()
        back = server.load.do("rejoin")
    return Sample(
        [
            rate(first, second),
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
