"""What many nodes ask of their engine, in virtual time: `python -m tests.scale --nodes 20`.

Real hubs over the engine in memory, each of whose calls takes a millisecond or so, as those of a
real one do. Counted is what a real engine would have to do: its calls, by kind. What they cost it,
`python -m bench cluster` and a clock at the engine tell.
"""

import argparse
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from random import Random
from typing import TypeVar

import attrs
import trio
from trio.testing import MockClock

from sse_trio.ledger.cluster.engine import Batch, Committed, Registered, Told
from sse_trio.ledger.cluster.memory import MemoryDatabase

from .hub.cluster.world import Node, Tab, World
from .ledger.cluster.fakes import ALL, Faulty

T = TypeVar("T")

# Seconds that a call takes, there and back.
LATENCY = 0.001

# Seconds of notifies at one rate.
SECONDS = 5.0


class Counted(Faulty):
    """An engine that counts its calls, and hints at news as PostgreSQL does.

    At a batch that has written rooms it hints to all others, and at a report to those whose batches
    it is about.
    """

    def __init__(self, database: MemoryDatabase, all_of_them: "list[Counted]") -> None:
        super().__init__(database)
        self.delays = dict.fromkeys(ALL - {"hinted"}, LATENCY)
        self.counts: Counter[str] = Counter()
        self._all = all_of_them
        self.node = ""
        self.heard = trio.Event()
        self._reported: Mapping[str, int] = {}

    async def _call(self, name: str, argument: object, call: Awaitable[T]) -> T:
        self.calls.clear()
        is_renewal = isinstance(argument, Batch) and not argument.writes
        self.counts["renewal" if is_renewal else name] += 1
        return await super()._call(name, argument, call)

    async def register(self, node: str, *, address: str, software: str) -> Registered:
        self.node = node
        return await super().register(node, address=address, software=software)

    async def commit(self, batch: Batch) -> Committed:
        committed = await super().commit(batch)
        if batch.writes:
            self._hint(lambda engine: engine is not self)
        return committed

    async def report(self, node: str, applied: Mapping[str, int], told: Sequence[Told]) -> None:
        await super().report(node, applied, told)
        news = {writer for writer, seq in applied.items() if self._reported.get(writer) != seq}
        news |= {each.writer for each in told}
        self._reported = applied
        self._hint(lambda engine: engine is not self and engine.node in news)

    def _hint(self, is_told: "Callable[[Counted], bool]") -> None:
        for engine in filter(is_told, self._all):
            engine.heard.set()

    async def hinted(self) -> None:
        await self.heard.wait()
        self.heard = trio.Event()


@attrs.define
class Cluster:
    """Nodes, and the members that have joined them."""

    world: World
    random: Random
    nodes: list[Node] = attrs.Factory(list)
    engines: list[Counted] = attrs.Factory(list)
    tabs: list[tuple[Node, str, Tab]] = attrs.Factory(list)
    took: list[float] = attrs.Factory(list)

    async def start(self, nodes: int) -> None:
        for _ in range(nodes):
            engine = Counted(self.world.database, self.engines)
            self.engines.append(engine)
            self.nodes.append(await self.world.start_over(engine, hold=120.0, join_patience=60.0))

    async def join(self, rooms: Sequence[str], seconds: float) -> None:
        """Have a member of each room come, to any node, spread over so many seconds."""
        for number, room in enumerate(rooms):
            if number % max(1, len(rooms) // 100) == 0:
                await trio.sleep(seconds / 100)
            node = self.random.choice(self.nodes)
            self.tabs.append((node, room, node.come(room=room, session="page")))
        await self.settled()

    async def settled(self) -> None:
        """Wait until everybody has joined who was not ended."""
        while not all(tab.is_joined or tab.is_ended for _, _, tab in self.tabs):  # noqa: ASYNC110
            await trio.sleep(0.1)

    async def notify(self, rate: float, seconds: float) -> None:
        async with trio.open_nursery() as nursery:
            for number in range(round(rate * seconds)):
                room = self.random.choice(self.tabs)[1]
                node = self.random.choice(self.nodes)
                nursery.start_soon(self._notify, node, room, f"login {rate} {number}")
                await trio.sleep(1 / rate)

    async def _notify(self, node: Node, room: str, sender: str) -> None:
        began = trio.current_time()
        await node.hub.notify(room, sender=sender)
        self.took.append(trio.current_time() - began)

    def kill(self) -> list[str]:
        """End a node as `kill -9` does; return the rooms of its members."""
        node, engine = self.nodes.pop(), self.engines.pop()
        engine.away = ALL
        node.scope.cancel()
        rooms = [room for at, room, tab in self.tabs if at is node and not tab.is_ended]
        self.tabs = [each for each in self.tabs if each[0] is not node]
        return rooms

    def show(self, what: str, seconds: float) -> None:
        """Print the calls a second since the last time, and how long notifies took."""
        counts = sum((engine.counts for engine in self.engines), Counter[str]())
        calls = ", ".join(f"{kind} {count / seconds:,.0f}" for kind, count in counts.most_common())
        print(f"{what}: {seconds:.1f} s; calls a second: {calls}")  # noqa: T201
        if self.took:
            ordered = sorted(self.took)
            median, last = ordered[len(ordered) // 2], ordered[-1]
            print(f"  notifies: median {median * 1e3:.0f} ms, slowest {last * 1e3:.0f} ms")  # noqa: T201
        for engine in self.engines:
            engine.counts.clear()
        self.took.clear()


async def run(options: argparse.Namespace) -> None:
    async with trio.open_nursery() as nursery:
        cluster = Cluster(World(nursery), Random(options.seed))
        await cluster.start(options.nodes)
        rooms = [f"u{number}" for number in range(options.members)]
        began = trio.current_time()
        await cluster.join(rooms, 10)
        cluster.show(f"{options.members:,} first joins", trio.current_time() - began)
        await trio.sleep(SECONDS)
        cluster.show("nothing happens", SECONDS)
        for rate in options.rates:
            await cluster.notify(rate, SECONDS)
            cluster.show(f"{rate} notifies a second", SECONDS)
        moved = cluster.kill()
        began = trio.current_time()
        async with trio.open_nursery() as meanwhile:
            meanwhile.start_soon(cluster.notify, 10, 10)
            await cluster.join(moved, 5)
        cluster.show(f"a node is killed: {len(moved):,} come back", trio.current_time() - began)
        for engine in cluster.engines:
            engine.away = ALL
        await trio.sleep(options.outage)
        closed = sum(tab.peer.closes() == [1013] for _, _, tab in cluster.tabs)
        held = sum(tab.member.held for _, _, tab in cluster.tabs)
        cluster.show(f"no engine: {held:,} on hold, {closed:,} closed", options.outage)
        for engine in cluster.engines:
            engine.away = set()
        began = trio.current_time()
        await cluster.settled()
        cluster.show("it is back, until the last has joined", trio.current_time() - began)
        nursery.cancel_scope.cancel()


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.scale", description=__doc__)
    parser.add_argument("--nodes", type=int, default=20)
    parser.add_argument("--members", type=int, default=20_000)
    parser.add_argument("--rates", type=float, nargs="*", default=[10, 100, 1000])
    parser.add_argument("--outage", type=float, default=60.0, help="seconds without the engine")
    parser.add_argument("--seed", type=int, default=0)
    logging.disable(logging.CRITICAL)
    trio.run(partial(run, parser.parse_args()), clock=MockClock(autojump_threshold=0))


if __name__ == "__main__":
    main()
