"""The hub is asked: who stands, who has ended, by whom; and to ask changes nothing."""

from collections.abc import Iterable
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

import sse_trio
from sse_trio.core.logins import NOTES_A_LIFETIME, Record
from sse_trio.core.notify import Answer
from sse_trio.core.tokens import LEEWAY
from sse_trio.core.verdict import UNKNOWN
from sse_trio.hub.hub import Hub
from sse_trio.hub.member import Member
from sse_trio.ledger import Swap
from sse_trio.ledger.proposals import Done

from .fakes import FakePeer

LIFETIME = 1000.0


async def opened(
    nursery: trio.Nursery, ledger: sse_trio.Ledger | None = None, **settings: Any
) -> Hub:
    """Open a hub without sockets; on the ledger of an earlier one, what that has noted."""
    ledger = ledger or sse_trio.MemoryLedger()
    usual: dict[str, Any] = {"authkey": "a key", "ticket_lifetime": LIFETIME}
    config = sse_trio.Config(**usual | settings)
    hub = Hub(config, ledger, nursery.start_soon, wall=trio.current_time)
    hub.restore(*await ledger.load())
    return hub


def come(hub: Hub, join: str) -> Member:
    member = hub.membership.arrive(FakePeer(), "192.0.2.1")
    hub.hearing.hear(member, [join])
    return member


def join_as(hub: Hub, session: str) -> Member:
    return come(hub, f'{{"type": "join", "room": "u1", "session": "{session}"}}')


def record(hub: Hub) -> object:
    """Return everything that is known of the room, but for when it was seen."""
    return attrs.asdict(hub.recognition.draft("u1").record()) | {"touched": None}


