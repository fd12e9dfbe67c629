"""kill -9: what was answered is honoured, and nobody is ended whom nothing has ended.

    python -m tests.soak --kills 100

A real `sse-trio serve` on a real ledger is driven by the browsers and the application server
of several rooms, killed at a random moment, and started again on the same file; then every
browser comes back, now and then only after the first login. The kill falls into the return
of the browsers, into the traffic, or between a request and its answer. What the door says is
counted both ways:

- whoever has to be ended, because that was answered 200, is sent the termination first;
- whoever has to stand, because nothing that could end it was ever asked for, is admitted.

Each room is driven by one task, which sends one request after the other: what was asked for,
and in which order, is known. What is not known is whether a request that a kill left
unanswered has happened. So the oracle keeps all the *worlds* there may be. A request on its
way splits each in two, one in which it happens and one in which it does not; an answer
leaves only those that agree with it. What is so in every world must be so in the server, and
a room that no world is left for has caught the server in a lie.

The answers hold the room's epoch, and that counts the notifies. So it is also seen that a
repeated id has one effect, whether or not its first answer came; and that a notify is
lost as a whole or not at all.

The oracle shares nothing with the server, which is another process; nothing is mocked. A
server that forgets (``--ledger memory:``) is caught at its first kill. A power cut is not
tried: the kernel outlives a kill, and keeps what was written and not synced.
"""

import argparse
import json
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import attrs
import trio
from wsproto.events import TextMessage

from . import cluster_soak
from .nodes import HOST, LOST, PATIENCE, ask, serving, shake_hands, write_config
from .support import RawWebSocket, Response
from .worlds import Fate, Join, Last, Notify, Release, Request, World, Worlds

# Seconds: of traffic before a kill; and of a notify's way from its first byte to its answer, with
# an fsync in the middle.
TRAFFIC = 0.3
ANSWER = 0.006


@attrs.frozen(kw_only=True)
class Options:
    """What is to be done, within `deadline` seconds."""

    kills: int = 100
    seed: int = 0
    rooms: int = 8
    clients: int = 12
    """Sessions of one room. When it has had that many, another room will take its place."""
    max_sessions: int = 1
    ledger: str = "sqlite:///ledger.db"
    deadline: float = 900.0


# -- what is counted ----------------------------------------------------------------------


@attrs.define(eq=False)
class Tally:
    """What was seen. `returned` and `doors` count what sessions were told by their fate."""

    kills: int = 0
    requests: Counter[str] = attrs.Factory(Counter)
    returned: Counter[tuple[Fate, str]] = attrs.Factory(Counter)
    """Of those that came back after a kill."""
    doors: Counter[tuple[Fate, str]] = attrs.Factory(Counter)
    """Of those that came in between."""
    connected: Counter[str] = attrs.Factory(Counter)
    """Of those that were in."""
    violations: list[str] = attrs.Factory(list)

    @property
    def honoured(self) -> int:
        """Sessions that had to be ended, and were when they came back."""
        return self.returned[Fate.ENDED, "terminate"]

    @property
    def standing(self) -> int:
        """Sessions that had to stand, and did when they came back."""
        return self.returned[Fate.STANDS, "joined"]

    @property
    def either(self) -> int:
        """Sessions that came back, and of which it was not known."""
        return sum(n for (fate, _), n in self.returned.items() if fate is Fate.EITHER)

    def progress(self, seconds: float) -> str:
        """Return one line."""
        return (
            f"{self.kills:4} kills: {self.honoured} honoured, {self.standing} standing, "
            f"{self.either} either, {len(self.violations)} violations, {seconds:.1f} s"
        )

    def summary(self, options: Options, seconds: float) -> str:
        """Return the result, counted both ways."""
        asked, connected = self.requests, self.connected
        lines = [
            f"kills {self.kills}, of which {asked['kills']} cut off {asked['cut off']} requests",
            f"notifies answered 200: {asked['notify']}, of which {asked['repeated']} once more",
            f"releases answered 200: {asked['release']}",
            f"notifies cut off: {asked['happened']} had happened, {asked['lost']} had not",
            f"notifies sent again after a kill: {asked['again']}",
            f"connected: {connected['terminated']} terminated, {connected['wrongly']} wrongly",
            f"connected and left alive: {connected['left alive']}",
        ]
        for what, counts in ("came back", self.returned), ("came in", self.doors):
            lines.append(f"{what:<16}{'terminated':>12}{'joined':>12}")
            for fate in Fate:
                terminated, joined = counts[fate, "terminate"], counts[fate, "joined"]
                lines.append(f"  {fate.value:<14}{terminated:>12}{joined:>12}")
        broken, wronged = (
            self.returned[case] + self.doors[case]
            for case in ((Fate.ENDED, "joined"), (Fate.STANDS, "terminate"))
        )
        lines.append(
            f"violations {len(self.violations)}: {broken} were let in that had to be ended, "
            f"{wronged} were ended at the door that had to stand"
        )
        lines.append(f"seed {options.seed}, {seconds:.1f} s")
        return "\n".join(lines)


