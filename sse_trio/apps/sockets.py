"""Connections of the synchronous client: opened in time, and used."""

import concurrent.futures
import socket
import ssl
import time
from collections.abc import Sequence
from typing import Any

import attrs

from .address import Address
from .calls import Attempt
from .exchange import Answer
from .idle import Kept
from .names import Resolver


def connect(
    address: Address, names: Resolver, tls: ssl.SSLContext | None, deadline: float
) -> "Connection":
    """Open a connection.

    Raises:
        OSError: there is none; TimeoutError at the deadline.
    """
    if address.unix:
        return Connection(address, _connected(socket.AF_UNIX, address.unix, deadline))
    try:
        found = names.find(address.host, address.port).result(_left(deadline))
    except concurrent.futures.TimeoutError:
        raise TimeoutError from None
    sock = _first(found, deadline)
    try:
        if address.is_tls:
            assert tls is not None
            sock.settimeout(_left(deadline))  # of the whole handshake
            sock = tls.wrap_socket(sock, server_hostname=address.host)
    except BaseException:
        sock.close()
        raise
    return Connection(address, sock)


def why_of(error: Exception) -> str:
    """Describe what was wrong with a connection, without names or addresses."""
    if isinstance(error, TimeoutError):
        return "it took too long"
    return str(getattr(error, "strerror", None) or error) or type(error).__name__


def _left(deadline: float) -> float:
    """Return the seconds until the deadline.

    Raises:
        TimeoutError: it has passed.
    """
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds


def _connected(family: int, where: Any, deadline: float) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.settimeout(_left(deadline))
        sock.connect(where)
    except BaseException:
        sock.close()
        raise
    return sock


def _first(found: Sequence[tuple[int, Any]], deadline: float) -> socket.socket:
    """Connect to the first address that accepts; each has its share of the time."""
    for left, (family, where) in zip(range(len(found), 0, -1), found, strict=True):
        try:
            share = time.monotonic() + _left(deadline) / left
            return _connected(family, where, share)
        except OSError:
            if left == 1:
                raise
    raise AssertionError("there is at least one address")


@attrs.define(eq=False)
class Connection(Kept):
    """A socket, with or without a request under way."""

    sock: socket.socket

    def close(self) -> None:
        """Close it."""
        self.sock.close()

    def ask(self, attempt: Attempt) -> Answer:
        """Send a request, and return the whole answer.

        Raises:
            OSError, BadAnswer: there is none; TimeoutError at the deadline.
        """
        data = memoryview(self.exchange.request(self.address, attempt.path, attempt.body))
        while data:
            self.sock.settimeout(_left(attempt.deadline))
            data = data[self.sock.send(data) :]
        answer = None
        while answer is None:
            self.sock.settimeout(_left(attempt.deadline))
            answer = self.exchange.receive(self.sock.recv(65536))
        return answer
