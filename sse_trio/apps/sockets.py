"""Connections of the synchronous client: opened in time, used, and kept for the next request."""

import collections
import concurrent.futures
import contextlib
import socket
import ssl
import time
from collections.abc import Sequence
from typing import Any

import attrs

from .address import Address
from .base import KEEP
from .calls import Attempt
from .exchange import Answer, Exchange
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
    """Say what was wrong with a connection, in words that name nobody."""
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
    """Connect to the first address that takes it; each has its share of the time."""
    for left, (family, where) in zip(range(len(found), 0, -1), found, strict=True):
        try:
            share = time.monotonic() + _left(deadline) / left
            return _connected(family, where, share)
        except OSError:
            if left == 1:
                raise
    raise AssertionError("there is at least one address")


@attrs.define(eq=False)
class Connection:
    """A connection, with a request under way or none."""

    address: Address
    sock: socket.socket
    exchange: Exchange = attrs.Factory(Exchange)
    idle_since: float = 0

    def close(self) -> None:
        """Close it."""
        self.sock.close()

    @property
    def is_young(self) -> bool:
        """Whether the hub has probably not closed it."""
        return time.monotonic() - self.idle_since < KEEP

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


class Idle:
    """Connections that wait for their next request. Each step of a deque is one for threads too."""

    def __init__(self) -> None:
        self._waiting: dict[Address, collections.deque[Connection]] = collections.defaultdict(
            collections.deque
        )
        self._is_closed = False

    def __del__(self) -> None:
        self.clear()

    def close(self) -> None:
        """Close them all, and keep none any more."""
        self._is_closed = True
        self.clear()

    def take(self, address: Address) -> Connection | None:
        """Return the connection that was used last, if there is one that is not too old."""
        with contextlib.suppress(IndexError):
            while True:
                connection = self._waiting[address].pop()
                if connection.is_young:
                    return connection
                connection.close()
        return None

    def give(self, connection: Connection) -> None:
        """Keep a connection, or close it if it cannot be used again."""
        if self._is_closed or not connection.exchange.can_go_on:
            connection.close()
            return
        connection.idle_since = time.monotonic()
        waiting = self._waiting[connection.address]
        waiting.append(connection)
        with contextlib.suppress(IndexError):
            oldest = waiting.popleft()
            if oldest.is_young:
                waiting.appendleft(oldest)
            else:
                oldest.close()

    def clear(self) -> None:
        """Close them all."""
        for waiting in list(self._waiting.values()):
            with contextlib.suppress(IndexError):
                while True:
                    waiting.pop().close()
