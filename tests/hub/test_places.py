"""`max_connections` has places: neither the refused hold one, nor whoever is on the way out."""

import json
from contextlib import AsyncExitStack

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from sse_trio import Config
from sse_trio.core.messages import CloseCode
from sse_trio.core.notify import Notify
from sse_trio.hub.member import State

from ..support import CLOSE, RawWebSocket, Start, client_frame, raw_websocket
from .fakes import FakePeer, Parts

JOIN = {"type": "join", "room": "u1", "session": "s1"}


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        ({"max_connections": 1}, CloseCode.TRY_AGAIN_LATER),
        ({"max_connections_per_address": 1}, CloseCode.TOO_MANY),
    ],
)
async def test_the_refused_hold_no_place(
    start: Start, autojump_clock: MockClock, limits: dict[str, int], code: CloseCode
) -> None:
    hub = await start(**limits)
    async with AsyncExitStack() as stack:

        async def arrive() -> RawWebSocket:
            websocket = await raw_websocket(hub)
            await stack.enter_async_context(websocket.stream)
            return websocket

        first = await arrive()
        await first.send(JOIN)
        assert (await first.message())["type"] == "joined"
        refused = await arrive()
        assert (await refused.message())["code"] == code
        # It lingers, and so does the first, which is told to go.
        await hub.notify("u1", sender=None)
        third = await arrive()
        await third.send(JOIN | {"session": "s2"})
        assert (await third.message())["type"] == "joined"
        assert hub.statistics().members == 1
        assert hub.statistics().connections == 2 + ("max_connections_per_address" in limits)


async def test_so_many_linger_after_their_close_and_no_more(
    start: Start, autojump_clock: MockClock
) -> None:
    hub = await start(max_connections=5)
    async with AsyncExitStack() as stack:
        websockets = []
        for _ in range(20):
            websocket = await raw_websocket(hub)
            await stack.enter_async_context(websocket.stream)
            await websocket.stream.send_all(client_frame(CLOSE, b"\x03\xe8"))
            assert await websocket.closed() == 1000
            websockets.append(websocket)
        await wait_all_tasks_blocked()
        assert hub.statistics().closing == hub.statistics().connections == 5
        await trio.sleep(4.5)
        assert hub.statistics().closing == 5
        await trio.sleep(1)
        assert hub.statistics().closing == 0


def test_who_was_told_first_is_cut_first() -> None:
    config = Config(max_connections=3, max_connections_per_room=3)
    parts = Parts(lambda: 0, config, slice=64)
    membership = parts.membership
    peers = [FakePeer() for _ in range(6)]
    members = []
    for half in (range(3), range(3, 6)):
        for number in half:
            members.append(membership.arrive(peers[number], "192.0.2.1"))
            parts.measuring.join(members[number], "u1", f"s{number}")
        outcome = parts.decide(Notify(room="u1", sender=None))
        assert sum(outcome.telling) == 0
        assert outcome.outcome.terminated == 3
    assert [peer.aborted for peer in peers] == [True] * 3 + [False] * 3
    assert [member.state for member in members] == [State.CLOSING] * 3 + [State.TERMINATED] * 3
    assert membership.statistics().closing == 3
    assert membership.statistics().terminations_cut == 3
    for member in members:
        membership.leave(member, hung_up=True)
    assert membership.statistics().connections == 0


def test_the_refused_are_cut_before_who_has_still_to_answer() -> None:
    config = Config(max_connections=3, max_connections_per_room=3, max_connections_per_address=3)
    parts = Parts(lambda: 0, config, slice=64)
    membership = parts.membership
    told = [FakePeer(), FakePeer()]
    members = [membership.arrive(peer, f"192.0.2.{number}") for number, peer in enumerate(told)]
    for number, member in enumerate(members):
        parts.measuring.join(member, "u1", f"s{number}")
    outcome = parts.decide(Notify(room="u1", sender=None))
    assert sum(outcome.telling) == 0
    held = [membership.arrive(FakePeer(), "198.51.100.1") for _ in range(3)]
    refused = [FakePeer() for _ in range(4)]
    for peer in refused:
        membership.arrive(peer, "198.51.100.1")
    assert [member.state for member in held] == [State.ARRIVING] * 3
    assert [peer.aborted for peer in told] == [False] * 2
    assert [peer.aborted for peer in refused] == [True] * 3 + [False]
    assert membership.statistics().closing == 3
    # Whoever has answered has its turn before the others too.
    parts.hearing.hear(members[0], [json.dumps({"type": "terminated", "epoch": 1})])
    for _ in range(2):
        membership.arrive(FakePeer(), "198.51.100.1")
    assert [peer.aborted for peer in told] == [True, False]
    assert (outcome.outcome.acked, outcome.outcome.pending) == (1, 1)
