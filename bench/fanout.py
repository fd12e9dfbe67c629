"""How long until the first, the median and the last member of one room is told.

A room of N members, each a session of its own, and one of the sender's, who must hear nothing.
The time begins when the POST is sent, and an arrival is the kernel's time at the member's
socket. Until the POST is answered the generator does not read from the members, so that the
server has the machine to itself, as it would have with members elsewhere. A member is ended by
one fan-out, so every fan-out has a room of its own, with fresh connections; joining is not
measured. How the time a member grows from one N to the next stands at the end: 1 is linear. The
second largest N is measured before the largest and after it, because machines change their speed.
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
    taken: dict[int, dict[str, list[float]]] = {}
    with running(contender) as server:
        for members, times in scale.fan_outs:
            server.load.do("leave")
            server.settle()
            first = server.load.do("join", rooms=times, size=members + 1)["first"]
            server.settle()
            of_this = taken.setdefault(members, {})
            arrivals = sample.spectra.setdefault(f"arrivals, N={members}", figures.histogram())
            for room in range(first, first + times):
                with server.job():
                    found = server.load.do("fanout", room=room)
                for name, value in (
                    ("first", min(found["arrived"])),
                    ("median", statistics.median(found["arrived"])),
                    ("last", max(found["arrived"])),
                    ("answered", found["answered"]),
                ):
                    of_this.setdefault(name, []).append(value)
                arrivals.add(figures.histogram(found["arrived"]))
    for members, of_this in taken.items():
        for name, values in of_this.items():
            if members > 1 or name in ("last", "answered"):  # of one, all are the same
                value = milliseconds(statistics.median(values))
                sample.readings.append(Reading(f"{name}, N={members}", value, "ms"))
    last = {members: statistics.median(of_this["last"]) for members, of_this in taken.items()}
    for few, many in itertools.pairwise(sorted(last)):
        growth = (last[many] / many) / (last[few] / few)
        sample.readings.append(Reading(f"growth, {many} / {few}", growth, "times"))
    return sample