# -- a server process, and how to talk to it ------------------------------------------------


@attrs.define(eq=False)
class Life:
    """One server process, from its start to its kill."""

    process: trio.Process
    port: int
    browsers: trio.Nursery
    """Where the WebSockets live."""
    away: int
    """Rooms whose browsers have yet to come back."""
    killed: bool = False
    sent: int = 0
    fatal: int = 0
    """The count of requests sent at which `struck` is set."""
    all_back: trio.Event = attrs.Factory(trio.Event)
    struck: trio.Event = attrs.Factory(trio.Event)

    def back(self) -> None:
        """Note that one more room's browsers are back."""
        self.away -= 1
        if self.away == 0:
            self.all_back.set()

    def request_sent(self) -> None:
        """Count one more request that has yet to be answered."""
        self.sent += 1
        if self.sent == self.fatal:
            self.struck.set()

    def kill(self) -> None:
        """End it without a word, as the kernel does when memory runs out."""
        self.killed = True
        self.process.kill()

    async def post(self, target: str, members: dict[str, Any]) -> Response | None:
        """POST as an application server does; None if there is no answer."""
        return await ask(self.port, "POST", target, members, sent=self.request_sent)


async def hear(websocket: RawWebSocket) -> dict[str, Any] | None:
    """Return the next message; None if there is none before the end."""
    while event := await websocket.event():
        if isinstance(event, TextMessage):
            message: dict[str, Any] = json.loads(event.data)
            return message
    return None


# -- the rooms ------------------------------------------------------------------------------


@attrs.define(eq=False)
class Browser:
    """A WebSocket that has joined; `gone` is set when it has ended."""

    session: str
    gone: trio.Event = attrs.Factory(trio.Event)


