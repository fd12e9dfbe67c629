"""`sse-trio health`: for the health checks of containers, so it starts fast."""

import argparse
import http
from collections.abc import Callable

from ..errors import SseTrioError
from . import rest
from .status import DONE

# Seconds that the server has to answer.
PATIENCE = 2


def add_arguments(add: Callable[..., object]) -> None:
    """Add the options that say which server to ask."""
    rest.add_arguments(add)


def run(options: argparse.Namespace) -> int:
    """Ask whether the server is ready."""
    server = rest.server_of(options, rest.configured(options), timeout=PATIENCE)
    status, answer = server.ask("reach", "GET", "/readyz")
    if status != http.HTTPStatus.OK:
        said = answer[:200].decode(errors="replace").strip()
        raise SseTrioError(f"{server.url} is not ready: {status} {said}")
    return DONE
