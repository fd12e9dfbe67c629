"""Results as pictures, SVG: what the tables say, over N and over time."""

import re
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .figures import milliseconds, quartiles
from .results import Answer, Results
from .table import OURS

mpl.use("svg")
# The same results give the same file, and its text stays text.
mpl.rcParams.update({"svg.hashsalt": "sse_trio", "svg.fonttype": "none"})

OF_N = re.compile(r"last, N=(\d+)")


def draw(results: Results, directory: Path) -> Iterator[Path]:
    """Draw what there is; yield each file."""
    directory.mkdir(parents=True, exist_ok=True)
    # Where everybody was void, there is nothing to draw.
    answers = {name: answer for name, answer in results.answers.items() if answer.series}
    if fanout := answers.get("fanout"):
        yield _save(_over_n(fanout), directory / "bench-fanout.svg")
        yield _save(_arrivals(fanout), directory / "bench-arrivals.svg")
    if notify := answers.get("notify"):
        yield _save(_throughput(notify), directory / "bench-notify.svg")
    if memory := answers.get("memory"):
        yield _save(_memory(memory), directory / "bench-memory.svg")


def _axes(title: str, x: str, y: str) -> tuple[Figure, Axes]:
    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    axes.set_title(title)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.3)
    return figure, axes


def _style(contender: str) -> dict[str, Any]:
    return {"linewidth": 2.5, "zorder": 3} if contender == OURS else {"linewidth": 1.2}


def _over_n(answer: Answer) -> Figure:
    figure, axes = _axes(
        "Time to the last member of a room", "members of the room", "ms (median of the runs)"
    )
    lines: dict[str, list[tuple[int, list[float]]]] = {}
    for name, series in answer.series.items():
        if found := OF_N.fullmatch(name):
            for contender, values in series.values.items():
                lines.setdefault(contender, []).append((int(found[1]), values))
    for contender, points in lines.items():
        xs = [n for n, _ in points]
        axes.plot(xs, [statistics.median(v) for _, v in points], marker="o", label=contender,
                  **_style(contender))  # fmt: skip
        spread = [quartiles(values) for _, values in points]
        axes.fill_between(xs, [low for low, _ in spread], [high for _, high in spread], alpha=0.15)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.legend()
    return figure


def _arrivals(answer: Answer) -> Figure:
    # The largest room that everybody has.
    rooms = [set(known) for known in answer.spectra.values()]
    name = max(set.intersection(*rooms), key=lambda what: int(what.rpartition("=")[2]))
    figure, axes = _axes(
        f"When the members of a room are told ({name})", "ms since the POST", "% of the members"
    )
    for contender, known in answer.spectra.items():
        shares = [*range(100), 99.5, 99.9, 100]
        axes.plot([milliseconds(known[name].get_value_at_percentile(p)) for p in shares], shares,
                  label=contender, **_style(contender))  # fmt: skip
    axes.set_xscale("log")
    axes.legend()
    return figure


def _throughput(answer: Answer) -> Figure:
    figure, axes = _axes("Notifies to one other member", "notifies a second", "p99, ms")
    for contender, points in answer.points.items():
        # No lines: the rates of two repetitions are not the same.
        rates, latencies = zip(*points, strict=True)
        axes.scatter(rates, latencies, label=contender, s=30 if contender == OURS else 12)
    axes.axhline(10, color="black", linestyle=":", linewidth=1)
    axes.set_yscale("log")
    axes.legend()
    return figure


def _memory(answer: Answer) -> Figure:
    figure, axes = _axes("An idle member", "KiB of the server process", "")
    values = answer.series["an idle member"].values
    medians = {contender: statistics.median(each) for contender, each in values.items()}
    names = sorted(medians, key=lambda name: medians[name], reverse=True)
    bars = axes.barh(names, [medians[name] for name in names],
                     color=["C3" if name == OURS else "C0" for name in names])  # fmt: skip
    axes.bar_label(bars, fmt="%.1f", padding=3)
    return figure


def _save(figure: Figure, path: Path) -> Path:
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
    return path
