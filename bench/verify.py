"""Whether a request may pass, asked by a proxy: ``GET /verify`` with the browser's own head.

What is asked of whom, and how: `asking`. Of the hub also, whether so many heads slow down a notify,
whose head is known by its bytes: notifies one after the other, of rooms of two (`pool`), with one
request for a verdict before each, and without. They take turns, because machines change their
speed. The notify itself waits for nobody: what it would lose is what the hub remembers.
"""

import statistics

import attrs

from sse_trio import Config

from .asking import CONTENDERS as CONTENDERS
from .asking import ROOM, SESSION, ask, forwarded, log_in
from .figures import Reading, Sample, milliseconds
from .load import PLAIN
from .pool import Pool
from .scale import Scale
from .servers import Contender, Server, running

ABOUT = "GET /verify: requests a second and p99, one connection and 64; and a notify beside it"

TURNS = 5


def measure(contender: Contender, scale: Scale) -> Sample:
    """Measure once."""
    with running(contender) as server:
        if contender.dialect.question:
            return ask(server, scale)
        question = forwarded("/verify", f"{Config().token_cookie}={log_in(server)}")
        verdict = f'{{"subject":"{ROOM}","extra":{{"session":"{SESSION}","epoch":1}}}}'
        server.load.speak(attrs.evolve(PLAIN, question=question, verdict=verdict))
        sample = ask(server, scale)
        sample.readings += _notifies(server, scale)
        return sample


def _notifies(server: Server, scale: Scale) -> list[Reading]:
    pool = Pool(server, scale.rooms)
    count = min(scale.questions // TURNS, scale.rooms)
    took: dict[int, list[float]] = {0: [], 1: []}
    """By how many questions are asked before each."""
    for _ in range(TURNS):
        for questions, times in took.items():
            found = server.load.do("between", questions=questions, **pool.take(count))
            times += [max(p) for p in zip(found["event"], found["answer"], strict=True)]
    without, beside = (statistics.median(times) for times in took.values())
    return [
        Reading("a notify alone, p50", milliseconds(without), "ms"),
        Reading("a notify beside other heads, p50", milliseconds(beside), "ms"),
        Reading("a notify, beside / alone", beside / without, "times"),
    ]
