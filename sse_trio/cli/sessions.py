"""`sse-trio sessions`: the active sessions of a room. Their ids are secret, and not shown."""

import argparse
from collections.abc import Callable
from datetime import datetime
from typing import Any

from .. import strict_json
from ..roster import fingerprint
from . import rest, terminal
from .status import DONE


def add_arguments(add: Callable[..., object]) -> None:
    """Add the options for the room and the server."""
    add("room", type=terminal.text, help="the user's room")
    rest.add_arguments(add)


def run(options: argparse.Namespace) -> int:
    """Print a line for each."""
    sessions = standing(options)
    with rest.reading_untrusted():
        for session in sessions:
            print(terminal.printable(_line(session)))
    return DONE


def standing(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the active sessions, as the server describes them."""
    members = {"room": options.room}
    answer = rest.post(options, "ask", "/sessions", members)
    with rest.reading_untrusted():
        sessions: list[dict[str, Any]] = answer["sessions"]
    return sessions


def _line(session: dict[str, Any]) -> str:
    seen = "connected" if session["connected"] else f"seen {_time(session['seen'])}"
    about = strict_json.dumps(session["about"]) if session["about"] else ""
    columns = (fingerprint(session["session"]), f"since {_time(session['since'])}", seen, about)
    return "  ".join(columns).rstrip()


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().isoformat(" ", "seconds")
