"""`sse-trio notify`: announces a login, as an application server does."""

import argparse
import sys
from collections.abc import Callable
from typing import Any, TextIO

from .. import strict_json
from ..errors import ConfigError
from . import rest, terminal
from .status import DONE

# Seconds that it waits for bytes from the server. No --wait is longer.
PATIENCE = 30


def add_arguments(add: Callable[..., object]) -> None:
    """Add the options for the notify and the server."""
    text = terminal.text
    add("--room", type=text, required=True, help="the user's room")
    add(
        "--sender",
        type=text,
        help="the session that stays, or - to read it from standard input, where nobody else sees "
        "it; without it, the one that joined last",
    )
    add("--everyone", action="store_true", help="end every session: log out everywhere")
    add("--reason", type=text, help='the reason, for the other pages; "login" if left out')
    add("--id", type=text, help="idempotency: the same id within 10 minutes has one effect")
    add("--wait", type=float, default=0.0, metavar="SECONDS", help="for the others to answer")
    rest.add_arguments(add)


def run(options: argparse.Namespace, stdin: TextIO | None = None) -> int:
    """Announce a login, and print the server's answer."""
    body: dict[str, Any] = {"room": options.room, "wait": options.wait}
    if options.everyone and options.sender is not None:
        raise ConfigError("--everyone and --sender exclude one another")
    if options.everyone:
        body["sender"] = None
    elif options.sender == "-":
        options.sender = _sender(stdin or sys.stdin)
    body |= {
        name: value
        for name in ("sender", "reason", "id")
        if (value := getattr(options, name)) is not None
    }
    answer = rest.post(options, "notify", "/notify", body, timeout=PATIENCE)
    print(terminal.printable(strict_json.dumps(answer)), flush=True)
    return DONE


def _sender(stdin: TextIO | None) -> str:
    found = terminal.lines(stdin)
    if len(found) != 1:
        raise ConfigError("standard input must have one line: the session that stays")
    return found[0]
