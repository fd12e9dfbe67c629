"""Results in the terminal."""

import statistics
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .figures import quartiles, ratio
from .results import Answer, Results, Series

OURS = "sse_trio"
NOT_OURS = "the generator late"
"""A reading with this in its name says nothing of the hub."""


def show_about(console: Console, results: Results) -> None:
    """Print what it was measured on, and who was not measured."""
    for name, value in results.machine.items():
        console.print(f"{name}: {value}", highlight=False)
    for name, why in results.absent.items():
        console.print(f"not measured: {name}: {why}", style="yellow", highlight=False)


def show_answer(console: Console, name: str, answer: Answer) -> None:
    """Print one question's table, and whoever was voided."""
    table = Table(title=f"{name}: {answer.about}", title_justify="left", title_style="bold")
    table.add_column("", no_wrap=True)
    for head in ("median", "quartiles", "runs", f"{OURS} ÷ this"):
        table.add_column(head, justify="right", no_wrap=True)
    for series in answer.series.values():
        better = "less" if series.lower_is_better else "more"
        unit = f", {series.unit} ({better} is better)"
        table.add_row(Text.assemble((series.name, "bold"), unit))
        for contender, values in series.values.items():
            low, high = quartiles(values)
            table.add_row(
                f"  {contender}",
                number(statistics.median(values)),
                f"{number(low)} - {number(high)}",
                str(len(values)),
                times(series, values),
            )
        table.add_section()
    console.print(table)
    for contender, why in answer.void:
        console.print(f"void: {contender}: {why}", style="red", highlight=False)
    if answer.skipped:
        late = ", ".join(answer.skipped)
        console.print(f"no time left for {late}", style="yellow", highlight=False)


def times(series: Series, values: Sequence[float]) -> str:
    """Write how many times these values the hub's are, where that says something."""
    found = None if NOT_OURS in series.name else ratio(ours(series), values)
    return "" if found is None else f"{found:.2f}"


def ours(series: Series) -> list[float]:
    """Return the hub's values, or those of the first of several of its kind."""
    return next((v for c, v in series.values.items() if c.startswith(OURS)), [])


def number(value: float) -> str:
    """Write three digits, or all that stand before the point."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
