"""`sse-trio nodes`: who shares the ledger, also while no node runs."""

import json
import re
import secrets
import socket
from collections.abc import Callable
from urllib.parse import quote

import pytest

from sse_trio.cli import main
from sse_trio.ledger.postgres.nodes import registered_nodes

from ..postgres import PASSWORD, Server
from ..support import KEY
from .live import DEADLINE, ORDERS, Told, live

Shown = Callable[[], list[str]]


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str]) -> Shown:
    """Return the lines on standard output; there is nothing else, and no secret."""

    def shown() -> list[str]:
        out, err = capsys.readouterr()
        assert err == ""
        assert KEY not in out
        assert PASSWORD not in out
        return out.splitlines()

    return shown


@pytest.fixture
def url(postgres: Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database of the test's own, of a user with a password."""
    name = f"nodes-{secrets.token_hex(4)}"
    postgres.create(name)
    url = f"postgresql://app:{quote(PASSWORD, safe='')}@127.0.0.1:{postgres.port}/{name}"
    monkeypatch.setenv("SSE_TRIO_LEDGER", url)
    # So that nobody is silent because the machine is busy.
    monkeypatch.setenv("SSE_TRIO_LEASE", "60")
    monkeypatch.setenv("SSE_TRIO_LEDGER_TIMEOUT", "80")
    return url


def test_who_is_there(url: str, shown: Shown) -> None:
    with live(ledger=url) as a, live(ledger=url):
        assert main(["nodes"]) == 0
        head, *rows = shown()
        assert head.split() == ["node", "address", "software", "state", "wrote", "behind"]
        place = re.escape(f"{socket.gethostname()}:0")
        line = rf"[0-9a-f]{{16}} +{place} +sse_trio \S+ +present +\d+\.\d s +\d+ in \d+\.\d s"
        assert len(rows) == 2
        assert all(re.fullmatch(line, row) for row in rows), rows
        assert main(["nodes", "--json"]) == 0
        nodes = [json.loads(line) for line in shown()]
        assert [(node["draining"], node["beat"] > 0) for node in nodes] == [(False, True)] * 2
        assert a.hub.statistics().ledger_ready
    # They have left, and the command still answers.
    assert main(["nodes"]) == 0
    assert [line.split() for line in shown()] == [head.split()]


def test_what_is_known_of_each(postgres: Server, url: str, shown: Shown) -> None:
    with live(ledger=url):
        pass
    with postgres.connect(url.rpartition("/")[2]) as connection:
        connection.execute("TRUNCATE sse_trio.log")
        for name, seconds in (("a", 3), ("a", 2), ("b", 700), ("c", 0)):
            connection.execute(
                "INSERT INTO sse_trio.log SELECT %s, count(*) + 1, sse_trio.wall() - %s, '{}', '{}'"
                " FROM sse_trio.log WHERE writer = %s",
                (name, seconds, name),
            )
        for name, applied, draining in (
            ("a", {"a": 2, "b": 1}, True),
            ("b", {"b": 1, "a": 1, "c": 0}, False),
            ("c", {"a": 2, "b": 1, "c": 1}, False),
            ("d", {}, False),
        ):
            connection.execute(
                "INSERT INTO sse_trio.nodes VALUES (%s, 7, %s, %s, %s, %s)",
                (name, json.dumps(applied), draining, f"{name}:8080", f"v1 {ORDERS}"),
            )
    found = {node.node: node for node in registered_nodes(url)}
    assert {name: node.behind for name, node in found.items()} == {
        "a": 1,
        "b": 2,
        "c": 0,
        "d": None,
    }
    a, b, c, d = [found[name].lag for name in "abcd"]
    assert a is not None
    assert b is not None
    # It lacks an entry that is two seconds older.
    assert 0 < a < b - 1.9 < a + DEADLINE
    assert (c, d) == (0, None)
    assert main(["nodes"]) == 0
    lines = shown()
    assert all(line.isprintable() for line in lines)
    states = dict.fromkeys("abcd", "") | {
        line[0]: re.split(r" {2,}", line)[3] for line in lines[1:]
    }
    assert states == {"a": "draining", "b": "silent", "c": "present", "d": "new"}
    assert re.split(r" {2,}", lines[4])[4:] == ["?", "?"]


def test_a_database_that_no_node_has_used(url: str, told: Told) -> None:
    assert main(["nodes"]) == 1
    assert told() == "the database is not a ledger: no node has used it yet"


def test_a_database_that_cannot_be_reached(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSE_TRIO_LEDGER", "postgresql://app:secret@127.0.0.1:1/x")
    assert main(["nodes"]) == 1
    line = told()
    assert line.startswith("the ledger's database: ")
    assert "secret" not in line


@pytest.mark.parametrize("ledger", ["memory:", "sqlite:///x.db"])
def test_a_ledger_that_is_not_shared(
    told: Told, monkeypatch: pytest.MonkeyPatch, ledger: str
) -> None:
    monkeypatch.setenv("SSE_TRIO_LEDGER", ledger)
    assert main(["nodes"]) == 2
    assert told() == "the ledger is not shared: only postgresql:// has nodes"
