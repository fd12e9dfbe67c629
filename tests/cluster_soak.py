"""kill -9 of nodes and of their database: what was answered at one node is honoured on all.

    python -m tests.soak --nodes 3 --kills 100

Real `sse-trio serve` processes share a real PostgreSQL. In several rooms, applications notify at
any node, several at a time, and pages join at any node. What goes wrong is tried again elsewhere,
with its `id`. Meanwhile nodes are killed, all at once too, the database is killed and started
again, and nodes are stopped for up to some leases. It is counted both ways:

- Whoever has to be ended, because that was answered 200, is not joined anywhere from that step on,
  and not admitted anywhere. It has been told, or is on hold, or has lost its connection; or its
  node has lapsed. Then it hears no more that it has joined, and is told soon.
- Whoever was told that it has ended has been, by the epochs of its room, which are all known in the
  end. No two notifies have the same epoch, none has two, and none is missing.

What has to be so is said by `epochs`. Everything that was sent before an answer is read in the step
that takes the answer, so that it is not mistaken for what was sent after it. A `Life` of a room
ends when it has had all of its notifies: then every session comes back once more.
"""

import contextlib
import random
import signal
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import attrs
import trio

from . import postgres
from .epochs import Epochs, Notify, Session
from .nodes import LOST, PATIENCE, Node, Page, ask, open_page, write_config
from .support import Response

LEASE = 2.0

# Seconds: an application waits for an answer, before it asks elsewhere; and has one by then.
APPLICATION = 6.0
ANSWERED = 60.0

# Seconds within which a page reads what was sent before an answer at another socket. On one machine
# that has always arrived, if the kernel does not take its time.
ARRIVED = 0.05


@attrs.frozen(kw_only=True)
class Options:
    """What is to be done, within `deadline` seconds."""

    nodes: int = 3
    kills: int = 100
    seed: int = 0
    rooms: int = 8
    notifies: int = 30
    """Of one room. Then another room takes its place."""
    deadline: float = 900.0


@attrs.define(eq=False)
class Tally:
    """What was seen."""

    faults: Counter[str] = attrs.Factory(Counter)
    notifies: Counter[str] = attrs.Factory(Counter)
    pages: Counter[str] = attrs.Factory(Counter)
    """Those that had to be ended at an answer, by what they had heard by then."""
    doors: Counter[str] = attrs.Factory(Counter)
    """Who joined, by what was known and what it was told."""
    longest: float = 0.0
    """Seconds for which a notify was asked for until it was answered."""
    violations: list[str] = attrs.Factory(list)

    @property
    def kills(self) -> int:
        return self.faults.total()

    def summary(self) -> str:
        """Return the result, counted both ways."""
        lines = [
            f"{name:<10}" + ", ".join(f"{n} {what}" for what, n in sorted(counts.items()))
            for name, counts in (
                ("faults", self.faults),
                ("notifies", self.notifies),
                ("pages", self.pages),
                ("joins", self.doors),
            )
        ]
        return "\n".join(
            [
                *lines,
                f"the longest notify took {self.longest:.1f} s",
                f"violations {len(self.violations)}",
            ]
        )


@attrs.define(eq=False)
class Cluster:
    """The nodes and their database, and what is done to them."""

    nodes: list[Node]
    database: postgres.Server
    nursery: trio.Nursery
    rng: random.Random
    stopped: dict[Node, float] = attrs.Factory(dict)
    """Nodes that were stopped, and until when their members may not have been told."""

    @property
    def port(self) -> int:
        """A node's that is up; any node's if none is."""
        up = [node for node in self.nodes if node.is_up]
        return self.rng.choice(up or self.nodes).port

    def may_have_lapsed(self, port: int) -> bool:
        """Whether a node was stopped, and had no time yet to tell its members."""
        return any(
            node.port == port and trio.current_time() < until
            for node, until in self.stopped.items()
        )

    async def kill_node(self) -> None:
        """kill -9 of one node, which comes back a bit later."""
        await self._kill(self.rng.choice(self.nodes))

    async def kill_all(self) -> None:
        """kill -9 of all nodes at once."""
        async with trio.open_nursery() as nursery:
            for node in self.nodes:
                nursery.start_soon(self._kill, node)

    async def kill_database(self) -> None:
        """kill -9 of the primary, which recovers."""
        await trio.to_thread.run_sync(self.database.kill)
        await trio.sleep(self.rng.uniform(0, 1.5 * LEASE))
        await trio.to_thread.run_sync(self.database.start)

    async def stop_node(self) -> None:
        """SIGSTOP, mostly for longer than the lease."""
        node = self.rng.choice(self.nodes)
        self.stopped[node] = float("inf")
        await node.signal(signal.SIGSTOP)
        await trio.sleep(self.rng.uniform(0.5, 2.5) * LEASE)
        await node.signal(signal.SIGCONT)
        self.stopped[node] = trio.current_time() + LEASE

    async def _kill(self, node: Node) -> None:
        await node.signal(signal.SIGKILL)
        self.stopped.pop(node, None)
        await trio.sleep(self.rng.uniform(0, 1))
        await self.nursery.start(node.run)


