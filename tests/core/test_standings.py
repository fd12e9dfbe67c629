"""The standings of all rooms: what is kept, what is forgotten, and in which order."""

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_trio.config import Config
from sse_trio.core.logins import StoredLogins, memory_of
from sse_trio.core.standing import Standing
from sse_trio.core.standings import Standings
from sse_trio.core.tokens import LEEWAY

from .test_standing import LIFETIME, live, room_for, standings, touch

# Seconds for which a room is remembered that is not used.
KEPT = memory_of(LIFETIME)


def named(rooms: Standings, room: str, now: float, *, over: bool = False) -> None:
    """Have somebody named in a room; and perhaps logged out again."""
    live(touch(rooms, room, now), [("notified", "s1"), *[("released", "s1")] * over], seconds=0)
    touch(rooms, room, now)


def use(rooms: Standings, room: str, now: float) -> list[str]:
    """Touch a room, and forget what is then too much; return what was forgotten."""
    touch(rooms, room, now)
    return [each for each in rooms.forget(now, keep=room) if rooms.get(each) is None]


def test_a_room_is_the_same_until_it_is_forgotten() -> None:
    rooms = standings(max_remembered_rooms=1)
    assert rooms.get("u1") is None
    first = touch(rooms, "u1", 0)
    assert touch(rooms, "u1", 1) is rooms.get("u1") is first
    assert first.touched == 1
    assert use(rooms, "u2", 2) == ["u1"]
    assert list(rooms) == ["u2"]
    assert rooms.get("u1") is None
    assert touch(rooms, "u1", 3) is not first


def test_to_get_a_room_is_not_to_touch_it() -> None:
    rooms = standings(max_remembered_rooms=2)
    for now, room in enumerate(["u1", "u2"]):
        touch(rooms, room, now)
    assert (first := rooms.get("u1")) is not None
    assert first.touched == 0
    assert list(rooms) == ["u1", "u2"]


@pytest.mark.parametrize("look", ["get", "touch"])
def test_another_configuration_holds_for_the_rooms_that_are_known(look: str) -> None:
    rooms = standings(max_sessions=1)
    live(touch(rooms, "u1", 0), [("notified", "s1")], seconds=0)
    rooms.reload(Config(max_sessions=2))
    room = touch(rooms, "u1", 1) if look == "touch" else rooms.get("u1")
    assert room is not None
    live(room, [("notified", "s2")], seconds=0)
    assert set(room.standing_sessions()) == {"s1", "s2"}


def test_another_configuration_holds_for_what_is_forgotten() -> None:
    rooms = standings(max_remembered_rooms=9)
    named(rooms, "u1", 0)
    for room in ("u2", "u3"):
        assert use(rooms, room, 1) == []
    rooms.reload(Config(max_remembered_rooms=1, ticket_lifetime=15))
    assert use(rooms, "u3", 1) == ["u2"]
    assert list(rooms.forget(15.5 + LEEWAY)) == []
    assert list(rooms.forget(15.6 + LEEWAY)) == ["u1"]


def test_fewer_sessions_end_nobody_before_the_next_login() -> None:
    rooms = standings(max_sessions=3)
    live(touch(rooms, "u1", 0), [("notified", f"s{n}") for n in range(3)], seconds=0)
    rooms.reload(Config(max_sessions=1, max_remembered_sessions=2))
    room = touch(rooms, "u1", 1)
    assert set(room.standing_sessions()) == {"s0", "s1", "s2"}
    live(room, [("notified", "s3")], seconds=0)
    assert set(room.standing_sessions()) == {"s3"}


def test_the_longest_untouched_room_is_forgotten_first() -> None:
    rooms = standings(max_remembered_rooms=3)
    forgotten = [use(rooms, room, now) for now, room in enumerate(["u1", "u2", "u3", "u1", "u4"])]
    assert forgotten == [[], [], [], [], ["u2"]]
    assert list(rooms) == ["u3", "u1", "u4"]
    assert len(rooms) == 3


