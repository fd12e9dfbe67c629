"""`sse-trio top`: a server's counts and decisions, in a terminal."""

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial

from ..errors import ConfigError, SseTrioError
from . import rest
from .status import DONE

# Seconds between two frames.
INTERVAL = 2.0
SHORTEST, LONGEST = 0.5, 3600.0


def _interval(argument: str) -> float:
    seconds = float(argument)
    if not SHORTEST <= seconds <= LONGEST:
        raise argparse.ArgumentTypeError(f"it must be from {SHORTEST:g} to {LONGEST:g}")
    return seconds


def add_arguments(add: Callable[..., object]) -> None:
    """Add the options for the interval and the server."""
    add(
        "--interval",
        type=_interval,
        default=INTERVAL,
        metavar="SECONDS",
        help="between two frames (%(default)g)",
    )
    add("--once", action="store_true", help="print one frame, and end; needs no terminal")
    rest.add_arguments(add)


def run(options: argparse.Namespace) -> int:
    """Show frames until Ctrl-C, or one frame."""
    try:
        from rich.console import Console

        from .screen import Screen, show
    except ModuleNotFoundError:
        raise SseTrioError(
            "`sse-trio top` needs rich: python -m pip install 'sse-trio[top]', or '.[top]' in a "
            "checkout"
        ) from None
    client = rest.client_of(options)
    screen = Screen(client.server.url, partial(client.post, "ask"))
    console = Console(file=sys.stdout, highlight=False)
    if options.once:
        console.print(screen.look())
    elif console.is_terminal:
        show(screen, console, lambda: time.sleep(options.interval))
    else:
        raise ConfigError("standard output is not a terminal: --once prints a single frame")
    return DONE
