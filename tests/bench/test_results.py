"""What is written is read again, drawn and tabulated."""

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from bench import machine, plot, results, table
from bench.figures import Reading, Sample, histogram
from bench.results import Answer, Results, Series


def some() -> Results:
    found = Results(machine.describe(), absent={"picows": "No module named 'picows'"})
    for name, members in (("fanout", 10), ("notify", 2), ("memory", 0)):
        answer = Answer(f"about {name}")
        for contender in ("sse_trio", "ws"):
            for value in (1.0, 3.0):
                answer.add(
                    contender,
                    Sample(
                        [
                            Reading(f"last, N={members}", value, "ms"),
                            Reading("an idle member", value, "KiB"),
                            Reading("rate", value, "notifies/s", lower_is_better=False),
                        ],
                        {f"arrivals, N={members}": histogram([value * 1e6])},
                        [(1000.0, value)],
                    ),
                )
        answer.void.append(("socketify", "fanout: 1 missing"))
        answer.skipped.append("picows")
        found.answers[name] = answer
    return found


def test_repetitions_are_kept_apart_and_distributions_together() -> None:
    answer = some().answers["fanout"]
    assert answer.series["rate"].values == {"sse_trio": [1, 3], "ws": [1, 3]}
    assert not answer.series["rate"].lower_is_better
    assert answer.spectra["ws"]["arrivals, N=10"].get_total_count() == 2


def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text(some().dumps())
    again = results.load(path)
    assert again.dumps() == some().dumps()
    assert again.machine["commit"]
    assert again.answers["fanout"].points["ws"] == [(1000, 1), (1000, 3)]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format":1}', '{"format":2}'])
def test_what_is_no_file_of_results_is_said(tmp_path: Path, text: str) -> None:
    path = tmp_path / "results.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"results\.json"):
        results.load(path)


def test_the_table_has_medians_ratios_and_who_was_void() -> None:
    out = StringIO()
    console = Console(file=out, width=120)
    found = some()
    table.show_answer(console, "fanout", found.answers["fanout"])
    table.show_about(console, found)
    text = out.getvalue()
    assert "last, N=10, ms (less is better)" in text
    assert "rate, notifies/s (more is better)" in text
    row = next(line for line in text.splitlines() if " ws " in line)
    assert [cell.strip() for cell in row.split("│")][1:-1] == ["ws", "2", "1 - 3", "2", "1.00"]
    assert "void: socketify: fanout: 1 missing" in text
    assert "no time left for picows" in text
    assert "not measured: picows: No module named 'picows'" in text


def test_pictures_are_drawn(tmp_path: Path) -> None:
    drawn = {path.name: path.read_text() for path in plot.draw(some(), tmp_path)}
    assert set(drawn) == {
        "bench-fanout.svg",
        "bench-arrivals.svg",
        "bench-notify.svg",
        "bench-memory.svg",
    }
    for text in drawn.values():
        assert "<svg" in text
        assert "sse_trio" in text


def test_nothing_is_drawn_where_all_was_void(tmp_path: Path) -> None:
    found = some()
    for answer in found.answers.values():
        answer.series.clear()
        answer.spectra.clear()
        answer.points.clear()
    assert [*plot.draw(found, tmp_path)] == []


def test_how_late_the_generator_was_is_no_ratio() -> None:
    series = Series(f"of this, {table.NOT_OURS}, p99", "ms", lower_is_better=True)
    series.values |= {"sse_trio": [1.0], "ws": [2.0]}
    assert table.times(series, series.values["ws"]) == ""
    series.name = "p99"
    assert table.times(series, series.values["ws"]) == "0.50"


@pytest.mark.parametrize(
    ("value", "text"), [(0.1234, "0.123"), (12.345, "12.3"), (123.4, "123"), (17600.2, "17,600")]
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert table.number(value) == text
