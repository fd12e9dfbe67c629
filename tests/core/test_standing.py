"""Which logins a room still recognises: the one rule against naive lists; the bounds of memory."""

from collections.abc import Container, Sequence
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from sse_trio.config import Config
from sse_trio.core.logins import RELEASED, Decision, Login, Record, Termination, memory_of
from sse_trio.core.standing import MAX_TERMINATIONS, Standing
from sse_trio.core.standings import Standings
from sse_trio.core.tickets import Ticket
from sse_trio.core.tokens import LEEWAY
from sse_trio.errors import LimitReached
from sse_trio.roster import SessionInfo

SESSIONS = ("s1", "s2", "s3", "s4", "s5")
Step = tuple[str, Any]

sessions = st.sampled_from(SESSIONS)
senders = st.none() | sessions

# One draw a step. Seldom does nobody stay, so that the room can fill in between.
STEPS: list[Step] = [
    *[(what, one) for what in ("joined", "notified") for one in SESSIONS] * 2,
    *(("released", one) for one in SESSIONS),
    *[("notified", None)] * 2,
]
# A ticket of any epoch, and so many seconds old.
PROOFS: list[Step] = [
    ("proven", (one, epoch, age))
    for one in SESSIONS
    for epoch in range(13)
    for age in (0, 1, 3, 99)
]
steps = st.sampled_from(STEPS)
steps_with_tickets = st.sampled_from(STEPS) | st.sampled_from(PROOFS)
histories = st.lists(steps, max_size=25)
histories_with_tickets = st.lists(steps_with_tickets, max_size=25)

each_number_of_places = pytest.mark.parametrize("places", [1, 2, 3])
some_places = st.integers(1, 3)
at_limits = st.sampled_from(["end-oldest", "refuse-new"])

LIFETIME = 100


def standings(*, alive: Container[str] = (), **settings: Any) -> Standings:
    return Standings(Config(**{"ticket_lifetime": LIFETIME} | settings), alive=alive)


def touch(rooms: Standings, room: str, now: float) -> Standing:
    """Return a room's standing, new if need be, as used now."""
    if rooms.get(room) is None:
        rooms.put(room, rooms.draft(room, now))
    rooms.touch(room, now)
    found = rooms.get(room)
    assert found is not None
    return found


def room_for(places: int = 1, at_limit: str = "end-oldest", **settings: Any) -> Standing:
    standing = touch(standings(max_sessions=places, at_limit=at_limit, **settings), "u1", 1000)
    assert standing.epoch == standing.floor == 0
    return standing


def join(standing: Standing, session: str, ticket: Ticket | None = None) -> Termination | None:
    """Come as a member comes: registered if it stands, else told why not."""
    login = standing.login(session, ticket)
    ended = standing.superseded(login)
    if ended is None:
        standing.admit(session, login)
        standing.see(session, standing.touched)
    return ended


def prove(
    standing: Standing, session: str, epoch: int, *, issued: float | None = None
) -> Termination | None:
    """Come with a ticket, of now unless told otherwise."""
    issued = standing.touched if issued is None else issued
    return join(standing, session, Ticket("u1", session, epoch, issued))


def advance(standing: Standing, sender: str | None, **more: Any) -> Decision:
    """Announce a login in words that tell which of them it was."""
    number = standing.epoch + 1
    return standing.advance(sender, f"reason {number}", {"number": number}, **more)


def notify(standing: Standing, sender: str | None, **more: Any) -> Termination:
    """Do that, and return what those are told that it ends."""
    return advance(standing, sender, **more).termination


def release(standing: Standing, session: str, reason: str = "logout", **more: Any) -> Termination:
    """Log a session out, and return what it is told."""
    return standing.release(session, reason, **more).termination


def live(standing: Standing, history: list[Step], seconds: float = 1) -> Standing:
    """Take `standing` through a history, `seconds` a step; what is refused has no effect."""
    for what, value in history:
        standing.touched += seconds
        if what == "joined":
            join(standing, value)
        elif what == "proven":
            session, epoch, age = value
            prove(standing, session, epoch, issued=standing.touched - age)
        elif what == "released":
            standing.release(value)
        else:
            # With everybody here no place becomes free by itself.
            refused(standing, value, present=SESSIONS)
    return standing


def refused(standing: Standing, sender: str | None, **more: Any) -> tuple[float, ...] | None:
    """Notify; return how old those are that a refusal names."""
    try:
        notify(standing, sender, **more)
    except LimitReached as full:
        return ages(standing, full)
    return None


def ages(standing: Standing, full: LimitReached) -> tuple[float, ...]:
    return tuple(standing.touched - login.since for login in full.sessions)


def whole(standing: Standing) -> dict[str, Any]:
    """Return everything that the standing remembers, also what is no part of its equality."""
    record = standing.record()
    return attrs.asdict(record) | {"order": list(record.logins)}


def standing_ones(standing: Standing) -> set[str]:
    return set(filter(standing.stands, SESSIONS))


def words(number: int) -> Termination:
    return Termination(number, f"reason {number}", {"number": number})


class Model:
    """One room as lists of sessions, the oldest first: who merely joined, and who was named.

    Of either kind, it remembers so many that have ended, as long as a ticket of theirs may be
    valid; and so many that merely joined.
    """

    def __init__(self, places: int, *, refuses: bool = False, remembered: int = 64) -> None:
        self.configured = self.places = places
        self.refuses = refuses
        self.remembered = remembered
        self.joined: list[str] = []
        self.named: list[str] = []
        self.order: list[str] = []
        """Everybody by when they joined or were named last."""
        self.ended: dict[str, int | None] = {}
        """By which notify; None: released. Those that ended last are the last."""
        self.ended_logins: set[str] = set()
        """Those of them that were named."""
        self.until: dict[str, float] = {}
        """When they ended."""
        self.now = 0.0
        """Set by whoever lets time pass."""
        self.count = 0
        self.number: dict[str, int] = {}
        """By which notify a session was named last."""
        self.since: dict[str, float] = {}
        self.sign: dict[str, float] = {}
        """When a session last was known to be there."""
        self.oldest_of_a_full_room = 0
        self.about: dict[str, dict[str, Any]] = {}
        """What was last said of those that are known."""

    def queue(self) -> list[str]:
        return self.joined + self.named

    def join(self, session: str) -> None:
        if session in self.ended:
            return
        self.sign[session] = self.now
        if session not in self.queue():
            self.joined.append(session)
            self.order.append(session)
            del self.joined[: -self.remembered]

    def notify(
        self,
        sender: str | None,
        *,
        end: Sequence[str] = (),
        absent: Container[str] = (),
        limit: int | None = None,
        refuses: bool | None = None,
        about: dict[str, Any] | None = None,
    ) -> list[float] | None:
        """Accept a notify, or return the ages of those who are in its way."""
        for session in [one for one in self.named if one in absent]:
            self.release(session)
        others = [session for session in self.named if session not in (sender, *end)]
        places = limit or self.configured
        refuses = self.refuses if refuses is None else refuses
        if refuses and sender is not None and len(others) >= places:
            return sorted(self.now - self.since[session] for session in others)
        self.count += 1
        if sender is not None:
            self.places = places
            if about is not None:
                self.about[sender] = about
        self.end([session for session in end if session in self.queue()])
        if sender is None:
            self.end(self.queue())
            self.oldest_of_a_full_room = self.count
            self.forget()
            return None
        for place in (self.joined, self.order, self.named):
            if sender in place:
                place.remove(sender)
        self.ended.pop(sender, None)
        self.named.append(sender)
        self.order.append(sender)
        self.number[sender] = self.count
        self.since[sender] = self.sign[sender] = self.now
        self.end(self.queue()[: -self.places])
        self.forget()
        if len(self.named) == self.places:
            self.oldest_of_a_full_room = min(self.number[session] for session in self.named)
        return None

    def end(self, sessions: list[str], *, by: int | None = -1) -> None:
        for session in sessions:
            self.ended_logins.discard(session)
            if session in self.named:
                self.ended_logins.add(session)
            (self.joined if session in self.joined else self.named).remove(session)
            self.ended.pop(session, None)
            self.ended[session] = self.count if by == -1 else by
            self.until[session] = self.now

    def forget(self) -> None:
        for session in list(self.ended):
            if self.now - self.until[session] > memory_of(LIFETIME):
                del self.ended[session]
                self.about.pop(session, None)
        for named in (True, False):
            kind = [one for one in self.ended if (one in self.ended_logins) is named]
            for session in kind[: -self.remembered]:
                del self.ended[session]
                self.about.pop(session, None)

    def release(self, session: str) -> None:
        if session in self.queue():
            self.end([session], by=None)
            self.forget()

    def released(self, session: str) -> Termination:
        """What a release comes to: also where the session is unknown, and is not barred."""
        return self.told(session) or Termination(self.count, "logout")

    def told(self, session: str) -> Termination | None:
        if session not in self.ended:
            return None
        number = self.ended[session]
        if number is None:
            return Termination(self.count, "logout")
        return words(max(number, self.count - MAX_TERMINATIONS + 1))

    def newest(self) -> str | None:
        standing = [session for session in self.order if session in self.queue()]
        return standing[-1] if standing else None


