"""Merging: of two standings of one room that have gone apart, nothing that ended comes back."""

from collections.abc import Sequence
from typing import Any

import attrs
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sse_trio.config import Config
from sse_trio.core.logins import RELEASED, Login, Termination
from sse_trio.core.merging import merge
from sse_trio.core.standing import MAX_TERMINATIONS, Standing
from sse_trio.core.tickets import Ticket

SESSIONS = ("s1", "s2", "s3", "s4")
START = 1000.0

Step = tuple[Any, ...]

# A notify of somebody twice as often as anything else, so that rooms have something to disagree on.
STEPS: list[Step] = [
    *[("notify", one, limit) for one in SESSIONS for limit in (None, 1, 2)],
    ("notify", None, None),
    *[(what, one) for what in ("join", "prove", "release") for one in SESSIONS],
]
seconds = st.sampled_from([0, 1, 3])
steps = st.lists(st.tuples(st.sampled_from(STEPS), seconds), max_size=12)
notifies = st.lists(st.tuples(st.sampled_from(STEPS[:13]), seconds), max_size=6)


@attrs.define
class Room:
    """A node's view of a room, and the tickets that were signed by it."""

    standing: Standing
    tickets: list[Ticket] = attrs.Factory(list)

    def apart(self) -> "Room":
        """Return another node's view, equal so far."""
        record = self.standing.record()
        copy = attrs.evolve(
            self.standing, logins=dict(record.logins), terminations=list(record.terminations)
        )
        return Room(copy, list(self.tickets))

    def live(self, history: Sequence[tuple[Step, float]]) -> "Room":
        for step, after in history:
            self.standing.touched += after
            match step:
                case "notify", sender, limit:
                    words = {"by": sender}
                    self.standing.advance(sender, "login", words, limit=limit, present=SESSIONS)
                    self._sign(sender)
                case "join", session:
                    self._join(session, None)
                case "prove", session:
                    mine = [one for one in self.tickets if one.session == session]
                    self._join(session, mine[-1] if mine else None)
                case "release", session:
                    self.standing.release(session)
        return self

    def _join(self, session: str, ticket: Ticket | None) -> None:
        login = self.standing.login(session, ticket)
        if self.standing.superseded(login) is None:
            self.standing.admit(session, login)
            self.standing.see(session, self.standing.touched)
            if ticket is not None:
                self.standing.mark_named(session)
                self._sign(session)

    def _sign(self, session: str | None) -> None:
        if session is not None:
            login = self.standing.logins[session]
            self.tickets.append(Ticket("u1", session, login.epoch, self.standing.touched))


@attrs.frozen
class Apart:
    """Two views of a room that were one before."""

    before: Room
    one: Room
    other: Room

    @property
    def standings(self) -> tuple[Standing, Standing]:
        return self.one.standing, self.other.standing

    @property
    def tickets(self) -> list[Ticket]:
        return self.one.tickets + self.other.tickets


def room(**settings: Any) -> Room:
    return Room(Standing(Config(**settings), touched=START))


def parted(
    places: int,
    before: Sequence[tuple[Step, float]],
    one: Sequence[tuple[Step, float]],
    other: Sequence[tuple[Step, float]],
    remembered: int = 64,
) -> Apart:
    common = room(max_sessions=places, max_remembered_sessions=remembered).live(before)
    return Apart(common, common.apart().live(one), common.apart().live(other))


all_parted = st.builds(parted, st.integers(1, 3), steps, steps, steps)
all_forgetful = st.builds(parted, st.just(1), steps, steps, steps, st.just(2))
some_parted = all_parted | all_forgetful


def order(standing: Standing) -> list[str]:
    return list(standing.logins)


@given(some_parted)
def test_it_does_not_matter_which_comes_first(apart: Apart) -> None:
    one, other = apart.standings
    assert merge(one, other) == merge(other, one)
    assert order(merge(one, other)) == order(merge(other, one))


@given(some_parted)
def test_what_is_merged_with_itself_stays_as_it_is(apart: Apart) -> None:
    one, _ = apart.standings
    assert merge(one, one) == one
    assert order(merge(one, one)) == order(one)


@given(all_parted)
def test_to_merge_one_of_them_again_changes_nothing(apart: Apart) -> None:
    one, other = apart.standings
    merged = merge(one, other)
    assert merge(one, merged) == merge(other, merged) == merged


