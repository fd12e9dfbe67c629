"""How many sessions of a room stand: `max_sessions`, `at_limit`, and the places they leave."""

import json

import pytest
import trio
from trio.testing import MockClock

import sse_trio
from sse_trio.core.tokens import LEEWAY
from sse_trio.hub.hub import SWEEP, Hub

from ..support import KEY, Response, Start, joined, post_notify, raw_websocket, request
from .fakes import FakePeer, SlowLedger


async def post_release(hub: sse_trio.Hub, **members: object) -> Response:
    """POST a release with the right key, unless `key` says otherwise."""
    body = json.dumps({"key": KEY, **members}).encode()
    headers = {"Content-Type": "application/json"}
    return await request(hub, "POST", "/release", body=body, headers=headers)


async def first_word(hub: sse_trio.Hub, session: str) -> dict[str, object]:
    """Join as `session`; return the answer."""
    websocket = await raw_websocket(hub)
    await websocket.send({"type": "join", "room": "u1", "session": session})
    answer = await websocket.message()
    await websocket.stream.aclose()
    return answer


async def test_the_newest_stand(start: Start, autojump_clock: MockClock) -> None:
    hub = await start(max_sessions=2)
    assert (await post_notify(hub, room="u1", sender="s1")).status == 200
    assert (await post_notify(hub, room="u1", sender="s2")).status == 200
    async with joined(hub, "u1", "s1") as s1, joined(hub, "u1", "s2"):
        answer = (await post_notify(hub, room="u1", sender="s3")).json
        assert (answer["epoch"], answer["terminated"]) == (3, 1)
        assert json.loads(await s1.get_message())["type"] == "terminate"
        assert hub.statistics().members == 1
    for session, kind in (("s1", "terminate"), ("s2", "joined"), ("s3", "joined")):
        assert (await first_word(hub, session))["type"] == kind


async def test_log_out_everywhere_means_everywhere(start: Start, autojump_clock: MockClock) -> None:
    hub = await start(max_sessions=3)
    for session in ("s1", "s2"):
        await hub.notify("u1", sender=session)
    await hub.notify("u1", sender=None, reason="logout")
    for session in ("s1", "s2"):
        assert (await first_word(hub, session))["reason"] == "logout"


async def test_a_new_login_is_refused_and_told_who_the_others_are(
    start: Start, autojump_clock: MockClock
) -> None:
    hub = await start(max_sessions=2, at_limit="refuse-new")
    await hub.notify("u1", sender="s1")
    await hub.notify("u1", sender="s2")
    async with joined(hub, "u1", "s1"):
        answer = await post_notify(hub, room="u1", sender="s3", id="login")
        assert answer.status == 409
        assert answer.headers["content-type"] == "application/problem+json"
        named = [(one["session"], one["connected"]) for one in answer.json["sessions"]]
        assert named == [("s2", False), ("s1", True)]
        with pytest.raises(sse_trio.LimitReached) as refusal:
            await hub.notify("u1", sender="s3")
        assert [one.session for one in refusal.value.sessions] == ["s2", "s1"]
        # Nothing has changed, and who is there already may log in again.
        assert hub.statistics().members == 1
        assert (await post_notify(hub, room="u1", sender="s1")).json["epoch"] == 3
        assert hub.statistics().notifies == {"accepted": 3, "limit": 2}
        # The same id is free for another attempt.
        await hub.release("u1", "s2")
        assert (await post_notify(hub, room="u1", sender="s3", id="login")).status == 200


async def test_a_release_ends_that_session_alone(start: Start, autojump_clock: MockClock) -> None:
    hub = await start(max_sessions=2)
    await hub.notify("u1", sender="s1")
    await hub.notify("u1", sender="s2")
    async with joined(hub, "u1", "s1") as tab, joined(hub, "u1", "s2"):
        answer = await post_release(hub, room="u1", session="s1")
        assert answer.status == 200
        assert answer.json == {
            "room": "u1", "epoch": 2, "floor": 1, "standing": ["s2"], "ended": ["s1"],
            "terminated": 1, "acked": 0, "pending": 1,
        }  # fmt: skip
        told = json.loads(await tab.get_message())
        assert (told["type"], told["reason"]) == ("terminate", "logout")
        assert hub.statistics().members == 1
    assert (await first_word(hub, "s1"))["reason"] == "logout"
    assert (await first_word(hub, "s2"))["type"] == "joined"
    # Until it logs in again.
    await hub.notify("u1", sender="s1")
    assert (await first_word(hub, "s1"))["type"] == "joined"
    assert hub.statistics().releases == {"accepted": 1}


