"""Servers that share a PostgreSQL: real sockets, and a real database."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from random import Random
from secrets import token_hex
from typing import Any

import pytest
import trio

import sse_trio
from sse_trio.client import ClientMember
from sse_trio.core.messages import Heartbeat, Joined, Terminate

from ..postgres import Server
from ..support import KEY, joined, post, post_notify
from ..support import request as ask

SESSIONS = ("s1", "s2", "s3")
RIVALS = 200

DEADLINE = 60

_LEAVING = "SELECT count(*) FROM sse_trio.nodes WHERE draining"

Start = Callable[..., Awaitable[sse_trio.Hub]]


@pytest.fixture
def database() -> str:
    """The name of one that is the test's own."""
    return f"nodes-{token_hex(4)}"


@pytest.fixture
def start_node(postgres: Server, database: str, nursery: trio.Nursery) -> Start:
    """Start servers over a database of the test's own."""
    ledger = postgres.create(database)

    async def start(**settings: Any) -> sse_trio.Hub:
        usual: dict[str, Any] = {"port": 0, "authkey": KEY, "lease": 60, "ledger_timeout": 120}
        config = sse_trio.Config(**usual | settings, ledger=ledger)
        hub: sse_trio.Hub = await nursery.start(sse_trio.serve, config)
        return hub

    return start


async def test_a_login_at_one_node_ends_those_at_another(start_node: Start) -> None:
    a, b = await start_node(), await start_node()
    async with joined(b, "u1", "old") as old, joined(b, "u2", "other"):
        answer = await post_notify(a, room="u1", sender="new")
        assert answer.status == 200, answer
        assert (answer.json["epoch"], answer.json["terminated"]) == (1, 1)
        assert (answer.json["nodes"], answer.json["lapsed"]) == (1, 0)
        while '"terminate"' not in await old.get_message():
            pass
        assert b.statistics().members == 1
    assert (await ask(b, "GET", "/readyz")).status == 200


async def test_a_repetition_at_another_node_hears_that_its_login_has_ended(
    start_node: Start,
) -> None:
    a, b = await start_node(), await start_node()
    assert (await post_notify(a, room="u1", sender="old", id="1")).status == 200
    # From here on this node knows the room, and so does not wait before it proposes.
    assert (await post_notify(b, room="u1", sender="new", id="2")).status == 200
    answer = await post_notify(b, room="u1", sender="old", id="1")
    assert (answer.status, answer.json["type"]) == (409, "urn:sse-trio:problem:login-ended")


async def terminated(tab: ClientMember) -> Terminate:
    """Wait until a page is told to log out; it is told nothing else."""
    event = await anext(tab)
    while isinstance(event, Heartbeat):
        event = await anext(tab)
    assert isinstance(event, Terminate)
    return event


class Room:
    """One room, and what happens in it: one thing after the other, at any of the nodes."""

    def __init__(self, name: str, hubs: Sequence[sse_trio.Hub], seed: int) -> None:
        self.name = name
        self.hubs = hubs
        self.random = Random(f"{seed} {name}")
        self.epoch = 0
        self.ended: set[str] = set()
        self.known: set[str] = set()
        self.tickets: dict[str, str] = {}
        self.tabs: list[tuple[str, ClientMember]] = []
        self.ids = 0

    async def run(self, steps: int) -> None:
        async with AsyncExitStack() as tabs:
            for _ in range(steps):
                if self.random.random() < 0.6:
                    await self.join(tabs)
                else:
                    await self.notify()
            await self.end_all()

    async def end_all(self) -> None:
        """End everybody who is left: none of them has heard of an earlier end."""
        answer = await post_notify(self.random.choice(self.hubs), room=self.name, sender=None)
        assert answer.json["terminated"] <= len(self.tabs)
        for _, tab in self.tabs:
            assert (await terminated(tab)).epoch == answer.json["epoch"] == self.epoch + 1

    async def join(self, tabs: AsyncExitStack) -> None:
        session = self.random.choice(SESSIONS)
        hub = self.random.choice(self.hubs)
        names = {"room": self.name, "session": session}
        if session in self.tickets and self.random.random() < 0.5:
            names = {"ticket": self.tickets[session]}
        tab = await tabs.enter_async_context(
            sse_trio.open_member(f"ws://127.0.0.1:{hub.port}/ws", **names)
        )
        event = await anext(tab)
        if session in self.ended:
            assert isinstance(event, Terminate)
        else:
            assert isinstance(event, Joined)
            assert event.epoch == self.epoch
            self.known.add(session)
            self.tabs.append((session, tab))

    async def notify(self) -> None:
        sender = self.random.choice(SESSIONS)
        first, second = self.random.choices(self.hubs, k=2)
        self.ids += 1
        wanted = {"room": self.name, "sender": sender, "id": f"{self.name}-{self.ids}"}
        answer = await post_notify(first, **wanted)
        assert answer.status == 200, answer
        self.epoch += 1
        self.known.add(sender)
        self.ended = self.known - {sender}
        self.tickets[sender] = answer.json["ticket"]
        others = [tab for session, tab in self.tabs if session != sender]
        self.tabs = [(session, tab) for session, tab in self.tabs if session == sender]
        assert answer.json["epoch"] == self.epoch
        assert (answer.json["nodes"], answer.json["lapsed"]) == (len(self.hubs) - 1, 0)
        assert answer.json["standing"] == [sender]
        for tab in others:
            assert (await terminated(tab)).epoch == self.epoch
        again = await post_notify(second, **wanted)
        assert again.status == 200, again
        same = ("epoch", "ended", "nodes", "lapsed")
        assert [again.json[key] for key in same] == [answer.json[key] for key in same]


@pytest.mark.parametrize("nodes", [2, 3])
async def test_exactly_the_others_end_whichever_node_they_are_at(
    start_node: Start, nodes: int
) -> None:
    hubs = [await start_node() for _ in range(nodes)]
    async with trio.open_nursery() as nursery:
        for number in range(4):
            nursery.start_soon(Room(f"u{number}", hubs, nodes).run, 30)


async def test_of_two_hundred_rivals_one_wins_on_all_nodes(start_node: Start) -> None:
    hubs = [await start_node() for _ in range(3)]
    epochs: dict[int, str] = {}

    async def notify(number: int) -> None:
        sender = f"s{number}"
        answer = await post_notify(hubs[number % 3], room="u1", sender=sender)
        assert answer.status == 200, answer
        epochs[answer.json["epoch"]] = sender

    async with trio.open_nursery() as nursery:
        for number in range(RIVALS):
            nursery.start_soon(notify, number)
    assert sorted(epochs) == list(range(1, RIVALS + 1))
    for hub in hubs:
        found = await post(hub, "/sessions", {"key": KEY, "room": "u1"})
        assert [each["session"] for each in found.json["sessions"]] == [epochs[RIVALS]]
        assert found.json["epoch"] == RIVALS


async def test_a_node_that_leaves_says_so_and_carries_out_what_others_decide(
    start_node: Start, postgres: Server, database: str
) -> None:
    a, b = await start_node(), await start_node(lame_duck=60, shutdown_grace=120)
    async with joined(b, "u1", "old") as old:
        b.drain()
        with trio.fail_after(DEADLINE), postgres.connect(database) as connection:
            while connection.execute(_LEAVING).fetchall() != [(1,)]:  # noqa: ASYNC110
                await trio.sleep(0.01)
        answer = await post_notify(a, room="u1", sender="new")
        assert (answer.json["nodes"], answer.json["lapsed"]) == (1, 0)
        while '"terminate"' not in await old.get_message():
            pass
    b.stop_accepting()
