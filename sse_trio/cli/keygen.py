"""`sse-trio keygen`."""

import argparse
import secrets
from collections.abc import Callable

from .status import DONE


def add_arguments(_: Callable[..., object]) -> None:
    """Add none."""


def run(_: argparse.Namespace) -> int:
    """Print a new authkey, of 256 bits."""
    print(secrets.token_urlsafe(32), flush=True)
    return DONE