@given(all_parted)
def test_what_has_only_gone_on_outweighs_what_it_came_from(apart: Apart) -> None:
    before, after = apart.before.standing, apart.one.standing
    assert merge(before, after) == after
    assert order(merge(before, after)) == order(after)


@given(some_parted)
def test_neither_is_changed(apart: Apart) -> None:
    one, other = apart.standings
    before = one.record(), other.record()
    merge(one, other)
    assert (one.record(), other.record()) == before


@given(some_parted)
def test_no_number_and_no_time_sinks(apart: Apart) -> None:
    merged = merge(*apart.standings)
    for side in apart.standings:
        assert merged.epoch >= side.epoch
        assert merged.floor >= side.floor
        assert merged.forgotten >= side.forgotten
        assert merged.touched >= side.touched
        assert (merged.epoch, merged.notified) >= (side.epoch, side.notified)
    assert merged.epoch <= max(side.epoch for side in apart.standings) + 1


def has_ended(standing: Standing, session: str, ticket: Ticket | None, now: float) -> bool:
    return isinstance(standing.check(session, ticket, now=now), Termination)


def is_named_later(session: str, ended: Standing, other: Standing, merged: Standing) -> bool:
    """Whether the other one has named a session that has ended in one of them, since."""
    login = other.logins.get(session)
    if login is None or not login.holds:
        return False
    known = ended.logins.get(session)
    by = known.ended if known and known.ended is not None else -1
    below = max(ended.ended_below, by + 1, known.epoch + 1 if known else 0)
    return login.epoch >= below or merged.logins[session].epoch > other.epoch


@given(some_parted)
def test_nobody_who_has_ended_comes_back_with_any_ticket(apart: Apart) -> None:
    one, other = apart.standings
    merged = merge(one, other)
    now = merged.touched
    bare = [Ticket("u1", session, -1, now) for session in SESSIONS]
    for ticket in (*apart.tickets, *bare):
        session = ticket.session
        proof = None if ticket.epoch < 0 else ticket
        if proof is None and session not in merged.logins:
            continue
        for side, rival in ((one, other), (other, one)):
            if has_ended(side, session, proof, now):
                is_over = has_ended(merged, session, proof, now)
                assert is_over or is_named_later(session, side, rival, merged)


@given(some_parted)
def test_who_stood_in_both_stands_unless_its_place_is_taken(apart: Apart) -> None:
    one, other = apart.standings
    merged = merge(one, other)
    for session in one.placed_sessions() & other.placed_sessions():
        if not merged.stands(session):
            assert len(merged.placed_sessions()) == merged.places


@given(some_parted)
def test_nobody_stands_who_stood_in_neither(apart: Apart) -> None:
    one, other = apart.standings
    standing = merge(one, other).standing_sessions()
    assert standing <= one.standing_sessions() | other.standing_sessions()


@given(some_parted)
def test_no_more_stand_than_there_are_places_or_than_stood_since_the_last_notify(
    apart: Apart,
) -> None:
    one, other = apart.standings
    merged = merge(one, other)
    standing = merged.standing_sessions()
    if (one.epoch, one.notified) == (other.epoch, other.notified) and merged.epoch == one.epoch:
        return
    is_within = len(standing) <= merged.places
    assert is_within or standing <= one.standing_sessions() or standing <= other.standing_sessions()


@given(some_parted)
def test_the_sender_of_the_last_notify_stands(apart: Apart) -> None:
    one, other = apart.standings
    if (one.epoch, one.notified) == (other.epoch, other.notified):
        return
    newer = max(one, other, key=lambda side: (side.epoch, side.notified))
    for session, login in newer.logins.items():
        if login.holds and login.epoch == newer.epoch and login.since == newer.notified:
            older = one if newer is other else other
            merged = merge(one, other)
            if login.epoch > older.epoch or merged.epoch > newer.epoch:
                assert merged.stands(session)


def verdicts(standing: Standing) -> tuple[int, int, dict[str, int], set[str]]:
    """Return its numbers, who stands since which epoch, and who has ended."""
    logins = standing.logins.items()
    standing_ones = {session: login.epoch for session, login in logins if login.ended is None}
    return standing.epoch, standing.floor, standing_ones, standing.logins.keys() - standing_ones


