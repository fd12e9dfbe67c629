"""Results as Markdown, into a page that is otherwise written by hand, and its pictures.

In the page, what stands between ``<!-- results: NAME -->`` and ``<!-- end -->`` is replaced:
NAME is a question, or ``machine``, or ``targets``. The same results give the same page.
"""

import re
import statistics
from collections.abc import Iterable, Iterator
from pathlib import Path

from . import plot
from .figures import quartiles
from .results import Answer, Results, Series
from .table import number, times
from .targets import TARGETS

PAGE = "benchmarks.md"
ABREAST = 3
"""Readings that a table has beside one another."""

OMITTED = re.compile(r"answered, .*|(first|median), N=(?!10000$).*|growth, .* / (?!10000$).*")
"""They are in the file, and would hide what matters."""

PICTURES = {
    "fanout": ("bench-fanout.svg", "bench-arrivals.svg"),
    "notify": ("bench-notify.svg",),
    "memory": ("bench-memory.svg",),
}

_PART = re.compile(r"(<!-- results: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def write(results: Results, directory: Path) -> Iterator[Path]:
    """Replace the results in the page of this directory, draw beside it, yield each file."""
    page = directory / PAGE
    text = page.read_text()
    drawn = list(plot.draw(results, directory))
    page.write_text(filled(text, results, {path.name for path in drawn}))
    yield from [*drawn, page]


def filled(page: str, results: Results, pictures: Iterable[str] = ()) -> str:
    """Return a page with the results in it."""
    special = {"machine": _machine, "targets": _targets}

    def part(match: re.Match[str]) -> str:
        name = match[2]
        if make := special.get(name):
            lines = [*make(results)]
        elif answer := results.answers.get(name):
            lines = [*_answer(answer)]
            lines += [f"![{name}]({each})\n" for each in PICTURES.get(name, ()) if each in pictures]
        else:
            lines = ["Not measured.\n"]
        return "\n".join([match[1], *lines, match[3]])

    return _PART.sub(part, page)


def _machine(results: Results) -> Iterator[str]:
    yield from _rows(["", ""], results.machine.items())
    for name, why in results.absent.items():
        yield f"Not measured: {name}: {_quoted(why)}\n"


def _targets(results: Results) -> Iterator[str]:
    rows = []
    for target in TARGETS:
        value = target.value(results)
        bound = f"{'≥' if target.at_least else '≤'} {target.bound:.3g}"
        said = "not measured" if value is None else "yes" if target.reached(value) else "**no**"
        rows.append([target.what, bound, "" if value is None else number(value), said])
    yield from _rows(["", "to reach", "measured", "reached"], rows)


def _answer(answer: Answer) -> Iterator[str]:
    shown = [each for name, each in answer.series.items() if not OMITTED.fullmatch(name)]
    runs = {name: len(values) for series in shown for name, values in series.values.items()}
    most = max(runs.values(), default=0)
    fewer = "".join(f"; {name}: {count}" for name, count in runs.items() if count < most)
    yield f"Median, quartiles, and sse_trio ÷ this. Repetitions: {most}{fewer}.\n"
    for at in range(0, len(shown), ABREAST):
        yield from _abreast(shown[at : at + ABREAST])
    void: dict[str, list[str]] = {}
    for contender, why in answer.void:
        void.setdefault(contender, []).append(why)
    for contender, reasons in void.items():
        yield f"Void, {len(reasons)} times: {contender}: {_quoted(reasons[0])}\n"


def _abreast(shown: list[Series]) -> Iterator[str]:
    heads = [""]
    for series in shown:
        heads += [f"{series.name}, {series.unit}", "÷"]
    rows = []
    for contender in dict.fromkeys(name for series in shown for name in series.values):
        row = [contender]
        for series in shown:
            row += _cells(series, contender)
        rows.append(row)
    yield from _rows(heads, rows)


def _cells(series: Series, contender: str) -> tuple[str, str]:
    values = series.values.get(contender)
    if not values:
        return "void", ""
    low, high = quartiles(values)
    shown = f"{number(statistics.median(values))} ({number(low)} to {number(high)})"
    return shown, times(series, values)


def _rows(heads: list[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    lines = [heads, ["---"] * len(heads), *rows]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    yield table + "\n"


def _quoted(text: str) -> str:
    return "`" + " ".join(text.replace("`", "'").split()) + "`"