async def test_a_bound_of_memory_ends_nobody(start: Start, autojump_clock: MockClock) -> None:
    """However many logins come and go beside it."""
    hub = await start(max_sessions=2, max_remembered_sessions=3)
    await hub.notify("u1", sender="tv")
    async with joined(hub, "u1", "tv"):
        for number in range(5):
            await hub.notify("u1", sender=f"p{number}")
            await hub.release("u1", f"p{number}")
        assert hub.statistics().members == 1
    assert (await first_word(hub, "tv"))["type"] == "joined"


async def test_strangers_that_join_push_out_nobody_who_was_named(
    start: Start, autojump_clock: MockClock
) -> None:
    hub = await start(max_sessions=2, max_remembered_sessions=3)
    await hub.notify("u1", sender="tv")
    async with joined(hub, "u1", "tv"):
        for number in range(4):
            await first_word(hub, f"stranger {number}")
        await hub.notify("u1", sender="phone")
        assert hub.statistics().members == 1
        assert hub.view("u1").sessions == {"tv", "phone"}


async def test_a_release_of_strange_names_takes_no_place(
    start: Start, autojump_clock: MockClock
) -> None:
    hub = await start(at_limit="refuse-new", max_remembered_sessions=2)
    await hub.notify("u1", sender="s1")
    for number in range(4):
        assert (await post_release(hub, room="u1", session=f"strange {number}")).status == 200
    assert (await post_notify(hub, room="u1", sender="s2")).status == 409
    assert (await first_word(hub, "s1"))["type"] == "joined"
    assert (await first_word(hub, "strange 0"))["type"] == "joined"


async def test_to_forget_the_ended_revives_nobody_with_a_ticket(
    start: Start, autojump_clock: MockClock
) -> None:
    ledger = sse_trio.MemoryLedger()
    hub = await start(ledger=ledger, max_remembered_sessions=2)
    ticket = (await hub.notify("u1", sender="s1")).ticket
    await hub.release("u1", "s1")
    for number in range(3):
        assert hub.ticket("u1", f"other {number}")
        await hub.release("u1", f"other {number}")
    new = hub.ticket("u1", "new")
    # Also over a restart.
    for each in (hub, await start(ledger=ledger, max_remembered_sessions=2)):
        assert "s1" not in each.recognition.draft("u1").logins
        for proof, answer in ((ticket, "terminate"), (new, "joined")):
            page = await raw_websocket(each)
            await page.send({"type": "join", "ticket": proof})
            assert (await page.message())["type"] == answer
            await page.stream.aclose()
        stranger = await first_word(each, "stranger")
        assert stranger["type"] == "joined"


async def test_a_login_that_failed_for_the_disk_and_was_released_is_in_nobodys_way(
    start: Start, autojump_clock: MockClock
) -> None:
    """As the page on the browser client advises: also while the disk fails."""
    ledger = SlowLedger()
    hub = await start(ledger=ledger, at_limit="refuse-new")
    ledger.broken = True
    assert (await post_notify(hub, room="u1", sender="s1")).status == 503
    assert (await post_release(hub, room="u1", session="s1")).status == 503
    ledger.broken = False
    assert (await post_notify(hub, room="u1", sender="s2")).status == 200
    assert hub.view("u1").sessions == {"s2"}


async def test_whoever_is_there_can_be_released_however_many_have_come_since(
    start: Start, autojump_clock: MockClock
) -> None:
    hub = await start(max_remembered_sessions=2)
    async with joined(hub, "u1", "s1") as tab:
        for number in range(3):
            await first_word(hub, f"stranger {number}")
        await hub.release("u1", "s1")
        assert json.loads(await tab.get_message())["type"] == "terminate"
    assert (await first_word(hub, "s1"))["type"] == "terminate"


