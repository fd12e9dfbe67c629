import json
import logging
import sys

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
