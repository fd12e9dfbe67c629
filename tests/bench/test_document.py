"""The page has what the results say, and the targets are judged by it."""

import re
from pathlib import Path

import pytest

from bench import document, results, runner
from bench.document import PAGE, filled, write
from bench.results import Answer, Results, Series
from bench.targets import TARGETS, Target

from ..test_docs import ROOT

TEMPLATE = """# Title

By hand.

<!-- results: machine -->
old
<!-- end -->
<!-- results: targets -->
<!-- end -->
<!-- results: fanout -->
<!-- end -->
<!-- results: join -->
what was measured before
<!-- end -->

By hand, too.
"""


def made(question: str, reading: str, **values: list[float]) -> Results:
    series = Series(reading, "ms", lower_is_better=True, values=values)
    return Results(
        {"commit": "abc", "command": "python -m bench all"},
        {question: Answer("about", {reading: series})},
        absent={"picows": "No module named `picows`"},
    )


def row(text: str, first: str) -> list[str]:
    (line,) = (line for line in text.splitlines() if line.startswith(f"| {first} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_results_stand_between_the_markers() -> None:
    found = made("fanout", "last, N=10000", sse_trio=[1.0, 2.0, 3.0], ws=[2.0, 4.0, 6.0])
    found.answers["fanout"].void += [("socketify", "1 `missing`\nhere"), ("socketify", "2 missing")]
    page = filled(TEMPLATE, found)
    assert row(page, "sse_trio") == ["sse_trio", "2 (1 to 3)", "1.00"]
    assert row(page, "ws") == ["ws", "4 (2 to 6)", "0.50"]
    assert row(page, "commit") == ["commit", "abc"]
    assert row(page, "command") == ["command", "python -m bench all"]
    assert "Repetitions: 3.\n" in page
    assert "Void, 2 times: socketify: `1 'missing' here`" in page
    assert "Not measured: picows: `No module named 'picows'`" in page
    assert "By hand." in page
    assert "By hand, too." in page


def test_who_was_measured_less_often_is_named() -> None:
    found = made("fanout", "last, N=10000", sse_trio=[1.0, 2.0, 3.0], ws=[4.0], picows=[1.0, 1.0])
    page = filled(TEMPLATE, found)
    assert "Repetitions: 3; ws: 1; picows: 2.\n" in page
    # The median's ratio, because nobody knows which of them ran together.
    assert row(page, "ws") == ["ws", "4 (4 to 4)", "0.50"]


def test_what_was_measured_before_is_replaced() -> None:
    page = filled(TEMPLATE, made("fanout", "last, N=10000", sse_trio=[1.0]))
    assert "old" not in page
    assert "what was measured before" not in page
    assert page.count("Not measured.\n") == 1
    assert filled(page, made("fanout", "last, N=10000", sse_trio=[1.0])) == page


def test_readings_are_set_beside_one_another() -> None:
    found = made("join", "joins", sse_trio=[1.0], ws=[2.0])
    for number in range(4):
        series = Series(f"more {number}", "ms", lower_is_better=True, values={"ws": [3.0]})
        found.answers["join"].series[series.name] = series
    page = filled(TEMPLATE, found)
    assert "|  | joins, ms | ÷ | more 0, ms | ÷ | more 1, ms | ÷ |\n" in page
    assert "|  | more 2, ms | ÷ | more 3, ms | ÷ |\n" in page
    assert row(page, "sse_trio") == ["sse_trio", "1 (1 to 1)", "1.00", "void", "", "void", ""]


@pytest.mark.parametrize(
    "name", ["answered, N=1", "first, N=100", "median, N=18000", "growth, 10000 / 1000"]
)
def test_the_page_leaves_out_what_hides_the_rest(name: str) -> None:
    assert name not in filled(TEMPLATE, made("fanout", name, sse_trio=[1.0]))


def judged(target: Target, results: Results) -> list[str]:
    return row(filled(TEMPLATE, results), target.what)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.what)
def test_a_target_is_reached_at_its_bound_and_not_beyond(target: Target) -> None:
    reading = target.reading.replace(".*", "20000")
    # Twice the peer's is what has to be halved, or not.
    for factor in (0.99, 1.01):
        value = target.bound * factor
        values = {target.whose: [value, 2 * value, value]}
        if target.beside:
            values[target.beside] = [1.0, 2.0, 1.0]
        found = made(target.question, reading, **values)
        assert target.value(found) == pytest.approx(value)
        assert judged(target, found)[-1] == ("yes" if (factor > 1) == target.at_least else "**no**")


def test_a_target_that_was_not_measured_is_named() -> None:
    target = TARGETS[0]
    assert judged(target, Results({}))[-1] == "not measured"
    assert judged(target, made("fanout", target.reading, ws=[1.0]))[-1] == "not measured"
    # Nor without the one that it is compared with.
    assert judged(target, made("fanout", target.reading, sse_trio=[1.0]))[-1] == "not measured"


def test_the_page_and_its_pictures_are_written_and_the_same_again(tmp_path: Path) -> None:
    page = tmp_path / PAGE
    found = made("memory", "an idle member", sse_trio=[1.0], ws=[6.0])
    text = found.dumps()
    page.write_text(TEMPLATE + "<!-- results: memory -->\n<!-- end -->\n")
    written = [*write(results.loads(text), tmp_path)]
    assert [path.name for path in written] == ["bench-memory.svg", PAGE]
    assert "![memory](bench-memory.svg)" in page.read_text()
    before = {path: path.read_bytes() for path in written}
    assert [*write(results.loads(text), tmp_path)] == written
    assert {path: path.read_bytes() for path in written} == before


def test_the_page_says_what_its_results_say() -> None:
    page = (ROOT / "docs" / PAGE).read_text()
    pictures = [name for names in document.PICTURES.values() for name in names]
    assert filled(page, results.load(ROOT / "docs" / "benchmarks.json"), pictures) == page


def test_the_page_has_a_place_for_every_answer() -> None:
    page = (ROOT / "docs" / PAGE).read_text()
    places = re.findall(r"<!-- results: (\w+) -->\n", page)
    assert sorted(places) == sorted(["machine", "targets", "verdict", *runner.QUESTIONS])
    assert page.count("<!-- end -->") == len(places)
    assert set(document.PICTURES) <= set(places)
    for name in [*runner.QUESTIONS, "verdict"]:
        assert f"\n`python -m bench {name}`: " in page
