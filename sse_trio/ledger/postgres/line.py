"""One connection to the database, in a thread, and again when it is lost.

A connection is used by one thread at a time, or waited for without one. A call that fails, takes
too long or is cancelled throws its connection away, and the next one makes another: so there is
no state that anybody has to repair. What was begun at the database goes on there.
"""

import contextlib
import select
import socket
import threading
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import psycopg
import trio

from ..cluster.engine import EngineError, Expelled

T = TypeVar("T")
Connection = psycopg.Connection[tuple[Any, ...]]

# What the functions of the schema raise.
EXPELLED = "SS001"
USED_BEFORE = "SS002"


class Link:
    """A connection, from before it is made until it is closed.

    Notifications that say `own` are no news.
    """

    def __init__(self, own: str) -> None:
        self.heard = False
        """Whether a notification has come that is news."""
        self._own = own
        # Of its own: a thread that hangs keeps nobody waiting but itself.
        self.limiter = trio.CapacityLimiter(1)
        self._connection: Connection | None = None
        # Its own descriptor of the same socket, so that it is not another's in the meantime.
        self._socket: socket.socket | None = None
        self._posted = False
        self._mutex = threading.Lock()
        self._busy = False
        self._dropped = False

    @property
    def socket(self) -> socket.socket:
        """What becomes readable when there is news."""
        assert self._socket is not None
        return self._socket

    def run(self, connect: Callable[[], Connection], work: Callable[[Connection], T]) -> T:
        """Do some work with the connection, which is made if it is not yet: in a thread."""
        with self._mutex:
            self._busy = True
        try:
            if self._connection is None:
                self._begin(connect())
            assert self._connection is not None
            self._drain(self._connection)
            return work(self._connection)
        except BaseException:
            self._dropped = True
            raise
        finally:
            with self._mutex:
                self._busy = False
                if self._dropped:
                    self._close()

    def _begin(self, connection: Connection) -> None:
        with self._mutex:
            self._connection = connection
            self._socket = socket.socket(fileno=_duplicate(connection))
            if self._dropped:
                raise EngineError("given up")
        connection.add_notify_handler(self._hear)

    def _hear(self, notification: psycopg.Notify) -> None:
        self.heard = self.heard or notification.payload != self._own

    def post(self, statement: bytes) -> None:
        """Send a statement, of which nobody needs to know what comes of it: in a thread."""
        assert self._connection is not None
        self._connection.pgconn.send_query(statement)
        self._connection.pgconn.flush()
        self._posted = True

    def _drain(self, connection: Connection) -> None:
        """Take in what has come of a posted statement."""
        if not self._posted:
            return
        self._posted = False
        pgconn = connection.pgconn
        arrives = select.poll()
        arrives.register(self.socket, select.POLLIN)
        while True:
            # To wait in `get_result` would keep all other threads from running.
            while pgconn.is_busy():
                arrives.poll()
                pgconn.consume_input()
            if pgconn.get_result() is None:
                return

    def listen(self) -> None:
        """Take in what has arrived, without waiting.

        Raises:
            psycopg.Error: the connection is lost.
        """
        assert self._connection is not None
        self._connection.pgconn.consume_input()
        while notification := self._connection.pgconn.notifies():
            self.heard = self.heard or notification.extra != self._own.encode()

    def drop(self) -> None:
        """Close it; a thread that is at it finds it closed."""
        with self._mutex:
            self._dropped = True
            if not self._busy:
                self._close()
            elif self._socket is not None:
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        if self._socket is not None:
            self._socket.close()