@attrs.define(eq=False)
class Room:
    """One user: the browsers, and the application that announces the logins, in turn.

    Sessions whose name begins with a t hold the ticket of their login, as soon as there is
    one. The others join as they claim.
    """

    name: str
    options: Options
    tally: Tally
    rng: random.Random
    worlds: Worlds
    sessions: list[str] = attrs.Factory(list)
    """All that there have been."""
    tickets: dict[str, str] = attrs.Factory(dict)
    browsers: list[Browser] = attrs.Factory(list)
    """Those that are connected."""
    notifies: list[Notify] = attrs.Factory(list)
    """All that were ever sent."""
    answered: set[Notify] = attrs.Factory(set)
    cut_off: Notify | None = None
    """The last one that was left unanswered, until it has been looked into."""
    broken: bool = False
    """The server has broken its word here: nothing that follows would prove anything."""
    story: list[str] = attrs.Factory(list)

    @property
    def full(self) -> bool:
        return len(self.sessions) >= self.options.clients

    async def live(self, life: Life) -> None:
        """Come back after a kill, and go on until the next."""
        self.story.append("-- a server starts")
        if self.rng.random() < 0.3:  # the application is faster than its users' browsers
            await self._step(life)
        await self.come_back(life)
        life.back()
        if self._goes_on(life) and self.cut_off is not None:
            await self._look_back(life, self.cut_off)
        while self._goes_on(life):
            await self._step(life)

    async def come_back(self, life: Life) -> None:
        """Have every browser that there ever was join again."""
        for session in self.rng.sample(self.sessions, len(self.sessions)):
            await self._join(life, session, self.tally.returned)

    async def _step(self, life: Life) -> None:
        await trio.lowlevel.checkpoint()
        [step] = self.rng.choices(list(STEPS), list(STEPS.values()))
        await step(self, life)

    async def _look_back(self, life: Life, notify: Notify) -> None:
        """Count what became of a notify that was cut off; perhaps it is sent again."""
        self.cut_off = None
        happened = self.worlds.happened(notify)
        if happened is not None:
            self.tally.requests["happened" if happened else "lost"] += 1
        if self.rng.random() < 0.5:
            self.tally.requests["again"] += 1
            await self._notify(life, notify)

    # What happens in a room. Each ends early when the server is killed.

    async def log_in(self, life: Life) -> None:
        """As an application with tickets does: the notify first, then the new page joins."""
        session = self._somebody()
        await self._notify(life, self._new(session))
        await self._join(life, session, self.tally.doors)

    async def log_in_first(self, life: Life) -> None:
        """As the original application does: the new page joins, then a notify without a sender."""
        session = self._somebody()
        await self._join(life, session, self.tally.doors)
        await self._notify(life, self._new(Last.JOINED))

    async def open_page(self, life: Life) -> None:
        """Join, be it with a session that nobody has announced."""
        await self._join(life, self._somebody(), self.tally.doors)

    async def log_out(self, life: Life) -> None:
        """Release a session; it may have been ended long ago, or never been seen."""
        session = self._somebody()
        members = {"session": session}
        if await self._post(life, "/release", Release(session), members) is not None:
            self.tally.requests["release"] += 1

    async def log_out_everywhere(self, life: Life) -> None:
        """Notify with null for the sender."""
        await self._notify(life, self._new(None))

    async def repeat(self, life: Life) -> None:
        """Send one of the latest notifies again, as whoever doubts its answer does."""
        if self.notifies:
            await self._notify(life, self.rng.choice(self.notifies[-5:]))

    def _somebody(self) -> str:
        """Return a session: a new one, if the room has not had all of its own."""
        if self.sessions and (self.full or self.rng.random() < 0.6):
            return self.rng.choice(self.sessions)
        session = f"{self.rng.choice('tc')}{len(self.sessions)}"
        self.sessions.append(session)
        return session

    def _new(self, sender: str | Last | None) -> Notify:
        notify = Notify(f"{self.name}/{len(self.notifies)}", sender)
        self.notifies.append(notify)
        return notify

    # What it takes.

    async def _join(self, life: Life, session: str, counts: Counter[tuple[Fate, str]]) -> None:
        """Connect, ask to be admitted, and compare the answer with what is known."""
        if not self._goes_on(life):
            return
        join, fate = Join(session), self.worlds.fate(session)
        self.worlds.ask(join)
        message = await life.browsers.start(self._browse, life, session)
        if message is None:
            self.story.append(f"{join}: cut off")
            return
        told, epoch = message["type"], message.get("epoch")
        self.story.append(f"{join}: {told}, epoch {epoch}; it {fate.value}")
        counts[fate, told] += 1
        ended = told == "terminate"
        if told not in ("joined", "terminate") or not self.worlds.answered(
            join,
            lambda world: (
                (session in world.ended) == ended and (ended or epoch == world.epoch_of(join))
            ),
        ):
            self._violation(f"{session} {fate.value}, and no world agrees with {message}")

    async def _browse(
        self, life: Life, session: str, *, task_status: trio.TaskStatus[dict[str, Any] | None]
    ) -> None:
        """Be one browser from its join to its end; starts with the first message."""
        first = None
        ended = False
        try:
            async with await trio.open_tcp_stream(HOST, life.port) as stream:
                websocket = await shake_hands(stream)
                await websocket.send({"type": "join", **self._claim(session)})
                life.request_sent()
                with trio.move_on_after(PATIENCE):
                    first = await hear(websocket)
                task_status.started(first)
                if first is not None:
                    ended = first["type"] == "terminate" or await self._listen(websocket, session)
        except LOST:
            if first is None:
                task_status.started(None)
        if not (ended or life.killed):
            self._violation(f"{session} is cut off, and the server lives")

    def _claim(self, session: str) -> dict[str, str]:
        if ticket := self.tickets.get(session):
            return {"ticket": ticket}
        return {"room": self.name, "session": session}

    async def _listen(self, websocket: RawWebSocket, session: str) -> bool:
        """Be a member until the end; True if that was a termination."""
        browser = Browser(session)
        self.browsers.append(browser)
        try:
            while message := await hear(websocket):
                if message["type"] == "terminate":
                    self.tally.connected["terminated"] += 1
                    if self.worlds.fate(session) is Fate.STANDS:
                        self.tally.connected["wrongly"] += 1
                        self._violation(f"{session} must stand, and was told {message}")
                    return True
            return False
        finally:
            self.browsers.remove(browser)
            browser.gone.set()

    async def _notify(self, life: Life, notify: Notify) -> None:
        members: dict[str, Any] = {"id": notify.id}
        if notify.sender is not Last.JOINED:
            members["sender"] = notify.sender
        answer = await self._post(life, "/notify", notify, members)
        if answer is None:
            return
        self.tally.requests["notify"] += 1
        self.tally.requests["repeated"] += notify in self.answered
        self.answered.add(notify)
        if notify == self.cut_off:
            self.cut_off = None
        if isinstance(notify.sender, str) and notify.sender.startswith("t") and "ticket" in answer:
            self.tickets[notify.sender] = answer["ticket"]

    async def _post(
        self, life: Life, target: str, request: Request, members: dict[str, Any]
    ) -> Any | None:
        """Send a request, and compare its answer with what is known; None if there was none."""
        if not self._goes_on(life):
            return None
        self.worlds.ask(request)
        response = await life.post(target, {"room": self.name, **members})
        if response is None:
            self.story.append(f"{request}: cut off")
            self.tally.requests["cut off"] += 1
            if isinstance(request, Notify) and request not in self.answered:
                self.cut_off = request
            if not life.killed:
                self._violation(f"{request} is cut off, and the server lives")
            return None
        answer = response.json
        shown = {name: value for name, value in answer.items() if name != "ticket"}
        self.story.append(f"{request}: {response.status} {shown}")

        def agrees(world: World) -> bool:
            if response.status == 409:
                return world.is_over(request)
            return not world.is_over(request) and world.epoch_of(request) == answer["epoch"]

        if response.status not in (200, 409) or not self.worlds.answered(request, agrees):
            self._violation(f"no world agrees with the answer to {request}: {shown}")
            return None
        await self._see_off()
        return answer

    async def _see_off(self) -> None:
        """See that the connected who have to be ended are: they were told before the answer."""
        for browser in list(self.browsers):
            if self.worlds.fate(browser.session) is Fate.ENDED:
                with trio.move_on_after(PATIENCE):
                    await browser.gone.wait()
                    continue
                self.tally.connected["left alive"] += 1
                self._violation(f"{browser.session} must be ended, and was left alive")

    def _goes_on(self, life: Life) -> bool:
        return not (life.killed or self.broken)

    def _violation(self, what: str) -> None:
        if not self.broken:
            story = "\n    ".join(self.story[-12:])
            self.tally.violations.append(f"{self.name}: {what}\n    {story}")
        self.broken = True