FAULTS = (Cluster.kill_node, Cluster.kill_all, Cluster.kill_database, Cluster.stop_node)


@attrs.define(eq=False)
class Room:
    """One user: applications that announce logins, several at a time, and the pages."""

    name: str
    cluster: Cluster
    options: Options
    tally: Tally
    rng: random.Random
    epochs: Epochs
    sessions: list[Session] = attrs.Factory(list)
    tickets: dict[Session, str] = attrs.Factory(dict)
    pages: dict[Page, tuple[Session, int]] = attrs.Factory(dict)
    """Those that are open, each with its session, and the port of its node."""
    joined: set[Page] = attrs.Factory(set)
    """Those that believe that they have joined."""
    told: list[tuple[Session, int]] = attrs.Factory(list)
    """Sessions that were told that they have ended, and at which epoch."""
    story: list[str] = attrs.Factory(list)
    is_busy: bool = True
    _nursery: trio.Nursery | None = None

    async def live(self) -> None:
        """Have all its notifies, and then everybody come back once more."""
        async with trio.open_nursery() as self._nursery:
            async with trio.open_nursery() as applications:
                for _ in range(2):
                    applications.start_soon(self._apply)
            self.is_busy = False
            await self._come_to_an_end()
            self._nursery.cancel_scope.cancel()

    async def _apply(self) -> None:
        """Be one application server."""
        while len(self.epochs.notifies) < self.options.notifies:
            [step] = self.rng.choices([self._log_in, self._log_out, self._come_late], [6, 1, 4])
            await step()
            await trio.sleep(self.rng.uniform(0, 0.3))

    async def _come_to_an_end(self) -> None:
        """See that whoever has to be ended is, and that nobody was ended wrongly."""
        last = Session("last")
        self.sessions.append(last)
        answer = await self._notify(last)
        if answer is not None and last.namings[0].epoch != len(self.epochs.notifies):
            self._violation(f"{len(self.epochs.notifies)} notifies have come to {answer}")
        for page in self._left_alive():
            with trio.move_on_after(PATIENCE):
                await page.ended.wait()
        for page in self._left_alive():
            session, _ = self.pages[page]
            self._violation(f"{session.name} must be ended, and was left alive")
        for session in self.sessions:
            await self._try_until_told(session)
        for session, epoch in self.told:
            if not self.epochs.may_be_ended(session, epoch):
                self._violation(f"{session.name} was told that it has ended at epoch {epoch}")

    def _left_alive(self) -> list[Page]:
        return [page for page in self.joined if self.epochs.must_be_ended(self.pages[page][0])]

    # What happens in a room.

    async def _log_in(self) -> None:
        """Notify, and open a page."""
        if self.rng.random() < 0.08:
            await self._notify(None)
            return
        again = [s for s in self.sessions if not s.is_release_asked]
        if again and self.rng.random() < 0.15:
            session = self.rng.choice(again)
        else:
            session = Session(f"s{len(self.sessions)}")
            self.sessions.append(session)
        if await self._notify(session) is not None:
            assert self._nursery is not None
            for _ in range(self.rng.choice([1, 1, 2])):
                self._nursery.start_soon(self._browse, session)

    async def _log_out(self) -> None:
        """Release a session."""
        if self.sessions:
            session = self.rng.choice(self.sessions)
            if session.namings and not session.is_under_way:
                session.is_release_asked = True
                members = {"room": self.name, "session": session.name}
                answer = await self._ask("/release", members, {200})
                if answer is not None:
                    self._settle(answer, session=session)
                    self.tally.notifies["releases"] += 1

    async def _come_late(self) -> None:
        """Join as a session that has ended long ago, perhaps."""
        if self.sessions:
            with trio.move_on_after(PATIENCE):
                await self._visit(self.rng.choice(self.sessions), is_long=False)

    async def _browse(self, session: Session) -> None:
        """Be a page from its first join until it is told that it has ended."""
        while not await self._visit(session, is_long=True):
            await trio.sleep(self.rng.uniform(0.02, 0.3))
            self.tally.doors["came back"] += 1

    async def _try_until_told(self, session: Session) -> None:
        with trio.move_on_after(4 * PATIENCE) as patience:
            while True:
                if await self._visit(session, is_long=False):
                    return
                await trio.sleep(0.1)
        if patience.cancelled_caught:
            self._violation(f"{session.name} is told nothing")

    # What it takes.

    async def _visit(self, session: Session, *, is_long: bool) -> bool:
        """Join at a node; return whether it was told what it came for.

        For a long visit that is its termination, for a short one anything.
        """
        port = self.cluster.port
        ticket = self.tickets.get(session)
        join = {"ticket": ticket} if ticket and self.rng.random() < 0.5 else None
        answers: list[str] = []

        def hear(page: Page, message: dict[str, Any]) -> None:
            told = message["type"]
            answers.append(told)
            must_be_ended = self.epochs.must_be_ended(session)
            self.story.append(f"{session.name} at {port}: {told}, epoch {message.get('epoch')}")
            if told in ("joined", "heartbeat"):
                self.joined.add(page)
                if must_be_ended:
                    self._violation(f"{session.name} must be ended, and is told {message}")
            else:
                self.joined.discard(page)
            if told == "terminate":
                self.told.append((session, message["epoch"]))
            if told == "terminate" or (told == "joined" and not is_long):
                page.leave()
            if told in ("joined", "terminate"):
                known = "ended" if must_be_ended else "not known to be ended"
                self.tally.doors[f"{told} who were {known}"] += 1

        claim = join or {"room": self.name, "session": session.name}
        with contextlib.suppress(*LOST), trio.CancelScope() as scope:
            async with open_page(port, claim, hear) as page:
                self.pages[page] = session, port
                try:
                    await page.listen()
                finally:
                    scope.cancel()  # nobody waits for the close
                    self.joined.discard(page)
                    del self.pages[page]
        return "terminate" in answers or (not is_long and "joined" in answers)

    async def _notify(self, sender: Session | None) -> Response | None:
        """Announce a login, at one node after the other until it is answered."""
        notify = Notify(f"{self.name}/{len(self.epochs.notifies)}", sender)
        self.epochs.ask(notify)
        after = self.epochs.last
        ended = {s.name for s in self.sessions if self.epochs.must_be_ended(s) and s is not sender}
        members = {
            "room": self.name,
            "id": notify.id,
            "sender": sender and sender.name,
            "max_sessions": self.epochs.places,
        }
        answer = await self._ask("/notify", members, {200, 409})
        if answer is None:
            return None
        if answer.status == 409:
            notify.is_over = True
            self.tally.notifies["answered 409"] += 1
            return None
        self.tally.notifies["answered 200"] += 1
        told = answer.json
        self._settle(answer, notify=notify, after=after)
        renamed = {n.sender.name for n in self.epochs.notifies if n.sender and n.epoch is None}
        if wrong := ended.intersection(told["standing"]) - renamed - self._named_since(after):
            self._violation(f"{wrong} must be ended, and stand in {told}")
        if sender is not None and "ticket" in told:
            self.tickets[sender] = told["ticket"]
        return answer

    def _named_since(self, epoch: int) -> set[str]:
        named = (n for n in self.epochs.notifies if n.sender and (n.epoch or 0) > epoch)
        return {n.sender.name for n in named if n.sender}

    def _settle(
        self,
        answer: Response,
        *,
        notify: Notify | None = None,
        after: int = 0,
        session: Session | None = None,
    ) -> None:
        """Take an answer, and see that it is honoured by now."""
        for page in list(self.pages):
            page.drain()
        before = {page for page in self.joined if self.epochs.must_be_ended(self.pages[page][0])}
        told = answer.json
        if notify is not None:
            shown = {key: value for key, value in told.items() if key not in ("ticket", "token")}
            self.story.append(
                f"notify {notify.id} of {notify.sender and notify.sender.name}: {shown}"
            )
            if not self.epochs.answered(notify, told["epoch"], after=after):
                self._violation(f"the epoch of {notify.id}, asked after {after}, is no {shown}")
        if session is not None:
            self.story.append(f"release of {session.name}: {told}")
            session.is_released = True
        for page, (ended, port) in self.pages.items():
            if page in before or not self.epochs.must_be_ended(ended):
                continue
            if page not in self.joined:
                self.tally.pages["ended or on hold before the answer"] += 1
            elif told["lapsed"] or self.cluster.may_have_lapsed(port):
                self.tally.pages["at a node that has lapsed"] += 1
            else:
                assert self._nursery is not None
                self._nursery.start_soon(self._wait_for, page, ended)

    async def _wait_for(self, page: Page, session: Session) -> None:
        """Give the kernel a moment for what was sent before an answer."""
        await trio.sleep(ARRIVED)
        page.drain()
        if page in self.joined:
            self._violation(f"{session.name} must be ended, and has heard nothing")
        else:
            self.tally.pages["read after the answer"] += 1

    async def _ask(self, target: str, members: dict[str, Any], wanted: set[int]) -> Response | None:
        """Ask one node after the other until one answers; None if none ever does."""
        begun = trio.current_time()
        while trio.current_time() < begun + ANSWERED:
            answer = await ask(self.cluster.port, "POST", target, members, patience=APPLICATION)
            if answer is not None and answer.status in wanted:
                self.tally.longest = max(self.tally.longest, trio.current_time() - begun)
                return answer
            if answer is not None and answer.status != 503:
                self._violation(f"{target} {members} is answered {answer}")
                return None
            self.tally.notifies["asked again"] += 1
            self.story.append(f"{target} {members}: {answer and answer.status}")
            await trio.sleep(self.rng.uniform(0.02, 0.3))
        self._violation(f"{target} {members} is not answered")
        return None

    def _violation(self, what: str) -> None:
        story = "\n    ".join(self.story[-15:])
        self.tally.violations.append(f"{self.name}: {what}\n    {story}")


