"""The benchmark of a verdict runs, and measures everybody."""

import subprocess
import sys

from bench import verdict

from ..test_docs import ROOT


def test_it_measures_everybody() -> None:
    command = [sys.executable, "-W", "error", "-m", "bench", "verdict"]
    run = subprocess.run(
        [*command, "--rounds", "2", "--calls", "2"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    question, *about, head, pyjwt, itsdangerous, hit, memory, sqlite = filter(
        None, run.stdout.splitlines()
    )
    assert question == verdict.QUESTION
    assert "commit" in about[-1]
    assert head.split() == ["µs", "lowest", "highest", "ratio"]
    for row in (pyjwt, itsdangerous, hit, memory, sqlite):
        median, lowest, highest, ratio = map(float, row.split()[-4:])
        assert 0 < lowest <= median <= highest
        assert ratio > 0
    assert run.stderr == ""