async def test_whoever_asks_is_told_what_a_join_is_told(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    hub = await opened(nursery, max_sessions=2)
    first = await hub.notify("u1", sender="s1")
    await hub.notify("u1", sender="s2")
    third = await hub.notify("u1", sender="s3", reason="new", detail={"on": "phone"})
    join_as(hub, "claim")
    ended = sse_trio.Verdict(
        known=True, room="u1", session="s1", epoch=3, reason="new", detail={"on": "phone"}
    )
    before = record(hub)
    assert hub.check("u1", "s1") == hub.check("u1", "s1", epoch=1, seen=True, renew=True) == ended
    assert hub.check(token=first.token) == attrs.evolve(ended, expires=LIFETIME)
    stands = sse_trio.Verdict(active=True, known=True, room="u1", session="s3", epoch=3)
    assert hub.check("u1", "s3") == hub.check("u1", "s3", epoch=1) == stands
    assert hub.check(token=third.token) == attrs.evolve(stands, expires=LIFETIME)
    # A claim is nobody, whatever a join says; nor is who was never here, of any room.
    for session, epoch in (("claim", None), ("strange", None), ("strange", 2), ("strange", 50)):
        assert hub.check("u1", session, epoch=epoch) == UNKNOWN
    assert hub.check("u1", "strange", epoch=1).known
    assert hub.check("u2", "s3", epoch=0) == UNKNOWN
    assert record(hub) == before
    assert len(hub.recognition) == 1
    assert not {"s1", "s3", "phone"} & set(repr(ended).split("'"))


async def test_a_room_may_be_named_by_its_number(nursery: trio.Nursery) -> None:
    hub = await opened(nursery)
    await hub.notify(7, sender=8)
    assert hub.check(7, 8).active
    assert [one.session for one in hub.sessions(7).sessions] == ["8"]


@pytest.mark.parametrize(
    "question",
    [
        {},
        {"room": "u1"},
        {"session": "s1"},
        {"room": "", "session": "s1"},
        {"room": "u1", "session": "s1", "epoch": -1},
        {"token": "x", "room": "u1"},
        {"token": "x", "session": "s1"},
        {"token": "x", "epoch": 0},
    ],
)
async def test_what_is_no_question_is_the_callers_mistake(
    nursery: trio.Nursery, question: dict[str, Any]
) -> None:
    hub = await opened(nursery)
    with pytest.raises(sse_trio.LocalProtocolError):
        hub.check(**question)
    with pytest.raises(sse_trio.LocalProtocolError):
        hub.sessions("")


async def test_a_token_that_proves_nothing_is_of_nobody(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    hub = await opened(nursery)
    outcome = await hub.notify("u1", sender="s1")
    assert outcome.ticket is not None
    assert outcome.token is not None
    for token in ("", "x", outcome.token[:-2], outcome.ticket, "\ud800"):
        assert hub.check(token=token) == UNKNOWN
    elsewhere = await opened(nursery, authkey="another")
    assert elsewhere.check(token=outcome.token) == UNKNOWN
    # Nor does a page join with the token.
    assert come(hub, f'{{"type": "join", "ticket": "{outcome.token}"}}').room == ""
    assert come(hub, f'{{"type": "join", "ticket": "{outcome.ticket}"}}').session == "s1"
    await trio.sleep(LIFETIME + 29)
    assert hub.check(token=outcome.token).active
    await trio.sleep(1)
    assert hub.check(token=outcome.token) == UNKNOWN


async def test_without_a_key_there_are_neither_tickets_nor_tokens(nursery: trio.Nursery) -> None:
    hub = await opened(nursery, authkey=None)
    outcome = await hub.notify("u1", sender="s1")
    assert (outcome.ticket, outcome.token) == (None, None)
    assert hub.check(token="x") == UNKNOWN
    verdict = hub.check("u1", "s1", renew=True)
    assert (verdict.active, verdict.ticket, verdict.expires) == (True, None, None)


@pytest.mark.parametrize("how", ["token", "seen", "named"])
async def test_a_token_that_is_shown_keeps_its_login_its_place(
    nursery: trio.Nursery, autojump_clock: MockClock, how: str
) -> None:
    hub = await opened(nursery, at_limit="refuse-new")
    outcome = await hub.notify("u1", sender="s1")
    await trio.sleep(LIFETIME - 1)
    if how == "token":
        assert hub.check(token=outcome.token).active
    else:
        assert hub.check("u1", "s1", seen=how == "seen").active
    [told] = hub.sessions("u1").sessions
    assert told.seen == (0 if how == "named" else LIFETIME - 1)
    await trio.sleep(2)
    if how == "named":
        assert (await hub.notify("u1", sender="s2")).ended == ("s1",)
    else:
        with pytest.raises(sse_trio.LimitReached):
            await hub.notify("u1", sender="s2")


@pytest.mark.parametrize("is_room_in_use", [False, True])
async def test_what_is_given_out_is_known_for_as_long_as_it_is_valid(
    nursery: trio.Nursery, autojump_clock: MockClock, is_room_in_use: bool
) -> None:
    hub = await opened(nursery, max_sessions=2)
    await hub.notify("u1", sender="s1")
    token: str | None = None
    # The second is so soon after the first that the ledger is not told of it.
    for seconds in (LIFETIME * 0.99, LIFETIME / 50):
        await trio.sleep(seconds)
        token = hub.check("u1", "s1", renew=True).token
    if is_room_in_use:
        await trio.sleep(LIFETIME - 1)
        assert (await hub.notify("u1", sender="s2")).ended == ()
    else:
        await trio.sleep(LIFETIME - 1 + LEEWAY)
        for _ in hub.recognition.sweep():
            pass
    assert hub.check(token=token).active


class Written(sse_trio.MemoryLedger):
    """Keeps what each room was when it was proposed, as a file does."""

    def __init__(self) -> None:
        super().__init__()
        self.records: dict[str, Record] = {}

    def propose(self, swap: Swap) -> Done:
        assert swap.standing is not None
        self.records[swap.room] = swap.standing.record()
        return super().propose(swap)

    async def load(self) -> tuple[Iterable[tuple[str, Record]], Iterable[Answer]]:
        _, answers = await super().load()
        return list(self.records.items()), answers


@pytest.mark.parametrize("how", ["renewed", "ticket"])
async def test_a_restart_forgets_no_room_before_what_was_given_out_lapses(
    nursery: trio.Nursery, autojump_clock: MockClock, how: str
) -> None:
    """The ledger hears of a room's use only now and then."""
    ledger = Written()
    hub = await opened(nursery, ledger, max_sessions=2)
    for sender in ("s0", "s1"):
        await hub.notify("u1", sender=sender)
    await hub.release("u1", "s0")
    # The second is so soon after the first that the ledger is not told of it.
    for seconds in (LIFETIME / 2, LIFETIME / NOTES_A_LIFETIME - 0.001):
        await trio.sleep(seconds)
        if how == "renewed":
            assert hub.check("u1", "s1", renew=True).token is not None
        else:
            assert hub.ticket("u1", "s1") is not None
    again = sse_trio.MemoryLedger()
    hub = await opened(nursery, again, max_sessions=2)
    hub.restore(*await ledger.load())
    await trio.sleep(LIFETIME + LEEWAY - 0.001)
    for _ in hub.recognition.sweep():
        pass
    assert hub.check("u1", "s1").active
    assert hub.check("u1", "s0").known
    await trio.sleep(0.01)
    for _ in hub.recognition.sweep():
        pass
    assert not hub.check("u1", "s1").known


async def test_a_login_is_renewed_as_what_it_is(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    hub = await opened(nursery, max_sessions=2)
    outcome = await hub.notify("u1", sender="s1")
    await hub.notify("u1", sender="s2")
    await trio.sleep(100)
    verdict = hub.check(token=outcome.token, renew=True)
    assert (verdict.epoch, verdict.expires) == (1, 100 + LIFETIME)
    assert hub.check(token=verdict.token) == attrs.evolve(verdict, ticket=None, token=None)
    assert come(hub, f'{{"type": "join", "ticket": "{verdict.ticket}"}}').session == "s1"
    assert hub.check("u1", "s1", renew=True).token is not None
    # What has ended is not.
    await hub.notify("u1", sender=None)
    told = hub.check(token=outcome.token, renew=True)
    assert (told.active, told.token, told.ticket) == (False, None, None)


async def test_a_room_tells_who_stands(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    hub = await opened(nursery, max_sessions=3)
    await hub.notify("u1", sender="s1", about={"device": "phone"})
    await trio.sleep(5)
    await hub.notify("u1", sender="s2")
    join_as(hub, "s2")
    join_as(hub, "claim")
    await trio.sleep(5)
    before = record(hub)
    roster = hub.sessions("u1")
    assert (roster.room, roster.epoch, roster.floor) == ("u1", 2, 0)
    assert list(roster.sessions) == [
        sse_trio.SessionInfo(session="s2", epoch=2, since=5, seen=10, connected=True),
        sse_trio.SessionInfo(session="s1", epoch=1, since=0, seen=0, about={"device": "phone"}),
    ]
    assert hub.sessions("u2") == sse_trio.Roster(room="u2", epoch=0, floor=0, sessions=())
    assert record(hub) == before
    assert len(hub.recognition) == 1


async def test_who_has_ended_is_named_also_when_a_notify_is_repeated(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    ledger = sse_trio.MemoryLedger()
    hub = await opened(nursery, ledger, max_sessions=2)
    join_as(hub, "claim")
    for session in ("s1", "s2"):
        await hub.notify("u1", sender=session)
    outcome = await hub.notify("u1", sender="s3", id="x")
    assert outcome.ended == ("s1",)
    assert (await hub.notify("u1", sender="s3", id="x")).ended == ("s1",)
    assert (await hub.release("u1", "s2")).ended == ("s2",)
    assert (await hub.release("u1", "s2")).ended == ()
    # Over a restart, its proofs are of then and not of now.
    await trio.sleep(10)
    again = await opened(nursery, ledger, max_sessions=2)
    repeated = await again.notify("u1", sender="s3", id="x")
    assert (repeated.ended, repeated.epoch) == (("s1",), 3)
    assert again.check(token=repeated.token).expires == LIFETIME
    assert come(again, f'{{"type": "join", "ticket": "{repeated.ticket}"}}').session == "s3"


async def test_a_room_keeps_its_limit_and_what_is_known_of_its_logins_over_a_restart(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    ledger = sse_trio.MemoryLedger()
    hub = await opened(nursery, ledger)
    for session in ("s1", "s2"):
        await hub.notify("u1", sender=session, max_sessions=2, about={"device": session})
    later = await hub.notify("u2", sender="s3", max_sessions=2)
    again = await opened(nursery, ledger)
    assert [one.about for one in again.sessions("u1").sessions] == [
        {"device": "s2"},
        {"device": "s1"},
    ]
    assert again.recognition.draft("u1").places == 2
    assert again.check(token=later.token).active


async def test_a_limit_is_given_within_what_a_room_remembers(nursery: trio.Nursery) -> None:
    hub = await opened(nursery, max_remembered_sessions=4)
    for number in range(4):
        await hub.notify("u1", sender=f"s{number}", max_sessions=None)
    assert {one.session for one in hub.sessions("u1").sessions} == {"s1", "s2", "s3"}
    with pytest.raises(sse_trio.LocalProtocolError, match=r"^max_sessions must be from 1 to 3, "):
        await hub.notify("u1", sender="s4", max_sessions=4)
    with pytest.raises(sse_trio.LimitReached):
        await hub.notify("u1", sender="s4", max_sessions=3, at_limit="refuse-new")
    assert (await hub.notify("u1", sender="s4", max_sessions=1)).ended == ("s1", "s2", "s3")


async def test_a_release_of_an_older_login_ends_nobody_who_is_there(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    hub = await opened(nursery)
    first = await hub.notify("u1", sender="s1")
    await hub.notify("u1", sender="s1")
    member = join_as(hub, "s1")
    outcome = await hub.release("u1", "s1", epoch=first.epoch)
    assert (outcome.ended, outcome.terminated) == ((), 0)
    assert hub.check("u1", "s1").active
    assert hub.statistics().members == 1
    outcome = await hub.release("u1", "s1", epoch=2)
    assert (outcome.ended, outcome.terminated) == (("s1",), 1)
    assert member.outcome is outcome
    with pytest.raises(sse_trio.LocalProtocolError, match=r"^epoch must be"):
        await hub.release("u1", "s1", epoch=-1)
