"""The benchmark of a verdict runs, and measures everybody."""

import subprocess
import sys
from pathlib import Path

import pytest

from bench import results, verdict

from ..test_docs import ROOT


def test_it_measures_everybody() -> None:
    answer = verdict.measure(rounds=2, calls=2)
    values = answer.series["a verdict"].values
    assert len(values) == 6
    for taken in values.values():
        assert len(taken) == 2
        assert min(taken) > 0


@pytest.mark.usefixtures("gcc")
def test_the_command_writes_a_file(tmp_path: Path) -> None:
    output = tmp_path / "results.json"
    command = [sys.executable, "-m", "bench", "verdict", "--quick", "--repetitions", "2"]
    run = subprocess.run(
        [*command, "--output", output], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, run.stderr
    assert verdict.ABOUT in run.stdout
    found = results.load(output)
    assert set(found.answers) == {"verdict"}
