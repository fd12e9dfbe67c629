"""Runs interleave, and what is void gives no figure."""

from collections.abc import Iterator
from io import StringIO

import pytest
from rich.console import Console

from bench import runner
from bench.figures import Reading, Sample
from bench.load import Void
from bench.scale import TINY, Scale
from bench.servers import Contender, bare_loop, python_peer


class Fake:
    """A question."""

    ABOUT = "about"

    def __init__(self) -> None:
        self.asked: list[str] = []

    def measure(self, contender: Contender, _: Scale) -> Sample:
        self.asked.append(contender.name)
        if contender.name == "b" and len(self.asked) < 4:
            raise Void("1 missing")
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


def test_nothing_begins_when_the_time_is_over(question: Fake) -> None:
    answer = runner.ask(Console(file=StringIO()), "fake", contenders(), TINY, 1, until=0)
    assert question.asked == []
    assert answer.skipped == [*"abc"]
    assert answer.void == []


def test_a_peer_that_is_not_installed_is_named() -> None:
    from bench import install

    nobody = python_peer("nobody", "no_such_module_at_all", "nobody")
    assert list(install.absent([bare_loop(), nobody])) == ["nobody"]