def check(standing: Standing, model: Model) -> None:
    """Everything that can be asked is answered as the lists would."""
    assert (standing.epoch, standing.floor) == (model.count, model.oldest_of_a_full_room)
    assert standing_ones(standing) == set(model.queue())
    assert standing.newest() == model.newest()
    for session in SESSIONS:
        assert standing.superseded(standing.login(session)) == model.told(session)
    told = [(one.session, one.about) for one in standing.sessions(standing.touched)]
    assert told == [(one, model.about.get(one)) for one in reversed(model.named)]


# -- the rule ---------------------------------------------------------------------------


# Whom a notify ends in any case, its limit, what it does there, and what it says of the sender.
wishes = st.fixed_dictionaries(
    {"end": st.lists(sessions, max_size=2)},
    optional={
        "limit": some_places,
        "at_limit": at_limits,
        "about": st.integers(1, 3).map(lambda number: {"device": number}),
    },
)


@each_number_of_places
@given(
    at_limit=at_limits,
    spare=st.sampled_from([1, 2, 60]),
    history=st.lists(st.tuples(steps, wishes), max_size=25),
)
def test_after_each_step_exactly_the_newest_sessions_stand(
    places: int, at_limit: str, spare: int, history: list[tuple[Step, dict[str, Any]]]
) -> None:
    limit = places + spare
    standing = room_for(places, at_limit, max_remembered_sessions=limit)
    model = Model(places, refuses=at_limit == "refuse-new", remembered=limit)
    for (what, session), wished in history:
        standing.touched += 1
        model.now = standing.touched
        before = standing_ones(standing)
        if what == "joined":
            assert join(standing, session) == model.told(session)
            model.join(session)
        elif what == "released":
            decision = standing.release(session)
            model.release(session)
            assert decision.termination == model.released(session)
            assert decision.ended == tuple(sorted(before - standing_ones(standing)))
        else:
            wished["end"] = [one for one in dict.fromkeys(wished["end"]) if one != session]
            old: tuple[float, ...] | None = None
            try:
                decision = advance(standing, session, **wished)
            except LimitReached as full:
                old = ages(standing, full)
            else:
                assert decision.ended == tuple(sorted(before - standing_ones(standing)))
            told = dict(wished)
            refuses = told.pop("at_limit", at_limit) == "refuse-new"
            in_the_way = model.notify(session, refuses=refuses, **told)
            assert old == (in_the_way and tuple(in_the_way))
        check(standing, model)


@given(places=some_places, names=st.lists(sessions, min_size=1, max_size=30))
def test_the_last_ones_that_logged_in_stand(places: int, names: list[str]) -> None:
    """The rule where there is nothing but logins, said without a model."""
    standing = live(room_for(places), [("notified", name) for name in names])
    assert standing_ones(standing) == set(list(dict.fromkeys(reversed(names)))[:places])


@given(places=some_places, history=histories_with_tickets)
def test_epoch_and_floor_never_sink(places: int, history: list[Step]) -> None:
    standing = room_for(places)
    for step in history:
        epoch, floor = standing.epoch, standing.floor
        live(standing, [step])
        assert floor <= standing.floor <= standing.epoch
        if step[0] == "notified":
            assert standing.epoch == epoch + 1
        elif step[0] == "proven":
            assert standing.epoch in (epoch, step[1][1])
            assert standing.epoch >= epoch
        else:
            assert (standing.epoch, standing.floor) == (epoch, floor)


@given(at_limit=at_limits, history=histories_with_tickets)
def test_where_one_session_stands_the_floor_is_the_epoch(
    at_limit: str, history: list[Step]
) -> None:
    standing = room_for(1, at_limit)
    for step in history:
        live(standing, [step])
        assert standing.floor == standing.epoch


@given(places=some_places, history=histories_with_tickets, sender=senders)
def test_a_notify_leaves_no_more_than_there_are_places(
    places: int, history: list[Step], sender: str | None
) -> None:
    standing = live(room_for(places), history)
    before = standing_ones(standing)
    notify(standing, sender)
    after = standing_ones(standing)
    if sender is None:
        assert after == set()
    else:
        # As many as there were, or as there is room for: none ends for nothing.
        assert len(after) == min(places, len(before | {sender}))
        assert sender in after
        assert after <= before | {sender}
        assert standing.newest() == sender


@given(
    places=some_places,
    at_limit=at_limits,
    history=histories_with_tickets,
    session=sessions,
    how=st.sampled_from(STEPS[-3:]),
    later=st.lists(steps_with_tickets, max_size=10),
)
def test_a_session_that_has_ended_stays_so_until_it_is_named(
    places: int, at_limit: str, history: list[Step], session: str, how: Step, later: list[Step]
) -> None:
    standing = live(room_for(places, at_limit), [*history, ("joined", session)])
    if standing.stands(session):
        live(standing, [how if how[0] == "notified" else ("released", session)])
    for what, value in later:
        # Not what names it: a notify, or a proof from beyond what the room remembers.
        if what == "notified" and value == session:
            continue
        if what == "proven" and value[0] == session and value[1] > standing.epoch:
            _, epoch, age = value
            # A ticket from before the last notify is no such proof.
            issued = min(standing.touched - age, standing.notified - 1)
            assert prove(standing, session, epoch, issued=issued) is not None
            continue
        live(standing, [(what, value)])
        assert not standing.stands(session)
        assert join(standing, session) is not None
        assert standing.newest() != session
    notify(standing, None)
    notify(standing, session)
    assert standing.stands(session)
    assert join(standing, session) is None


@given(places=some_places, history=histories_with_tickets, sender=sessions, times=st.integers(1, 5))
def test_a_sender_notified_again_ends_nobody_else(
    places: int, history: list[Step], sender: str, times: int
) -> None:
    standing = live(room_for(places), [*history, ("notified", sender)])
    before = standing_ones(standing)
    live(standing, [("notified", sender)] * times)
    assert standing_ones(standing) == before
    assert standing.newest() == sender


@given(places=some_places, history=histories_with_tickets)
def test_who_was_never_seen_is_admitted_as_of_now(places: int, history: list[Step]) -> None:
    standing = live(room_for(places), history)
    now = standing.touched
    login = standing.login("stranger")
    assert login == Login(standing.epoch, now, now, named=False)
    assert login.seen == now
    assert standing.superseded(login) is None
    assert not standing.stands("stranger")
    assert standing.admit("stranger", login)
    assert standing.stands("stranger")
    assert standing.newest() == "stranger"
    notify(standing, None)
    assert not standing.stands("stranger")


@given(places=some_places, history=histories)
def test_who_merely_joined_takes_a_place_only_where_one_is_left(
    places: int, history: list[Step]
) -> None:
    """However late it came: a login that was announced is worth more than a claim."""
    standing = live(room_for(places), history)
    named = [one for one in SESSIONS if standing.stands(one) and standing.logins[one].named]
    join(standing, "stranger")
    notify(standing, "sender")
    places_left = places - 1 - len(named)
    assert standing.stands("stranger") == (places_left > 0)


def test_of_those_who_merely_joined_the_last_one_stays() -> None:
    standing = room_for(2)
    for session in ("s1", "s2", "s1"):
        join(standing, session)
    notify(standing, "s3")
    assert standing_ones(standing) == {"s2", "s3"}
    # The next login takes its place: that there is one left is over.
    notify(standing, "s4")
    assert standing_ones(standing) == {"s3", "s4"}


def test_to_be_named_after_one_has_joined_is_to_be_the_newest() -> None:
    standing = room_for(2)
    for session in ("s1", "s2", "s3"):
        join(standing, session)
    notify(standing, "s1")
    notify(standing, "s4")
    assert standing_ones(standing) == {"s1", "s4"}


def test_who_merely_reconnects_has_not_joined_last() -> None:
    standing = room_for()
    for session in ("s1", "s2", "s1"):
        join(standing, session)
    assert standing.newest() == "s2"


def test_nobody_is_the_newest_of_a_room_where_nobody_stands() -> None:
    standing = room_for()
    assert standing.newest() is None
    join(standing, "s1")
    notify(standing, None)
    assert standing.newest() is None
    assert join(standing, "s1") == words(1)
    assert standing.newest() is None


def test_to_be_seen_is_noted_and_changes_nothing_else() -> None:
    standing = room_for()
    login = standing.login("s1")
    assert standing.admit("s1", login)
    before = whole(standing)
    standing.touched += 7
    assert not standing.admit("s1", standing.login("s1"))
    standing.see("s1", standing.touched)
    assert standing.logins["s1"].seen == login.seen + 7
    before["logins"]["s1"]["seen"] += 7
    before["touched"] += 7
    assert whole(standing) == before
    standing.see("s1", standing.touched + 1)
    assert standing.logins["s1"].seen == login.seen + 8
    # Whoever is unknown has not been here.
    standing.see("s2", standing.touched)
    assert list(standing.logins) == ["s1"]


