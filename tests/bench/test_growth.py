"""The simulation of months runs, and rooms that nobody uses are forgotten."""

import subprocess
import sys

from bench import growth

from ..test_docs import ROOT


def test_what_is_remembered_grows_for_a_lifetime_and_no_longer() -> None:
    weeks: list[growth.Week] = []
    growth.measure(logins=9100, users=10**9, weeks=13, report=weeks.append)
    assert [week.number for week in weeks] == list(range(1, 14))
    rooms = [week.rooms for week in weeks]
    # Hardly any user comes twice, and a room is remembered for 31 days.
    assert rooms[0] < rooms[1] < rooms[2] < rooms[3]
    assert max(rooms) < 6 * rooms[0]
    assert all(week.resident > week.file > 0 < week.notify for week in weeks)


def test_the_command_prints_a_line_a_week() -> None:
    command = [sys.executable, "-m", "bench", "growth", "--logins", "140", "--weeks", "2"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    assert [line.split()[0] for line in run.stdout.splitlines()] == ["week", "1", "2"]
