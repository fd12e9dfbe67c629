"""The registry against the most naive one: a list of who is where."""

from collections.abc import Container
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_trio.core.rooms import Rooms

from .. import strategies

Entry = tuple[str, str, int]

members = st.integers(0, 8)
places = st.tuples(strategies.rooms, strategies.sessions, members)
# Whom a notify spares: the sessions that stand after it.
spared_ones: st.SearchStrategy[frozenset[str]] = st.frozensets(strategies.sessions)
steps = st.lists(
    st.tuples(st.sampled_from(["join", "join", "leave"]), places)
    | st.tuples(st.just("evict"), st.tuples(strategies.rooms, spared_ones)),
    max_size=60,
)


def filled(entries: list[Entry]) -> Rooms[Entry]:
    """Everybody is a member of their own."""
    rooms: Rooms[Entry] = Rooms()
    for entry in entries:
        rooms.join(entry[0], entry[1], entry)
    return rooms


def check(rooms: Rooms[int], model: list[Entry]) -> None:
    """Everything that can be asked is answered as the list would."""
    assert len(rooms) == len({room for room, _, _ in model})
    assert rooms.population == len(model)
    for room in ("u1", "u2", "u3"):
        here = [entry for entry in model if entry[0] == room]
        assert (room in rooms) == bool(here)
        assert rooms.size(room) == len(here)
        assert sorted(rooms.members(room)) == sorted(member for _, _, member in here)
        assert rooms.members(room) == [member for _, _, member in here]
        assert list(rooms.sessions(room)) == [session for _, session, _ in here]
        for session in ("s1", "s2", "s3", "s4"):
            assert (session in rooms.sessions(room)) == any(its == session for _, its, _ in here)


@given(steps)
def test_behaves_as_a_list_of_who_is_where(steps: list[tuple[str, Any]]) -> None:
    rooms: Rooms[int] = Rooms()
    model: list[Entry] = []
    for step, arguments in steps:
        if step == "evict":
            room, spared = arguments
            goes = [entry for entry in model if entry[0] == room and entry[1] not in spared]
            assert list(rooms.evict(room, spared)) == [entry[2] for entry in goes]
            model = [entry for entry in model if entry not in goes]
        else:
            room, session, member = arguments
            here = [entry for entry in model if (entry[0], entry[2]) == (room, member)]
            if step == "join":
                rooms.join(room, session, member)
                model += [] if here else [arguments]
            else:
                assert rooms.leave(room, member) == bool(here)
                model = [entry for entry in model if entry not in here]
        check(rooms, model)


@given(st.lists(places), strategies.rooms, spared_ones)
def test_others_and_spared_are_everybody_and_nobody_twice(
    entries: list[Entry], room: str, spared: frozenset[str]
) -> None:
    rooms = filled(entries)
    everybody = rooms.members(room)
    others = list(rooms.evict(room, spared))
    stay = rooms.members(room)
    assert sorted(others + stay) == sorted(everybody)
    assert all(session in spared for _, session, _ in stay)
    assert not any(session in spared for _, session, _ in others)
    assert list(rooms.evict(room, spared)) == []


@given(st.lists(places), strategies.rooms, spared_ones)
def test_a_notify_touches_no_other_room(
    entries: list[Entry], room: str, spared: frozenset[str]
) -> None:
    rooms = filled(entries)
    before = {other: rooms.members(other) for other in ("u1", "u2", "u3") if other != room}
    list(rooms.evict(room, spared))
    assert {other: rooms.members(other) for other in before} == before


@given(st.lists(places), strategies.rooms, spared_ones)
def test_who_is_spared_stays_in_the_order_of_coming(
    entries: list[Entry], room: str, spared: frozenset[str]
) -> None:
    rooms = filled(entries)
    stays = [entry for entry in rooms.members(room) if entry[1] in spared]
    list(rooms.evict(room, spared))
    assert rooms.members(room) == stays


@given(st.lists(places))
def test_when_everybody_has_left_nothing_is_kept(entries: list[Entry]) -> None:
    rooms = filled(entries)
    for entry in dict.fromkeys(entries):
        assert rooms.leave(entry[0], entry)
    assert len(rooms) == 0
    assert all(rooms.size(room) == 0 and room not in rooms for room, _, _ in entries)


@pytest.mark.parametrize("spared", [(), {"s1"}, ["s1", "s2"]])
def test_nobody_is_in_an_unknown_room(spared: Container[str]) -> None:
    rooms: Rooms[int] = Rooms()
    assert list(rooms.evict("u1", spared)) == rooms.members("u1") == []
    assert list(rooms.sessions("u1")) == []
    assert not rooms.leave("u1", 1)
    assert len(rooms) == 0


def test_a_list_that_was_returned_is_the_callers_own() -> None:
    rooms: Rooms[int] = Rooms()
    rooms.join("u1", "s1", 1)
    before = rooms.members("u1")
    rooms.join("u1", "s1", 2)
    rooms.join("u1", "s2", 3)
    assert before == [1]
    before.clear()
    assert rooms.members("u1") == [1, 2, 3]


def test_members_come_in_the_order_of_their_coming() -> None:
    rooms: Rooms[int] = Rooms()
    for member in (3, 1, 2):
        rooms.join("u1", "s1", member)
    rooms.join("u1", "s2", 0)
    rooms.join("u1", "s1", 3)
    assert rooms.members("u1") == [3, 1, 2, 0]
    assert list(rooms.sessions("u1")) == ["s1", "s1", "s1", "s2"]
    assert list(rooms.evict("u1", ())) == [3, 1, 2, 0]


def test_the_rooms_that_have_a_member_have_names() -> None:
    rooms: Rooms[str] = Rooms()
    assert rooms.names() == []
    rooms.join("u1", "s1", "a")
    rooms.join("u2", "s1", "b")
    rooms.leave("u1", "a")
    assert rooms.names() == ["u2"]