# -- what the ended are told ------------------------------------------------------------


def test_a_termination_tells_the_notify_that_did_it() -> None:
    standing = room_for(2)
    for sender in ("s1", "s2", "s3", "s2", "s4"):
        notify(standing, sender)
    assert [join(standing, session) for session in SESSIONS[:4]] == [words(3), None, words(5), None]


def test_a_notify_returns_what_it_tells() -> None:
    standing = room_for()
    join(standing, "s1")
    told = standing.advance("s2", "stolen", {"where": "Lisbon"}).termination
    assert told == Termination(1, "stolen", {"where": "Lisbon"}) == join(standing, "s1")
    assert (
        standing.advance(None, "", None).termination == Termination(2, "") == join(standing, "s2")
    )


def test_who_missed_more_notifies_than_are_remembered_is_told_the_oldest() -> None:
    standing = room_for()
    join(standing, "s1")
    for _ in range(20):
        notify(standing, None)
    assert join(standing, "s1") == words(20 - MAX_TERMINATIONS + 1)
    assert len(standing.terminations) == MAX_TERMINATIONS


def test_no_detail_is_in_a_repr() -> None:
    standing = room_for()
    standing.advance("a session", "login", {"where": "Lisbon"})
    for value in (standing, standing.record(), standing.terminations):
        assert "Lisbon" not in repr(value)
        assert "a session" not in repr(value)


# -- a limit that refuses ---------------------------------------------------------------


@given(places=some_places, history=histories_with_tickets, sender=sessions)
def test_a_limit_that_refuses_ends_nobody_who_was_named(
    places: int, history: list[Step], sender: str
) -> None:
    standing = live(room_for(places, "refuse-new"), history)
    named = {one for one in standing_ones(standing) if standing.logins[one].named}
    before = whole(standing)
    old = refused(standing, sender, present=SESSIONS)
    if len(named - {sender}) < places:
        assert old is None
        assert named | {sender} <= standing_ones(standing)
    else:
        since = [standing.logins[one].since for one in named - {sender}]
        assert old is not None
        assert sorted(old) == sorted(standing.touched - moment for moment in since)
        assert whole(standing) == before


@each_number_of_places
def test_when_every_place_is_taken_a_new_login_is_refused(places: int) -> None:
    standing = room_for(places, "refuse-new")
    held = SESSIONS[:places]
    for session in held:
        notify(standing, session)
        standing.touched += 10
    before = whole(standing)
    with pytest.raises(LimitReached) as full:
        notify(standing, "s4")
    assert ages(standing, full.value) == tuple(10.0 * (count + 1) for count in range(places))
    assert whole(standing) == before
    # Whoever holds a place may log in again, and is the youngest then.
    notify(standing, held[0])
    assert standing_ones(standing) == set(held)
    with pytest.raises(LimitReached) as full:
        notify(standing, "s4")
    assert ages(standing, full.value)[0] == 0


def test_nobody_may_always_be_left() -> None:
    standing = room_for(1, "refuse-new")
    notify(standing, "s1")
    notify(standing, None)
    assert standing_ones(standing) == set()
    notify(standing, "s2")
    assert standing_ones(standing) == {"s2"}


def test_who_merely_joined_is_in_nobodys_way() -> None:
    standing = room_for(1, "refuse-new")
    for session in ("s1", "s2", "s3"):
        join(standing, session)
    notify(standing, "s2")
    assert standing_ones(standing) == {"s2"}
    join(standing, "s4")
    with pytest.raises(LimitReached) as full:
        notify(standing, "s4")
    assert ages(standing, full.value) == (0,)
    assert standing_ones(standing) == {"s2", "s4"}


def test_what_is_refused_changes_nothing_even_where_somebody_was_away_for_long() -> None:
    standing = room_for(1, "refuse-new")
    notify(standing, "away")
    prove(standing, "here", standing.epoch)
    standing.touched += LIFETIME + 1
    before = whole(standing)
    assert refused(standing, "new", present=["here"]) == (LIFETIME + 1,)
    assert whole(standing) == before


# -- those that are to end in any case --------------------------------------------------


@pytest.mark.parametrize("at_limit", ["end-oldest", "refuse-new"])
def test_who_is_to_end_leaves_its_place_to_the_sender(at_limit: str) -> None:
    standing = room_for(2, at_limit)
    notify(standing, "laptop")
    notify(standing, "phone")
    told = notify(standing, "phone again", end=["phone", "strange"])
    assert standing.standing_sessions() == {"laptop", "phone again"}
    assert join(standing, "phone") == told == words(3)
    assert "strange" not in standing.logins


def test_who_has_ended_is_not_ended_again() -> None:
    standing = room_for(2)
    notify(standing, "s1")
    standing.release("s1")
    before = standing.logins["s1"]
    notify(standing, "s2", end=["s1"])
    assert standing.logins["s1"] == before
    assert join(standing, "s1") == Termination(2, "logout")


def test_what_is_refused_ends_nobody() -> None:
    standing = room_for(2, "refuse-new")
    for session in ("s1", "s2"):
        notify(standing, session)
    join(standing, "s3")
    before = whole(standing)
    assert refused(standing, "s4", end=["s3"]) == (0, 0)
    assert whole(standing) == before


@given(places=some_places, history=histories_with_tickets, end=st.sets(sessions))
def test_the_newest_is_looked_for_besides_those_that_end(
    places: int, history: list[Step], end: set[str]
) -> None:
    standing = live(room_for(places), history)
    newest = standing.newest(besides=end)
    assert newest is None or newest not in end
    for session in end:
        standing.release(session)
    assert standing.newest() == newest


# -- releases ---------------------------------------------------------------------------


@given(places=some_places, at_limit=at_limits, history=histories_with_tickets, session=sessions)
def test_a_release_ends_one_session_and_concerns_no_other(
    places: int, at_limit: str, history: list[Step], session: str
) -> None:
    standing = live(room_for(places, at_limit), history)
    known = set(standing.logins)
    is_known = session in known
    before = {one: standing.superseded(standing.login(one)) for one in SESSIONS}
    epoch, floor = standing.epoch, standing.floor
    told = release(standing, session)
    after = {one: standing.superseded(standing.login(one)) for one in SESSIONS}
    # What has already ended keeps what it was told.
    assert told == (before[session] or Termination(epoch, "logout"))
    # Who is unknown is not barred, and takes no place in the memory.
    assert after[session] == (told if is_known else None)
    assert {one: after[one] for one in SESSIONS if one != session} == {
        one: before[one] for one in SESSIONS if one != session
    }
    assert (standing.epoch, standing.floor) == (epoch, floor)
    assert not standing.stands(session)
    assert set(standing.logins) == known
    again = whole(standing)
    assert release(standing, session) == told
    assert whole(standing) == again


def test_a_superseded_session_that_logs_out_keeps_its_termination() -> None:
    """The release that comes late must not reach the session that superseded it."""
    standing = room_for()
    notify(standing, "s1")
    notify(standing, "s2")
    assert release(standing, "s1") == words(2)
    assert join(standing, "s1") == words(2)
    assert standing_ones(standing) == {"s2"}


def test_a_release_outlasts_the_notifies_after_it() -> None:
    standing = room_for(3)
    notify(standing, "s1")
    assert release(standing, "s1") == Termination(1, "logout")
    assert standing.logins["s1"].ended == RELEASED
    for _ in range(3):
        notify(standing, "s2")
    assert join(standing, "s1") == Termination(4, "logout")
    assert prove(standing, "s1", 1) == Termination(4, "logout")
    assert standing_ones(standing) == {"s2"}
    notify(standing, "s1")
    assert standing_ones(standing) == {"s1", "s2"}


def test_a_release_of_whom_nobody_knows_bars_nobody() -> None:
    standing = room_for()
    before = whole(standing)
    assert release(standing, "s1", "stolen") == Termination(0, "stolen")
    assert whole(standing) == before
    assert join(standing, "s1") is None


def test_who_is_there_is_known_however_many_have_joined_since() -> None:
    standing = room_for(1, max_remembered_sessions=6)
    for session in ("s1", "s2", *(f"stranger {number}" for number in range(6))):
        join(standing, session)
    assert not {"s1", "s2"} & set(standing.logins)
    live(standing, [("notified", None)])
    assert release(standing, "s1", present=["s1", "s2"]) == Termination(1, "logout")
    assert join(standing, "s1") == Termination(1, "logout")
    notify(standing, "s5", end=["s2", "strange"], present=["s2"])
    assert join(standing, "s2") == words(2)
    assert join(standing, "strange") is None