@given(st.integers(1, 3), notifies, notifies, notifies, notifies)
def test_of_three_histories_of_notifies_with_epochs_of_their_own_it_matters_not_which_come_first(
    places: int, before: Any, one: Any, other: Any, third: Any
) -> None:
    common = room(max_sessions=places).live(before)
    a, b, c = (common.apart().live(history).standing for history in (one, other, third))
    assume(len({a.epoch, b.epoch, c.epoch}) == 3)
    assert verdicts(merge(merge(a, b), c)) == verdicts(merge(a, merge(b, c)))


@given(some_parted, steps)
def test_of_three_nobody_comes_back_in_whichever_order_they_are_merged(
    apart: Apart, history: Any
) -> None:
    one, other = apart.standings
    third = apart.before.apart().live(history).standing
    for merged in (merge(merge(one, other), third), merge(one, merge(other, third))):
        for session in SESSIONS:
            standing = [one.stands(session), other.stands(session), third.stands(session)]
            assert any(standing) or not merged.stands(session)


# -- single cases --------------------------------------------------------------------------


def node(common: Room, *history: Step, after: float = 1) -> Standing:
    return common.apart().live([(step, after) for step in history]).standing


def test_of_two_logins_at_once_the_later_stands_and_is_of_an_epoch_of_its_own() -> None:
    common = room().live([(("notify", "s4", None), 1)])
    earlier = node(common, ("notify", "s2", None), after=1)
    later = node(common, ("notify", "s3", None), after=3)
    merged = merge(earlier, later)
    assert merged.epoch == merged.floor == 3
    assert merged.names() == ["s3"]
    assert merged.logins["s3"].epoch == 3
    assert merged.terminations[-1] == Termination(3, "login", {"by": "s3"})
    assert merged.superseded(merged.logins["s2"]) == Termination(3, "login", {"by": "s3"})


def test_two_logins_in_one_instant_are_told_apart_by_their_names() -> None:
    common = room()
    merged = merge(node(common, ("notify", "s1", None)), node(common, ("notify", "s2", None)))
    assert (merged.epoch, merged.names()) == (2, ["s2"])


def test_where_two_may_stand_both_logins_of_one_epoch_do() -> None:
    common = room(max_sessions=2)
    earlier = node(common, ("notify", "s2", None), after=1)
    later = node(common, ("notify", "s3", None), after=3)
    merged = merge(earlier, later)
    assert (merged.epoch, merged.floor) == (2, 1)
    assert merged.names() == ["s3", "s2"]


def test_the_same_sender_in_both_needs_no_other_epoch() -> None:
    common = room()
    earlier = node(common, ("notify", "s1", None), after=1)
    later = node(common, ("notify", "s1", None), after=3)
    merged = merge(earlier, later)
    assert merged == attrs.evolve(later, terminations=merged.terminations)


@pytest.mark.parametrize(("first", "last", "standing"), [(1, 3, []), (3, 1, ["s1"])])
def test_to_log_out_everywhere_rivals_a_login_of_the_same_epoch(
    first: float, last: float, standing: list[str]
) -> None:
    common = room(max_sessions=3)
    login = node(common, ("join", "s2"), ("notify", "s1", None), after=first)
    everybody_out = node(common, ("notify", None, None), after=last * 2)
    merged = merge(login, everybody_out)
    assert merged.epoch == 2
    assert merged.names() == standing
    assert has_ended(merged, "s2", None, merged.touched) is True


def test_a_login_from_before_all_were_logged_out_has_ended() -> None:
    common = room(max_sessions=3).live([(("notify", "s1", None), 1)])
    lost = node(common, ("notify", "s2", None), ("join", "s3"))
    merged = merge(lost, node(common, ("notify", "s4", None), ("notify", None, None)))
    assert merged.standing_sessions() == set()


def test_a_room_that_a_ticket_has_lifted_is_at_the_epoch_of_its_notify() -> None:
    common = room()
    full = common.apart().live([(("notify", "s1", None), 1)])
    lifted = Room(common.apart().standing, full.tickets).live([(("prove", "s1"), 3)]).standing
    assert lifted.epoch == full.standing.epoch
    assert merge(lifted, full.standing).record() == attrs.evolve(
        full.standing.record(), touched=START + 3
    )