class Line:
    """A connection for calls of one kind, one at a time."""

    def __init__(
        self,
        parameters: Mapping[str, str],
        begin: Callable[[Connection], object] = lambda _: None,
    ) -> None:
        self.own = ""
        """What this node's own notifications say: they are no news to it."""
        self._parameters = parameters
        self._begin = begin
        self._lock = trio.Lock()
        self._link: Link | None = None
        self._open = trio.Event()
        self._waiting: trio.CancelScope | None = None
        # Calls that are made, or wait for their turn.
        self._calls = 0

    async def call(
        self, work: Callable[[Connection], T], patience: float, post: bytes | None = None
    ) -> T:
        """Do some work in a thread; if it succeeds, `post` a statement behind it.

        Raises:
            EngineError, Expelled, ValueError: see `Engine`.
        """
        self._calls += 1
        if self._waiting is not None:
            self._waiting.cancel()
        try:
            async with self._lock:
                return await self._call(work, patience, post)
        finally:
            self._calls -= 1

    async def _call(
        self, work: Callable[[Connection], T], patience: float, post: bytes | None
    ) -> T:
        link = self._link = self._link or Link(self.own)

        def run() -> T:
            def do(connection: Connection) -> T:
                result = work(connection)
                if post is not None:
                    link.post(post)
                return result

            return link.run(self._connect, do)

        try:
            with trio.fail_after(patience):
                result = await trio.to_thread.run_sync(
                    run, abandon_on_cancel=True, limiter=link.limiter
                )
        except BaseException as error:
            self.drop()
            if isinstance(error, psycopg.Error):
                raise _translated(error) from None
            if isinstance(error, trio.TooSlowError):
                raise EngineError("the database takes too long") from None
            raise
        self._open.set()
        return result

    def _connect(self) -> Connection:
        connection = connect(self._parameters)
        try:
            self._begin(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    async def heard(self) -> None:
        """Return when there is news, or the connection is lost; never as long as there is none."""
        while True:
            await self._open.wait()
            async with self._lock:
                link = self._link
                if link is None:
                    continue
                try:
                    # Whoever comes now with a call would wait for as long as there is no news.
                    if not link.heard and not self._calls:
                        await self._wait(link)
                    link.listen()
                except psycopg.Error:
                    self.drop()
                    return
                if link.heard:
                    link.heard = False
                    return

    async def _wait(self, link: Link) -> None:
        """Wait until something arrives, or somebody has a call to make."""
        with trio.CancelScope() as self._waiting:
            try:
                await trio.lowlevel.wait_readable(link.socket)
            finally:
                self._waiting = None

    def drop(self) -> None:
        """Close the connection; the next call makes another one."""
        if self._link is not None:
            self._link.drop()
            self._link = None
            self._open = trio.Event()


def connect(parameters: Mapping[str, str]) -> Connection:
    """Connect to a server that can be written to: in a thread.

    Raises:
        psycopg.Error: that was not possible.
        EngineError: it is a standby.
    """
    try:
        connection = _connect(parameters)
    except psycopg.OperationalError as error:
        # A pooler takes no options that hold longer than a transaction, and says so.
        if "unsupported startup parameter" not in str(error):
            raise
        connection = _connect({k: v for k, v in parameters.items() if k != "options"})
    try:
        row = connection.execute("SELECT pg_is_in_recovery()").fetchone()
        if row != (False,):
            raise EngineError("the database is a standby: name all hosts, and read-write")
    except BaseException:
        connection.close()
        raise
    return connection


def _connect(parameters: Mapping[str, str]) -> Connection:
    # Prepared statements do not get through every pooler, and the functions keep their own plans.
    arguments: dict[str, Any] = dict(parameters)
    return psycopg.connect(**arguments, autocommit=True, prepare_threshold=None)


def words(error: psycopg.Error) -> str:
    """Say what is wrong, without what is stored."""
    if error.diag.message_primary is not None:
        return f"{error.diag.message_primary} ({error.sqlstate})"
    # libpq's own words, of a connection: they name the host and the user.
    return " ".join(str(error).split()) or type(error).__name__


def _translated(error: psycopg.Error) -> Exception:
    if error.sqlstate == EXPELLED:
        return Expelled()
    if error.sqlstate == USED_BEFORE:
        return ValueError("the name of a node was used before")
    return EngineError(words(error))


def _duplicate(connection: Connection) -> int:
    return socket.dup(connection.fileno())