@each_number_of_places
def test_a_release_makes_room_where_a_limit_refuses(places: int) -> None:
    standing = room_for(places, "refuse-new")
    for session in SESSIONS[:places]:
        notify(standing, session)
    assert refused(standing, "s5") is not None
    standing.release("s4")
    assert refused(standing, "s5") is not None
    standing.release("s1")
    notify(standing, "s5")
    assert standing_ones(standing) == {*SESSIONS[1:places], "s5"}
    assert refused(standing, "s1") is not None


def test_a_release_makes_room_for_no_session_that_has_ended() -> None:
    standing = room_for(2)
    for session in ("s1", "s2", "s3"):
        notify(standing, session)
    standing.release("s3")
    assert standing_ones(standing) == {"s2"}
    assert join(standing, "s1") == words(3)


# -- places that become free ------------------------------------------------------------

gaps = st.sampled_from([0, 1, LIFETIME / 2, LIFETIME, LIFETIME + 0.5])
VISITS: list[Step] = [*STEPS, *[("left", one) for one in SESSIONS] * 2]
visits = st.lists(st.tuples(st.sampled_from(VISITS), gaps), max_size=25)


@each_number_of_places
@given(at_limit=at_limits, history=visits)
def test_an_absent_session_loses_its_place_at_the_next_notify(
    places: int, at_limit: str, history: list[tuple[Step, float]]
) -> None:
    standing = room_for(places, at_limit)
    model = Model(places, refuses=at_limit == "refuse-new")
    present: set[str] = set()
    for (what, session), gap in history:
        standing.touched += gap
        now = model.now = standing.touched
        if what == "joined":
            if join(standing, session) is None:
                present.add(session)
            model.join(session)
        elif what == "left":
            if session in present:
                present.remove(session)
                standing.see(session, now)
                model.sign[session] = now
        elif what == "released":
            standing.release(session)
            model.release(session)
        elif what == "notified":
            absent = {
                one
                for one, sign in model.sign.items()
                if one not in present and now - sign > LIFETIME
            }
            old = refused(standing, session, present=present)
            in_the_way = model.notify(session, absent=absent)
            assert old == (in_the_way and tuple(in_the_way))
        # Whoever has ended is put out of the room, without another sign of life.
        present &= standing_ones(standing)
        check(standing, model)


@pytest.mark.parametrize("away", [LIFETIME, LIFETIME + 0.001])
@pytest.mark.parametrize("sign", ["named", "joined", "joined again", "seen"])
def test_a_place_is_kept_for_exactly_the_lifetime_of_a_ticket(sign: str, away: float) -> None:
    standing = room_for(1, "refuse-new")
    if sign == "joined":
        join(standing, "s1")
    standing.touched += 5
    notify(standing, "s1")
    if sign == "joined again":
        standing.touched += LIFETIME + 10
        join(standing, "s1")
    elif sign == "seen":
        standing.touched += LIFETIME + 10
        standing.see("s1", standing.touched)
    standing.touched += away
    freed = away > LIFETIME
    assert (refused(standing, "s2") is None) == freed
    assert standing.stands("s2") == freed
    assert standing.superseded(standing.login("s1")) == (
        Termination(2, "logout") if freed else None
    )


def test_a_session_that_is_there_keeps_its_place_for_ever() -> None:
    standing = room_for(1, "refuse-new")
    notify(standing, "s1")
    standing.touched += 1000 * LIFETIME
    assert refused(standing, "s2", present=["s1"]) == (1000 * LIFETIME,)
    assert standing.stands("s1")
    assert refused(standing, "s2", present=["s2"]) is None


def test_an_absent_session_may_be_the_sender() -> None:
    standing = room_for(2, "refuse-new")
    notify(standing, "s1")
    notify(standing, "s2")
    standing.touched += LIFETIME + 1
    notify(standing, "s1", present=["s2"])
    assert standing_ones(standing) == {"s1", "s2"}


# -- tickets ----------------------------------------------------------------------------


@given(
    places=some_places,
    history=histories_with_tickets,
    session=sessions,
    back=st.integers(0, 20),
    age=st.sampled_from([0, 1, 1000]),
)
def test_what_is_known_outweighs_a_ticket(
    places: int, history: list[Step], session: str, back: int, age: int
) -> None:
    standing = live(room_for(places), [*history, ("joined", session)])
    ticket = Ticket("u1", session, max(0, standing.epoch - back), standing.touched - age)
    known = standing.logins[session]
    if known.named or known.ended is not None:
        assert standing.login(session, ticket) == known
    else:
        # But not where it is a claim: what is proved is worth more.
        stranger = attrs.evolve(ticket, session="stranger")
        assert standing.login(session, ticket) == standing.login("stranger", stranger)


@given(places=some_places, history=histories, back=st.integers(0, 20))
def test_an_unknown_login_is_measured_with_the_floor(
    places: int, history: list[Step], back: int
) -> None:
    standing = live(room_for(places), history)
    epoch = max(0, standing.epoch - back)
    before = standing.epoch, standing.floor
    ended = prove(standing, "stranger", epoch)
    assert (ended is None) == (epoch >= standing.floor)
    assert ("stranger" in standing.logins) == (ended is None)
    assert (standing.epoch, standing.floor) == before
    if ended is None:
        assert standing.logins["stranger"] == Login(epoch, standing.touched, 0)
    else:
        assert ended.epoch > epoch


@given(places=some_places, at_limit=at_limits, history=histories)
def test_a_forgotten_login_is_judged_by_its_ticket_as_if_it_were_known(
    places: int, at_limit: str, history: list[Step]
) -> None:
    """What the floor is for: to tell the superseded of a room from those who stand."""
    standing = room_for(places, at_limit)
    tickets: dict[str, Ticket] = {}
    for step in history:
        epoch = standing.epoch
        live(standing, [step])
        if standing.epoch > epoch and (sender := step[1]) is not None:
            tickets[sender] = Ticket("u1", sender, standing.epoch, standing.touched)
    for session, ticket in tickets.items():
        # That it was released is remembered only as long as the session is.
        if standing.logins[session].ended != RELEASED:
            forgetful = attrs.evolve(standing.record(), logins={})
            twins = standings(max_sessions=places)
            twins.restore("u1", forgetful)
            twin = touch(twins, "u1", standing.touched)
            assert (join(twin, session, ticket) is None) == standing.stands(session)


@given(
    places=some_places,
    history=histories,
    epoch=st.integers(0, 60),
    age=st.sampled_from([0.001, 1, 1000]),
)
def test_a_ticket_from_before_the_last_notify_is_older_than_that(
    places: int, history: list[Step], epoch: int, age: float
) -> None:
    """Whatever its epoch: the ledger may have been lost, and begun to count anew."""
    standing = live(room_for(places), [*history, ("notified", "s1")])
    epochs = standing.epoch, standing.floor
    login = standing.login("old", Ticket("u1", "old", epoch, standing.notified - age))
    assert login.epoch == min(epoch, standing.epoch - 1)
    ended = prove(standing, "old", epoch, issued=standing.notified - age)
    assert (ended is None) == (login.epoch >= standing.floor)
    assert ended is not None or places > 1
    # It lifts nothing, and it is older than the sender.
    assert (standing.epoch, standing.floor) == epochs
    assert standing.stands("s1")
    notify(standing, "s5")
    assert standing.stands("s1") >= standing.stands("old")


@given(places=some_places, history=histories, epoch=st.integers(0, 60), session=sessions)
def test_a_ticket_of_the_future_is_as_one_from_before_the_last_notify(
    places: int, history: list[Step], epoch: int, session: str
) -> None:
    """The clock has been put back since it was signed."""
    for first in ([], [("notified", "s1")]):
        standing = live(room_for(places), [*history, *first])
        epochs = standing.epoch, standing.floor
        old, new = (
            Ticket("u1", session, epoch, issued)
            for issued in (standing.notified - 1, standing.touched + LEEWAY + 0.001)
        )
        judged = [
            (login.epoch, login.named, login.ended)
            for login in (standing.login(session, old), standing.login(session, new))
        ]
        if standing.epoch:
            assert judged[0] == judged[1]
        join(standing, session, new)
        assert (standing.epoch, standing.floor) == epochs
        # Nor does a check take it for another, though the room was not touched for long.
        later = attrs.evolve(new, issued=standing.touched + 5000)
        looked = standing.login(session, later, now=standing.touched + 5000)
        assert looked.epoch in (epoch, standing.login(session).epoch)


def test_a_ticket_of_the_future_admits_whom_the_room_knows_and_lifts_nothing() -> None:
    standing = room_for(2)
    notify(standing, "s1")
    ahead = standing.touched + 3600
    assert prove(standing, "s1", 1, issued=ahead) is None
    assert prove(standing, "s2", 50, issued=ahead) is None
    assert standing.logins["s2"].epoch == 0
    assert (standing.epoch, standing.floor) == (1, 0)
    notify(standing, "s3")
    assert standing.standing_sessions() == {"s1", "s3"}
    # In a room that has never been notified it is not of an epoch before the first.
    fresh = room_for(2)
    assert prove(fresh, "s1", 50, issued=ahead) is None
    assert (fresh.epoch, fresh.logins["s1"].epoch) == (0, 0)
    # Within the leeway, it is another machine's.
    assert prove(fresh, "s2", 50, issued=fresh.touched + LEEWAY) is None
    assert fresh.epoch == 50


