"""The hub starts on a file with many rooms, and on one without."""

import subprocess
import sys

from bench import start

from ..test_docs import ROOT


def test_both_files_are_measured_by_turns() -> None:
    starts: list[start.Start] = []
    start.measure(rooms=300, repetitions=2, report=starts.append)
    assert [each.rooms for each in starts] == [0, 300, 0, 300]
    assert starts[1].file > starts[0].file
    assert all(each.seconds > 0 < each.resident for each in starts)


def test_the_command_prints_a_line_for_each_start() -> None:
    command = [sys.executable, "-m", "bench", "start", "--rooms", "10", "--repetitions", "1"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    assert [line.split()[0] for line in run.stdout.splitlines()] == ["rooms", "0", "10"]
