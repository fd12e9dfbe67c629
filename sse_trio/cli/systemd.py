"""Messages between systemd and its service, by the variables that systemd sets.

The service reports its state (sd_notify(3)), and uses listening sockets that systemd has opened for
it (sd_listen_fds(3)). Without systemd both do nothing.
"""

import contextlib
import logging
import os
import socket
import time
from collections.abc import Callable, Mapping
from typing import Final

from ..errors import ConfigError

logger = logging.getLogger("sse_trio")

READY: Final = "READY=1"
STOPPING: Final = "STOPPING=1"

# The first descriptor that systemd passes: SD_LISTEN_FDS_START.
_FIRST = 3

# Seconds that systemd has to take a state; nothing else is done meanwhile.
_PATIENCE = 1


def reloading(clock: Callable[[], int] = time.monotonic_ns) -> str:
    """Return the state that a service sends before it reloads; `READY` must follow."""
    return f"RELOADING=1\nMONOTONIC_USEC={clock() // 1000}"


def tell(
    state: str, environ: Mapping[str, str] = os.environ, *, patience: float = _PATIENCE
) -> None:
    """Send a state to systemd. A failure is logged."""
    path = environ.get("NOTIFY_SOCKET")
    if not path:
        return
    # For a name that is not in the file system, "@" stands for the NUL that it begins with.
    address = f"\0{path[1:]}" if path.startswith("@") else path
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.settimeout(patience)
            manager.sendto(state.encode(), address)
    except OSError as error:
        first, _, _ = state.partition("\n")
        logger.warning("cannot notify systemd of %s: %s", first, error.strerror or error)


def sockets(environ: Mapping[str, str] = os.environ, *, first: int = _FIRST) -> list[socket.socket]:
    """Return the sockets that were passed to this process.

    Raises:
        ConfigError: the environment does not say how many, or one of them is not a socket.
    """
    if environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    count = environ.get("LISTEN_FDS", "")
    if not count.isdecimal():
        raise ConfigError("LISTEN_FDS must be the number of sockets that are passed")
    with contextlib.ExitStack() as stack:
        found = []
        for number in range(first, first + int(count)):
            try:
                found.append(stack.enter_context(socket.socket(fileno=number)))
            except OSError:
                raise ConfigError(f"LISTEN_FDS: descriptor {number} is not a socket") from None
            os.set_inheritable(number, False)
        stack.pop_all()
    return found