def test_a_ticket_as_young_as_the_notify_is_its_own() -> None:
    standing = room_for()
    notify(standing, "s1")
    del standing.logins["s1"]
    standing.touched += 5
    assert prove(standing, "s1", 1, issued=standing.notified - 0.001) == words(1)
    assert prove(standing, "s1", 1, issued=standing.notified) is None


@each_number_of_places
@given(at_limit=at_limits, history=histories, session=sessions, ahead=st.integers(1, 100))
def test_a_ticket_of_a_later_epoch_lifts_the_room(
    places: int, at_limit: str, history: list[Step], session: str, ahead: int
) -> None:
    """As the notify did of which the room has lost its memory: it ends all but the newest."""
    standing = live(room_for(places, at_limit), history)
    # What a notify of its session would have left, had there been no limit to refuse it.
    twins = standings(max_sessions=places)
    twins.restore("u1", standing.record())
    twin = touch(twins, "u1", standing.touched)
    notify(twin, session, present=SESSIONS)
    proven = standing.epoch + ahead
    assert prove(standing, session, proven) is None
    assert standing.epoch == proven
    assert standing_ones(standing) == standing_ones(twin)
    assert standing.newest() == session
    for other in SESSIONS:
        if twin.logins.get(other, Login(0, 0, 0)).ended == twin.epoch:
            assert join(standing, other) == Termination(proven, "login")
    if places == 1:
        assert standing.floor == proven


def test_a_known_login_that_proves_more_lifts_the_room_too() -> None:
    standing = room_for()
    notify(standing, "s1")
    notify(standing, "s2")
    assert prove(standing, "s1", 2) == words(2)
    assert prove(standing, "s1", 3) is None
    assert standing_ones(standing) == {"s1"}
    assert join(standing, "s2") == Termination(3, "login")


def test_a_released_login_that_proves_more_is_another() -> None:
    standing = room_for()
    notify(standing, "s1")
    standing.release("s1")
    assert prove(standing, "s1", 1) == Termination(1, "logout")
    assert prove(standing, "s1", 2) is None
    assert standing.logins["s1"] == Login(2, standing.touched, 0)


@pytest.mark.parametrize("epoch", [0, 1, 2, 40])
@pytest.mark.parametrize("was_named", [True, False])
def test_a_ticket_from_before_the_release_takes_nothing_back(epoch: int, was_named: bool) -> None:
    """Whatever its epoch: the ledger may have been lost, and the room released before it knew."""
    standing = room_for()
    if was_named:
        notify(standing, "s1")
    standing.touched += 10
    ended = release(standing, "s1", present=["s1"])
    assert prove(standing, "s1", epoch, issued=standing.touched - 0.001) == ended
    standing.touched += 10
    assert prove(standing, "s1", epoch, issued=standing.touched - 10.001) == ended
    # One from after it is of another login, where the room has forgotten that.
    is_news = epoch > standing.epoch
    assert (prove(standing, "s1", epoch) is None) == is_news


def test_who_was_ended_by_a_lift_is_told_its_epoch() -> None:
    standing = room_for()
    join(standing, "s1")
    prove(standing, "s2", 9)
    assert join(standing, "s1") == Termination(9, "login", None)
    standing.advance("s2", "logout", None)
    assert join(standing, "s1") == Termination(10, "logout", None)


def test_an_old_ticket_is_superseded_by_what_came_after_it() -> None:
    standing = room_for()
    notify(standing, "s1")
    notify(standing, "s2")
    assert prove(standing, "s1", 1) == words(2)
    assert prove(standing, "never seen", 1) == words(2)
    assert standing.newest() == "s2"


def test_who_has_proved_its_login_holds_a_place() -> None:
    standing = room_for(2, "refuse-new")
    notify(standing, "s1")
    standing.touched += 10
    assert prove(standing, "s2", 1, issued=standing.touched - 4) is None
    assert refused(standing, "s3") == (4, 10)


def test_a_room_without_memory_is_lifted_to_the_newest_login_that_comes() -> None:
    """Whichever order they come back in, where one session stands."""
    for order in ([3, 5, 8], [8, 5, 3], [5, 8, 3]):
        standing = room_for()
        for epoch in order:
            prove(standing, f"s{epoch}", epoch)
        assert list(filter(standing.stands, standing.logins)) == ["s8"]


# -- memory of sessions -----------------------------------------------------------------

names = st.integers(0, 9).map(lambda number: f"s{number}")
LIVES: SearchStrategy[Step] = st.one_of(
    st.tuples(st.sampled_from(["joined", "released", "signed"]), names),
    st.tuples(st.just("notified"), st.tuples(names, st.lists(names, max_size=2))),
    st.tuples(st.just("notified"), st.tuples(names, st.just([]))),
    st.tuples(st.just("proven"), st.integers(0, 99)),
    st.tuples(st.just("passed"), st.sampled_from([30, 60, 200])),
)


def happen(room: Standing, step: Step, tickets: list[Ticket]) -> Ticket | None:
    """Carry out a step; return what was signed in it."""
    room.touched += 1
    match step:
        case "joined", session:
            join(room, session)
        case "released", session:
            room.release(session)
        case "proven", number if tickets:
            ticket = tickets[number % len(tickets)]
            join(room, ticket.session, ticket)
        case "notified", (sender, end):
            end = [one for one in end if one != sender]
            everybody = [f"s{number}" for number in range(10)]
            if refused(room, sender, end=end, present=everybody) is None:
                return Ticket("u1", sender, room.epoch, room.touched)
        case "signed", session:
            room.mark_named(session)
            return Ticket("u1", session, room.logins[session].epoch, room.touched)
        case "passed", seconds:
            room.touched += seconds
    return None


@given(
    places=some_places,
    at_limit=at_limits,
    spare=st.integers(1, 3),
    lives=st.lists(LIVES, max_size=60),
)
def test_no_bound_of_memory_ends_anybody_or_revives_anybody(
    places: int, at_limit: str, spare: int, lives: list[Step]
) -> None:
    """Down to the smallest that may be configured, against a room that forgets nothing."""
    small, large = [
        room_for(places, at_limit, max_remembered_sessions=limit, ticket_lifetime=lifetime)
        for limit, lifetime in ((places + spare, LIFETIME), (60_000, 1_000_000))
    ]
    tickets: list[Ticket] = []
    for step in lives:
        tickets = [one for one in tickets if small.touched - one.issued <= LIFETIME + LEEWAY]
        known = large.logins.get(step[1]) if step[0] == "signed" else None
        if known and known.ended is not None:
            continue  # an application asks for no ticket of a login that it has ended
        signed = [happen(room, step, tickets) for room in (small, large)]
        assert signed[0] == signed[1]
        tickets += [ticket for ticket in signed[:1] if ticket]
        assert small.placed_sessions() == large.placed_sessions()
        assert (small.epoch, small.floor) == (large.epoch, large.floor)
        for ticket in tickets:
            login = small.login(ticket.session, ticket)
            ended = large.superseded(large.login(ticket.session, ticket))
            assert (small.superseded(login) is None) == (ended is None)
            # It is not merely not known to have ended: no bound has forgotten it.
            assert (ticket.session in small.placed_sessions()) == (ended is None)
        assert len(small.logins) <= 3 * (places + spare) + len(small.placed_sessions())


@given(st.lists(st.integers(0, 20), max_size=60), st.integers(2, 6))
def test_of_those_who_merely_joined_the_oldest_are_forgotten(
    numbers: list[int], limit: int
) -> None:
    standing = room_for(max_remembered_sessions=limit)
    model: list[str] = []
    for number in numbers:
        session = f"s{number}"
        join(standing, session)
        model = [*model, session][-limit:] if session not in model else model
        assert list(standing.logins) == model
    # Nobody has ended by it.
    assert standing.forgotten == -1


def test_strangers_push_out_nobody_who_was_named() -> None:
    standing = room_for(2, max_remembered_sessions=3)
    notify(standing, "tv")
    for number in range(10):
        join(standing, f"stranger {number}")
        standing.release(f"strange {number}")
    notify(standing, "phone")
    assert {"tv", "phone"} <= standing.standing_sessions()
    assert list(filter(standing.stands, standing.logins)) == ["tv", "phone"]


def test_strangers_push_out_no_login_that_has_ended() -> None:
    standing = room_for(max_remembered_sessions=2)
    notify(standing, "s1")
    for number in range(10):
        join(standing, f"stranger {number}")
        notify(standing, "s2")
    assert join(standing, "s1") == words(12 - MAX_TERMINATIONS)
    assert join(standing, "stranger 9") is not None


