"""Who has not renewed its lease for too long, by the clock of whoever looks."""

import pytest

from sse_trio.ledger.cluster.engine import Node
from sse_trio.ledger.cluster.nodes import Nodes

LENGTH = 100.0


@pytest.fixture
def nodes() -> Nodes:
    return Nodes(LENGTH)


def look(nodes: Nodes, begin: int, end: int, **beats: int) -> None:
    """See these beats, unchanged, every 25 seconds."""
    for now in range(begin, end + 1, 25):
        nodes.observe([Node(n, beat, {}, False, "", "") for n, beat in beats.items()], now)


def silent(nodes: Nodes, now: float, *awaited: str) -> list[tuple[str, int]]:
    return list(nodes.silent(now, awaited))


def test_a_beat_that_stands_still_for_a_lease_and_a_bit_is_a_silence(nodes: Nodes) -> None:
    look(nodes, 0, 100, x=7)
    assert silent(nodes, 100.99, "x") == []
    assert silent(nodes, 101, "x") == [("x", 7)]


def test_each_beat_begins_it_anew(nodes: Nodes) -> None:
    look(nodes, 0, 75, x=7, y=3)
    look(nodes, 100, 200, x=8, y=3)
    assert silent(nodes, 200, "x", "y") == [("y", 3)]
    assert silent(nodes, 201, "x", "y") == [("x", 8), ("y", 3)]


def test_if_nobody_waits_there_is_time(nodes: Nodes) -> None:
    look(nodes, 0, 1000, x=7, y=7)
    assert silent(nodes, 999.9, "y") == [("y", 7)]
    assert silent(nodes, 1000) == [("x", 7), ("y", 7)]


def test_who_was_not_watched_gets_another_lease(nodes: Nodes) -> None:
    look(nodes, 0, 100, x=7)
    look(nodes, 126, 226, x=7)
    assert silent(nodes, 226.9, "x") == []
    assert silent(nodes, 227, "x") == [("x", 7)]


def test_who_has_gone_is_forgotten(nodes: Nodes) -> None:
    look(nodes, 0, 0, x=7, y=1)
    look(nodes, 25, 100, y=1)
    assert len(nodes) == 1
    assert silent(nodes, 1000, "x", "y") == [("y", 1)]
    look(nodes, 125, 200, x=7)
    assert silent(nodes, 200, "x") == []
