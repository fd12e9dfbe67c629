"""Runs interleave, and what is void gives no figure."""

from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from bench import results, runner
from bench.__main__ import main
from bench.figures import Reading, Sample
from bench.load import Void
from bench.scale import TINY, Scale
from bench.servers import Contender


class Fake:
    """A question."""

    ABOUT = "about"

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.victim, self.voids = "b", 1
        self.error: Exception = Void("1 missing")

    def measure(self, contender: Contender, _: Scale) -> Sample:
        self.asked.append(contender.name)
        if contender.name == self.victim and self.asked.count(contender.name) <= self.voids:
            raise self.error
        return Sample([Reading("value", len(self.asked), "ms")])


@pytest.fixture
def question() -> Iterator[Fake]:
    fake = Fake()
    known = dict(runner.QUESTIONS)
    runner.QUESTIONS["fake"] = fake
    yield fake
    runner.QUESTIONS.clear()
    runner.QUESTIONS.update(known)


def contenders() -> list[Contender]:
    return [Contender(name, lambda *_: []) for name in "abc"]


def test_runs_interleave(question: Fake) -> None:
    out = Console(file=StringIO())
    answer = runner.ask(out, "fake", contenders(), TINY, 2)
    assert question.asked == [*"abcabc"]
    assert answer.series["value"].values == {"a": [1, 4], "c": [3, 6], "b": [5]}
    assert answer.void == [("b", "1 missing")]


def test_who_is_slow_is_asked_once(question: Fake) -> None:
    question.voids = 0
    slow = Contender("slow", lambda *_: [], once=True)
    out = Console(file=StringIO())
    answer = runner.ask(out, "fake", [slow, *contenders()], TINY, 2)
    assert question.asked == ["slow", *"abcabc"]
    assert len(answer.series["value"].values["slow"]) == 1


def test_nothing_begins_when_the_time_is_over(question: Fake) -> None:
    answer = runner.ask(Console(file=StringIO()), "fake", contenders(), TINY, 1, until=0)
    assert question.asked == []
    assert answer.skipped == [*"abc"]
    assert answer.void == []


@pytest.mark.parametrize("error", [OSError("gone"), ValueError("no data"), KeyError("joined")])
def test_a_contender_that_goes_mad_is_void_and_the_others_go_on(
    question: Fake, error: Exception
) -> None:
    question.error = error
    answer = runner.ask(Console(file=StringIO()), "fake", contenders(), TINY, 1)
    assert set(answer.series["value"].values) == {"a", "c"}
    assert answer.void == [("b", repr(error))]


def test_a_bug_of_ours_is_none_of_the_contenders(question: Fake) -> None:
    question.error = TypeError("ours")
    with pytest.raises(TypeError):
        runner.ask(Console(file=StringIO()), "fake", contenders(), TINY, 1)


@pytest.mark.usefixtures("gcc")
@pytest.mark.parametrize(("victim", "status"), [("C loop", 0), ("sse_trio", 1)])
def test_all_goes_on_and_writes_what_it_has(
    question: Fake, tmp_path: Path, victim: str, status: int
) -> None:
    question.victim, question.voids = victim, 2
    for name in set(runner.QUESTIONS) - {"fake"}:
        del runner.QUESTIONS[name]
    output = tmp_path / "results.json"
    arguments = ["all", "--quick", "--only", "sse_trio,C loop", "--output", str(output)]
    assert main([*arguments, "--repetitions", "2"]) == status
    found = results.load(output)
    assert list(found.answers) == ["fake", "verdict"]
    assert found.answers["fake"].void == [(victim, "1 missing")] * 2
    assert [len(v) for v in found.answers["fake"].series["value"].values.values()] == [2]


def test_all_has_five_repetitions_of_what_is_not_named_and_a_file(
    question: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in set(runner.QUESTIONS) - {"fake"}:
        del runner.QUESTIONS[name]
    monkeypatch.chdir(tmp_path)
    assert main(["all", "--quick", "--only", "sse_trio"]) == 0
    found = results.load(tmp_path / "results.json")
    assert found.answers["fake"].series["value"].values == {"sse_trio": [1, 2, 3, 4, 5]}
