"""A rolling deploy of three nodes under load: what pages and applications notice of it.

    python -m tests.rolling

Each node is sent SIGTERM, ends, and is started again, one after the other. Pages and applications
go to nodes that say at `/readyz` that they are ready, as behind a proxy that asks each of them a
few times a second. A page that loses its connection waits, as the protocol says it should, and
comes back to another node. Each notify names a new login of a room: the page of the last one ends,
and another one comes.

A violation is a notify that fails in the end, or counts a node as lapsed; and an old page that goes
on after its notify was answered. The rest is measured, and depends on how busy the machine is.
"""

import argparse
import random
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import attrs
import trio

from . import postgres
from .cluster_soak import Cluster, running
from .nodes import LOST, Node, Page, ask, open_page

# Seconds between two times that each node is asked whether it is ready.
ASKED = 0.2


@attrs.frozen(kw_only=True)
class Options:
    """How much of it there is. Times are seconds."""

    nodes: int = 3
    pages: int = 300
    notifies: float = 20.0
    """In a second."""
    lame_duck: float = 1.0
    drain_rate: int = 50
    lease: float = 6.0
    calm: float = 2.0
    """Before and after each restart."""
    deadline: float = 300.0


@attrs.define(eq=False)
class Phase:
    """What was seen from one restart to the next."""

    came_back: list[float] = attrs.Factory(list)
    """When pages had lost their connections."""
    waits: list[float] = attrs.Factory(list)
    """For how long they chose to wait before they came back."""
    unguarded: list[float] = attrs.Factory(list)
    """For how long they had not joined."""
    in_vain: int = 0
    """How often a page came to a node and was not let in."""
    answers: list[float] = attrs.Factory(list)
    """For how long notifies were asked for."""
    repeated: int = 0
    """Notifies that were asked for more than once."""
    lapsed: int = 0

    @property
    def beyond(self) -> float:
        """The longest that a page had not joined, beyond what it chose to wait."""
        pairs = zip(self.unguarded, self.waits, strict=True)
        return max((seconds - wait for seconds, wait in pairs), default=0.0)

    @property
    def busiest(self) -> int:
        """The most pages that lost their connections within a second."""
        return max(Counter(map(int, self.came_back)).values(), default=0)

    def row(self, name: str) -> str:
        """Return a line of the table."""
        return (
            f"| {name} | {len(self.unguarded)} | {self.busiest} "
            f"| {median(self.unguarded or [0]):.2f} s | {max(self.unguarded, default=0):.2f} s "
            f"| {self.beyond * 1000:.0f} ms | {self.in_vain} "
            f"| {len(self.answers)} | {self.repeated} "
            f"| {median(self.answers or [0]) * 1000:.0f} ms "
            f"| {max(self.answers, default=0) * 1000:.0f} ms |"
        )


HEAD = """\
| restart of | pages that moved | in the busiest second | not joined: median | longest \
| longest beyond its own wait | came in vain | notifies | repeated | median | longest |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"""


@attrs.define(eq=False)
class Room:
    """A user with one page at a time."""

    name: str
    logins: int = 0
    page: Page | None = None
    is_busy: bool = False
    """Whether a login is under way."""


