import json
import logging
import subprocess
import sys

import pytest

from sse_trio import logs


def record(message: str, *arguments: object, failed: bool = False) -> logging.LogRecord:
    exc_info = sys.exc_info() if failed else None
    return logging.LogRecord("sse_trio", logging.WARNING, __file__, 1, message, arguments, exc_info)


def test_text() -> None:
    line = logs.formatter("text").format(record("%s has %d", "ä", 2))
    assert line.endswith(" WARNING sse_trio: ä has 2")


def test_json_is_one_object_on_one_line() -> None:
    line = logs.formatter("json").format(record("two\nlines and a %s", 'quote"'))
    assert "\n" not in line
    told = json.loads(line)
    assert told.pop("time")[10] == "T"
    assert told == {
        "level": "warning",
        "logger": "sse_trio",
        "message": 'two\nlines and a quote"',
    }


def test_json_of_a_failure() -> None:
    try:
        raise ZeroDivisionError("no")
    except ZeroDivisionError:
        line = logs.formatter("json").format(record("it failed", failed=True))
    assert "\n" not in line
    assert json.loads(line)["exception"].endswith("ZeroDivisionError: no")


LOG = """
import logging, sys
from sse_trio import logs
logs.set_up(sys.argv[1], "text")
for name in ("sse_trio", "other"):
    for level in ("debug", "info", "warning", "error"):
        getattr(logging.getLogger(name), level)("said")
"""


@pytest.mark.parametrize(
    ("level", "ours", "others"),
    [("debug", 4, 2), ("info", 3, 2), ("warning", 2, 2), ("error", 1, 1)],
)
def test_the_level_is_for_our_own_lines(level: str, ours: int, others: int) -> None:
    """In a process of its own, because logging is set up once for all of it."""
    run = subprocess.run(
        [sys.executable, "-c", LOG, level], capture_output=True, text=True, check=True
    )
    lines = run.stderr.splitlines()
    assert sum(" sse_trio: " in line for line in lines) == ours
    assert sum(" other: " in line for line in lines) == others