def test_other_logins_end_no_login_that_stands() -> None:
    """Though a hundred come and go beside it."""
    standing = room_for(2, max_remembered_sessions=3)
    notify(standing, "tv")
    for number in range(100):
        notify(standing, f"s{number}")
        standing.release(f"s{number}")
    assert standing.standing_sessions() == {"tv"}
    assert join(standing, "tv") is None
    assert list(standing.logins) == ["tv", "s97", "s98", "s99"]


@pytest.mark.parametrize("released", [True, False])
def test_to_forget_whom_a_ticket_proves_is_not_to_revive_it(released: bool) -> None:
    standing = room_for(2, max_remembered_sessions=3)
    notify(standing, "s1")
    notify(standing, "s2")
    signed = standing.touched
    if released:
        standing.release("s2")
    else:
        notify(standing, "s2 again", end=["s2"])
    ended = join(standing, "s2")
    assert ended is not None
    standing.touched += 10
    for number in range(3):
        standing.mark_named(f"other {number}")
        standing.release(f"other {number}")
    assert "s2" not in standing.logins
    assert standing.forgotten == 2
    assert standing.ended_below == 3
    assert prove(standing, "s2", 2, issued=signed) == ended
    # An older one, which the room knows, stands all the same.
    assert prove(standing, "s1", 1) is None


@pytest.mark.parametrize(
    "how", ["notified", "ended", "released", "released by epoch", "only joined"]
)
def test_an_ended_session_is_forgotten_when_its_last_ticket_has_expired(how: str) -> None:
    lifetime = 120
    standing = room_for(2, ticket_lifetime=lifetime)
    named = how != "only joined"
    notify(standing, "s1") if named else join(standing, "s1")
    epoch = standing.epoch
    # The login may be older than every valid ticket: what counts is when it ended.
    standing.touched += 10 * lifetime
    if how.startswith("released"):
        standing.release("s1", epoch=epoch if how == "released by epoch" else None)
    elif how == "ended":
        notify(standing, "s2", end=["s1"])
    else:
        notify(standing, None)
    standing.touched += memory_of(lifetime)
    notify(standing, "s3")
    assert join(standing, "s1") is not None
    standing.touched += 0.5
    notify(standing, "s4")
    assert "s1" not in standing.logins
    assert standing.forgotten == (epoch if named else -1)


def test_strangers_that_are_ended_and_forgotten_end_no_login_that_the_room_does_not_know() -> None:
    """Whoever has only joined is of no epoch that it could prove; a lost ledger is healed so."""
    standing = room_for(3, max_remembered_sessions=4)
    assert prove(standing, "phone", 7) is None
    for number in range(20):
        join(standing, f"stranger {number}")
        if number % 10 == 9:
            notify(standing, "new")
    assert standing.placed_sessions() == {"phone", "new"}
    assert standing.forgotten == -1
    assert prove(standing, "tv", 6) is None


def test_what_a_ticket_is_signed_for_is_not_dead_on_arrival() -> None:
    """Where those that are forgotten were of the present epoch."""
    standing = room_for(1, max_remembered_sessions=2)
    for number in range(3):
        assert standing.mark_named(f"s{number}")
        standing.release(f"s{number}")
    assert (standing.epoch, standing.forgotten) == (0, 0)
    assert standing.mark_named("new")
    assert prove(standing, "new", 0) is None
    assert prove(standing, "s0", 0) == Termination(0, "logout")
    assert standing.placed_sessions() == {"new"}


def test_to_be_named_by_a_ticket_is_to_be_more_than_a_claim() -> None:
    standing = room_for()
    join(standing, "s1")
    standing.touched += 5
    assert standing.mark_named("s1")
    assert standing.logins["s1"] == Login(0, 1005, 1005)
    assert not standing.mark_named("s1")
    notify(standing, "s2")
    assert not standing.mark_named("s1")
    assert join(standing, "s1") == words(1)


@given(places=some_places, history=histories_with_tickets, spare=st.integers(1, 3))
def test_no_more_sessions_are_remembered_than_may_be(
    places: int, history: list[Step], spare: int
) -> None:
    limit = places + spare
    standing = room_for(places, max_remembered_sessions=limit)
    for step in history:
        live(standing, [step])
        kinds = [(login.named, login.ended is None) for login in standing.logins.values()]
        for kind in ((True, False), (False, True), (False, False)):
            assert kinds.count(kind) <= limit


# -- a limit of the room's own ------------------------------------------------------------


def test_a_room_keeps_the_limit_that_its_last_notify_gave_it() -> None:
    standing = room_for(1)
    for session in ("s1", "s2", "s3"):
        notify(standing, session, limit=3)
    assert standing.standing_sessions() == {"s1", "s2", "s3"}
    assert standing.limit == 3
    # Nobody is ended for a logout from everywhere, which leaves the limit as it is.
    notify(standing, None)
    assert standing.limit == 3
    notify(standing, "s4", limit=2)
    notify(standing, "s5")
    assert standing.standing_sessions() == {"s5"}
    assert standing.limit is None


def test_to_end_all_others_is_a_limit_of_one_that_does_not_refuse() -> None:
    standing = room_for(3, "refuse-new")
    for session in ("s1", "s2"):
        notify(standing, session)
    before = whole(standing)
    assert refused(standing, "s3", limit=1) == (0, 0)
    assert whole(standing) == before
    notify(standing, "s3", limit=1, at_limit="end-oldest")
    assert standing.standing_sessions() == {"s3"}
    # That was of the one notify; the limit stays.
    assert refused(standing, "s4", limit=1) == (0,)
    assert standing.limit == 1
    notify(room := room_for(1), "s1")
    assert refused(room, "s2", at_limit="refuse-new") == (0,)
    notify(room, "s2")
    assert room.standing_sessions() == {"s2"}


@pytest.mark.parametrize(("limit", "stand"), [(1, {"new"}), (2, {"s3", "new"}), (9, None)])
def test_a_ticket_that_lifts_a_room_is_measured_by_the_rooms_limit(
    limit: int, stand: set[str] | None
) -> None:
    standing = room_for(2)
    for session in ("s1", "s2", "s3"):
        notify(standing, session, limit=limit)
    assert prove(standing, "new", 9) is None
    assert standing.standing_sessions() == (stand or {"s1", "s2", "s3", "new"})


def test_a_smaller_memory_ends_nobody_whom_the_rooms_limit_lets_stand() -> None:
    large = room_for(1)
    everybody = {f"s{number}" for number in range(20)}
    for session in sorted(everybody):
        notify(large, session, limit=20)
    small = standings(max_remembered_sessions=3)
    small.restore("u1", large.record())
    room = touch(small, "u1", large.touched)
    assert join(room, "s0") is None
    assert prove(room, "claim", room.epoch) is None
    release(room, "claim")
    assert room.placed_sessions() == everybody


ROOMS_LIFE: SearchStrategy[Step] = st.one_of(
    st.tuples(st.just("limited"), st.tuples(sessions, st.none() | st.integers(1, 5))),
    st.tuples(st.sampled_from(["signed", "joined", "released"]), sessions),
    st.sampled_from(PROOFS),
    st.just(("limited", (None, None))),
)


@given(places=some_places, spare=st.integers(1, 60), lives=st.lists(ROOMS_LIFE, max_size=30))
def test_below_the_floor_every_login_has_ended_whatever_the_limits_were(
    places: int, spare: int, lives: list[Step]
) -> None:
    standing = room_for(places, max_remembered_sessions=places + spare)
    for what, value in lives:
        floor = standing.floor
        if what == "limited":
            sender, limit = value
            notify(standing, sender, limit=limit)
        elif what == "signed":
            standing.mark_named(value)
        else:
            live(standing, [(what, value)])
        assert floor <= standing.floor <= standing.epoch
        assert all(one.epoch >= standing.floor for one in standing.sessions(standing.touched))
        stranger = standing.login("stranger", Ticket("u1", "stranger", standing.floor - 1))
        assert standing.floor == 0 or standing.superseded(stranger)


# -- whom a step has ended ----------------------------------------------------------------


def test_who_has_ended_is_named_whatever_it_was() -> None:
    standing = room_for(2)
    notify(standing, "s1")
    notify(standing, "s2")
    join(standing, "claim")
    told = advance(standing, "s3", present=["claim", "s3", "forgotten", "s2"])
    # Whoever is there, and is not known, is told by the members of the room.
    assert told == Decision(words(3), ("claim", "s1"))
    assert advance(standing, "s3").ended == ()
    # Its place was free, and nobody has ended it before now.
    standing.touched += LIFETIME + 1
    assert advance(standing, "s4", present=["s3"], end=["strange"]).ended == ("s2",)
    assert advance(standing, "s4", end=["s3"]).ended == ("s3",)
    assert advance(standing, None).ended == ("s4",)
    assert advance(standing, None).ended == ()


def test_a_release_names_the_one_that_it_has_ended() -> None:
    standing = room_for(2)
    notify(standing, "s1")
    assert standing.release("s1").ended == ("s1",)
    assert standing.release("s1").ended == ()
    assert standing.release("s2").ended == ()
    assert standing.release("s2", present=["s2"]).ended == ("s2",)


