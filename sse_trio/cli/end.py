"""`sse-trio end`: logs out devices of a user, by the fingerprints that `sessions` shows."""

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TextIO

from ..errors import ConfigError, SseTrioError
from ..roster import fingerprint
from . import rest, sessions, terminal
from .status import DONE

# Digits of a fingerprint that are needed: fewer could match another session by chance.
SHORTEST = 4


def add_arguments(add: Callable[..., object]) -> None:
    """Add the options for the room, the sessions and the server."""
    add("room", type=terminal.text, help="the user's room")
    add(
        "fingerprints",
        nargs="+",
        metavar="SESSION",
        help="as `sse-trio sessions` shows it, or its beginning; - reads ids from standard input",
    )
    add("--reason", type=terminal.text, help='the reason, for their pages; "logout" if left out')
    rest.add_arguments(add)


def run(options: argparse.Namespace, stdin: TextIO | None = None) -> int:
    """End the sessions, if all of them are found."""
    wanted = list(_wanted(options.fingerprints, stdin or sys.stdin))
    standing = sessions.standing(options)
    with rest.reading_untrusted():
        chosen = [_find(standing, each) for each in wanted]
    for session in chosen:
        members = {name: session[name] for name in ("session", "epoch")} | {"room": options.room}
        if options.reason is not None:
            members["reason"] = options.reason
        answer = rest.post(options, "end a session at", "/release", members)
        with rest.reading_untrusted():
            pages = int(answer["terminated"])
        print(f"{fingerprint(session['session'])}  ended; connected pages: {pages}")
    return DONE


def _wanted(arguments: Iterable[str], stdin: TextIO | None) -> Iterator[str]:
    for argument in arguments:
        if argument == "-":
            yield from map(fingerprint, terminal.lines(stdin))
        elif len(argument) < SHORTEST:
            raise ConfigError(f"SESSION must have {SHORTEST} digits or more")
        else:
            yield argument.lower()


def _find(standing: list[dict[str, Any]], wanted: str) -> dict[str, Any]:
    found = [each for each in standing if fingerprint(each["session"]).startswith(wanted)]
    if len(found) != 1:
        some = "more than one session has" if found else "no session has"
        # The argument is not quoted: it may be the id of a session, which is a secret.
        raise SseTrioError(f"{some} this name; nothing has ended")
    return found[0]