def test_of_a_released_login_and_one_that_was_ended_it_is_told_that_it_was_released() -> None:
    common = room().live([(("notify", "s1", None), 1)])
    released, ended = node(common, ("release", "s1")), node(common, ("notify", "s2", None))
    assert merge(released, released).logins["s1"].ended == RELEASED
    assert merge(released, ended).logins["s1"].ended == 2


def test_who_came_since_the_last_notify_is_not_measured_by_it() -> None:
    common = room().live([(("notify", "s1", None), 1)])
    merged = merge(node(common, ("join", "s2")), node(common, ("join", "s3")))
    assert merged.standing_sessions() == {"s1", "s2", "s3"}


def test_the_limit_is_the_newer_ones_and_the_oldest_go() -> None:
    common = room(max_sessions=3).live([(("notify", "s1", None), 1)])
    older = node(common, ("notify", "s2", None))
    newer = node(common, ("notify", "s3", 2), ("notify", "s3", 2))
    merged = merge(older, newer)
    assert (merged.limit, merged.floor) == (2, 2)
    assert merged.names() == ["s3", "s2"]
    assert merged.logins["s1"].ended == merged.epoch


def test_who_has_ended_in_one_stands_if_the_other_has_named_it_since() -> None:
    common = room(max_sessions=2).live([(("notify", "s1", None), 1)])
    ended = node(common, ("release", "s1"))
    named = node(common, ("notify", "s1", None))
    assert merge(ended, named).names() == ["s1"]


def test_who_joined_where_it_had_ended_elsewhere_is_judged_by_its_login() -> None:
    common = room()
    gone_on = node(common, ("notify", "s1", None), ("notify", "s1", None), ("join", "s4"))
    named = node(common, ("notify", "s4", None))
    assert merge(gone_on, named).names() == ["s1"]


def test_the_newest_terminations_are_kept_one_of_each_epoch() -> None:
    common = room()
    one = node(common, *[("notify", "s1", None)] * 6)
    other = node(common, *[("notify", "s2", None)] * 12)
    merged = merge(one, other)
    assert [termination.epoch for termination in merged.terminations] == list(range(5, 13))
    assert len(merged.terminations) == MAX_TERMINATIONS
    assert {str(termination.detail) for termination in merged.terminations} == {"{'by': 's2'}"}


def test_the_last_sign_of_a_session_is_kept() -> None:
    common = room().live([(("notify", "s1", None), 1)])
    earlier, later = node(common, ("prove", "s1"), after=1), node(common, ("prove", "s1"), after=3)
    earlier.see("s1", START + 9)
    assert merge(earlier, later).logins["s1"].seen == START + 9


def test_what_a_later_login_is_known_by_is_kept() -> None:
    one, other = room().standing, room().standing
    one.logins["s1"] = Login(1, START, START, about={"device": "Firefox"})
    other.logins["s1"] = Login(1, START, START, about={"device": "Chrome"})
    for merged in (merge(one, other), merge(other, one)):
        assert merged.logins["s1"].about == {"device": "Firefox"}
    other.logins["s1"] = Login(2, START, START, about={"device": "Chrome"})
    assert merge(one, other).logins["s1"].about == {"device": "Chrome"}


def test_no_more_is_remembered_than_may_be() -> None:
    common = room(max_remembered_sessions=2)
    one = node(common, *(("join", f"a{number}") for number in range(2)))
    other = node(common, *(("join", f"b{number}") for number in range(2)))
    assert len(merge(one, other).logins) == 2


def test_the_limits_of_two_notifies_in_one_instant_are_told_apart() -> None:
    one, other = node(room(), ("notify", "s1", None)), node(room(), ("notify", "s1", 1))
    assert merge(one, other).limit == merge(other, one).limit == 1


def test_a_lost_login_as_old_as_the_oldest_that_stands_may_stand() -> None:
    common = room(max_sessions=2)
    full = node(common, ("notify", "s1", None), ("notify", "s2", None), ("release", "s1"))
    assert full.floor == 1
    merged = merge(node(common, ("notify", "s3", None)), full)
    assert merged.names() == ["s2", "s3"]


def test_a_lost_login_is_told_the_notify_that_came_next() -> None:
    common = room()
    gone_on = node(common, *(("notify", name, None) for name in ("s1", "s2", "s1", "s2")))
    lost = merge(node(common, ("notify", "s3", None)), gone_on)
    assert lost.superseded(lost.logins["s3"]) == Termination(2, "login", {"by": "s2"})
