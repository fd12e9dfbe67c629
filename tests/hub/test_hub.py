"""The hub's awaiting half: serialised notifies, idempotency, the ledger, cancellation."""

import json
import math
from collections.abc import Collection
from functools import partial
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

import sse_trio
from sse_trio import LocalProposal, Swap
from sse_trio.core.notify import Notify
from sse_trio.hub.hub import SWEEP
from sse_trio.hub.timers import slot_width

from ..support import KEY, RawWebSocket, Start, joined, post_notify, raw_websocket
from .fakes import HeldLedger, SlowLedger


@pytest.fixture
def ledger() -> SlowLedger:
    return SlowLedger()


@pytest.fixture
async def hub(nursery: trio.Nursery, ledger: SlowLedger) -> sse_trio.Hub:
    config = sse_trio.Config(port=0, authkey=KEY)
    hub: sse_trio.Hub = await nursery.start(partial(sse_trio.serve, config, ledger=ledger))
    return hub


async def test_notifies_of_one_room_are_serialised_and_of_several_are_not(
    hub: sse_trio.Hub, ledger: SlowLedger, autojump_clock: MockClock
) -> None:
    epochs: list[int] = []

    async def notify(room: str, sender: str) -> None:
        epochs.append((await hub.notify(room, sender=sender)).epoch)

    async with trio.open_nursery() as nursery:
        for sender in ("s1", "s2", "s3"):
            nursery.start_soon(notify, "u1", sender)
            nursery.start_soon(notify, "u2", sender)
    assert sorted(epochs) == [1, 1, 2, 2, 3, 3]
    assert (ledger.most_at_once, ledger.rooms_at_once) == (1, 2)


async def test_a_notify_keeps_its_limit_where_a_reload_lowers_the_most_before_its_turn(
    hub: sse_trio.Hub, autojump_clock: MockClock
) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(hub.notify, "u1", sender="s1"))
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(partial(hub.notify, "u1", sender="s2", max_sessions=63))
        await trio.testing.wait_all_tasks_blocked()
        hub.reload(attrs.evolve(hub.config, max_remembered_sessions=2))
    assert hub.view("u1").logins == {"s1", "s2"}


async def test_of_two_notifies_at_once_the_later_sender_stays(
    hub: sse_trio.Hub, autojump_clock: MockClock
) -> None:
    epochs: dict[str, int] = {}

    async def notify(sender: str) -> None:
        epochs[sender] = (await hub.notify("u1", sender=sender)).epoch

    async with trio.open_nursery() as nursery:
        nursery.start_soon(notify, "s1")
        nursery.start_soon(notify, "s2")
    assert set(epochs.values()) == {1, 2}
    for sender, epoch in epochs.items():
        websocket = await raw_websocket(hub)
        await websocket.send({"type": "join", "room": "u1", "session": sender})
        assert (await websocket.message())["type"] == ("joined" if epoch == 2 else "terminate")
        await websocket.stream.aclose()


async def test_the_answer_comes_after_the_commit_and_the_termination_before(
    hub: sse_trio.Hub, ledger: SlowLedger, autojump_clock: MockClock
) -> None:
    async with joined(hub, "u1", "s1") as old:
        began = trio.current_time()
        async with trio.open_nursery() as nursery:

            async def see() -> None:
                await old.get_message()
                assert trio.current_time() == began

            nursery.start_soon(see)
            await hub.notify("u1", sender="s2")
            assert trio.current_time() == began + 1


