"""Connections that a client keeps for its next request: sockets or streams."""

import contextlib
import time
from collections import defaultdict, deque
from typing import Final, Generic, TypeVar

import attrs

from .address import Address
from .exchange import Exchange

# Seconds: an idle connection is not used any more. Hubs close theirs after 75, others earlier.
KEEP: Final = 30.0


@attrs.define(eq=False)
class Kept:
    """A connection that can be kept between two requests."""

    address: Address
    exchange: Exchange = attrs.field(factory=Exchange, init=False)
    idle_since: float = attrs.field(default=0, init=False)

    def close(self) -> None:
        """Close it without waiting."""
        raise NotImplementedError

    @property
    def is_young(self) -> bool:
        """Whether it is probably still open at the hub."""
        return time.monotonic() - self.idle_since < KEEP


C = TypeVar("C", bound=Kept)


class Idle(Generic[C]):
    """Connections that wait for their next request. Each step of a deque is one for threads too."""

    def __init__(self) -> None:
        self._waiting: dict[Address, deque[C]] = defaultdict(deque)
        self._is_closed = False

    def close(self) -> None:
        """Close them all, and keep none any more."""
        self._is_closed = True
        self.clear()

    def take(self, address: Address) -> C | None:
        """Return the connection that was used last, if there is one that is not too old."""
        with contextlib.suppress(IndexError):
            while True:
                connection = self._waiting[address].pop()
                if connection.is_young:
                    return connection
                connection.close()
        return None

    def give(self, connection: C) -> None:
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