def test_a_room_is_forgotten_when_no_ticket_can_be_good_any_more() -> None:
    rooms = standings()
    touch(rooms, "u1", 0)
    touch(rooms, "u2", 1)
    assert list(rooms.forget(KEPT)) == []
    assert list(rooms.forget(KEPT + 0.5)) == ["u1"]
    assert list(rooms) == ["u2"]


def test_a_living_room_is_as_if_touched() -> None:
    alive = {"u1"}
    rooms = standings(alive=alive)
    kept = touch(rooms, "u1", 0)
    touch(rooms, "u2", KEPT)
    assert list(rooms.forget(KEPT + 1)) == ["u1"]
    assert (kept.touched, list(rooms)) == (KEPT + 1, ["u2", "u1"])
    assert rooms.get("u1") is kept
    alive.clear()
    # It counts from when it was last found alive.
    assert list(rooms.forget(2 * KEPT + 1)) == ["u2"]
    assert list(rooms.forget(2 * KEPT + 1.5)) == ["u1"]
    assert len(rooms) == 0


def test_the_record_of_a_living_room_is_the_new_one() -> None:
    rooms = standings(alive={"u1"})
    live(touch(rooms, "u1", 0), [("joined", "s1"), ("notified", "s2")])
    assert list(rooms.forget(1000)) == ["u1"]
    record = touch(rooms, "u1", 1000).record()
    copies = standings()
    copies.restore("u1", record)
    assert touch(copies, "u1", 1000) == rooms.get("u1")


def test_the_room_in_use_is_never_the_one_to_be_forgotten() -> None:
    rooms = standings(max_remembered_rooms=1, alive={"u1"})
    touch(rooms, "u1", 0)
    new = touch(rooms, "u2", 0)
    assert list(rooms.forget(0, keep="u2")) == ["u1"]
    assert rooms.get("u2") is new
    assert sorted(rooms) == ["u1", "u2"]
    # Nor where it is the oldest: nothing beyond it is looked at.
    assert list(rooms.forget(10 * LIFETIME, keep="u2")) == []
    assert sorted(rooms) == ["u1", "u2"]


def test_no_more_is_forgotten_than_is_asked_for() -> None:
    rooms = standings(max_remembered_rooms=1)
    for room in ("u1", "u2", "u3", "u4"):
        touch(rooms, room, 0)
    forgetting = rooms.forget(0)
    assert list(rooms) == ["u1", "u2", "u3", "u4"]
    assert next(forgetting) == "u1"
    assert list(rooms) == ["u2", "u3", "u4"]
    # While it pauses, another room may be used.
    touch(rooms, "u2", 1)
    assert list(forgetting) == ["u3", "u4"]
    assert list(rooms) == ["u2"]


def test_where_all_are_alive_each_is_looked_at_once() -> None:
    rooms = standings(max_remembered_rooms=1, alive={"u1", "u2", "u3"})
    for room in ("u1", "u2", "u3"):
        touch(rooms, room, 0)
    for now in (1, 1000):
        assert list(rooms.forget(now)) == ["u1", "u2", "u3"]
        # Who is only one too many is not noted for that, again and again.
        touched = {standing.touched for room in rooms if (standing := rooms.get(room))}
        assert touched == {0 if now == 1 else now}
    assert len(rooms) == 3


def test_a_room_where_somebody_stands_who_was_named_is_not_dropped_for_number() -> None:
    rooms = standings(max_remembered_rooms=2)
    for number in range(5):
        named(rooms, f"user {number}", 0)
    for number in range(5):
        named(rooms, f"over {number}", 0, over=True)
    for number in range(5):
        touch(rooms, f"strange {number}", 0)
    assert set(rooms.forget(0)) == {
        *(f"over {n}" for n in range(3)),
        *(f"strange {n}" for n in range(3)),
    }
    assert len(rooms) == len(list(rooms)) == 9
    # Age is another thing.
    assert len(list(rooms.forget(KEPT + 1))) == 9
    assert list(rooms) == []


