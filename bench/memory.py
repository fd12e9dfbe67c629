"""What an idle member costs in memory.

The resident set of the server process, between a tenth of the members and all of them, so
that what the first ones warm up is not counted as theirs. What the kernel keeps for a socket
is not in it. Rooms of two; everybody has joined, and nothing happens.
"""

from .figures import Reading, Sample
from .scale import Scale
from .servers import Contender, running

ABOUT = "Memory of the server process: KiB an idle member"


def measure(contender: Contender, scale: Scale) -> Sample:
    """Measure once."""
    few = scale.idle // 10 // 2 * 2
    with running(contender) as server:
        server.load.do("join", rooms=few // 2, size=2)
        server.settle()
        before = server.resident()
        with server.job():
            server.load.do("join", rooms=(scale.idle - few) // 2, size=2)
        server.settle()
        after = server.resident()
    return Sample(
        [
            Reading("an idle member", (after - before) / (scale.idle - few) / 1024, "KiB"),
            Reading(f"process, {scale.idle} members", after / 2**20, "MiB"),
        ]
    )
