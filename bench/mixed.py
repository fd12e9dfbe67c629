"""Whether one thing holds up another.

A large fan-out: notifies of rooms of two at a constant rate, open loop, while a large room has
a fan-out every half second; each window of half a second has its own large room, because a
fan-out ends its members. The 99th percentile over all notifies, those between two fan-outs
too. The same without the large room beside it.

Everything at once, for a minute in five repetitions: logins (a member joins, its session is
notified, the room's older member is told and closes), members who leave by themselves, others
who join in their place, and heartbeats every 5 seconds; all open loop, at constant rates. The
longest notify is the longest pause that was noticed, a collection of garbage say: one that falls
between two notifies is not.
"""

from .figures import Reading, Sample, histogram, milliseconds, percentile
from .load import Void
from .pool import Pool
from .scale import Scale
from .servers import Contender, running

ABOUT = "Other rooms' notifies beside fan-outs to a large room; and everything at once"

WINDOW = 0.5
RATE = 1000
"""Notifies a second."""
CHURN = {"notifies": 100, "leaves": 25}
HEARTBEAT = 5


def measure(contender: Contender, scale: Scale) -> Sample:
    """Measure once."""
    beside: list[float] = []
    alone: list[float] = []
    late: list[float] = []
    count = min(round(RATE * WINDOW), scale.rooms)
    with running(contender) as server:
        for _ in range(scale.windows):
            for size, times in ((0, alone), (scale.large, beside)):
                server.load.do("leave")
                pool = Pool(server, count)
                taken = pool.take(count)
                fan: dict[str, float] = {}
                if size:
                    joined = server.load.do("join", rooms=1, size=size + 1)
                    fan = {"fan": joined["first"], "at": WINDOW / 4}
                server.settle()
                with server.job():
                    found = server.load.do(
                        "notify", rate=count / WINDOW, callers=64, **taken, **fan
                    )
                times += [max(p) for p in zip(found["event"], found["answer"], strict=True)]
                late += found["late"]
    with running(contender, heartbeat=HEARTBEAT) as server:
        server.load.do("join", rooms=scale.churning, size=2)
        server.settle()
        before = server.cpu()
        with server.job():
            found = server.load.do("churn", seconds=scale.churn_seconds, callers=64, **CHURN)
        used = (server.cpu() - before) / scale.churn_seconds
    for name, rate in (("answer", CHURN["notifies"]), ("joined", sum(CHURN.values()))):
        if len(found[name]) < scale.kept_up * rate * scale.churn_seconds:
            raise Void(f"it did not keep up: {len(found[name])} of {name}")
    notifies = [max(p) for p in zip(found["event"], found["answer"], strict=True)]
    return Sample(
        [
            Reading("notify p99 beside fan-outs", milliseconds(percentile(beside, 99)), "ms"),
            Reading("notify p99 without", milliseconds(percentile(alone, 99)), "ms"),
            Reading("of these, the generator late, p99", milliseconds(percentile(late, 99)), "ms"),
            Reading("all at once, notify p99", milliseconds(percentile(notifies, 99)), "ms"),
            Reading("all at once, longest notify", milliseconds(max(notifies)), "ms"),
            Reading("all at once, join p99", milliseconds(percentile(found["joined"], 99)), "ms"),
            Reading("all at once, CPU", used * 100, "% of a core"),
        ],
        {
            "notify beside fan-outs": histogram(beside),
            "notify, all at once": histogram(notifies),
            "join, all at once": histogram(found["joined"]),
        },
    )