async def test_the_same_id_has_one_effect_and_one_answer(
    hub: sse_trio.Hub, autojump_clock: MockClock
) -> None:
    answers = []

    async def notify() -> None:
        answers.append(await hub.notify("u1", sender="s1", id="login-1"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(notify)
        nursery.start_soon(notify)
    assert answers[0] is answers[1]
    assert (await hub.notify("u1", sender="s1")).epoch == 2
    await trio.sleep(600)
    assert (await hub.notify("u1", sender="s1", id="login-1")).epoch == 3


async def test_an_id_of_another_room_or_sender_is_a_conflict(
    start: Start, autojump_clock: MockClock
) -> None:
    hub = await start()
    await hub.notify("u1", sender="s1", id="x")
    for room, sender in (("u2", "s1"), ("u1", "s2"), ("u1", None)):
        with pytest.raises(sse_trio.Conflict):
            await hub.notify(room, sender=sender, id="x")
        answer = await post_notify(hub, room=room, sender=sender, id="x")
        assert (answer.status, "another room" in answer.json["detail"]) == (409, True)
    assert hub.statistics().notifies == {"accepted": 1, "conflict": 6}


async def test_an_id_repeated_with_another_end_is_a_conflict(
    start: Start, autojump_clock: MockClock
) -> None:
    ledger = sse_trio.MemoryLedger()
    hub = await start(ledger=ledger)
    first = await hub.notify("u1", sender="s1", id="x", end=["s0", 7])
    for again in (hub, await start(ledger=ledger)):
        assert (await again.notify("u1", sender="s1", id="x", end=["7", "s0"])).epoch == first.epoch
        for end in ((), ("s0",), ("s0", "7", "s2")):
            with pytest.raises(sse_trio.Conflict, match="another end"):
                await again.notify("u1", sender="s1", id="x", end=end)


async def test_an_id_whose_login_has_ended_since_brings_no_dead_ticket(
    start: Start, autojump_clock: MockClock
) -> None:
    hub = await start(max_sessions=2)
    for session in ("s1", "s2", "s3"):
        await hub.notify("u1", sender=session, id=session)
    await hub.notify("u1", sender="s4", end=["s2"])
    await hub.release("u1", "s3")
    for session in ("s1", "s2", "s3"):
        with pytest.raises(sse_trio.Conflict, match="has ended since"):
            await hub.notify("u1", sender=session, id=session)
        answer = await post_notify(hub, room="u1", sender=session, id=session)
        assert answer.status == 409
        assert answer.json["detail"] == "the login that this id has announced has ended since"
    # Who was named again since is no other, and stands.
    await hub.notify("u1", sender="s1")
    assert (await hub.notify("u1", sender="s1", id="s1")).epoch == 1
    # Nobody's login has no end.
    out = await hub.notify("u1", sender=None, id="out")
    assert await hub.notify("u1", sender=None, id="out") is out


async def test_who_is_to_end_does_so_in_the_same_step(
    start: Start, autojump_clock: MockClock
) -> None:
    hub, records = await start(max_sessions=2, at_limit="refuse-new"), Records()
    for session in ("laptop", "phone"):
        await hub.notify("u1", sender=session)
    hub.follow(records)
    async with joined(hub, "u1", "laptop"), joined(hub, "u1", "phone") as phone:
        with pytest.raises(sse_trio.LimitReached):
            await hub.notify("u1", sender="tv")
        assert hub.statistics().members == 2
        outcome = await hub.notify("u1", sender="phone again", end=["phone", 7])
        told = json.loads(await phone.get_message())
        assert (told["type"], told["epoch"]) == ("terminate", outcome.epoch)
        assert hub.view("u1").sessions == {"laptop", "phone again"}
    # Who follows may know whom the room does not.
    assert records.decisions == [("u1", {"phone", "7"})]


async def test_the_session_that_joined_last_is_looked_for_after_the_ends(
    start: Start, autojump_clock: MockClock
) -> None:
    hub = await start()
    async with joined(hub, "u1", "s1"), joined(hub, "u1", "s2"):
        assert (await hub.notify("u1", end=["s2"])).sender == "s1"
        assert (await hub.notify("u1", end=["s1"])).sender is None


async def test_a_ledger_that_fails_is_a_503_and_the_same_id_tries_again(
    hub: sse_trio.Hub, ledger: SlowLedger, autojump_clock: MockClock
) -> None:
    async with joined(hub, "u1", "s1") as old:
        ledger.broken = True
        answer = await post_notify(hub, room="u1", sender="s2", id="x")
        assert answer.status == 503
        assert "disk" not in answer.body.decode()
        assert json.loads(await old.get_message())["type"] == "terminate"
    ledger.broken = False
    answer = await post_notify(hub, room="u1", sender="s2", id="x")
    # It had its effect the first time; only the ledger had to be asked again.
    assert (answer.status, answer.json["epoch"], answer.json["terminated"]) == (200, 1, 1)


async def test_a_caller_that_gives_up_changes_nothing_for_the_members(
    hub: sse_trio.Hub, ledger: SlowLedger, autojump_clock: MockClock
) -> None:
    """A fan-out is longer than a slice; its caller is cancelled while the ledger writes."""
    ledger.seconds = 0
    async with joined(hub, "u1", "s1") as first:
        rest = [await raw_websocket(hub) for _ in range(62)]
        more = [await raw_websocket(hub) for _ in range(1)]
        for number, websocket in enumerate(rest + more):
            join = {"type": "join", "room": "u1", "session": f"x{number}"}
            await websocket.send(join)
            await websocket.message()
        with trio.move_on_after(0) as scope:
            scope.cancel()
            await hub.notify("u1", sender="s2")
        assert scope.cancelled_caught
        # Cancelled before it began: nothing happened. Cancelled after: everything does.
        ledger.seconds = 1
        assert hub.statistics().members == 64
        with trio.move_on_after(0.5) as scope:
            await hub.notify("u1", sender="s2")
        assert scope.cancelled_caught
        assert json.loads(await first.get_message())["type"] == "terminate"
        for websocket in rest + more:
            assert (await websocket.message())["type"] == "terminate"
            await websocket.stream.aclose()


async def test_a_restart_on_the_same_ledger_ends_who_comes_back(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    ledger = sse_trio.MemoryLedger()
    config = sse_trio.Config(port=0, authkey=KEY)
    first = await nursery.start(partial(sse_trio.serve, config, ledger=ledger))
    async with joined(first, "u1", "s1"):
        await first.notify("u1", sender="s2", reason="stolen", detail={"on": "Firefox"})
    first.drain()
    second = await nursery.start(partial(sse_trio.serve, config, ledger=ledger))
    back = await raw_websocket(second)
    await back.send({"type": "join", "room": "u1", "session": "s1"})
    message = await back.message()
    assert (message["type"], message["epoch"], message["reason"]) == ("terminate", 1, "stolen")
    assert message["detail"] == {"on": "Firefox"}
    await back.stream.aclose()
    async with joined(second, "u1", "s2"):
        assert second.statistics().members == 1


async def test_a_long_fan_out_gives_way_and_reaches_everybody(
    start: Start, autojump_clock: MockClock
) -> None:
    hub = await start(max_connections_per_room=1000)
    members: list[RawWebSocket] = [await raw_websocket(hub) for _ in range(300)]
    for number, websocket in enumerate(members):
        await websocket.send({"type": "join", "room": "u1", "session": f"s{number}"})
        await websocket.message()
    outcome = await hub.notify("u1", sender="s7")
    assert outcome.terminated == 299
    for number, websocket in enumerate(members):
        if number != 7:
            assert (await websocket.message())["type"] == "terminate"
        await websocket.stream.aclose()


async def test_bad_arguments_are_the_callers_mistake(
    start: Start, autojump_clock: MockClock
) -> None:
    hub = await start()
    for wrong in ({"room": ""}, {"room": True}, {"room": "u1", "sender": "x" * 257}):
        with pytest.raises(sse_trio.LocalProtocolError):
            await hub.notify(**wrong)
    with pytest.raises(ValueError, match="reason"):
        await hub.notify("u1", reason="x" * 65)
    with pytest.raises(sse_trio.LocalProtocolError):
        hub.ticket("", "s1")


async def test_a_ticket_joins_where_tickets_are_required(
    start: Start, autojump_clock: MockClock
) -> None:
    hub = await start(join="ticket")
    outcome = await hub.notify("u1", sender="s1")
    for ticket in (outcome.ticket, hub.ticket("u1", "s2")):
        websocket = await raw_websocket(hub)
        await websocket.send({"type": "join", "ticket": ticket})
        assert (await websocket.message())["type"] == "joined"
        await websocket.stream.aclose()
    claimed = await raw_websocket(hub)
    await claimed.send({"type": "join", "room": "u1", "session": "s1"})
    assert (await claimed.message())["code"] == 4401
    assert await claimed.closed() == 4401
    await claimed.stream.aclose()


async def test_wrong_keys_are_counted_and_then_refused_unheard(
    start: Start, autojump_clock: MockClock
) -> None:
    hub = await start(max_wrong_keys=3)
    for _ in range(3):
        assert (await post_notify(hub, room="u1", key="wrong")).status == 401
    answer = await post_notify(hub, room="u1")
    assert (answer.status, answer.headers["retry-after"]) == (429, "60")
    await trio.sleep(60)
    assert (await post_notify(hub, room="u1")).status == 200


async def test_a_hub_that_was_stopped_hard_leaves_no_caller_waiting(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """The embedder's task lives in another nursery than the server."""

    async def notify(hub: sse_trio.Hub) -> None:
        assert not await (await hub.notify("u1", sender=None)).acknowledged(math.inf)

    async with trio.open_nursery() as server:
        config = sse_trio.Config(port=0, authkey=KEY, max_connections_per_room=1000)
        hub: sse_trio.Hub = await server.start(partial(sse_trio.serve, config))
        members = [await raw_websocket(hub) for _ in range(65)]
        for number, websocket in enumerate(members):
            await websocket.send({"type": "join", "room": "u1", "session": f"s{number}"})
            await websocket.message()
        nursery.start_soon(notify, hub)
        await trio.lowlevel.checkpoint()
        server.cancel_scope.cancel()
    await trio.testing.wait_all_tasks_blocked()
    with pytest.raises(sse_trio.Draining):
        await hub.notify("u1")
    assert not [task for task in nursery.child_tasks if "notify" in task.name]
    for websocket in members:
        await websocket.stream.aclose()


async def test_a_ticket_of_a_superseded_session_is_worth_nothing(
    start: Start, autojump_clock: MockClock
) -> None:
    hub = await start(join="ticket")
    await hub.notify("u1", sender="s1")
    await hub.notify("u1", sender="s2")
    back = await raw_websocket(hub)
    await back.send({"type": "join", "ticket": hub.ticket("u1", "s1")})
    assert (await back.message())["type"] == "terminate"
    await back.stream.aclose()


async def test_a_lost_ledger_heals_from_the_newest_ticket(
    start: Start, autojump_clock: MockClock
) -> None:
    before = await start()
    old = (await before.notify("u1", sender="s1")).ticket
    new = (await before.notify("u1", sender="s2")).ticket
    after = await start()
    first, second = await raw_websocket(after), await raw_websocket(after)
    await first.send({"type": "join", "ticket": old})
    assert (await first.message())["epoch"] == 1
    await second.send({"type": "join", "ticket": new})
    assert (await second.message())["epoch"] == 2
    assert (await first.message())["type"] == "terminate"
    assert after.statistics().members == 1
    for websocket in (first, second):
        await websocket.stream.aclose()


async def test_whom_a_full_room_turns_away_has_not_joined(
    start: Start, autojump_clock: MockClock
) -> None:
    hub = await start(max_connections_per_room=1)
    async with joined(hub, "u1", "s1"):
        turned_away = await raw_websocket(hub)
        await turned_away.send({"type": "join", "room": "u1", "session": "s2"})
        assert (await turned_away.message())["code"] == 4429
        await turned_away.stream.aclose()
        assert (await hub.notify("u1")).sender == "s1"
        assert hub.statistics().members == 1


async def test_who_is_superseded_hears_it_even_where_the_room_is_full(
    start: Start, autojump_clock: MockClock
) -> None:
    hub = await start(max_connections_per_room=1)
    async with joined(hub, "u1", "s1"):
        pass
    await hub.notify("u1", sender="s2")
    async with joined(hub, "u1", "s2"):
        back = await raw_websocket(hub)
        await back.send({"type": "join", "room": "u1", "session": "s1"})
        assert (await back.message())["type"] == "terminate"
        await back.stream.aclose()


async def test_a_repeated_id_does_not_end_the_login_that_came_after_it(
    hub: sse_trio.Hub, ledger: SlowLedger, autojump_clock: MockClock
) -> None:
    ledger.broken = True
    with pytest.raises(sse_trio.LedgerError):
        await hub.notify("u1", sender="s2", id="x")
    ledger.broken = False
    await hub.notify("u1", sender="s3")
    async with joined(hub, "u1", "s3"):
        with pytest.raises(sse_trio.Conflict, match="has ended since"):
            await hub.notify("u1", sender="s2", id="x")
        assert hub.statistics().members == 1


async def test_a_cancelled_notify_is_repeated_without_another_effect(
    hub: sse_trio.Hub, autojump_clock: MockClock
) -> None:
    with trio.move_on_after(0.5):
        await hub.notify("u1", sender="s2", id="x")
    assert (await hub.notify("u1", sender="s2", id="x")).epoch == 1


async def test_who_is_cut_by_the_shutdown_has_not_acknowledged(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    config = sse_trio.Config(port=0, authkey=KEY, shutdown_grace=1)
    hub: sse_trio.Hub = await nursery.start(partial(sse_trio.serve, config))
    silent = await raw_websocket(hub)
    await silent.send({"type": "join", "room": "u1", "session": "s1"})
    await silent.message()
    outcome = await hub.notify("u1", sender=None)
    hub.drain()
    assert not await outcome.acknowledged(timeout=5)
    assert (outcome.acked, outcome.pending) == (0, 1)
    assert hub.statistics().terminations_cut == 1
    await silent.stream.aclose()


@attrs.define
class Refusal(LocalProposal):
    room: str
    done: bool = False

    async def durable(self) -> None:
        raise sse_trio.LedgerError(f"cannot write {self.room}")


async def test_what_a_ledger_says_is_not_logged(
    start: Start, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    class Talkative(sse_trio.MemoryLedger):
        def propose(self, swap: Swap) -> Any:
            swap.carry_out()
            return Refusal(swap.room)

    config = sse_trio.Config(port=0, authkey=KEY)
    hub = await nursery.start(partial(sse_trio.serve, config, ledger=Talkative()))
    assert (await post_notify(hub, room="a user's room")).status == 503
    assert "could not be made durable" in caplog.text
    assert "a user's room" not in caplog.text


async def test_a_drain_waits_for_the_notifies_in_flight_and_takes_no_more(
    nursery: trio.Nursery, ledger: SlowLedger, autojump_clock: MockClock
) -> None:
    """Also for an embedder's, which no connection is waiting for."""
    config = sse_trio.Config(port=0, authkey=KEY)
    committed: list[float] = []

    async def notify(embedded: sse_trio.Hub) -> None:
        await embedded.notify("u1", sender="s1")
        committed.append(trio.current_time())

    began = trio.current_time()
    async with trio.open_nursery() as server:
        embedded = await server.start(partial(sse_trio.serve, config, ledger=ledger))
        nursery.start_soon(notify, embedded)
        await trio.testing.wait_all_tasks_blocked()
        embedded.drain()
        with pytest.raises(sse_trio.Draining):
            await embedded.notify("u1", sender="s2")
    assert committed == [trio.current_time()] == [began + 1]


# -- a restart, and a ledger that is slow --------------------------------------------------


async def restarted(
    nursery: trio.Nursery, ledger: sse_trio.Ledger, **settings: Any
) -> sse_trio.Hub:
    config = sse_trio.Config(**{"port": 0, "authkey": KEY, **settings})
    hub: sse_trio.Hub = await nursery.start(partial(sse_trio.serve, config, ledger=ledger))
    return hub


async def test_the_same_id_has_one_effect_over_a_restart(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    ledger = sse_trio.MemoryLedger()
    first = await restarted(nursery, ledger)
    async with joined(first, "u1", "s1"):
        answer = await first.notify("u1", sender="s2", id="x")
    first.drain()
    second = await restarted(nursery, ledger, join="ticket")
    again = await second.notify("u1", sender="s2", id="x")
    assert (again.epoch, again.sender) == (answer.epoch, answer.sender) == (1, "s2")
    assert await second.notify("u1", sender="s2", id="x") is again
    # Nobody can say any more whether they answered; their connections have ended.
    assert (again.terminated, again.acked, again.pending) == (1, 0, 1)
    assert not await again.acknowledged(timeout=0)
    with pytest.raises(sse_trio.Conflict):
        await second.notify("u1", sender="s3", id="x")
    page = await raw_websocket(second)
    await page.send({"type": "join", "ticket": again.ticket})
    assert (await page.message())["type"] == "joined"
    await page.stream.aclose()
    assert second.statistics().notifies == {"duplicate": 2, "conflict": 1}


async def test_a_repeated_id_of_the_last_epoch_but_one_brings_no_ticket(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    ledger = sse_trio.MemoryLedger()
    first = await restarted(nursery, ledger)
    await first.notify("u1", sender="s1", id="x")
    await first.notify("u1", sender="s2")
    first.drain()
    second = await restarted(nursery, ledger)
    with pytest.raises(sse_trio.Conflict, match="has ended since"):
        await second.notify("u1", sender="s1", id="x")


async def test_a_session_is_welcome_when_a_crash_would_not_forget_it(
    hub: sse_trio.Hub, autojump_clock: MockClock
) -> None:
    page = await raw_websocket(hub)
    began = trio.current_time()
    await page.send({"type": "join", "room": "u1", "session": "s1"})
    await page.message()
    assert trio.current_time() == began + 1
    assert hub.statistics().members == 1
    await page.stream.aclose()
    # It is known now.
    async with joined(hub, "u1", "s1"):
        assert trio.current_time() == began + 1


async def test_who_is_ended_before_the_welcome_hears_of_the_end_alone(
    hub: sse_trio.Hub, ledger: SlowLedger, autojump_clock: MockClock
) -> None:
    page = await raw_websocket(hub)
    await page.send({"type": "join", "room": "u1", "session": "s1"})
    await trio.testing.wait_all_tasks_blocked()
    await hub.notify("u1", sender="s2")
    assert (await page.message())["type"] == "terminate"
    await page.stream.aclose()


async def test_nobody_is_kept_out_because_of_the_disk(
    hub: sse_trio.Hub, ledger: SlowLedger, autojump_clock: MockClock
) -> None:
    ledger.broken = True
    async with joined(hub, "u1", "s1"):
        assert hub.statistics().members == 1


async def test_a_ledger_that_hangs_is_not_waited_for_for_ever(
    hub: sse_trio.Hub, ledger: SlowLedger, autojump_clock: MockClock
) -> None:
    ledger.seconds = 1e6
    began = trio.current_time()
    assert (await post_notify(hub, room="u1", sender="s1")).status == 503
    late = slot_width(hub.config)
    assert trio.current_time() == began + hub.config.ledger_timeout + late
    began = trio.current_time()
    async with joined(hub, "u2", "s1"):
        assert trio.current_time() == began + hub.config.ledger_timeout


@pytest.mark.parametrize(
    ("authkey", "warned"),
    [("x" * 15, True), ("x" * 16, False), (["long enough to sign", "short"], True), (None, False)],
)
async def test_a_short_key_is_taken_with_a_warning(
    start: Start, caplog: pytest.LogCaptureFixture, authkey: Any, warned: bool
) -> None:
    await start(authkey=authkey)
    assert ("an authkey is short" in caplog.text) == warned


async def test_however_many_wait_for_a_room_none_waits_longer_than_the_timeout(
    hub: sse_trio.Hub, ledger: SlowLedger, autojump_clock: MockClock
) -> None:
    ledger.seconds = 1e6
    began = trio.current_time()

    async def notify() -> None:
        with pytest.raises(sse_trio.LedgerError):
            await hub.notify("u1", sender="s1")

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(notify)
    assert trio.current_time() == began + hub.config.ledger_timeout
    assert hub.statistics().notifies == {"failed": 5}


@attrs.define
class Records:
    """Records of somebody's own, beside the hub's."""

    decisions: list[tuple[str, set[str]]] = attrs.Factory(list)
    sweeps: int = 0

    def decided(self, room: str, ended: Collection[str]) -> None:
        self.decisions.append((room, set(ended)))

    async def sweep(self) -> None:
        self.sweeps += 1


async def test_who_follows_is_told_of_every_decision_and_swept(
    start: Start, autojump_clock: MockClock
) -> None:
    hub, records = await start(max_sessions=2), Records()
    hub.follow(records)
    for sender in ("s1", "s2", "s3"):
        await hub.notify("u1", sender=sender)
    await hub.release("u1", "s2")
    # Also where the room knows nothing of it.
    await hub.release("u1", "s9")
    await hub.log_out("u1", "s3")
    assert records.decisions == [
        ("u1", set()),
        ("u1", set()),
        ("u1", {"s1"}),
        ("u1", {"s2"}),
        ("u1", {"s9"}),
        ("u1", {"s3"}),
    ]
    assert records.sweeps == 0
    await trio.sleep(SWEEP + 1)
    assert records.sweeps == 1


async def test_whoever_follows_and_fails_hurts_nobody(
    start: Start, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    class Damaged(Records):
        async def sweep(self) -> None:
            quoted = "a user's name"
            raise ValueError(quoted)

    hub, records = await start(), Records()
    for follower in (Damaged(), records):
        hub.follow(follower)
    await trio.sleep(2 * SWEEP + 1)
    assert records.sweeps == 2
    assert caplog.text.count("sweeping the records of a follower: ValueError") == 2
    assert "a user's name" not in caplog.text


async def test_who_follows_is_told_of_a_room_that_a_ticket_has_lifted(start: Start) -> None:
    lost, hub, records = await start(), await start(), Records()
    hub.follow(records)
    outcomes = [await lost.notify("u1", sender=f"s{number}") for number in range(3)]
    page = await raw_websocket(hub)
    await page.send({"type": "join", "ticket": outcomes[-1].ticket})
    assert (await page.message())["epoch"] == 3
    assert records.decisions == [("u1", set())]
    # As what somebody's own records prove does.
    later = hub.view("u1").now
    assert hub.recall("u1", "s9", epoch=5, issued=later)
    assert records.decisions == [("u1", set()), ("u1", {"s2"})]
    await page.stream.aclose()


async def test_the_pages_of_those_that_a_recalled_login_ends_are_told(
    start: Start, autojump_clock: MockClock
) -> None:
    hub = await start()
    page = await raw_websocket(hub)
    await page.send({"type": "join", "room": "u1", "session": "s1"})
    assert (await page.message())["type"] == "joined"
    assert hub.recall("u1", "s2", epoch=5, issued=hub.view("u1").now)
    with trio.fail_after(1):
        told = await page.message()
    assert (told["type"], told["epoch"], told["reason"]) == ("terminate", 5, "login")
    assert hub.statistics().members == 0
    await page.stream.aclose()


async def test_a_session_is_abandoned_without_anybody_waiting(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    ledger = SlowLedger()
    async with trio.open_nursery() as server:
        config = sse_trio.Config(port=0, authkey=KEY)
        hub: sse_trio.Hub = await server.start(partial(sse_trio.serve, config, ledger=ledger))
        await hub.notify("u1", sender="s1")
        hub.abandon("u1", "s1")
        assert not hub.view("u1").sessions
        await hub.notify("u1", sender="s2")
        hub.drain()
    hub.abandon("u1", "s2")
    assert not hub.view("u1").sessions
    assert not ledger.commits["u1"].done


async def test_an_integer_is_its_decimal_string_to_records_too(start: Start) -> None:
    """Or what is asked of it would be asked of another room, which knows nothing."""
    hub = await start()
    await hub.notify("7", sender="1")
    login: dict[str, Any] = {"epoch": 1, "issued": hub.view("7").notified}
    assert hub.view(7).sessions == {"1"}
    assert hub.stands(7, 1, **login) is True
    assert hub.recall(7, 1, **login)
    hub.abandon(7, 1)
    assert hub.stands("7", "1", **login) is False
    wrong: Any
    for wrong in (None, "", True, 7.0, "a\x00b"):
        for refused in (
            partial(hub.stands, wrong, "1", **login),
            partial(hub.recall, "7", wrong, **login),
            partial(hub.abandon, wrong, "1"),
            partial(hub.view, wrong),
        ):
            with pytest.raises(sse_trio.LocalProtocolError, match=" must "):
                refused()


async def test_what_is_committed_with_a_log_out_is_not_with_a_release(start: Start) -> None:
    hub = await start()
    epochs: list[int] = []
    await hub.notify("u1", sender="s1", on_decision=epochs.append)
    await hub.log_out("u1", "s0", on_decision=epochs.append)
    assert epochs == [1]
    await hub.log_out("u1", "s1", on_decision=epochs.append)
    assert epochs == [1, 2]


async def test_who_is_not_told_yet_that_it_has_joined_asks_in_vain(
    hub: sse_trio.Hub, ledger: SlowLedger, autojump_clock: MockClock
) -> None:
    """The first word to a member says whether it is one."""
    ledger.seconds = 3
    websocket = await raw_websocket(hub)
    await websocket.send({"type": "join", "room": "u1", "session": "s1"})
    await trio.sleep(2)
    await websocket.send({"type": "heartbeat"})
    assert (await websocket.message())["type"] == "joined"
    await websocket.send({"type": "heartbeat"})
    assert (await websocket.message())["type"] == "heartbeat"
    await websocket.stream.aclose()


async def test_what_is_durable_before_anybody_waits_for_it_blocks_nobody(
    nursery: trio.Nursery,
) -> None:
    ledger = HeldLedger()
    hub = sse_trio.Hub(sse_trio.Config(authkey=KEY), ledger, nursery.start_soon)
    accepted = hub.decisions.accept_at_once(Notify(room="u1", sender="s1"), "192.0.2.1")
    assert accepted is not None
    assert accepted.finished is None
    ledger.commit(1)
    assert (await hub.decisions.finish(accepted)).epoch == 1
    # The room has no turn that nobody ends.
    with trio.fail_after(0):
        await hub.decisions.finished()


async def test_what_was_finished_at_once_need_not_be_finished(nursery: trio.Nursery) -> None:
    hub = sse_trio.Hub(sse_trio.Config(authkey=KEY), sse_trio.MemoryLedger(), nursery.start_soon)
    accepted = hub.decisions.accept_at_once(Notify(room="u1", sender="s1"), "192.0.2.1")
    assert accepted is not None
    assert accepted.finished is await hub.decisions.finish(accepted)
    assert hub.counters.notifies["accepted"] == 1


async def test_one_process_need_not_read_a_room(nursery: trio.Nursery) -> None:
    hub = sse_trio.Hub(sse_trio.Config(authkey=KEY), sse_trio.MemoryLedger(), nursery.start_soon)
    await hub.read("u1", 2)
    with pytest.raises(sse_trio.LocalProtocolError):
        await hub.read("")