# -- a release that says which login it is of -----------------------------------------------


@pytest.mark.parametrize(("epoch", "ends"), [(0, False), (1, False), (2, True), (3, True)])
def test_a_release_that_comes_late_ends_no_newer_login(epoch: int, ends: bool) -> None:
    standing = room_for(2)
    notify(standing, "s1")
    notify(standing, "s1")
    before = whole(standing)
    told = standing.release("s1", "stolen", epoch=epoch)
    assert told == Decision(Termination(2, "stolen"), ("s1",) if ends else ())
    assert standing.stands("s1") is not ends
    assert (whole(standing) == before) is not ends
    if ends:
        assert prove(standing, "s1", epoch) == Termination(2, "logout")


def test_a_proved_release_bars_whom_the_room_does_not_know_and_lifts_nothing() -> None:
    standing = room_for(2)
    notify(standing, "s1")
    assert standing.release("s2", epoch=7) == Decision(Termination(1, "logout"))
    assert (standing.epoch, standing.floor) == (1, 0)
    assert standing.standing_sessions() == {"s1"}
    for epoch in (1, 2, 7):
        assert prove(standing, "s2", epoch) == Termination(1, "logout")
    assert join(standing, "s2") == Termination(1, "logout")
    # It lifts what it has always lifted: of a later epoch, it is another login.
    assert prove(standing, "s2", 8) is None
    assert standing.epoch == 8


def test_a_proved_release_bars_no_newer_login_of_a_room_that_has_lost_its_memory() -> None:
    standing = room_for(2)
    assert standing.release("s1", epoch=5).ended == ()
    assert prove(standing, "s1", 5, issued=standing.touched - 9) == Termination(0, "logout")
    assert prove(standing, "s1", 6, issued=standing.touched - 9) is None


def test_a_proved_release_outlasts_its_being_forgotten() -> None:
    standing = room_for(1, max_remembered_sessions=2)
    standing.release("s1", epoch=7)
    for number in range(2):
        standing.mark_named(f"other {number}")
        standing.release(f"other {number}")
    assert "s1" not in standing.logins
    assert (standing.epoch, standing.forgotten) == (0, 7)
    assert prove(standing, "s1", 7) == Termination(0, "logout")
    assert prove(standing, "s2", 8) is None
    assert notify(standing, "s3").epoch == 9
    assert standing.stands("s3")


def test_a_proved_release_is_worth_more_than_a_claim() -> None:
    standing = room_for(2)
    for _ in range(5):
        notify(standing, "s1")
    join(standing, "s2")
    # It joined at epoch 5, which proves nothing.
    assert standing.release("s2", epoch=3).ended == ("s2",)
    assert standing.logins["s2"].epoch == 3
    assert join(standing, "s2") == Termination(5, "logout")
    assert standing.release("there", epoch=3, present=["there"]).ended == ("there",)
    assert prove(standing, "there", 3) == Termination(5, "logout")


def test_a_proved_release_of_what_has_ended_leaves_its_termination() -> None:
    standing = room_for(1)
    notify(standing, "s1")
    notify(standing, "s2")
    before = whole(standing)
    assert standing.release("s1", epoch=1) == Decision(words(2))
    # Nor does one that the room has forgotten take a place again.
    assert standing.release("older", epoch=1) == Decision(words(2))
    assert whole(standing) == before
    # If it was of a later epoch, the room has lost its memory, and that one has ended too.
    assert standing.release("s1", epoch=9) == Decision(words(2))
    assert prove(standing, "s1", 9) == words(2)
    assert prove(standing, "s1", 10) is None


def test_a_claim_below_the_floor_is_ended_by_a_proved_release() -> None:
    standing = room_for(1)
    notify(standing, "s1")
    join(standing, "s2")
    assert standing.release("s2", epoch=0).ended == ("s2",)
    assert join(standing, "s2") == Termination(1, "logout")


# -- what a person knows a login by ---------------------------------------------------------


def test_a_login_is_known_by_what_was_last_said_of_it() -> None:
    standing = room_for(2)
    notify(standing, "s1", about={"device": "phone"})
    notify(standing, "s2")
    notify(standing, "s1")
    assert standing.logins["s1"].about == {"device": "phone"}
    assert standing.logins["s2"].about is None
    notify(standing, "s1", about={"device": "laptop"})
    assert standing.logins["s1"].about == {"device": "laptop"}
    # As long as it is known: also when it has ended, and when its ticket says more than the room.
    release(standing, "s1")
    notify(standing, "s1")
    assert prove(standing, "s1", 50) is None
    assert standing.logins["s1"] == Login(50, 1000, 1000, about={"device": "laptop"})


def test_a_room_tells_who_stands_the_newest_first() -> None:
    standing = room_for(3)
    notify(standing, "s1", about={"device": "phone"})
    standing.touched += 5
    notify(standing, "s2")
    standing.touched += 5
    standing.mark_named("s3")
    join(standing, "claim")
    standing.see("s1", standing.touched)
    told = standing.sessions(standing.touched + 7, present={"s2", "claim"})
    assert told == [
        SessionInfo(session="s3", epoch=2, since=1010, seen=1010),
        SessionInfo(session="s2", epoch=2, since=1005, seen=1017, connected=True),
        SessionInfo(session="s1", epoch=1, since=1000, seen=1010, about={"device": "phone"}),
    ]
    assert "phone" not in repr(told)
    assert "s1" not in repr(told)


def test_a_refusal_names_those_that_are_in_the_way() -> None:
    standing = room_for(2, "refuse-new")
    for session in ("s1", "s2", "s3", "s4"):
        notify(standing, session, limit=9, at_limit="end-oldest")
    standing.logins["s1"] = attrs.evolve(standing.logins["s1"], seen=1)
    with pytest.raises(LimitReached) as full:
        notify(standing, "s4", end=["s2"], limit=1, present=["s3"])
    assert [one.session for one in full.value.sessions] == ["s3"]
    assert full.value.sessions[0].connected


# -- checks ---------------------------------------------------------------------------------

LOOKED_AT: SearchStrategy[Step] = st.one_of(
    st.tuples(st.sampled_from(["joined", "released", "signed"]), names),
    st.tuples(
        st.just("notified"),
        st.tuples(names, st.lists(names, max_size=2), st.none() | st.integers(1, 4)),
    ),
    st.tuples(st.just("proven"), st.integers(0, 99)),
    st.just(("nobody", None)),
)


def told_at_the_door(
    room: Standing, session: str, ticket: Ticket | None = None
) -> Login | Termination:
    """Let a copy of the room be joined."""
    twin = attrs.evolve(room, logins=dict(room.logins), terminations=list(room.terminations))
    return join(twin, session, ticket) or twin.logins[session]


def check_looks(room: Standing, tickets: list[Ticket], named: set[str]) -> None:
    """Nobody who asks gets another answer than who joins; and a check changes nothing."""
    now, before = room.touched, whole(room)
    held = {one.session: one for one in room.sessions(now)}
    assert held.keys() == room.placed_sessions()
    assert room.names() == list(held)
    for session in named | set(room.logins):
        looked = room.check(session, now=now)
        assert isinstance(looked, Login) == (session in held)
        met = told_at_the_door(room, session)
        # One that the room does not know is admitted as a claim: so the safe answer is no.
        assert looked == (met if isinstance(met, Termination) or met.named else None)
    for ticket in tickets:
        looked = room.check(ticket.session, ticket, now=now)
        assert isinstance(looked, Login) == (ticket.session in held)
        met = told_at_the_door(room, ticket.session, ticket)
        assert looked == (room.logins[ticket.session] if isinstance(met, Login) else met)
        # The mere number of an epoch says of an unknown session that it has ended, or nothing.
        by_number = room.check(ticket.session, ticket.epoch, now=now)
        assert by_number in (looked, room.check(ticket.session, now=now))
        assert isinstance(by_number, Login) == (ticket.session in held)
    assert whole(room) == before


@given(
    places=some_places,
    at_limit=at_limits,
    spare=st.integers(1, 60),
    lives=st.lists(LOOKED_AT, max_size=30),
)
def test_a_check_is_told_what_a_join_is_told(
    places: int, at_limit: str, spare: int, lives: list[Step]
) -> None:
    room = room_for(places, at_limit, max_remembered_sessions=places + spare)
    tickets: list[Ticket] = []
    named: set[str] = set()
    for step in lives:
        room.touched += 1
        match step:
            case "notified", (sender, end, limit):
                end = [one for one in end if one != sender]
                if limit is not None and limit >= places + spare:
                    limit = None
                if refused(room, sender, end=end, limit=limit) is None:
                    tickets.append(Ticket("u1", sender, room.epoch, room.touched))
            case "nobody", _:
                notify(room, None)
            case "signed", session if not isinstance(room.check(session, now=0), Termination):
                room.mark_named(session)
                tickets.append(Ticket("u1", session, room.logins[session].epoch, room.touched))
            case what, _ if what != "signed":
                happen(room, step, tickets)
        named |= {ticket.session for ticket in tickets}
        check_looks(room, tickets, named)


