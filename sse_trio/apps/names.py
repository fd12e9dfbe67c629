"""Names of hosts, looked up in threads: only so a lookup can be abandoned at a deadline."""

import concurrent.futures
import ipaddress
import socket
import threading
from collections.abc import Callable
from typing import Any

Found = list[tuple[socket.AddressFamily, Any]]
"""Families, and the addresses as `socket.connect` takes them."""

LookUp = Callable[[str, int], Found]


def look_up(host: str, port: int) -> Found:
    """Ask the system, and wait as long as that takes.

    Raises:
        OSError: it has no answer.
    """
    infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(family, where) for family, _, _, _, where in infos]


class Resolver:
    """Looks up names. All calls for one name wait for one thread, even if it hangs for long."""

    def __init__(self, look_up: LookUp = look_up) -> None:
        self._look_up = look_up
        self._lock = threading.Lock()
        self._asked: dict[tuple[str, int], concurrent.futures.Future[Found]] = {}

    def find(self, host: str, port: int) -> "concurrent.futures.Future[Found]":
        """Return the addresses of `host`, in the system's order, when they are known.

        The future raises OSError if there are none.
        """
        future: concurrent.futures.Future[Found] = concurrent.futures.Future()
        if family := _family(host):
            future.set_result([(family, (host, port))])
            return future
        name = host, port
        with self._lock:
            if name in self._asked:
                return self._asked[name]
            self._asked[name] = future
        future.set_running_or_notify_cancel()  # one who gives up does not give up for all
        # A daemon: a lookup that hangs does not keep the program from ending.
        threading.Thread(target=self._answer, args=(name, future), daemon=True).start()
        return future

    def _answer(self, name: tuple[str, int], future: "concurrent.futures.Future[Found]") -> None:
        try:
            found = self._look_up(*name)
        except (OSError, UnicodeError):
            found = []
        with self._lock:
            del self._asked[name]
        if found:
            future.set_result(found)
        else:
            future.set_exception(OSError("its name has no address"))


def _family(host: str) -> socket.AddressFamily | None:
    """Return the family of a literal address; None for a name."""
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        return None
    return socket.AF_INET if version == 4 else socket.AF_INET6
