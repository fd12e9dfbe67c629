"""The paths at which the hub answers: its own, and those that the configuration chooses."""

from typing import Final

PAGES: Final = ("/", "/client.js", "/healthz", "/readyz", "/metrics", "/openapi.json")

OPERATOR: Final = ("/operator", "/operator.js", "/operator.css")
"""The operator's page and its files. The internal listener has the page at ``/``."""

WITH_KEY: Final = ("/notify", "/release", "/check", "/sessions", "/statistics", "/decisions")

_OWN: Final = frozenset({*PAGES, *OPERATOR, *WITH_KEY, "/ws", "/events"})

# The names by which the original server has its client.
_SCRIPTS: Final = ("socket.io.js", "socket.io.min.js")


def is_own(path: str) -> bool:
    """Whether the hub has something at this path, whatever its configuration."""
    return path in _OWN or is_verify(path)


def is_verify(path: str) -> bool:
    """Whether a path is ``/verify`` or below it: some proxies append the path of the request."""
    return path == "/verify" or path.startswith("/verify/")


def of_socketio(socketio_path: str) -> tuple[str, str]:
    """Return where clients of Socket.IO connect; some leave the last slash out."""
    return socketio_path, socketio_path[:-1]


def of_scripts(socketio_path: str) -> tuple[str, ...]:
    """Return where their client's file is."""
    return tuple(f"{socketio_path}{name}" for name in _SCRIPTS)
