"""What a statement costs the database where there is much: by its plan, and by what it reads."""

import json
from collections.abc import Iterator
from typing import Any, LiteralString

import attrs
import psycopg
import pytest

from sse_trio.ledger.postgres.schema import prepare
from sse_trio.ledger.postgres.tables import find
from sse_trio.ledger.sessions import OfRoom, OfUser, Older, Session, SignedByOthers, Wanted

from ...postgres import Server

DATABASE = "plans"

# Sessions that there are, and pages of 8 KiB that may be read to find none of them or one: their
# table has some 200.
SESSIONS = 10_000
PAGES = 60


@pytest.fixture(scope="module")
def connection(postgres: Server) -> Iterator[psycopg.Connection[Any]]:
    """A database with many sessions, which one of two keys has signed."""
    postgres.create(DATABASE)
    with postgres.connect(DATABASE) as connection:
        prepare(connection)
        connection.execute("INSERT INTO sse_trio.keys VALUES ('k0', '', 1), ('k1', '', 2)")
        connection.execute(
            """
            INSERT INTO sse_trio.sessions (
                id, "user", name, provider, room, kind, app_type, epoch, created, seen, kid,
                user_agent, address
            )
            SELECT 's' || n, 'u' || n, 'Ada', 'Users', 'r' || n, 'session', 'web', 1, 1e9 + n,
                1e9 + n, 'k' || mod(n, 2), '', '' FROM generate_series(1, %s) n
            """,
            (SESSIONS,),
        )
        connection.execute(
            """
            INSERT INTO sse_trio.rooms (room, count, writer, seq, touched, record)
            SELECT 'r' || n, n, '', 0, 86400 * n, repeat('x', 300)
            FROM generate_series(1, %s) n
            """,
            (SESSIONS,),
        )
        connection.execute(
            """
            INSERT INTO sse_trio.told
            SELECT chr(97 + mod(n, 2)), n / 2, 'r' || n, 'c', 1, 1, true, 1e9
            FROM generate_series(1, %s) n
            """,
            (SESSIONS,),
        )
        connection.execute("VACUUM ANALYZE")
        yield connection


def value(connection: psycopg.Connection[Any], statement: str | bytes, *parameters: Any) -> Any:
    """Return what a statement with numbered parameters says."""
    cursor = psycopg.RawCursor(connection)
    [[said]] = cursor.execute(statement, parameters).fetchall()
    return said


def pages(connection: psycopg.Connection[Any], statement: LiteralString, *parameters: Any) -> int:
    """Return how many pages are read for a statement."""
    # Once before, so that what is read of the catalog does not count.
    for _ in range(2):
        explained = b"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + statement.encode()
        [plan] = value(connection, explained, *parameters)
    return int(plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"])


OLDER = Older(provider="Users", app_type=None, kind="session", seen=0.0, created=0.0, most=1000)


@pytest.mark.parametrize(
    "wanted",
    [
        Session("s7"),
        OfRoom("r7"),
        OfUser("Users", "u7"),
        OLDER,
        attrs.evolve(OLDER, seen=1e9 + 7),
        attrs.evolve(OLDER, created=1e9 + 7),
        SignedByOthers(1000),
    ],
    ids=repr,
)
def test_no_question_goes_through_all_sessions(
    connection: psycopg.Connection[Any], wanted: Wanted
) -> None:
    assert pages(connection, *find(wanted)) < PAGES


@pytest.mark.parametrize("before", [0.0, 86400 * 7.5])
def test_to_look_for_rooms_that_are_overdue_does_not_go_through_all(
    connection: psycopg.Connection[Any], before: float
) -> None:
    assert pages(connection, "SELECT sse_trio.overdue($1, 1000)", before) < PAGES


def test_to_read_the_log_does_not_go_through_all_that_was_told(
    connection: psycopg.Connection[Any],
) -> None:
    batches = json.dumps([("a", 7), ("b", 8), ("gone", 9)])
    assert pages(connection, "SELECT sse_trio.poll('{}', $1, 100)", batches) < PAGES


def test_those_of_a_key_that_is_gone_are_found_among_all(
    connection: psycopg.Connection[Any],
) -> None:
    with connection.transaction(force_rollback=True):
        connection.execute("UPDATE sse_trio.sessions SET kid = 'gone' WHERE id IN ('s3', 's5')")
        statement, *parameters = find(SignedByOthers(1000))
        found, _ = value(connection, statement, *parameters)
        assert {row[0] for row in found} == {"s3", "s5"}
        assert pages(connection, statement, *parameters) < PAGES
        connection.execute("DELETE FROM sse_trio.keys")
        found, _ = value(connection, statement, *parameters)
        assert len(found) == 1000
