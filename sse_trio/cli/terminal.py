"""Arguments and output of the commands, safe for a terminal."""

import argparse
import json
import sys
from collections.abc import Iterator
from typing import Any, TextIO

from ..errors import ConfigError


def complain(errors: BaseExceptionGroup[Any]) -> None:
    """Print one line for each error."""
    for error in _leaves(errors):
        text = str(getattr(error, "strerror", None) or error)
        print(f"sse-trio: {printable(text.strip())}", file=sys.stderr)


def _leaves(errors: BaseExceptionGroup[Any]) -> Iterator[BaseException]:
    for error in errors.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def printable(text: str) -> str:
    """Return text from outside, safe for a terminal: unprintable characters are escaped.

    They, and line ends, are escaped as in a JSON string. JSON without line ends is unchanged.
    """
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


def text(argument: str) -> str:
    """Accept an argument that is UTF-8."""
    try:
        argument.encode()
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError("it is not UTF-8") from None
    return argument


def lines(stream: TextIO | None) -> list[str]:
    """Return the lines that are not blank, without what ends them.

    Raises:
        ConfigError: they are not UTF-8, or there is no stream: it was closed (``<&-``).
    """
    if stream is None:
        raise ConfigError("standard input is closed")
    try:
        found = stream.read()
        found.encode()
    except UnicodeError:
        # The error quotes them, and they may be secrets.
        raise ConfigError("standard input must be UTF-8") from None
    return [line.strip() for line in found.split("\n") if line.strip()]