def test_a_room_is_as_the_others_of_what_it_has_become() -> None:
    rooms = standings(max_remembered_rooms=1)
    named(rooms, "u1", 0, over=True)
    named(rooms, "u2", 0, over=True)
    # A ticket is proof of a login as a notify is.
    room = touch(rooms, "u3", 0)
    assert room.mark_named("s1")
    touch(rooms, "u3", 0)
    touch(rooms, "u4", 0)
    live(touch(rooms, "u1", 0), [("notified", "s2")], seconds=0)
    touch(rooms, "u1", 0)
    assert list(rooms.forget(0)) == []
    room.release("s1")
    touch(rooms, "u3", 0)
    assert list(rooms.forget(0)) == ["u2"]
    assert rooms.get("u2") is None
    assert rooms.get("u3") is room


def test_a_room_where_all_were_logged_out_is_no_strangers_room() -> None:
    """Though nobody was named: there are those who must not come back."""
    rooms = standings(max_remembered_rooms=1)
    live(touch(rooms, "u1", 0), [("joined", "s1"), ("notified", None)], seconds=0)
    for room in ("u1", "u2", "u3"):
        touch(rooms, room, 0)
    assert list(rooms.forget(0)) == ["u2"]


def test_no_more_of_a_kind_are_looked_at_than_is_asked_for() -> None:
    rooms = standings(max_remembered_rooms=1)
    for number in range(4):
        touch(rooms, f"strange {number}", 0)
        named(rooms, f"over {number}", 0, over=True)
        named(rooms, f"user {number}", 0)
    assert list(rooms.forget(0, most=2)) == ["over 0", "over 1", "strange 0", "strange 1"]
    assert list(rooms.forget(1000, most=1)) == ["user 0", "over 2", "strange 2"]
    assert len(rooms) == 5


def test_what_is_forgotten_by_others_meanwhile_is_no_matter() -> None:
    rooms = standings(max_remembered_rooms=1)
    for room in ("u1", "u2", "u3"):
        touch(rooms, room, 0)
    slow = rooms.forget(1000)
    assert next(slow) == "u1"
    assert list(rooms.forget(1000)) == ["u2", "u3"]
    assert list(slow) == []


@given(
    st.lists(st.tuples(st.integers(0, 30), st.floats(0, 40)), max_size=80),
    st.sets(st.integers(0, 30), max_size=6),
    st.integers(1, 8),
)
def test_memory_is_bounded_and_the_living_are_never_forgotten(
    touches: list[tuple[int, float]], alive: set[int], limit: int
) -> None:
    living = {f"u{number}" for number in alive}
    rooms = standings(max_remembered_rooms=limit, alive=living)
    known: dict[str, Standing] = {}
    touched: dict[str, float] = {}
    now = 0.0
    for number, passed in touches:
        now += passed
        room = f"u{number}"
        known[room] = touch(rooms, room, now)
        touched[room] = now
        for looked_at in rooms.forget(now, keep=room):
            assert (rooms.get(looked_at) is not None) == (looked_at in living)
            assert looked_at != room
        kept = list(rooms)
        assert room in kept
        assert len(rooms) == len(kept) <= limit + len(living)
        assert living & known.keys() <= set(kept)
        assert all(now - touched[one] <= KEPT for one in set(kept) - living)
    for each in living & known.keys():
        assert rooms.get(each) is known[each]


