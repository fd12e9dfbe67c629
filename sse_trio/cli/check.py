"""`sse-trio check`: whether sessions are active.

Tokens and ids of sessions are secrets, so they come on standard input.
"""

import argparse
import sys
from collections.abc import Callable
from typing import Any, TextIO

from .. import strict_json
from ..errors import ConfigError
from ..roster import fingerprint
from . import rest, terminal
from .status import DONE, FAILED


def add_arguments(add: Callable[..., object]) -> None:
    """Add the options for the room and the server."""
    add("--room", type=terminal.text, help="standard input has ids of this room's sessions")
    rest.add_arguments(add)


def run(options: argparse.Namespace, stdin: TextIO | None = None) -> int:
    """Print a line for each session; the status is 0 if all of them are active."""
    lines = terminal.lines(stdin or sys.stdin)
    if not lines:
        raise ConfigError("standard input must have a token, or with --room an id, on each line")
    queries: list[dict[str, Any]] = [
        {"token": line} if options.room is None else {"room": options.room, "session": line}
        for line in lines
    ]
    answer = rest.post(options, "ask", "/check", {"checks": queries})
    with rest.reading_untrusted():
        verdicts = answer["checks"]
        for verdict in verdicts:
            if "session" in verdict:
                verdict["session"] = fingerprint(verdict["session"])
            print(terminal.printable(strict_json.dumps(verdict)))
        stand = [verdict["active"] is True for verdict in verdicts]
    return DONE if all(stand) and len(stand) == len(lines) else FAILED