STEPS: dict[Callable[[Room, Life], Awaitable[None]], int] = {
    Room.log_in: 6,
    Room.log_in_first: 3,
    Room.open_page: 4,
    Room.log_out: 2,
    Room.log_out_everywhere: 1,
    Room.repeat: 2,
}
"""What happens in a room, and how often."""


# -- the soak -------------------------------------------------------------------------------


class Soak:
    """Lives and kills, one after the other, on the same ledger."""

    def __init__(self, options: Options, directory: Path, say: Callable[[str], object]) -> None:
        self.options = options
        self.tally = Tally()
        self._directory = directory
        self._say = say
        self._rng = random.Random(options.seed)
        self._rooms: list[Room] = []
        self._laid_aside: list[Room] = []
        write_config(
            directory,
            ledger=options.ledger,
            max_sessions=options.max_sessions,
            # Of a forgotten session nothing would be known.
            max_remembered_sessions=options.max_sessions + options.clients,
        )

    async def run(self) -> Tally:
        """Do all of it; `deadline` seconds are a violation."""
        begun = trio.current_time()
        with trio.move_on_after(self.options.deadline) as deadline:
            for _ in range(self.options.kills):
                self._replace_rooms()
                await self._live_and_die()
                if self.tally.kills % 10 == 0:
                    self._say(self.tally.progress(trio.current_time() - begun))
            await self._come_back_for_good()
        if deadline.cancelled_caught:
            self.tally.violations.append(f"not done within {self.options.deadline:g} s")
        for violation in self.tally.violations[:10]:
            self._say(violation)
        self._say(self.tally.summary(self.options, trio.current_time() - begun))
        return self.tally

    def _replace_rooms(self) -> None:
        """Lay aside some of the rooms that have had all of their sessions; and the broken."""
        for room in list(self._rooms):
            if room.broken or (room.full and self._rng.random() < 0.25):
                self._rooms.remove(room)
                if not room.broken:
                    self._laid_aside.append(room)
        while len(self._rooms) < self.options.rooms:
            self._rooms.append(
                Room(
                    f"u{self._rng.getrandbits(64):x}",
                    self.options,
                    self.tally,
                    random.Random(self._rng.random()),
                    Worlds(self.options.max_sessions),
                )
            )

    async def _live_and_die(self) -> None:
        async with serving(self._directory) as (process, port), trio.open_nursery() as nursery:
            life = Life(process, port, nursery, away=len(self._rooms))
            for room in self._rooms:
                nursery.start_soon(room.live, life)
            cut_off = self.tally.requests["cut off"]
            await self._fatal_moment(life)
            life.kill()
            # Everything else in the nursery ends with the connections.
        self.tally.kills += 1
        self.tally.requests["kills"] += self.tally.requests["cut off"] > cut_off

    async def _fatal_moment(self, life: Life) -> None:
        """Wait until it is time to kill."""
        moment = self._rng.choice(["return", "traffic", "traffic", "answer", "answer"])
        if moment != "return":
            await life.all_back.wait()
            rooms = len(self._rooms)
            life.fatal = life.sent + self._rng.randint(2 * rooms, 6 * rooms)
            with trio.move_on_after(1):  # where every room is broken, nothing is sent
                await life.struck.wait()
        await trio.sleep(self._rng.uniform(0, ANSWER if moment == "answer" else TRAFFIC))

    async def _come_back_for_good(self) -> None:
        """Have every session that there ever was come back a last time."""
        async with serving(self._directory) as (process, port):
            for room in (*self._laid_aside, *self._rooms):
                async with trio.open_nursery() as browsers:
                    await room.come_back(Life(process, port, browsers, away=1))
                    browsers.cancel_scope.cancel()


def main() -> int:
    """Run from the command line; return the exit status, 1 after a violation."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description="Kill -9, and see.")
    parser.add_argument("--nodes", type=int, default=1, help="above 1, they share a PostgreSQL")
    default = Options(seed=random.randrange(10**6))
    for attribute in attrs.fields(Options):
        name, value = attribute.name, getattr(default, attribute.name)
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, type=type(value), default=value, help=f"default: {value}")
    arguments = vars(parser.parse_args())
    nodes = arguments.pop("nodes")
    options = Options(**arguments)
    if nodes > 1:
        cluster = cluster_soak.Options(
            nodes=nodes,
            **{n: arguments[n] for n in ("kills", "seed", "rooms", "deadline")},
        )
        return cluster_soak.main(cluster)
    with tempfile.TemporaryDirectory(prefix="sse-trio-soak-") as directory:
        tally = trio.run(Soak(options, Path(directory), print).run)
    return 1 if tally.violations else 0


if __name__ == "__main__":
    sys.exit(main())