@pytest.mark.parametrize("lifetime", [100, 1e8])
def test_what_was_restored_is_forgotten_like_the_rest(lifetime: float) -> None:
    rooms = standings(max_remembered_rooms=3, ticket_lifetime=lifetime)
    record = live(room_for(), [("notified", None)]).record()
    for room in ("u1", "u2", "u3", "u4", "u5"):
        rooms.restore(room, record)
    assert use(rooms, "u6", 1001) == ["u1", "u2"]
    rooms.restore("u0", live(room_for(), [("notified", "s1")]).record())
    assert sorted(rooms) == ["u0", "u3", "u4", "u5", "u6"]
    assert set(use(rooms, "u6", 1200)) == (set() if lifetime > 100 else {"u0", "u3", "u4", "u5"})


STORIES = st.lists(
    st.tuples(
        st.sampled_from(["joined", "notified", "released"]), st.sampled_from(["s1", "s2", "s3"])
    ),
    max_size=6,
)


@given(STORIES, st.booleans())
def test_a_room_whose_logins_are_still_text_is_the_same_room(
    story: list[tuple[str, str]], is_used: bool
) -> None:
    """It is in the same group, forgotten at the same time, and true when it is asked for."""
    record = live(room_for(), story).record()
    read = record.logins.copy
    named = [login for login in record.logins.values() if login.named]
    text = StoredLogins(
        "a text",
        lambda _: dict(record.logins),
        was_named=bool(named),
        is_held=any(login.ended is None for login in named),
    )
    assert text == record.logins
    assert (list(text), len(text), text.copy()) == (list(read()), len(read()), read())
    both = [standings(max_remembered_rooms=1), standings(max_remembered_rooms=1)]
    for rooms, logins in zip(both, (record.logins, text), strict=True):
        rooms.restore("u1", attrs.evolve(record, logins=logins))
        rooms.restore("u2", live(room_for(), [("notified", None)]).record())
        rooms.restore("u3", live(room_for(), [("joined", "s1")]).record())
        if is_used:
            assert rooms.get("u1") is rooms.get("u1")
    assert [*both[0].forget(0)] == [*both[1].forget(0)]
    assert sorted(both[0]) == sorted(both[1])
    assert [*both[0].forget(2 * KEPT + 1000)] == [*both[1].forget(2 * KEPT + 1000)]
    for rooms in both:
        rooms.restore("u4", record)
    assert both[0].get("u4") == both[1].get("u4")


def test_a_draft_changes_nothing_until_it_is_put_in_the_rooms_place() -> None:
    rooms = standings()
    known = live(touch(rooms, "u1", 0), [("notified", "s1"), ("notified", "s2")])
    before = known.record()
    draft = rooms.draft("u1", 1000)
    assert draft == attrs.evolve(known, touched=1000)
    live(draft, [("notified", "s3")])
    assert rooms.get("u1") is known
    assert known.record() == before
    rooms.put("u1", draft)
    assert rooms.get("u1") is draft
    assert len(rooms) == 1


def test_a_draft_of_an_unknown_room_makes_none() -> None:
    rooms = standings()
    draft = rooms.draft("u1", 7)
    assert (draft.epoch, draft.logins, draft.touched) == (0, {}, 7)
    rooms.touch("u1", 7)
    assert list(rooms) == []


def test_a_draft_is_of_the_configuration_as_it_is_now() -> None:
    rooms = standings(max_sessions=1)
    touch(rooms, "u1", 0)
    rooms.reload(Config(max_sessions=3))
    assert rooms.draft("u1", 0).places == 3


def test_a_cache_is_limited_in_number_whoever_stands_there() -> None:
    config = Config(max_remembered_rooms=2, ticket_lifetime=LIFETIME)
    rooms = Standings(config, alive=(), is_cache=True)
    for number in range(4):
        named(rooms, f"u{number}", number)
    assert [each for each in rooms.forget(4) if rooms.get(each) is None] == ["u0", "u1"]


def test_what_is_dropped_is_unknown() -> None:
    rooms = standings()
    touch(rooms, "u1", 0)
    rooms.drop("u1")
    rooms.drop("u2")
    assert list(rooms) == []
