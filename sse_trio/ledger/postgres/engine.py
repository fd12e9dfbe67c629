"""The database, as one node has it.

Three connections: one commits, one reads the log and gets notifications of new entries, and one
reads rooms. So a commit that waits for its standby does not delay reads.
"""

import contextlib
import json
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import Any, LiteralString

import attrs
import psycopg
import trio
from psycopg import sql

from ... import strict_json
from ...errors import LedgerError
from ..cluster.engine import (
    MAX_ENTRIES,
    MAX_ROOMS,
    Batch,
    Committed,
    EngineError,
    Entry,
    Identity,
    Node,
    Poll,
    Registered,
    Told,
)
from ..proposals import Version, Versioned
from ..rows import DAMAGE
from ..sessions import KeyRow, SessionRow, Wanted
from . import tables
from .batches import checked, committed, committing, identity, versioned
from .connection import Connection, connect, words
from .line import Line
from .schema import prepare
from .settings import Settings

# Rows that one call deletes at most, so that each call is short.
_TRIMMED = 10_000

# Seconds for making the schema.
_PREPARING = 60.0

_HINT: LiteralString = "SELECT FROM pg_notify('sse_trio', $1)"
_REGISTER: LiteralString = """
    SELECT json_build_array(
        sse_trio.register($1, $2, $3), sse_trio.identity(), sse_trio.wall()
    )
"""
_POLL: LiteralString = """
    SELECT json_build_array(entries, nodes, told, wall, identity, names, these)
        FROM sse_trio.poll($1, $2, $3, $4, $5)
"""
_READ: LiteralString = "SELECT json_build_array(these, identity) FROM sse_trio.read($1)"
_REPORT: LiteralString = "SELECT FROM sse_trio.report($1, $2, $3)"


