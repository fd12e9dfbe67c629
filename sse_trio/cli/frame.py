"""The frames of `sse-trio top`: answers of the server, as text for a terminal.

Nothing here waits or sends requests. Each text that users have chosen is made safe for a terminal.
"""

import math
from collections import deque
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

import attrs
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from .. import strict_json
from . import terminal

# Seconds that a rate is the mean of.
WINDOW: Final = 10

# Lines without a decision or a figure: two of the head, the heads of the tables, and an empty one
# between the tables.
_OTHER_LINES: Final = 5

_COLUMNS: Final = ("time", "event", "room", "reason", "session", "by", "about")

# Characters of names that users and applications choose: a long name must not hide other columns.
_WIDEST: Final = {"room": 24, "reason": 16}


@attrs.frozen
class Figure:
    """One metric."""

    kind: str
    value: float | None
    """Of a histogram, the mean in milliseconds; None if there is none yet."""
    results: dict[str, float]
    total: float
    """The number from which the rate is computed."""


@attrs.frozen
class Counts:
    """The answer to ``/statistics``."""

    uptime: float
    figures: dict[str, Figure]


def read_counts(answer: dict[str, Any]) -> Counts:
    """Read the answer to ``/statistics``.

    Raises:
        LookupError, TypeError, ValueError, AttributeError: it is something else.
    """
    figures = {name: _figure(metric) for name, metric in answer["metrics"].items()}
    return Counts(float(answer["uptime"]), figures)


def _figure(metric: dict[str, Any]) -> Figure:
    kind = str(metric["type"])
    if "count" in metric:
        count, seconds = _finite(metric["count"]), _finite(metric["sum"])
        return Figure(kind, 1000 * seconds / count if count else None, {}, count)
    if "values" in metric:
        results = {str(name): _finite(count) for name, count in metric["values"].items()}
        total = sum(results.values())
        return Figure(kind, total, results, total)
    value = metric["value"]
    return Figure(kind, None if value is None else _finite(value), {}, _finite(value or 0))


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError("a figure is not finite")
    return number


def read_decisions(answer: dict[str, Any]) -> list[tuple[str, ...]]:
    """Read the answer to ``/decisions``: the cells of each row.

    Raises:
        LookupError, TypeError, ValueError, AttributeError: it is something else.
    """
    return [_row(decision) for decision in answer["decisions"]]


def _row(decision: dict[str, Any]) -> tuple[str, ...]:
    moment = datetime.fromisoformat(decision["time"]).astimezone()
    said = decision.get("about")
    about = "" if said is None else strict_json.dumps(said)
    usual = (str(decision.get(name, "")) for name in _COLUMNS[1:-1])
    return (f"{moment:%H:%M:%S}", *usual, about)


class Rates:
    """Events a second, from the counts of the last seconds."""

    def __init__(self) -> None:
        self._seen: deque[Counts] = deque()

    def add(self, counts: Counts) -> None:
        """Add the newest counts; after a restart of the server, drop the older ones."""
        if self._seen and counts.uptime < self._seen[-1].uptime:
            self._seen.clear()
        self._seen.append(counts)
        while self._seen[0].uptime < counts.uptime - WINDOW:
            self._seen.popleft()

    def of(self, name: str) -> float | None:
        """Return events a second; None if there is only one moment."""
        first, last = self._seen[0], self._seen[-1]
        seconds = last.uptime - first.uptime
        if not seconds > 0:
            return None
        before = first.figures[name].total if name in first.figures else 0
        return (last.figures[name].total - before) / seconds


def lines_left(counts: Counts, height: int) -> int:
    """Return how many decisions a terminal of so many lines can show, at least one."""
    gauges = sum(figure.kind == "gauge" for figure in counts.figures.values())
    longer = max(gauges, len(counts.figures) - gauges)
    return max(1, height - longer - _OTHER_LINES)


def render(
    url: str,
    counts: Counts,
    rates: Rates,
    decisions: Iterable[tuple[str, ...]],
    problem: str = "",
) -> RenderableType:
    """Return one frame. `problem` says why the server does not answer."""
    up = f"  up {_duration(counts.uptime)}  {terminal.printable(url)}"
    head = Text.assemble(("sse-trio top", "bold"), up, no_wrap=True, overflow="ellipsis")
    away = f"AWAY: {terminal.printable(problem)}" if problem else ""
    state = Text(away, "bold red", no_wrap=True, overflow="ellipsis")
    sides = Table.grid(padding=(0, 3))
    sides.add_row(_gauges(counts), _counters(counts, rates))
    return Group(head, state, sides, Text(), _decisions(decisions))


def _gauges(counts: Counts) -> Table:
    table = _table("now", "")
    table.columns[1].justify = "right"
    for name, figure in counts.figures.items():
        if figure.kind == "gauge":
            table.add_row(_label(name), _number(figure.value))
    return table


def _counters(counts: Counts, rates: Rates) -> Table:
    table = _table("since the start", "", "a second", "")
    table.columns[1].justify = table.columns[2].justify = "right"
    for name, figure in counts.figures.items():
        if figure.kind == "gauge":
            continue
        results = ", ".join(f"{result} {_number(n)}" for result, n in figure.results.items())
        unit = " ms" if figure.kind == "histogram" and figure.value is not None else ""
        rate = _number(rates.of(name))
        value = f"{_number(figure.value)}{unit}"
        table.add_row(_label(name), value, rate, Text(terminal.printable(results)))
    return table


def _decisions(decisions: Iterable[tuple[str, ...]]) -> Table:
    table = _table(*_COLUMNS)
    for cells in decisions:
        table.add_row(*(Text(terminal.printable(cell)) for cell in cells))
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in columns:
        widest = _WIDEST.get(column)
        table.add_column(column, no_wrap=True, overflow="ellipsis", max_width=widest)
    return table


def _label(name: str) -> Text:
    return Text(terminal.printable(name.replace("_", " ")))


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value == int(value) else f"{value:,.2f}"


def _duration(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
