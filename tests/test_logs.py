import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator

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
logging.getLogger("sse_trio.audit").info("decided")
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


def read_until(read: int, end: str, text: str = "") -> str:
    """Read more of `text` until it ends so."""
    while not text.endswith(end):
        text += os.read(read, 1 << 20).decode()
    return text


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    read, write = os.pipe()
    yield read, write
    os.close(write)
    os.close(read)


def test_what_is_logged_is_written(pipe: tuple[int, int]) -> None:
    handler = logs.Handler(pipe[1])
    for number in range(3):
        handler.handle(record("number %d, \ud800", number))
    text = read_until(pipe[0], "number 2, \\ud800\n")
    assert text.splitlines() == [f"number {number}, \\ud800" for number in range(3)]


def test_nobody_waits_for_whoever_does_not_read(pipe: tuple[int, int]) -> None:
    """Lines are lost, and how many is said when somebody reads again."""
    read, write = pipe
    handler = logs.Handler(write, waiting=10)
    long = "x" * 10_000
    for _ in range(100):
        handler.handle(record(long))
    text = ""
    while text.count("\n") < 10:
        text += os.read(read, 1 << 20).decode()
    handler.handle(record("again"))
    lines = read_until(read, "again\n", text).splitlines()
    said = "lines of the log were lost, because nobody read them: "
    lost = [int(line.removeprefix(said)) for line in lines if line.startswith(said)]
    assert sum(lost) > 50
    assert lines.count(long) + sum(lost) == 100


def test_the_end_waits_for_the_lines(pipe: tuple[int, int]) -> None:
    handler = logs.Handler(pipe[1])
    handler.handle(record("last"))
    handler.flush()
    assert os.read(pipe[0], 1 << 20) == b"last\n"