def test_a_check_with_a_proof_from_beyond_lifts_nothing() -> None:
    room = room_for(2)
    notify(room, "s1")
    notify(room, "s2")
    release(room, "s2")
    before = whole(room)
    beyond = {one: Ticket("u1", one, 50, room.touched) for one in ("s1", "s2", "s3")}
    looks = [room.check(one, beyond[one], now=room.touched) for one in ("s1", "s2", "s3")]
    assert looks == [room.logins["s1"], None, None]
    numbers = [room.check(one, 50, now=room.touched) for one in ("s1", "s2", "s3")]
    assert numbers == [room.logins["s1"], Termination(2, "logout"), None]
    assert whole(room) == before


@pytest.mark.parametrize("proof", [1, Ticket("u1", "s9", 1, 1000)])
def test_a_check_tells_whether_a_session_that_is_not_known_has_ended(proof: Ticket | int) -> None:
    room = room_for(2)
    notify(room, "s1")
    assert room.check("s9", now=1000) is None
    assert room.check("s9", proof, now=1000) is None
    join(room, "s9")
    assert room.check("s9", now=1000) is None
    assert room.check("s9", proof, now=1000) is None
    for session in ("s2", "s3"):
        notify(room, session)
    # Its own word is worth less than that.
    room.logins["s9"] = Login(3, 1000, 1000, named=False)
    assert room.check("s9", proof, now=1000) == words(2)
    assert room.check("s9", 2, now=1000) is None
    del room.logins["s9"]
    assert room.check("s9", proof, now=1000) == words(2)


def test_a_check_at_a_claim_that_has_ended_tells_how() -> None:
    room = room_for(1)
    join(room, "s1")
    notify(room, "s2")
    assert room.check("s1", now=1000) == room.check("s1", 1, now=1000) == words(1)


def test_a_check_at_a_proof_of_the_future_counts_it_as_before_the_last_notify() -> None:
    room = room_for(2)
    for session in ("s1", "s2", "s3"):
        notify(room, session)
    ahead = Ticket("u1", "s9", 3, room.touched + LEEWAY + 1)
    assert room.check("s9", ahead, now=room.touched) is None
    notify(room, "s4")
    assert room.check("s9", attrs.evolve(ahead, epoch=2), now=room.touched) == words(3)


# -- records ----------------------------------------------------------------------------


def behaviour(standing: Standing) -> object:
    """Everything that can be asked."""
    logins = {session: standing.login(session) for session in SESSIONS}
    ended = {session: standing.superseded(login) for session, login in logins.items()}
    return whole(standing), logins, ended, standing.newest()


@given(
    places=some_places,
    at_limit=at_limits,
    before=histories_with_tickets,
    after=histories_with_tickets,
)
def test_what_is_restored_behaves_as_what_was_recorded(
    places: int, at_limit: str, before: list[Step], after: list[Step]
) -> None:
    settings: dict[str, Any] = {"max_sessions": places, "at_limit": at_limit}
    lived = live(touch(standings(**settings), "u1", 5), before)
    copies = standings(**settings)
    copies.restore("u1", lived.record())
    copy = touch(copies, "u1", lived.touched)
    assert copy == lived
    for step in after:
        live(copy, [step])
        live(lived, [step])
        assert behaviour(copy) == behaviour(lived)
        # Also what is no history: a login that has to be refused, or that frees places.
        twins = [attrs.evolve(one, logins=dict(one.logins)) for one in (copy, lived)]
        for twin in twins:
            twin.terminations = list(twin.terminations)
            twin.touched += LIFETIME
        assert refused(twins[0], "s1") == refused(twins[1], "s1")
        assert behaviour(twins[0]) == behaviour(twins[1])


@given(places=some_places, before=histories_with_tickets, after=histories_with_tickets)
def test_a_record_is_unaffected_by_what_comes_after(
    places: int, before: list[Step], after: list[Step]
) -> None:
    standing = live(room_for(places), before)
    record = standing.record()
    same = attrs.asdict(record), list(record.logins)
    copies = standings(max_sessions=places)
    copies.restore("u1", record)
    live(standing, after)
    live(touch(copies, "u1", 0), after)
    assert (attrs.asdict(record), list(record.logins)) == same


def test_a_record_holds_what_the_room_knows() -> None:
    standing = room_for()
    join(standing, "s1")
    standing.touched = 1005.5
    notify(standing, "s2")
    standing.touched = 1006.5
    assert standing.record() == Record(
        epoch=1,
        floor=1,
        logins={
            "s1": Login(0, 1000, 1000, named=False, ended=1),
            "s2": Login(1, 1005.5, 1005.5),
        },
        terminations=(words(1),),
        touched=1006.5,
        notified=1005.5,
    )


def test_a_smaller_bound_holds_for_what_is_restored_and_ends_nobody() -> None:
    large = room_for(20)
    for number in range(50):
        notify(large, f"s{number}")
        join(large, f"claim {number}")
        large.release(f"claim {number}")
    large = live(large, [("joined", f"claim {number}") for number in range(50, 60)])
    stands = large.placed_sessions()
    assert len(stands) == 20
    small = standings(max_sessions=2, max_remembered_sessions=3)
    small.restore("u1", large.record())
    room = touch(small, "u1", 0)
    join(room, "new")
    room.release("claim 59")
    assert room.placed_sessions() == stands
    assert room.standing_sessions() - stands == {"claim 58", "new"}
    assert join(room, "claim 49") == Termination(50, "logout")
    assert join(room, "claim 47") is None
    # The newest of the logins that have ended are remembered. Who only joined proved no epoch.
    assert room.forgotten == 27


@pytest.mark.parametrize("fewer", [1, 2])
def test_fewer_places_hold_for_what_is_restored_from_the_next_notify_on(fewer: int) -> None:
    larger = live(room_for(3), [("notified", session) for session in ("s1", "s2", "s3")])
    ending, refusing = (
        standings(max_sessions=fewer, at_limit=at_limit)
        for at_limit in ("end-oldest", "refuse-new")
    )
    ending.restore("u1", larger.record())
    notify(touch(ending, "u1", larger.touched), "s3")
    assert standing_ones(touch(ending, "u1", larger.touched)) == set(("s2", "s3")[-fewer:])
    refusing.restore("u1", larger.record())
    old = refused(touch(refusing, "u1", larger.touched), "s3", present=SESSIONS)
    assert old == (1, 2)
    assert standing_ones(touch(refusing, "u1", larger.touched)) == {"s1", "s2", "s3"}


def test_those_who_stand_are_named_together() -> None:
    standing = Standing(Config(max_sessions=2))
    for session in ("s1", "s2", "s3"):
        standing.advance(session, "login", None)
    standing.release("s3")
    join(standing, "s4")
    assert standing.standing_sessions() == {"s2", "s4"}
    assert standing.placed_sessions() == {"s2"}
    standing.release("s4")
    assert [s for s in standing.logins if standing.stands(s)] == ["s2"]


def test_what_has_ended_a_session_since_it_was_measured() -> None:
    room = live(room_for(2), [("joined", "claim"), ("notified", "s1"), ("notified", "s2")])
    assert room.ended_since("s2", 0) is None
    live(room, [("notified", "s3")])
    ended = room.ended_since("s1", 2)
    assert ended is not None
    assert ended.epoch == 3
    # A session that the room has forgotten was ended by the next notify, if there was one.
    assert room.ended_since("unknown", 3) is None
    forgotten = room.ended_since("unknown", 1)
    assert forgotten is not None
    assert forgotten.epoch == 2


def test_a_room_knows_exactly_the_login_that_it_has() -> None:
    room = live(room_for(1), [("notified", "s1")])
    login = room.logins["s1"]
    assert room.knows("s1", login)
    assert not room.knows("s1", attrs.evolve(login, epoch=2))
    assert not room.knows("s2", login)


def test_to_be_seen_changes_nothing_else_of_a_login() -> None:
    login = Login(7, 1.0, 2.0, named=False, ended=8, about={"device": "Firefox"})
    assert attrs.astuple(login.seen_at(5.0)) == attrs.astuple(attrs.evolve(login, seen=5.0))


def test_sessions_are_listed_by_their_epochs_however_late_they_came() -> None:
    standing = room_for(2)
    assert prove(standing, "new", 8) is None
    assert prove(standing, "old", 5) is None
    assert standing.names() == ["new", "old"]


def test_reprs_name_no_session_and_nothing_that_is_said_of_one() -> None:
    login = Login(1, 1.0, 1.0, about={"device": "SECRET"})
    termination = Termination(1, "login", {"on": "SECRET"})
    record = Record(1, 1, {"SECRET": login}, (termination,), 1.0, 1.0)
    shown = repr([login, record, Decision(termination, ("SECRET",))])
    assert "SECRET" not in shown
