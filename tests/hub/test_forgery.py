"""Every forged ticket, at the door of a hub: refused with 4401, and in the same words."""

import json
from collections.abc import Callable

import pytest
import trio

import sse_trio
from sse_trio.hub.hub import Hub
from sse_trio.hub.member import State

from ..core.test_tickets import FORGERIES, NOW, TOKEN
from .fakes import FakePeer

CONFIG = sse_trio.Config(authkey=("a key", "an older key"), join="ticket", max_message=131072)


async def knock(nursery: trio.Nursery, ticket: str) -> tuple[FakePeer, State]:
    """Join with `ticket` at the time when the good one is good."""
    hub = Hub(CONFIG, sse_trio.MemoryLedger(), nursery.start_soon, wall=lambda: NOW)
    peer = FakePeer()
    member = hub.membership.arrive(peer, "192.0.2.1")
    hub.hearing.hear(member, [json.dumps({"type": "join", "ticket": ticket})])
    assert hub.statistics().members == (member.state is State.JOINED)
    return peer, member.state


async def test_the_good_one_is_admitted(nursery: trio.Nursery) -> None:
    peer, state = await knock(nursery, TOKEN)
    assert state is State.JOINED
    assert [message["room"] for message in peer.got("joined")] == ["u1"]


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES)
async def test_a_forgery_is_refused(nursery: trio.Nursery, forge: Callable[[], str]) -> None:
    peer, state = await knock(nursery, forge())
    assert state is State.CLOSING
    refusals = [error["message"] for error in peer.got("error")]
    # What is not even text is refused before anybody takes it for a ticket.
    if peer.closes() == [4401]:
        assert refusals == ["the ticket is not valid"]
    else:
        assert peer.closes() == [4400]
        assert refusals == ["a lone surrogate is not text"]