class Rolling:
    """The deploy, and the load."""

    def __init__(self, options: Options, directory: Path, say: Callable[[str], object]) -> None:
        self.options = options
        self.phases: list[Phase] = [Phase()]
        self.violations: list[str] = []
        self._directory = directory
        self._say = say
        self._rng = random.Random(0)
        self._rooms = [Room(f"u{number}") for number in range(options.pages)]
        self._nodes: list[Node] = []
        self._ready: list[Node] = []
        self._joined = 0
        self._all_joined = trio.Event()

    async def run(self, database: postgres.Server) -> None:
        """Do all of it, within the deadline."""
        options = self.options
        cluster = running(
            options.nodes,
            self._directory,
            database,
            self._rng,
            lease=options.lease,
            ledger_timeout=1.2 * options.lease + 2.8,
            lame_duck=options.lame_duck,
            drain_rate=options.drain_rate,
            shutdown_grace=options.lame_duck + options.pages / options.drain_rate + 10,
        )
        with trio.move_on_after(options.deadline) as deadline:
            async with cluster as nodes, trio.open_nursery() as load:
                self._nodes = nodes.nodes
                for node in nodes.nodes:
                    load.start_soon(self._ask_whether_ready, node)
                await trio.sleep(2 * ASKED)
                for room in self._rooms:
                    load.start_soon(self._browse, room, load)
                await self._all_joined.wait()
                load.start_soon(self._notify_for_ever, load)
                await self._deploy(nodes)
                load.cancel_scope.cancel()
        if deadline.cancelled_caught:
            self.violations.append(f"not done within {options.deadline:g} s")
        self._report()

    async def _deploy(self, cluster: Cluster) -> None:
        for node in cluster.nodes:
            await trio.sleep(self.options.calm)
            self.phases.append(Phase())
            await node.signal(signal.SIGTERM)
            await cluster.nursery.start(node.run)
            await self._is_ready(node)
        await trio.sleep(self.options.calm)

    async def _is_ready(self, node: Node) -> None:
        while True:
            if node in self._ready:
                return
            await trio.sleep(ASKED)

    def _report(self) -> None:
        self._say(HEAD)
        for number, phase in enumerate(self.phases):
            self._say(phase.row("none yet" if not number else f"node {number}"))
            if phase.lapsed:
                self.violations.append(f"{phase.lapsed} notifies count a node as lapsed")
        for violation in self.violations[:10]:
            self._say(violation)
        self._say(f"violations {len(self.violations)}")

    # -- the proxy --------------------------------------------------------------------------

    async def _ask_whether_ready(self, node: Node) -> None:
        while True:
            answer = await ask(node.port, "GET", "/readyz")
            is_ready = answer is not None and answer.status == 200
            if is_ready and node not in self._ready:
                self._ready.append(node)
            elif not is_ready and node in self._ready:
                self._ready.remove(node)
            await trio.sleep(ASKED)

    def _port(self) -> int:
        """Return a node that is ready; if none is, any node, as proxies do."""
        return self._rng.choice(self._ready or self._nodes).port

    # -- the pages --------------------------------------------------------------------------

    async def _browse(self, room: Room, load: trio.Nursery) -> None:
        """Be the page of the room's login until that has ended."""
        session = f"s{room.logins}"
        is_ended = False
        lost_at: float | None = None
        waited = 0.0

        def hear(page: Page, message: dict[str, Any]) -> None:
            nonlocal is_ended, lost_at
            if message["type"] == "terminate":
                is_ended = True
                page.leave()
            elif message["type"] == "joined":
                room.page = page
                if lost_at is not None:
                    self.phases[-1].unguarded.append(trio.current_time() - lost_at)
                    self.phases[-1].waits.append(waited)
                    lost_at = None
                self._joined += 1
                if self._joined == len(self._rooms):
                    self._all_joined.set()

        while not is_ended:
            join = {"room": room.name, "session": session}
            try:
                async with open_page(self._port(), join, hear) as page:
                    await page.listen()
            except LOST:
                pass
            if is_ended:
                return
            if lost_at is None:
                lost_at, waited = trio.current_time(), 0.0
                self.phases[-1].came_back.append(lost_at)
            else:
                self.phases[-1].in_vain += 1
            wait = self._rng.uniform(0, 1)
            waited += wait
            await trio.sleep(wait)

    # -- the applications -------------------------------------------------------------------

    async def _notify_for_ever(self, load: trio.Nursery) -> None:
        while True:
            idle = [room for room in self._rooms if not room.is_busy]
            load.start_soon(self._log_in, self._rng.choice(idle), load)
            await trio.sleep(1 / self.options.notifies)

    async def _log_in(self, room: Room, load: trio.Nursery) -> None:
        """Name a new session of the room; its page comes then."""
        room.is_busy = True
        room.logins += 1
        begun, tries = trio.current_time(), 0
        name = f"{room.name}/{room.logins}"
        members = {"room": room.name, "sender": f"s{room.logins}", "id": name}
        while True:
            answer = await ask(self._port(), "POST", "/notify", members)
            tries += 1
            if answer is not None and answer.status == 200:
                break
            if tries == 20 or (answer is not None and answer.status != 503):
                self.violations.append(f"{name} is answered {answer}")
                return
            await trio.sleep(ASKED)
        phase = self.phases[-1]
        phase.answers.append(trio.current_time() - begun)
        phase.repeated += tries > 1
        phase.lapsed += answer.json["lapsed"]
        if room.page is not None:
            room.page.drain()
            if not room.page.is_over:
                self.violations.append(f"the page before {name} goes on")
        load.start_soon(self._browse, room, load)
        room.is_busy = False


def main() -> int:
    """Run from the command line; return the exit status, 1 after a violation."""
    parser = argparse.ArgumentParser(prog="python -m tests.rolling", description="A deploy.")
    default = Options()
    for attribute in attrs.fields(Options):
        name, value = attribute.name, getattr(default, attribute.name)
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, type=type(value), default=value, help=f"default: {value}")
    options = Options(**vars(parser.parse_args()))
    programs = postgres.directory_of_programs()
    assert programs is not None, "no PostgreSQL here: apt-get install postgresql"
    with (
        postgres.running(programs) as database,
        tempfile.TemporaryDirectory(prefix="sse-trio-rolling-") as directory,
    ):
        rolling = Rolling(options, Path(directory), print)
        trio.run(rolling.run, database)
    return 1 if rolling.violations else 0


if __name__ == "__main__":
    sys.exit(main())
