"""Several hubs that share one engine in memory, in virtual time."""

import contextlib
import json
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import attrs
import trio

from sse_trio import Config, Hub
from sse_trio.hub.member import Member, Spawn
from sse_trio.ledger.cluster.context import Settings
from sse_trio.ledger.cluster.engine import Engine
from sse_trio.ledger.cluster.ledger import ClusterLedger
from sse_trio.ledger.cluster.memory import MemoryDatabase, MemoryEngine

from ...support import KEY
from ..fakes import FakePeer

# Virtual Unix seconds at the start.
EPOCH = 1_800_000_000.0


def wall() -> float:
    return EPOCH + trio.current_time()


@attrs.define(eq=False)
class Tab:
    """A browser's connection to a node, and what it was told."""

    peer: FakePeer
    member: Member

    @property
    def is_joined(self) -> bool:
        """Whether the page believes that it has joined."""
        joined, held = len(self.peer.got("joined")), len(self.peer.got("hold"))
        return joined > held and not self.is_ended

    @property
    def is_ended(self) -> bool:
        return bool(self.peer.got("terminate") or self.peer.closes() or self.peer.aborted)

    @property
    def is_terminated(self) -> bool:
        return bool(self.peer.got("terminate"))


@attrs.define(eq=False)
class Node:
    """A hub, its ledger, and what can be done to it."""

    hub: Hub
    ledger: ClusterLedger
    scope: trio.CancelScope
    spawn: Spawn

    def come(self, *, holds: bool = True, **join: str | None) -> Tab:
        peer = FakePeer()
        member = self.hub.membership.arrive(peer, "192.0.2.1", holds=holds)
        self.hub.hearing.hear(member, [json.dumps({"type": "join", **join})])
        tab = Tab(peer, member)
        if member.admission is not None:
            self.spawn(self.hub.admit, member)
        return tab

    async def read(self, room: str) -> None:
        """Read a room, whatever is cached of it."""
        assert self.hub.recognition.cache is not None
        await self.hub.recognition.cache.read([room])

    def acknowledge(self, tab: Tab) -> None:
        (told,) = tab.peer.got("terminate")
        answer = {"type": "terminated", "epoch": told["epoch"]}
        self.hub.hearing.hear(tab.member, [json.dumps(answer)])


@contextlib.asynccontextmanager
async def node(
    nursery: trio.Nursery, engine: Engine, *, lease: float = 6.0, **settings: Any
) -> AsyncIterator[Node]:
    """Run a hub over an engine."""
    usual: dict[str, Any] = {"port": 0, "authkey": KEY, "ledger": "postgresql://test/test"}
    config = Config(**usual | settings, lease=lease)
    async with (
        ClusterLedger.open(
            engine,
            Settings(lease=lease, ticket_lifetime=config.ticket_lifetime),
            clock=trio.current_time,
            local=wall,
            jitter=lambda: 0.5,
        ) as ledger,
        trio.open_nursery() as own,
    ):
        hub = Hub(config, ledger, own.start_soon, jitter=lambda: 0.5)
        own.start_soon(hub.run_timers)
        own.start_soon(hub.run_cluster)
        yield Node(hub, ledger, own.cancel_scope, own.start_soon)
        own.cancel_scope.cancel()


class World:
    """Nodes that share one database."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.database = MemoryDatabase(wall)
        self._nursery = nursery

    async def start(self, **settings: Any) -> Node:
        return await self.start_over(MemoryEngine(self.database), **settings)

    async def start_over(self, engine: Engine, **settings: Any) -> Node:
        """Start a node, and return when it vouches."""
        started: Node = await self._nursery.start(partial(self._run, engine, settings))
        await started.ledger.restored()
        return started

    async def _run(
        self,
        engine: Engine,
        settings: dict[str, Any],
        *,
        task_status: trio.TaskStatus[Node],
    ) -> None:
        async with node(self._nursery, engine, **settings) as started:
            task_status.started(started)
            await trio.sleep_forever()
