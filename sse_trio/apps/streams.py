"""Connections of the asyncio client, and what it does in the background, in one loop."""

import asyncio
import logging
import os
from collections.abc import Coroutine
from typing import Any

import attrs

from .calls import Attempt
from .exchange import Answer
from .flows import MAX_LATER
from .idle import Idle, Kept
from .names import Resolver

logger = logging.getLogger("sse_trio")


@attrs.define(eq=False)
class Connection(Kept):
    """A pair of streams, with or without a request under way."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

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
        """Close it without waiting."""
        self.writer.transport.abort()


class State:
    """What a client has in one process and loop."""

    def __init__(self, connections: int) -> None:
        self._process = os.getpid()
        self._loop = asyncio.get_running_loop()
        self.idle = Idle[Connection]()
        self.places = asyncio.Semaphore(connections)
        self.names = Resolver()
        self.later: dict[asyncio.Task[None], tuple[str, str] | None] = {}

    def is_here(self) -> bool:
        """Whether this is still its process and its loop."""
        return self._process == os.getpid() and self._loop is asyncio.get_running_loop()

    def begin(self, work: Coroutine[Any, Any, None], about: tuple[str, str] | None) -> None:
        """Do this in the background: it is about a room and a session."""
        if len(self.later) >= MAX_LATER:
            work.close()
            logger.error("too many logouts wait for the hub: one was dropped")
            return
        task = self._loop.create_task(work)
        self.later[task] = about
        task.add_done_callback(self.later.pop)

    def settle(self, about: tuple[str, str]) -> None:
        """Drop what waits for a session that has logged in since."""
        for task, each in self.later.items():
            if each == about:
                task.cancel()
