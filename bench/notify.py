"""What one notify costs, and how many a second there can be.

Rooms of two: one member is told, the other is the sender's (`pool`). Of each notify the time
counts until both have happened: the other member is told, and the POST is answered.

- The cost: one caller, one notify after the other. Before and after, because machines change
  their speed, the same of another process, which has never had more than a tenth of the rooms.
- The capacity: 64 callers on connections that are kept, each with the next notify as soon as
  its last one is answered.
- The rate at p99 < 10 ms: open loop, at a constant rate. The time begins when a notify was meant
  to be sent, even if no caller was free then. The highest rate whose 99th percentile is below
  10 ms, among twenty up to the capacity, by bisection. What fails by little has a second
  attempt: a single pause of the machine of that length fails any rate.

How late the generator was by its own doing, at all the rates together, stands below it: it is
part of what was measured, and should be small beside it.
"""

import statistics

from . import figures
from .figures import Reading, Sample, milliseconds, percentile
from .load import BUSY, Void
from .pool import Pool
from .scale import Scale
from .servers import Contender, running

ABOUT = "Rooms of two: the cost of one notify, and notifies a second at p99 < 10 ms"

CALLERS = 64
LIMIT = 10
CLOSE = 3 * LIMIT
"""Milliseconds. What is close to the limit gets a second attempt."""

SECONDS = 0.2
FEWEST = 200


def measure(contender: Contender, scale: Scale) -> Sample:
    """Measure once."""
    sample = Sample()
    few = max(1, scale.rooms // 20)
    with running(contender) as server, running(contender) as small:
        pool, beside_few = Pool(server, scale.rooms), Pool(small, 2 * few)
        _in_turn(pool, few)  # joins them, and is the first job: that is what a profile is of
        before = statistics.median(_in_turn(beside_few, few))
        took = _in_turn(pool, few)
        after = statistics.median(_in_turn(beside_few, few))
        sample.spectra["one after the other"] = figures.histogram(took)
        one = statistics.median(took)
        growth = one / statistics.mean((before, after))
        sample.readings += [
            Reading("one notify, median", milliseconds(one), "ms"),
            Reading("one notify, p99", milliseconds(percentile(took, 99)), "ms"),
            Reading(f"one notify, {scale.rooms} rooms / {2 * few} rooms", growth, "times"),
        ]
        with server.job():
            found = server.load.do("notify", callers=CALLERS, **pool.take(scale.rooms // 2))
        if found["busy"] > BUSY and not contender.limit:
            raise Void("the load generator was busy all the time")
        capacity = len(found["answer"]) / found["seconds"]
        sample.readings.append(Reading("capacity", capacity, "notifies/s", lower_is_better=False))
        good, bad = 0, scale.steps + 1
        while bad - good > 1:
            step = (good + bad) // 2
            rate = capacity * step / scale.steps
            p99 = _point(pool, rate, sample)
            if LIMIT <= p99 < CLOSE:
                p99 = _point(pool, rate, sample)
            good, bad = (step, bad) if p99 < LIMIT else (good, step)
        best = capacity * good / scale.steps
        sample.readings.append(
            Reading("rate at p99 < 10 ms", best, "notifies/s", lower_is_better=False)
        )
        late = milliseconds(pool.late.get_value_at_percentile(99))
        sample.readings.append(Reading("of this, the generator late, p99", late, "ms"))
    return sample


def _in_turn(pool: Pool, count: int) -> list[float]:
    """Notify so many rooms one after the other, after as many that warm up."""
    pool.server.load.do("notify", callers=1, **pool.take(count))
    with pool.server.job():
        return _both(pool.server.load.do("notify", callers=1, **pool.take(count)))


def _point(pool: Pool, rate: float, sample: Sample) -> float:
    """Run at a rate, note the point, and return its 99th percentile in milliseconds."""
    # No fewer than a 99th percentile can be said of.
    count = max(FEWEST, round(rate * SECONDS))
    with pool.server.job():
        taken = pool.take(count)
        found = pool.server.load.do("notify", callers=CALLERS, rate=rate, **taken)
    pool.late.add(figures.histogram(found["late"]))
    p99 = milliseconds(percentile(_both(found), 99))
    sample.points.append((rate, p99))
    return p99


def _both(found: dict[str, list[float]]) -> list[float]:
    return [max(pair) for pair in zip(found["event"], found["answer"], strict=True)]
