"""How long until the first, the median and the last member of one room is told.

A room of N members, each a session of its own, and one of the sender's, who must hear nothing.
The time begins when the POST is sent, and an arrival is the kernel's time at the member's
socket. Until the POST is answered the generator does not read from the members, so that the
server has the machine to itself, as it would have with members elsewhere. A member is ended by
one fan-out, so every fan-out has a room of its own, with fresh connections; joining is not
measured. How the time a member grows from one N to the next stands at the end: 1 is linear.
"""

import itertools
import statistics

from . import figures
from .figures import Reading, Sample, milliseconds
from .scale import Scale
from .servers import Contender, running

ABOUT = "One room of N members: time from the POST to the first, the median and the last of them"


def measure(contender: Contender, scale: Scale) -> Sample:
    """Measure once, every N."""
    sample = Sample()
    with running(contender) as server:
        last: dict[int, float] = {}
        for members, times in scale.fan_outs:
            taken: dict[str, list[float]] = {}
            arrivals = figures.histogram()
            server.load.do("leave")
            server.settle()
            first = server.load.do("join", rooms=times, size=members + 1)["first"]
            server.settle()
            for room in range(first, first + times):
                with server.job():
                    found = server.load.do("fanout", room=room)
                for name, value in (
                    ("first", min(found["arrived"])),
                    ("median", statistics.median(found["arrived"])),
                    ("last", max(found["arrived"])),
                    ("answered", found["answered"]),
                ):
                    taken.setdefault(name, []).append(value)
                arrivals.add(figures.histogram(found["arrived"]))
            if members == 1:
                del taken["first"], taken["median"]
            for name, values in taken.items():
                value = milliseconds(statistics.median(values))
                sample.readings.append(Reading(f"{name}, N={members}", value, "ms"))
            sample.spectra[f"arrivals, N={members}"] = arrivals
            last[members] = statistics.median(taken["last"])
    for few, many in itertools.pairwise(last):
        growth = (last[many] / many) / (last[few] / few)
        sample.readings.append(Reading(f"growth, {many} / {few}", growth, "times"))
    return sample
