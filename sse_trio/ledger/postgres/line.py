"""One connection to the database, on Trio's own loop, which is made again when it is lost.

A thread connects; from then on, no call waits for a thread. If a call fails, takes too long or is
cancelled, its connection is closed, and the next call makes another. So no state has to be
repaired. A statement that has begun at the database continues there.

libpq's rules for a connection that does not block:
https://www.postgresql.org/docs/current/libpq-async.html
"""

import contextlib
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any, LiteralString

import psycopg
import trio
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult

from ..cluster.engine import EngineError
from .connection import Connection, connect, failure, translated

# The types of a statement's parameters: other values are passed as JSON.
Value = str | float | bool | bytes | None


class _Attempt:
    """A connection that a thread makes; its caller may have been cancelled meanwhile."""

    def __init__(self, make: Callable[[], Connection]) -> None:
        self._make = make
        self._made: Connection | None = None
        self._is_given_up = False
        self._mutex = threading.Lock()

    async def made(self) -> Connection:
        """Make it; if cancelled, abandon it."""
        try:
            # Its own thread: if it hangs, it delays no other call.
            await trio.to_thread.run_sync(
                self._run, abandon_on_cancel=True, limiter=trio.CapacityLimiter(1)
            )
        except BaseException:
            with self._mutex:
                self._is_given_up = True
                if self._made is not None:
                    self._made.close()
            raise
        assert self._made is not None
        return self._made

    def _run(self) -> None:
        connection = self._make()
        with self._mutex:
            if self._is_given_up:
                connection.close()
            else:
                self._made = connection


class Line:
    """A connection for calls of one kind, one at a time.

    `begin` prepares each connection: it blocks, in the thread that has made the connection.
    """

    def __init__(
        self,
        parameters: Mapping[str, str],
        begin: Callable[[Connection], object] = lambda _: None,
    ) -> None:
        self.own = ""
        """The payloads of this node's own notifications, which it ignores."""
        self._parameters = parameters
        self._begin = begin
        self._lock = trio.Lock()
        self._connection: Connection | None = None
        self._open = trio.Event()
        # Whether a notification has come that no call has returned yet.
        self._has_news = False
        self._waiting: trio.CancelScope | None = None
        # The number of calls that run, or wait for their turn.
        self._calls = 0

    async def call(self, statement: LiteralString, *parameters: Value, patience: float) -> Any:
        """Execute a statement; return its result, which is one value in JSON, or None.

        Raises:
            EngineError, Expelled, ValueError: see `Engine`.
        """
        async with self._turn(patience) as connection:
            await self._send(connection, statement, parameters)
            return _value(await self._result(connection))

    async def post(self, statement: LiteralString, *parameters: Value, patience: float) -> None:
        """Send a statement without waiting for its result."""
        with contextlib.suppress(EngineError):
            async with self._turn(patience) as connection:
                await self._send(connection, statement, parameters)

    @contextlib.asynccontextmanager
    async def _turn(self, patience: float) -> AsyncIterator[Connection]:
        """Use the connection alone, when no posted statement is on its way."""
        self._calls += 1
        if self._waiting is not None:
            self._waiting.cancel()
        try:
            async with self._lock, self._connected(patience) as connection:
                await self._result(connection)
                yield connection
        finally:
            self._calls -= 1

    @contextlib.asynccontextmanager
    async def _connected(self, patience: float) -> AsyncIterator[Connection]:
        """Use a connection for a block; it is closed if the block fails."""
        try:
            with trio.fail_after(patience):
                if self._connection is None:
                    self._connection = await _Attempt(self._connect).made()
                    self._open.set()
                yield self._connection
        except BaseException as error:
            self.drop()
            if isinstance(error, psycopg.Error):
                raise translated(error) from None
            if isinstance(error, trio.TooSlowError):
                raise EngineError("the database takes too long") from None
            if isinstance(error, trio.ClosedResourceError):
                raise EngineError("the connection was closed") from None
            raise

    def _connect(self) -> Connection:
        connection = connect(self._parameters)
        try:
            self._begin(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    async def _send(
        self, connection: Connection, statement: LiteralString, parameters: Iterable[Value]
    ) -> None:
        pgconn = connection.pgconn
        pgconn.send_query_params(statement.encode(), [_text(each) for each in parameters])
        # The database reads all of it before it answers, so one wait is enough.
        while pgconn.flush():
            await trio.lowlevel.wait_writable(connection)

    async def _result(self, connection: Connection) -> PGresult | None:
        """Return the result of the last statement, None if it has been read already."""
        pgconn = connection.pgconn
        last = None
        while True:
            while pgconn.is_busy():
                await trio.lowlevel.wait_readable(connection)
                pgconn.consume_input()
            result = pgconn.get_result()
            if result is None:
                self._hear(connection)
                return last
            last = result

    def _hear(self, connection: Connection) -> None:
        """Take the notifications that have arrived."""
        while notification := connection.pgconn.notifies():
            self._has_news = self._has_news or notification.extra != self.own.encode()

    async def heard(self) -> None:
        """Return when there is a notification, or the connection is lost; never without either."""
        while True:
            await self._open.wait()
            async with self._lock:
                connection = self._connection
                if connection is None:
                    continue
                try:
                    # Otherwise a new call would wait until there is a notification.
                    if not self._has_news and not self._calls:
                        await self._wait(connection)
                    connection.pgconn.consume_input()
                    self._hear(connection)
                except (psycopg.Error, trio.ClosedResourceError):
                    self.drop()
                    return
                if self._has_news:
                    self._has_news = False
                    return

    async def _wait(self, connection: Connection) -> None:
        """Wait until data arrives, or there is a call to make."""
        with trio.CancelScope() as self._waiting:
            try:
                await trio.lowlevel.wait_readable(connection)
            finally:
                self._waiting = None

    def drop(self) -> None:
        """Close the connection; the next call makes another one."""
        if self._connection is not None:
            if not self._connection.closed:
                trio.lowlevel.notify_closing(self._connection)
            self._connection.close()
            self._connection = None
            self._open = trio.Event()
            self._has_news = False


def _text(value: Value) -> bytes | None:
    """Return a parameter as PostgreSQL reads it."""
    if value is None:
        return None
    if isinstance(value, bytes):
        return b"\\x" + value.hex().encode()
    text = str(value)
    if "\0" in text:
        raise EngineError("text with U+0000 cannot be stored")  # libpq would end it there
    return text.encode()


def _value(result: PGresult | None) -> Any:
    assert result is not None
    if result.status not in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK):
        raise failure(result)
    if not result.ntuples or not result.nfields:
        return None
    value = result.get_value(0, 0)
    return None if value is None else json.loads(value)
