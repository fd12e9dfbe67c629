"""Which logins a room still recognises: the one rule, and the bounds of memory."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_trio.core.standing import MAX_TERMINATIONS, Standing, Standings, Termination

from .. import strategies

senders = st.none() | strategies.sessions
seen = st.tuples(st.just("seen"), strategies.sessions)
notified = st.tuples(st.just("notified"), senders)
proven = st.tuples(st.just("proven"), st.tuples(strategies.sessions, st.integers(0, 12)))
histories = st.lists(seen | notified | proven, max_size=40)
histories_without_tickets = st.lists(seen | notified, max_size=40)

ROOMY = 100


def live(standing: Standing, history: list[tuple[str, Any]]) -> Standing:
    """Take `standing` through a history."""
    for what, value in history:
        if what == "seen":
            standing.admit(value)
        elif what == "proven":
            standing.admit(*value)
        else:
            standing.advance(value, "login", None)
    return standing


def stands(standing: Standing, session: str, epoch: int | None = None) -> bool:
    return standing.superseded(standing.admit(session, epoch)) is None


@given(histories)
def test_the_epoch_only_grows(history: list[tuple[str, Any]]) -> None:
    standing = Standing(ROOMY)
    for step in history:
        before = standing.epoch
        live(standing, [step])
        assert standing.floor <= standing.epoch
        if step[0] == "notified":
            assert standing.epoch == standing.floor == before + 1
        elif step[0] == "proven":
            assert standing.epoch == max(before, step[1][1])
        else:
            assert standing.epoch == before


@given(histories_without_tickets)
def test_a_session_stands_unless_another_was_notified_since(
    history: list[tuple[str, Any]],
) -> None:
    """Against the naive model: the set of sessions that have been superseded."""
    standing = Standing(ROOMY)
    met: set[str] = set()
    superseded: set[str] = set()
    for step, session in history:
        live(standing, [(step, session)])
        if session is not None:
            met.add(session)
        if step == "notified":
            superseded = met - {session}
        for each in met:
            assert stands(standing, each) == (each not in superseded)


@given(histories, strategies.sessions, senders, st.lists(seen, max_size=10))
def test_a_superseded_session_stays_so_however_often_it_comes_back(
    history: list[tuple[str, Any]],
    session: str,
    sender: str | None,
    later: list[tuple[str, Any]],
) -> None:
    standing = live(Standing(ROOMY), [*history, ("seen", session), ("notified", sender)])
    for step in [*later, ("seen", session)]:
        live(standing, [step])
        assert stands(standing, session) == (session == sender)
    standing.advance(session, "login", None)
    assert stands(standing, session)


@given(histories, strategies.sessions, st.integers(1, 5))
def test_a_sender_notified_again_is_not_superseded_by_itself(
    history: list[tuple[str, Any]], sender: str, times: int
) -> None:
    standing = live(Standing(ROOMY), [*history, *[("notified", sender)] * times])
    assert stands(standing, sender)
    assert standing.newest() == sender


@given(histories)
def test_who_was_never_seen_is_admitted_as_of_now(history: list[tuple[str, Any]]) -> None:
    standing = live(Standing(ROOMY), history)
    assert standing.admit("stranger") == standing.epoch
    assert standing.newest() == "stranger"
    standing.advance(None, "logout", None)
    assert not stands(standing, "stranger")


@given(histories_without_tickets, strategies.sessions)
def test_a_termination_names_the_notify_that_did_it(
    history: list[tuple[str, Any]], session: str
) -> None:
    standing = Standing(ROOMY)
    standing.admit(session)
    ended: Termination | None = None
    for number, (step, who) in enumerate(history[:MAX_TERMINATIONS], 1):
        if step == "notified":
            detail = {"number": number}
            epoch = standing.advance(who, f"reason {number}", detail)
            if who == session:
                ended = None
            elif ended is None:
                ended = Termination(epoch, f"reason {number}", detail)
        else:
            standing.admit(who)
        assert standing.superseded(standing.admit(session)) == ended


def test_who_missed_more_notifies_than_are_remembered_is_told_the_oldest() -> None:
    standing = Standing(ROOMY)
    login = standing.admit("s1")
    for number in range(1, 21):
        standing.advance(None, f"reason {number}", None)
    oldest = 20 - MAX_TERMINATIONS + 1
    assert standing.superseded(login) == Termination(oldest, f"reason {oldest}")
    assert len(standing.terminations) == MAX_TERMINATIONS


@given(histories, strategies.sessions, st.integers(1, 100))
def test_a_ticket_of_a_later_epoch_lifts_the_room(
    history: list[tuple[str, Any]], session: str, ahead: int
) -> None:
    standing = live(Standing(ROOMY), history)
    before = {known for known in standing.logins if known != session}
    proven = standing.epoch + ahead
    assert standing.admit(session, proven) == standing.epoch == standing.floor == proven
    assert stands(standing, session)
    for other in before:
        assert not stands(standing, other)


def test_who_was_ended_by_a_lift_is_told_its_epoch() -> None:
    standing = Standing(ROOMY)
    login = standing.admit("s1")
    standing.admit("s2", 9)
    assert standing.superseded(login) == Termination(9, "login", None)
    standing.advance("s2", "logout", None)
    assert standing.superseded(login) == Termination(10, "logout", None)


@given(histories, strategies.sessions, st.integers(0, 12))
def test_a_ticket_never_takes_a_login_back(
    history: list[tuple[str, Any]], session: str, proven: int
) -> None:
    standing = live(Standing(ROOMY), history)
    known = standing.logins.get(session, 0)
    assert standing.admit(session, proven) == max(known, proven)


def test_an_old_ticket_is_superseded_by_what_came_after_it() -> None:
    standing = Standing(ROOMY)
    ticket = standing.advance("s1", "login", None)
    standing.advance("s2", "login", None)
    assert not stands(standing, "s1", ticket)
    assert not stands(standing, "never seen", ticket)
    assert standing.newest() == "s2"


def test_a_superseded_session_may_prove_a_login_of_now() -> None:
    standing = Standing(ROOMY)
    standing.admit("s1")
    standing.admit("s2")
    epoch = standing.advance("s2", "login", None)
    assert stands(standing, "s1", epoch)
    # Its login is the newest: that it was seen long ago, under an older one, is past.
    assert standing.newest() == "s1"


def test_who_merely_reconnects_has_not_joined_last() -> None:
    standing = Standing(ROOMY)
    for session in ("s1", "s2", "s1"):
        standing.admit(session)
    assert standing.newest() == "s2"


def test_nobody_is_the_newest_of_a_room_where_nobody_stands() -> None:
    standing = Standing(ROOMY)
    assert standing.newest() is None
    standing.admit("s1")
    standing.advance(None, "logout", None)
    assert standing.newest() is None
    assert not stands(standing, "s1")
    assert standing.newest() is None


@given(st.lists(st.integers(0, 20), max_size=60), st.integers(2, 6))
def test_the_oldest_sessions_are_forgotten_first(numbers: list[int], limit: int) -> None:
    standing = Standing(limit)
    model: list[str] = []
    for number in numbers:
        session = f"s{number}"
        standing.admit(session)
        model = [*model, session][-limit:] if session not in model else model
        assert list(standing.logins) == model


def test_the_newest_sender_is_not_the_first_to_be_forgotten() -> None:
    standing = Standing(2)
    standing.admit("s1")
    standing.admit("s2")
    standing.advance("s1", "login", None)
    standing.admit("s3")
    assert list(standing.logins) == ["s1", "s3"]


# -- records ----------------------------------------------------------------------------


def standings(**settings: Any) -> Standings:
    usual: dict[str, Any] = {
        "max_rooms": 100,
        "max_sessions": ROOMY,
        "lifetime": 1000,
        "alive": (),
    }
    return Standings(**usual | settings)


@given(histories, histories)
def test_what_is_restored_behaves_as_what_was_recorded(
    before: list[tuple[str, Any]], after: list[tuple[str, Any]]
) -> None:
    lived = live(standings().touch("u1", 5), before)
    copies = standings()
    copies.restore("u1", lived.record())
    assert copies.touch("u1", 5) == lived
    for step in after:
        lived.touched = 6
        assert live(copies.touch("u1", 6), [step]).record() == live(lived, [step]).record()
        for session in ("s1", "s2", "s3", "s4"):
            logins = copies.touch("u1", 6).admit(session), lived.admit(session)
            assert logins[0] == logins[1]
            assert copies.touch("u1", 6).superseded(logins[0]) == lived.superseded(logins[1])
        assert copies.touch("u1", 6).newest() == lived.newest()


@given(histories, histories)
def test_a_record_is_unaffected_by_what_comes_after(
    before: list[tuple[str, Any]], after: list[tuple[str, Any]]
) -> None:
    standing = live(Standing(ROOMY), before)
    record = standing.record()
    same = live(Standing(ROOMY), before).record()
    copies = standings()
    copies.restore("u1", record)
    live(standing, after)
    live(copies.touch("u1", 0), after)
    assert record == same


def test_a_smaller_bound_holds_for_what_is_restored() -> None:
    large = live(Standing(ROOMY), [("seen", f"s{number}") for number in range(50)])
    small = standings(max_sessions=3)
    small.restore("u1", large.record())
    small.touch("u1", 0).admit("new")
    assert list(small.touch("u1", 0).logins) == ["s48", "s49", "new"]


# -- rooms ------------------------------------------------------------------------------


def test_a_room_is_the_same_until_it_is_forgotten() -> None:
    rooms = standings(max_rooms=1)
    first = rooms.touch("u1", 0)
    assert rooms.touch("u1", 1) is first
    assert first.touched == 1
    rooms.touch("u2", 2)
    assert list(rooms) == ["u2"]
    assert rooms.touch("u1", 3) is not first


def test_the_longest_untouched_room_is_forgotten_first() -> None:
    rooms = standings(max_rooms=3)
    for now, room in enumerate(["u1", "u2", "u3", "u1", "u4"]):
        rooms.touch(room, now)
    assert list(rooms) == ["u3", "u1", "u4"]
    assert len(rooms) == 3


def test_a_room_is_forgotten_when_its_time_is_up() -> None:
    rooms = standings(lifetime=100)
    rooms.touch("u1", 0)
    rooms.touch("u2", 100)
    assert list(rooms) == ["u1", "u2"]
    rooms.touch("u3", 100.5)
    assert list(rooms) == ["u2", "u3"]


def test_a_living_room_is_as_if_touched() -> None:
    alive = {"u1"}
    rooms = standings(lifetime=100, alive=alive)
    kept = rooms.touch("u1", 0)
    rooms.touch("u2", 150)
    assert rooms.touch("u1", 151) is kept
    rooms.touch("u3", 300)
    alive.clear()
    rooms.touch("u4", 350)
    assert list(rooms) == ["u3", "u1", "u4"]
    # It counts from when it was last found alive.
    rooms.touch("u3", 390)
    rooms.touch("u5", 391)
    assert rooms.touch("u1", 392) is kept


def test_a_new_room_is_never_the_one_to_be_forgotten() -> None:
    rooms = standings(max_rooms=1, alive={"u1"})
    rooms.touch("u1", 0)
    new = rooms.touch("u2", 0)
    assert rooms.touch("u2", 0) is new
    assert sorted(rooms) == ["u1", "u2"]


@given(
    st.lists(st.tuples(st.integers(0, 30), st.floats(0, 40)), max_size=80),
    st.sets(st.integers(0, 30), max_size=6),
    st.integers(1, 8),
)
def test_memory_is_bounded_and_the_living_are_never_forgotten(
    touches: list[tuple[int, float]], alive: set[int], limit: int
) -> None:
    living = {f"u{number}" for number in alive}
    rooms = standings(max_rooms=limit, lifetime=100, alive=living)
    known: dict[str, Standing] = {}
    now = 0.0
    for number, passed in touches:
        now += passed
        room = f"u{number}"
        known[room] = rooms.touch(room, now)
        kept = list(rooms)
        assert room in kept
        assert len(rooms) == len(kept) <= limit + len(living)
        assert living & known.keys() <= set(kept)
    for each in living & known.keys():
        assert rooms.touch(each, now) is known[each]


@pytest.mark.parametrize("lifetime", [100, 1e9])
def test_what_was_restored_is_forgotten_like_the_rest(lifetime: float) -> None:
    rooms = standings(max_rooms=3, lifetime=lifetime)
    record = Standing(ROOMY, touched=0).record()
    for room in ("u1", "u2", "u3", "u4", "u5"):
        rooms.restore(room, record)
    rooms.touch("u6", 1)
    rooms.touch("u7", 1)
    assert list(rooms) == ["u5", "u6", "u7"]


def test_a_forgotten_login_older_than_the_last_notify_is_superseded_by_it() -> None:
    """The ledger was lost, and a login was notified since: the old ticket lifts nothing."""
    standing = standings().touch("u1", 1000)
    standing.advance("new", "login", None)
    old = standing.login("old", 8, issued=999)
    assert standing.superseded(old) == Termination(1, "login")
    assert standing.admit("old", old) == old
    assert (standing.epoch, standing.newest()) == (1, "new")


def test_a_forgotten_login_newer_than_the_last_notify_lifts_the_room() -> None:
    """The ledger came back from a copy that is older than the login."""
    standing = standings().touch("u1", 1000)
    standing.advance("old", "login", None)
    new = standing.login("new", 8, issued=1001)
    assert standing.admit("new", new) == standing.epoch == 8
    assert standing.superseded(standing.login("old")) is not None


@pytest.mark.parametrize("epoch", [1, 2, 3, 8])
def test_whatever_its_epoch_a_ticket_from_before_the_last_notify_is_superseded(epoch: int) -> None:
    standing = standings().touch("u1", 1000)
    for _ in range(2):
        standing.advance("new", "login", None)
    assert standing.superseded(standing.login("old", epoch, issued=999)) is not None
    assert standing.superseded(standing.login("new", epoch, issued=999)) is None
