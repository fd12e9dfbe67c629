"""`sse-trio ledger copy`: from a file into a database, or back, while no server uses either."""

import argparse
import sys
from collections.abc import Callable, Mapping

from ..errors import ConfigError
from ..ledger.copying import copy, opened
from ..ledger_url import MEMORY, may_hold_password, to_ledger, without_secrets
from . import terminal
from .status import DONE


def add_arguments(add: Callable[..., object]) -> None:
    """Add the action and the two ledgers."""
    like = "sqlite:///file or postgresql://user@host/database"
    add("action", choices=["copy"])
    add("source", metavar="FROM", type=terminal.text, help=like)
    add("target", metavar="TO", type=terminal.text, help="an empty one, which is made")


def run(options: argparse.Namespace) -> int:
    """Copy, and print what was copied."""
    urls = [_url(each) for each in (options.source, options.target)]
    progress = _show if sys.stderr.isatty() else _show_nothing
    try:
        with (
            opened(urls[0], is_target=False) as source,
            opened(urls[1], is_target=True) as target,
        ):
            copied = copy(source, target, progress)
    finally:
        progress("", 0)
    shown = terminal.printable(" to ".join(map(without_secrets, urls)))
    print(f"copied {_counted(copied)} from {shown}")
    return DONE


def _url(text: str) -> str:
    if may_hold_password(text):
        raise ConfigError(
            "all users of the machine can read arguments: put the password into PGPASSWORD, "
            "~/.pgpass or a service"
        )
    ledger = to_ledger(text)
    if ledger == MEMORY:
        raise ConfigError("memory: cannot be copied")
    return ledger


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in counts.items())


def _show(kind: str, count: int) -> None:
    """Show the progress on a terminal; without a kind, clear that line."""
    text = f"{count} {kind}" if kind else ""
    print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def _show_nothing(kind: str, count: int) -> None:
    """Do nothing: the output is not a terminal."""
