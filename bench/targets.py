"""What the hub is to reach, and whether it has: computed from the results of one run."""

import re
import statistics
from collections.abc import Sequence

import attrs

from .asking import BARE, UVICORN
from .figures import ratio
from .results import Results
from .table import OURS

NOISE = 1.2
"""By how much what does not grow may seem to."""


@attrs.frozen
class Target:
    """A figure of the hub's, or how many times a peer's it is, and its bound."""

    what: str
    question: str
    reading: str
    """The name of it, as a regular expression."""
    bound: float
    beside: str | None = None
    """The peer."""
    at_least: bool = False
    whose: str = OURS
    """The contender whose figure it is."""

    def value(self, results: Results) -> float | None:
        """Return what was measured; None if it was not."""
        ours = self._values(results, self.whose)
        if ours and self.beside:
            return ratio(ours, self._values(results, self.beside))
        return statistics.median(ours) if ours else None

    def reached(self, value: float) -> bool:
        """Return whether this will do."""
        return value >= self.bound if self.at_least else value <= self.bound

    def _values(self, results: Results, contender: str) -> Sequence[float]:
        answer = results.answers.get(self.question)
        for name, series in answer.series.items() if answer else ():
            if re.fullmatch(self.reading, name):
                return series.values.get(contender, [])
        return []


TARGETS = (
    Target("time to last, N = 10,000 ÷ C loop", "fanout", "last, N=10000", 1.1, "C loop"),
    Target("time to first, N = 10,000, ms", "fanout", "first, N=10000", 1.5),
    Target(
        "one notify ÷ websockets+uvloop", "notify", "one notify, median", 1.25, "websockets+uvloop"
    ),
    Target(
        "capacity of notifies ÷ socket.io", "notify", "capacity", 1.3, "socket.io", at_least=True
    ),
    Target(
        "notifies a second at p99 < 10 ms ÷ socket.io",
        "notify",
        "rate at p99 < 10 ms",
        1.8,
        "socket.io",
        at_least=True,
    ),
    Target(
        "notifies a second at p99 < 10 ms, SQLite ÷ memory",
        "ledger",
        "rate at p99 < 10 ms",
        0.5,
        OURS,
        at_least=True,
        whose="sse_trio, sqlite",
    ),
    Target("joins a second ÷ socket.io", "join", "joins", 1.5, "socket.io", at_least=True),
    Target("KiB an idle member", "memory", "an idle member", 2),
    Target("p99 with stalled members ÷ without", "stall", "with / without", 1.2),
    Target("heartbeats, 10,000 members ÷ C loop", "heartbeat", "10000 members", 1.4, "C loop"),
    Target("other rooms' p99 beside fan-outs, ms", "mixed", "notify p99 beside fan-outs", 3),
    *(
        Target(
            f"verdict, {cookies} ÷ Starlette's itsdangerous cookie",
            "verdict",
            "a verdict",
            bound,
            "Starlette's session cookie (itsdangerous)",
            whose=whose,
        )
        for cookies, bound, whose in (
            ("cookies seen before", 1.5, "sse_trio, cache hit"),
            ("new cookies", 6, "sse_trio, cache hit, new cookies"),
        )
    ),
    *(
        target
        for question in ("check", "verify")
        for target in (
            Target(
                f"{question}: requests a second ÷ Starlette on Uvicorn",
                question,
                "64 connections",
                0.5,
                UVICORN,
                at_least=True,
            ),
            Target(
                f"{question}: one connection's p50 ÷ Starlette on Uvicorn",
                question,
                "one connection, p50",
                1.5,
                UVICORN,
            ),
            Target(
                f"{question}: one connection's p50 ÷ the hub's GET /healthz",
                question,
                "one connection, p50",
                1.25,
                BARE,
            ),
        )
    ),
    Target(
        "default clients of Socket.IO: joins a second ÷ socket.io",
        "socketio",
        "joins",
        1,
        "socket.io",
        at_least=True,
    ),
    *(
        Target(f"Socket.IO, {transport}: {what} ÷ socket.io", "socketio", reading, 1, "socket.io")
        for transport in ("WebSocket", "polling")
        for what, reading in (
            ("time to first, N = 1,000", f"{transport}: first, N=1000"),
            ("time to last, N = 1,000", f"{transport}: last, N=1000"),
            ("KiB an idle member", f"{transport}: an idle member"),
        )
    ),
    Target("a notify beside other heads ÷ alone", "verify", "a notify, beside / alone", 1.1),
    Target("growth: time a member, largest N ÷ N = 10,000", "fanout", "growth, .* / 10000", NOISE),
    Target("growth: one notify, many rooms ÷ few", "notify", "one notify, .* rooms / .*", NOISE),
    Target(
        "growth: joins a second, second half ÷ first",
        "join",
        "second half / first half",
        1 / NOISE,
        at_least=True,
    ),
)
