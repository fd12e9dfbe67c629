"""Runs interleave, and what is void gives no figure."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from bench import install, results, runner
from bench.__main__ import SAME, main, parser
from bench.figures import Reading, Sample
from bench.load import Void
from bench.scale import TINY, Scale
from bench.servers import Contender

from ..test_docs import ROOT


class Fake:
    """A question."""

    ABOUT = "about"

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.victim, self.voids = "b", 1
        self.error: BaseException = Void("1 missing")

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


@pytest.fixture
def alone(question: Fake) -> Fake:
    for name in set(runner.QUESTIONS) - {"fake"}:
        del runner.QUESTIONS[name]
    return question


@pytest.mark.usefixtures("gcc")
@pytest.mark.parametrize(("victim", "status"), [("C loop", 0), ("sse_trio", 1)])
def test_all_goes_on_and_writes_what_it_has(
    alone: Fake, tmp_path: Path, victim: str, status: int
) -> None:
    alone.victim, alone.voids = victim, 2
    output = tmp_path / "results.json"
    arguments = ["all", "--quick", "--only", "sse_trio,C loop", "--output", str(output)]
    assert main([*arguments, "--repetitions", "2"]) == status
    found = results.load(output)
    assert list(found.answers) == ["fake", "verdict"]
    assert found.answers["fake"].void == [(victim, "1 missing")] * 2
    assert [len(v) for v in found.answers["fake"].series["value"].values.values()] == [2]


ALL = ("all", "--quick", "--only", "sse_trio")


@pytest.mark.usefixtures("gcc", "alone")
def test_all_has_five_repetitions_of_what_is_not_named_and_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(ALL) == 0
    found = results.load(tmp_path / "results.json")
    assert found.answers["fake"].series["value"].values == {"sse_trio": [1, 2, 3, 4, 5]}


@pytest.mark.usefixtures("gcc")
def test_what_was_cut_off_is_resumed(
    alone: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cut = runner.QUESTIONS["cut"] = Fake()
    cut.victim, cut.error = "sse_trio", KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        main(ALL)
    assert main([*ALL, "--resume"]) == 0
    assert len(alone.asked) == 5  # and not again
    found = results.load(tmp_path / "results.json")
    assert list(found.answers) == ["fake", "cut", "verdict"]
    assert found.machine["resumed after"] == "0 minutes"


@pytest.mark.usefixtures("gcc", "alone")
@pytest.mark.parametrize("what", SAME)
def test_another_builds_answers_are_not_taken_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*ALL, "--repetitions", "1"]) == 0
    file = tmp_path / "results.json"
    found = results.load(file)
    found.machine[what] = "another"
    results.save(found, file)
    assert main([*ALL, "--repetitions", "1", "--resume"]) == 2
    assert f"the file is not of the same {what}: another" in capsys.readouterr().out


@pytest.mark.usefixtures("gcc", "alone")
@pytest.mark.parametrize(
    ("other", "what"),
    [
        (("--repetitions", "2"), "repetitions"),
        (("--only", "C loop"), "contenders"),
    ],
)
def test_another_runs_answers_are_not_taken_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], other: tuple[str, ...], what: str
) -> None:
    output = ("--output", str(tmp_path / "results.json"))
    assert main([*ALL, "--repetitions", "1", *output]) == 0
    before = (tmp_path / "results.json").read_text()
    assert main([*ALL, "--repetitions", "1", *output, *other, "--resume"]) == 2
    assert f"the file is not of the same {what}: " in capsys.readouterr().out
    assert (tmp_path / "results.json").read_text() == before


@pytest.mark.usefixtures("gcc", "alone")
def test_answers_of_others_are_not_taken_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = ("--repetitions", "1", "--output", str(tmp_path / "results.json"))
    assert main([*ALL, *output]) == 0
    monkeypatch.setattr(install, "absent", lambda _: {"ws": "no luck"})
    assert main([*ALL, *output, "--resume"]) == 2
    assert "others could not be measured" in capsys.readouterr().out


@pytest.mark.usefixtures("gcc", "alone")
def test_what_cannot_be_written_any_more_is_shown_and_what_is_there_stays(
    question: Fake,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = tmp_path / "results.json"

    def fill_the_disk(*_: object) -> Sample:
        monkeypatch.setattr(Path, "replace", refuse)
        return Sample([Reading("value", 4711, "ms")])

    def refuse(*_: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(question, "measure", fill_the_disk)
    assert main([*ALL, "--repetitions", "1", "--output", str(output)]) == 2
    told = capsys.readouterr().out
    assert "the disk is full" in told
    assert "4,711" in told
    assert results.load(output).answers == {}


@pytest.mark.usefixtures("gcc", "alone")
def test_what_was_measured_before_is_not_lost(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "results.json"
    output.write_text("an hour's work")
    assert main([*ALL, "--output", str(output)]) == 2
    assert "is there already" in capsys.readouterr().out
    assert [path.read_text() for path in tmp_path.iterdir()] == ["an hour's work"]


@pytest.mark.usefixtures("gcc", "alone")
def test_where_nobody_can_be_measured_that_is_said(
    question: Fake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(install, "absent", lambda names: dict.fromkeys(["C loop"], "no luck"))
    assert main(["fake", "--only", "C loop"]) == 2
    assert "no luck" in capsys.readouterr().out
    assert question.asked == []


@pytest.mark.usefixtures("gcc", "alone")
def test_a_contender_that_is_named_twice_is_measured_once(question: Fake) -> None:
    question.voids = 0
    assert main(["fake", "--quick", "--only", "C loop,sse_trio,C loop", "--repetitions", "1"]) == 0
    assert question.asked == ["C loop", "sse_trio"]


@pytest.mark.usefixtures("gcc", "alone")
def test_a_contender_that_is_not_usual_is_measured_if_it_is_named(question: Fake) -> None:
    name = "sse_trio+socketio"
    assert name not in parser().parse_args(["fake"]).only
    question.voids = 0
    assert main(["fake", "--quick", "--only", name, "--repetitions", "1"]) == 0
    assert question.asked == [name]


@pytest.mark.parametrize("names", ["", "sse_trio,", "nobody"])
def test_contenders_are_those_that_there_are(
    names: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["fanout", "--only", names])
    assert ended.value.code == 2
    assert "no such contender" in capsys.readouterr().err


@pytest.mark.usefixtures("gcc")
def test_who_is_terminated_ends_the_servers(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench", "fanout", "--only", "C loop"]
    with subprocess.Popen(
        command, cwd=ROOT, env=os.environ | {"TMPDIR": str(tmp_path)}, stdout=subprocess.PIPE
    ) as run:
        assert run.stdout is not None
        assert b"C loop" in run.stdout.readline()
        # Until the server and the load generator run.
        while len(Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()) < 2:
            assert run.poll() is None
        run.terminate()
        assert run.wait(20) == 128 + signal.SIGTERM
    assert not [*tmp_path.glob("sse-trio-bench-*")]


@pytest.mark.parametrize(
    "arguments", [(), ("fanout",), ("ledger",), ("all",), ("quick",), ("compare",)]
)
def test_there_is_help(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--help"])
    assert ended.value.code == 0
    assert "python -m bench" in capsys.readouterr().out


@pytest.mark.usefixtures("gcc", "alone")
def test_a_file_that_cannot_be_written_is_said_at_once(
    question: Fake, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*ALL, "--output", str(tmp_path / "none" / "results.json")]) == 2
    assert "No such file or directory" in capsys.readouterr().out
    assert question.asked == []


@pytest.mark.parametrize("many", ["0", "-1", "x"])
def test_repetitions_are_counted(many: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["fanout", "--repetitions", many])
    assert f"--repetitions: invalid positive_number value: '{many}'" in capsys.readouterr().err


@pytest.mark.usefixtures("gcc")
def test_a_reason_is_shown_as_it_is_and_the_file_is_written_first(
    alone: Fake, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> Sample:
        raise Void("it said [/usr/lib/node]")

    monkeypatch.setattr(alone, "measure", fail)
    output = tmp_path / "results.json"
    assert main([*ALL, "--output", str(output)]) == 1
    assert "it said [/usr/lib/node]" in capsys.readouterr().out
    assert results.load(output).answers["fake"].void


@pytest.mark.usefixtures("gcc", "alone")
def test_what_was_cut_off_at_once_is_begun_anew(question: Fake, tmp_path: Path) -> None:
    output = ("--repetitions", "1", "--output", str(tmp_path / "results.json"))
    question.victim, question.error = "sse_trio", KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        main([*ALL, *output])
    assert main([*ALL, *output, "--resume"]) == 0
    path = tmp_path / "results.json"
    assert "fake" in results.load(path).answers
    assert main(["compare", str(path), str(path)]) == 0


def test_files_with_nothing_in_common_are_not_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "results.json"
    path.write_text(results.Results({"commit": "a"}).dumps())
    assert main(["compare", str(path), str(path)]) == 2
    assert "no question in common" in capsys.readouterr().out


def test_it_needs_nothing_that_only_the_tests_have() -> None:
    code = "import sys; sys.modules.update(pytest=None, tests=None); import bench.__main__"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
