"""Connections of the asyncio client, and what it does in the background, in one loop."""

import asyncio
import logging
import os
import time
from collections.abc import Coroutine
from typing import Any

import attrs

from .address import Address
from .base import KEEP
from .calls import Attempt
from .exchange import Answer, Exchange
from .flows import MAX_LATER
from .names import Resolver

logger = logging.getLogger("sse_trio")


@attrs.define(eq=False)
class Connection:
    """A connection, with a request under way or none."""

    address: Address
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    exchange: Exchange = attrs.Factory(Exchange)
    idle_since: float = 0

    async def ask(self, attempt: Attempt) -> Answer:
        """Send a request, and return the whole answer.

        Raises:
            OSError, BadAnswer: there is none.
        """
        self.writer.write(self.exchange.request(self.address, attempt.path, attempt.body))
        await self.writer.drain()
        answer = None
        while answer is None:
            answer = self.exchange.receive(await self.reader.read(65536))
        return answer

    def close(self) -> None:
        """Close it, and wait for nothing."""
        self.writer.transport.abort()


class State:
    """What a client has in one process and loop."""

    def __init__(self, connections: int) -> None:
        self._process = os.getpid()
        self._loop = asyncio.get_running_loop()
        self._idle: list[Connection] = []
        self.places = asyncio.Semaphore(connections)
        self.names = Resolver()
        self.later: dict[asyncio.Task[None], tuple[str, str] | None] = {}

    def is_here(self) -> bool:
        """Whether this is still its process and its loop."""
        return self._process == os.getpid() and self._loop is asyncio.get_running_loop()

    def take(self, address: Address) -> Connection | None:
        """Return the connection that was used last, if there is one that is not too old."""
        old = time.monotonic() - KEEP
        for connection in [kept for kept in self._idle if kept.idle_since < old]:
            self._idle.remove(connection)
            connection.close()
        for connection in reversed(self._idle):
            if connection.address == address:
                self._idle.remove(connection)
                return connection
        return None

    def give(self, connection: Connection) -> None:
        """Keep a connection, or close it if it cannot be used again."""
        if connection.exchange.can_go_on:
            connection.idle_since = time.monotonic()
            self._idle.append(connection)
        else:
            connection.close()

    def clear(self) -> None:
        """Close the connections that are kept."""
        while self._idle:
            self._idle.pop().close()

    def begin(self, work: Coroutine[Any, Any, None], about: tuple[str, str] | None) -> None:
        """Do this in the background: it is about a room and a session."""
        if len(self.later) >= MAX_LATER:
            work.close()
            logger.error("too many logouts wait for the hub: one is given up")
            return
        task = self._loop.create_task(work)
        self.later[task] = about
        task.add_done_callback(self.later.pop)

    def settle(self, about: tuple[str, str]) -> None:
        """Give up what waits for a session that has logged in since."""
        for task, each in self.later.items():
            if each == about:
                task.cancel()
