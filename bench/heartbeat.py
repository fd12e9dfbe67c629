"""What heartbeats cost: the server's CPU while everybody is alive and nothing else happens.

Every 5 seconds (in a quick run, more often) each member gets one, a text and a ping or what the
peer's library has instead, and answers it; both are checked and counted. The CPU is the process's
own clock, all threads, user and system; 100% is one core. A little more than an interval is
watched, and counts for as many intervals as heartbeats came in it. A connection's first interval
is not watched: the kernel then acknowledges almost every segment by itself, and there are four to
a heartbeat where later there are three.
"""

from .figures import Reading, Sample
from .load import Void
from .scale import Scale
from .servers import Contender, running

ABOUT = "CPU for heartbeats, of everybody who is there"

EVERY = 5


def measure(contender: Contender, scale: Scale) -> Sample:
    """Measure once, every number of members."""
    sample = Sample()
    seconds = scale.beating_seconds
    # A short run beats faster, so that something can be counted.
    every = min(EVERY, seconds / 1.2)
    with running(contender, heartbeat=every) as server:
        members = 0
        for wanted in scale.beating:
            server.load.do("join", rooms=wanted - members, size=1)
            members = wanted
            server.load.do("idle", seconds=seconds)
            before = server.cpu()
            with server.job():
                found = server.load.do("idle", seconds=seconds)
            used = server.cpu() - before
            if found["members"] != members or not found["fewest"]:
                raise Void(f"of {members} members somebody got no heartbeat in {seconds} s")
            intervals = found["beats"] / members
            sample.readings.append(
                Reading(f"{members} members", used / intervals / every * 100, "% of a core")
            )
    return sample