@contextlib.asynccontextmanager
async def running(
    count: int, directory: Path, database: postgres.Server, rng: random.Random, **settings: Any
) -> AsyncIterator[Cluster]:
    """Run nodes over a database of their own."""
    nodes = [Node(directory / str(number)) for number in range(count)]
    usual = {"ledger": database.create("soak"), "lease": LEASE, "heartbeat_timeout": 3600}
    async with trio.open_nursery() as nursery:
        cluster = Cluster(nodes, database, nursery, rng)
        async with trio.open_nursery() as starting:
            for node in nodes:
                node.directory.mkdir()
                write_config(node.directory, **usual | settings)
                starting.start_soon(nursery.start, node.run)
        yield cluster
        nursery.cancel_scope.cancel()


class Soak:
    """Faults, one after the other, while rooms are busy."""

    def __init__(self, options: Options, directory: Path, say: Callable[[str], object]) -> None:
        self.options = options
        self.tally = Tally()
        self._directory = directory
        self._say = say
        self._rng = random.Random(options.seed)
        self._is_over = False

    async def run(self, database: postgres.Server) -> Tally:
        """Do all of it; `deadline` seconds are a violation."""
        begun = trio.current_time()
        with trio.move_on_after(self.options.deadline) as deadline:
            async with (
                running(
                    self.options.nodes,
                    self._directory,
                    database,
                    self._rng,
                    heartbeat_interval=0.5,
                ) as cluster,
                trio.open_nursery() as nursery,
            ):
                for number in range(self.options.rooms):
                    nursery.start_soon(self._keep_busy, cluster, number)
                await self._hurt(cluster, begun)
                self._is_over = True
        if deadline.cancelled_caught:
            self.tally.violations.append(f"not done within {self.options.deadline:g} s")
        for violation in self.tally.violations[:10]:
            self._say(violation)
        seconds = trio.current_time() - begun
        self._say(f"{self.tally.summary()}\nseed {self.options.seed}, {seconds:.1f} s")
        return self.tally

    async def _hurt(self, cluster: Cluster, begun: float) -> None:
        """Do harm: each kind once, in any order, and again."""
        kinds: list[Callable[[Cluster], Coroutine[Any, Any, None]]] = []
        for number in range(self.options.kills):
            kinds = kinds or self._rng.sample(FAULTS, len(FAULTS))
            await trio.sleep(self._rng.uniform(0.3, 1.5))
            fault = kinds.pop()
            await fault(cluster)
            self.tally.faults[fault.__name__.replace("_", " ")] += 1
            if (number + 1) % 10 == 0:
                seconds = trio.current_time() - begun
                found = len(self.tally.violations)
                self._say(f"{number + 1:4} kills, {found} violations, {seconds:.1f} s")

    async def _keep_busy(self, cluster: Cluster, number: int) -> None:
        """Have one room after the other."""
        count = 0
        while not self._is_over:
            epochs = Epochs(places=self._rng.choice([1, 1, 2]))
            seed = random.Random(self._rng.random())
            name = f"u{number}-{count}"
            await Room(name, cluster, self.options, self.tally, seed, epochs).live()
            count += 1


def main(options: Options) -> int:
    """Run from the command line; return the exit status, 1 after a violation."""
    programs = postgres.directory_of_programs()
    assert programs is not None, "no PostgreSQL here: apt-get install postgresql"
    with (
        postgres.running(programs) as database,
        tempfile.TemporaryDirectory(prefix="sse-trio-soak-") as directory,
    ):
        tally = trio.run(Soak(options, Path(directory), print).run, database)
    return 1 if tally.violations else 0