class PostgresEngine:
    """Calls of the database's functions; made by :meth:`open`."""

    def __init__(self, settings: Settings, feed: Settings) -> None:
        self._settings = settings
        self._node: str | None = None
        self._writer = Line(settings.parameters(commits=True))
        self._feed = Line(feed.parameters(), self._listen)
        self._reader = Line(settings.parameters())

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls, settings: Settings, *, feed_url: str | None = None
    ) -> AsyncIterator["PostgresEngine"]:
        """Make the schema if there is none, and close the connections at the end.

        Raises:
            LedgerError: the database cannot be used; the message says what to do.
        """
        engine = cls(settings, attrs.evolve(settings, url=feed_url or settings.url))
        await engine._prepare(settings)
        try:
            yield engine
        finally:
            for line in (engine._writer, engine._feed, engine._reader):
                line.drop()

    async def _prepare(self, settings: Settings) -> None:
        def make() -> None:
            with contextlib.closing(connect(settings.parameters())) as connection:
                prepare(connection)

        try:
            with trio.fail_after(_PREPARING):
                await trio.to_thread.run_sync(make, abandon_on_cancel=True)
        except psycopg.Error as error:
            raise LedgerError(f"cannot open the ledger's database: {words(error)}") from None
        except EngineError as error:
            raise LedgerError(f"cannot open the ledger: {error}") from None
        except trio.TooSlowError:
            raise LedgerError("cannot open the ledger's database: it takes too long") from None

    def _listen(self, connection: Connection) -> None:
        """Listen for the hints of other nodes, and for the reports about this node's batches."""
        if "options" not in connection.info.get_parameters():
            return  # the pooler would pass them to the next user of the connection
        channels = ["sse_trio"]
        if self._node is not None:
            channels += (
                connection.execute("SELECT sse_trio.channel(%s)", (self._node,)).fetchone() or ()
            )
        for channel in channels:
            connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))

    async def register(self, node: str, *, address: str, software: str) -> Registered:
        """See `Engine.register`."""
        known, which, wall = await self._ask(self._writer, _REGISTER, node, address, software)
        self._node = node
        # It listens for this node when it is connected again.
        self._feed.own = node
        self._feed.drop()
        return Registered(known, identity(which), wall)

    async def commit(self, batch: Batch) -> Committed:
        """See `Engine.commit`."""
        statement, *parameters = committing(batch)
        row = await self._writer.call(statement, *parameters, patience=self._settings.committing)
        with checked():
            done = committed(batch, row)
        if batch.writes and not done.is_alone:
            # After the commit, and not in it: there a notification would hold a lock that all
            # databases of the server share, until the disk and the standby have the transaction.
            await self._writer.post(_HINT, batch.writer, patience=self._settings.patience)
        return done

    async def poll(
        self, node: str, position: Mapping[str, int], told: Collection[tuple[str, int]]
    ) -> Poll:
        """See `Engine.poll`."""
        known = json.dumps(dict(position))
        entries, nodes, counts, wall, which, names, found = await self._ask(
            self._feed, _POLL, known, json.dumps(list(told)), MAX_ENTRIES, node, MAX_ROOMS
        )
        changed: dict[str, Versioned | None] = {}
        # A room that is damaged is reported by the node that needs it.
        with contextlib.suppress(*DAMAGE):
            changed = {**dict.fromkeys(names or ()), **_rooms(found)}
        return Poll(
            [
                Entry(writer, seq, dict(zip(rooms, epochs, strict=True)))
                for writer, seq, rooms, epochs in entries or ()
            ],
            [Node(*parts) for parts in nodes or ()],
            [Told(*parts) for parts in counts or ()],
            identity(which),
            wall,
            changed,
        )

    async def anchored(self, position: Mapping[str, int]) -> bool:
        """See `Engine.anchored`."""
        known = json.dumps(dict(position))
        question: LiteralString = "SELECT to_json(sse_trio.anchored($1))"
        return bool(await self._ask(self._feed, question, known))

    async def hinted(self) -> None:
        """See `Engine.hinted`. It returns, too, when its connection is lost."""
        await self._feed.heard()

    async def report(self, node: str, applied: Mapping[str, int], told: Sequence[Told]) -> None:
        """See `Engine.report`."""
        counts = strict_json.dumps([attrs.asdict(each) for each in told])
        await self._ask(self._feed, _REPORT, node, json.dumps(dict(applied)), counts)

    async def read(self, rooms: Collection[str]) -> tuple[Mapping[str, Versioned], Identity]:
        """See `Engine.read`."""
        found, which = await self._ask(self._reader, _READ, strict_json.dumps(list(rooms)))
        with checked():
            return _rooms(found), identity(which)

    async def expel(self, node: str, beat: int) -> bool:
        """See `Engine.expel`."""
        change: LiteralString = "SELECT to_json(sse_trio.expel($1, $2))"
        return bool(await self._ask(self._feed, change, node, beat))

    async def set_draining(self, node: str) -> None:
        """See `Engine.set_draining`."""
        change: LiteralString = "UPDATE sse_trio.nodes SET draining = true WHERE node = $1"
        await self._ask(self._writer, change, node)

    async def deregister(self, node: str) -> None:
        """See `Engine.deregister`."""
        await self._ask(self._writer, "DELETE FROM sse_trio.nodes WHERE node = $1", node)

    async def overdue(self, before: float, limit: int) -> Mapping[str, Version]:
        """See `Engine.overdue`."""
        question: LiteralString = "SELECT sse_trio.overdue($1, $2)"
        found = await self._ask(self._reader, question, before, limit)
        return {room: Version(*version) for room, *version in found or ()}

    async def trim(self, before: float) -> None:
        """See `Engine.trim`. If another node does the same at the moment, this does nothing."""
        change: LiteralString = "SELECT to_json(sse_trio.trim($1, $2))"
        while await self._ask(self._reader, change, before, _TRIMMED):
            pass

    async def find_sessions(self, wanted: Wanted) -> tuple[Sequence[SessionRow], Identity]:
        """See `Engine.find_sessions`."""
        found, which = await self._ask(self._reader, *tables.find(wanted))
        with checked():
            return tables.to_rows(found or ()), identity(which)

    async def issuers(self) -> Collection[tuple[str, str]]:
        """See `Engine.issuers`."""
        found = await self._ask(self._reader, tables.ISSUERS)
        return {(provider, app_type) for provider, app_type in found or ()}

    async def see_sessions(self, contacts: Mapping[str, tuple[float, str]]) -> None:
        """See `Engine.see_sessions`."""
        await self._ask(self._reader, tables.SEE, tables.seen(contacts))

    async def read_keys(self) -> tuple[Sequence[KeyRow], Identity]:
        """See `Engine.read_keys`."""
        found, which = await self._ask(self._reader, tables.KEYS)
        with checked():
            return tables.to_keys(found or ()), identity(which)

    async def rotate_keys(self, kid: str, secret: bytes, *, newest: str | None, most: int) -> bool:
        """See `Engine.rotate_keys`."""
        return bool(await self._ask(self._writer, tables.ROTATE, kid, secret, newest, most))

    async def replace_keys(self, kid: str, secret: bytes) -> None:
        """See `Engine.replace_keys`."""
        await self._ask(self._writer, tables.REPLACE, kid, secret)

    async def _ask(self, line: Line, statement: LiteralString, *parameters: Any) -> Any:
        """Return the result of a statement, None if there is none."""
        return await line.call(statement, *parameters, patience=self._settings.patience)


def _rooms(found: Mapping[str, list[Any]] | None) -> Mapping[str, Versioned]:
    """Read rooms; raises one of `DAMAGE`."""
    return {room: versioned(parts) for room, parts in (found or {}).items()}