async def test_a_hub_without_a_key_names_nobody(start: Start, autojump_clock: MockClock) -> None:
    hub = await start(authkey=None)
    assert hub.ticket("u1", "s1") is None
    assert not hub.view("u1").sessions


async def test_a_ticket_outlives_a_clock_that_is_put_back(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """Signed an hour ahead: whoever it is for is known, and stands."""
    now = 10_000.0
    ledger, config = sse_trio.MemoryLedger(), sse_trio.Config(authkey=KEY, join="ticket")
    hub = Hub(config, ledger, nursery.start_soon, wall=lambda: now)
    old, new = [(await hub.notify("u1", sender=session)).ticket for session in ("s1", "s2")]
    now -= 3600

    def word(hub: Hub, ticket: str | None) -> str:
        peer = FakePeer()
        member = hub.membership.arrive(peer, "192.0.2.1")
        hub.hearing.hear(member, [json.dumps({"type": "join", "ticket": ticket})])
        return "joined" if peer.got("joined") else "terminate" if peer.got("terminate") else ""

    for each in (hub, Hub(config, ledger, nursery.start_soon, wall=lambda: now)):
        each.restore(*await ledger.load())
        assert [word(each, ticket) for ticket in (old, new)] == ["terminate", "joined"]
        # What is signed now is as good, though the last notify is of the future.
        assert word(each, each.ticket("u1", "s2")) == "joined"
    # Where the ledger was lost too, it lifts nothing until its time has come.
    lost = Hub(config, sse_trio.MemoryLedger(), nursery.start_soon, wall=lambda: now)
    assert word(lost, new) == "joined"
    assert lost.view("u1").epoch == 0
    await lost.notify("u1", sender="s3")
    assert word(lost, old) == "terminate"
    now += 3601
    assert word(lost, lost.ticket("u1", "s3")) == "joined"


async def test_the_pages_are_told_why_their_session_was_released(
    start: Start, autojump_clock: MockClock
) -> None:
    hub = await start()
    await hub.notify("u1", sender="s1")
    async with joined(hub, "u1", "s1") as tab:
        await post_release(hub, room="u1", session="s1", reason="idle")
        assert json.loads(await tab.get_message())["reason"] == "idle"


async def test_a_superseded_login_that_logs_itself_out_ends_nobody(
    start: Start, autojump_clock: MockClock
) -> None:
    hub = await start()
    await hub.notify("u1", sender="s1")
    await hub.notify("u1", sender="s2")
    async with joined(hub, "u1", "s2"):
        for _ in range(2):
            assert (await post_release(hub, room="u1", session="s1")).json["terminated"] == 0
        assert hub.statistics().members == 1
    assert (await first_word(hub, "s1"))["reason"] == "login"
    assert (await first_word(hub, "s2"))["type"] == "joined"


async def test_a_release_waits_for_the_tabs_to_answer(
    start: Start, autojump_clock: MockClock
) -> None:
    hub = await start()
    websocket = await raw_websocket(hub)
    await websocket.send({"type": "join", "room": "u1", "session": "s1"})
    await websocket.message()

    async def acknowledge() -> None:
        epoch = (await websocket.message())["epoch"]
        await websocket.send({"type": "terminated", "epoch": epoch})

    async with trio.open_nursery() as nursery:
        nursery.start_soon(acknowledge)
        answer = await post_release(hub, room="u1", session="s1", wait=10)
    assert (answer.json["acked"], answer.json["pending"]) == (1, 0)
    await websocket.stream.aclose()


async def test_a_wrong_release_is_told_why(start: Start, autojump_clock: MockClock) -> None:
    hub = await start()
    for members, status in (
        ({"room": "u1"}, 400),
        ({"session": "s1"}, 400),
        ({"room": "u1", "session": None}, 400),
        ({"room": "u1", "session": "s1", "wait": 11}, 400),
        ({"room": "u1", "session": "s1", "key": "wrong"}, 401),
    ):
        assert (await post_release(hub, **members)).status == status
    with pytest.raises(sse_trio.LocalProtocolError):
        await hub.release("u1", "")
    hub.drain()
    with pytest.raises(sse_trio.Draining):
        await hub.release("u1", "s1")
    assert hub.statistics().releases == {"draining": 1}


async def test_who_has_been_away_for_a_ticket_lifetime_leaves_a_place(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    config = sse_trio.Config(at_limit="refuse-new", ticket_lifetime=1000, heartbeat_timeout=86400)
    hub = Hub(config, sse_trio.MemoryLedger(), nursery.start_soon, wall=trio.current_time)
    await hub.notify("u1", sender="s1")
    member = hub.membership.arrive(FakePeer(), "192.0.2.1")
    hub.hearing.hear(member, ['{"type": "join", "room": "u1", "session": "s1"}'])
    await trio.sleep(5000)
    # While it is there it holds its place, and as long again as a ticket lasts.
    with pytest.raises(sse_trio.LimitReached):
        await hub.notify("u1", sender="s2")
    hub.membership.leave(member, hung_up=True)
    await trio.sleep(1000)
    with pytest.raises(sse_trio.LimitReached) as refusal:
        await hub.notify("u1", sender="s2")
    [told] = refusal.value.sessions
    assert (told.session, trio.current_time() - told.since, told.connected) == ("s1", 6000, False)
    await trio.sleep(1)
    assert (await hub.notify("u1", sender="s2")).epoch == 2


async def test_what_is_too_old_is_swept_from_memory_and_from_the_ledger(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    config = sse_trio.Config(ticket_lifetime=1000, heartbeat_timeout=86400)
    ledger = sse_trio.MemoryLedger()
    hub = Hub(config, ledger, nursery.start_soon, wall=trio.current_time)
    nursery.start_soon(hub.sweep)

    async def remembered() -> set[str]:
        records, _ = await ledger.load()
        return {room for room, _ in records}

    for room in ("left", "living"):
        await hub.notify(room, sender="s1")
    member = hub.membership.arrive(FakePeer(), "192.0.2.1")
    hub.hearing.hear(member, ['{"type": "join", "room": "living", "session": "s1"}'])
    await trio.sleep(1000)
    assert await remembered() == {"left", "living"}
    await trio.sleep(LEEWAY + 2 * SWEEP)
    assert await remembered() == {"living"}
    assert hub.statistics().remembered_rooms == 1
    hub.membership.leave(member, hung_up=True)
    await trio.sleep(1000 + LEEWAY + 2 * SWEEP)
    assert await remembered() == set()


@pytest.mark.parametrize("graceful", [True, False])
async def test_a_restart_frees_no_place_and_forgets_no_room_that_is_in_use(
    nursery: trio.Nursery, autojump_clock: MockClock, graceful: bool
) -> None:
    """Some come back every day, and some stay until the server goes."""
    day = 86400
    config = sse_trio.Config(at_limit="refuse-new", heartbeat_timeout=day, ticket_lifetime=30 * day)
    ledger = sse_trio.MemoryLedger()
    hub = Hub(config, ledger, nursery.start_soon, wall=trio.current_time)
    for sender in ("s0", None, "s1"):
        await hub.notify("u1", sender=sender)
    for _ in range(40):
        member = hub.membership.arrive(FakePeer(), "192.0.2.1")
        hub.hearing.hear(member, ['{"type": "join", "room": "u1", "session": "s1"}'])
        await trio.sleep(day + 1)
        if graceful:
            hub.membership.leave(member, hung_up=True)
    hub = Hub(config, ledger, nursery.start_soon, wall=trio.current_time)
    hub.restore(*await ledger.load())
    with pytest.raises(sse_trio.LimitReached):
        await hub.notify("u1", sender="s2")
    # Nor has the room forgotten whom it has ended.
    member = hub.membership.arrive(peer := FakePeer(), "192.0.2.1")
    hub.hearing.hear(member, ['{"type": "join", "room": "u1", "session": "s0"}'])
    assert len(peer.got("terminate")) == 1
