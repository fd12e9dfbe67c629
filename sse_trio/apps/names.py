"""Names of hosts, looked up in threads: nothing else can give a lookup up at a deadline."""

import concurrent.futures
import ipaddress
import socket
import threading
from typing import Any, Final

Found = list[tuple[socket.AddressFamily, Any]]
"""Families, and the addresses as `socket.connect` takes them."""

_STREAM: Final = socket.SOCK_STREAM


class Resolver:
    """Looks names up. All who wait for one name wait for one thread, however long it hangs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked: dict[tuple[str, int], concurrent.futures.Future[Found]] = {}

    def find(self, host: str, port: int) -> "concurrent.futures.Future[Found]":
        """Return the addresses of `host`, in the system's order, when they are known.

        The future raises OSError where there are none.
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
        threading.Thread(target=self._look_up, args=(name, future), daemon=True).start()
        return future

    def _look_up(self, name: tuple[str, int], future: "concurrent.futures.Future[Found]") -> None:
        try:
            found: Found = [
                (family, address)
                for family, _, _, _, address in socket.getaddrinfo(*name, type=_STREAM)
            ]
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
