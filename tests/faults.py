"""One fault at a time, for real: each over processes, and a PostgreSQL of its own.

    python -m tests.faults [NAME ...]

Needs root, for a small file system and for a network of its own. What is cheap is a test, too, in
`server/test_node_faults.py`. In every scenario there is an old login at one node, and a new one is
announced at another while something is wrong. When that is answered 200, the old page was told, or
its node claims nothing for it any more; and it is never let in again, at any node.
"""

import argparse
import contextlib
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from signal import SIGKILL, SIGQUIT
from typing import Any, Protocol

import attrs
import trio

from . import postgres
from .ledger.postgres.proxy import Proxy, proxied
from .nodes import HOST, LOST, Node, Page, ask, open_page, write_config
from .postgres import Server

SETTINGS: Mapping[str, Any] = {
    "lease": 2,  # the shortest that there is
    "ledger_timeout": 5,
    "heartbeat_interval": 1,
    "heartbeat_timeout": 60,
}

# Seconds in which something has to be so, on a busy machine.
DEADLINE = 60.0


@attrs.define(eq=False)
class Tab:
    """A page, and what it was told."""

    told: list[str] = attrs.Factory(list)
    page: Page | None = None

    @property
    def last(self) -> str:
        """What it goes by: `joined`, `hold`, `terminate`, or nothing."""
        if self.page is not None:
            self.page.drain()
        return next((told for told in reversed(self.told) if told != "heartbeat"), "")

    @property
    def is_silent(self) -> bool:
        """Whether nothing is claimed for it."""
        return self.last in ("terminate", "hold") or self.page is None or self.page.is_over


@attrs.define(eq=False)
class Stage:
    """Where a scenario takes place. `say` reports what was measured."""

    programs: Path
    directory: Path
    nursery: trio.Nursery
    say: Callable[[str], object]

    @contextlib.contextmanager
    def database(self, name: str = "database", **settings: object) -> Iterator[Server]:
        """Run a server in a directory of that name."""
        server = self.server(name, **settings)
        server.make()
        try:
            server.start()
            yield server
        finally:
            server.stop(SIGQUIT)

    def server(self, name: str, **settings: object) -> Server:
        """Return a server that is yet to be made."""
        directory = self.directory / name
        directory.mkdir(exist_ok=True)
        return Server(self.programs, directory, settings=settings)

    async def start(
        self, name: str, ledger: str, *, host: str = HOST, prefix: tuple[str, ...] = ()
    ) -> Node:
        """Start a node, and return when it admits clients."""
        node = Node(self.directory / name, host=host, prefix=prefix)
        node.directory.mkdir()
        write_config(node.directory, ipaddr=host, ledger=ledger, **SETTINGS)
        await self.nursery.start(node.run)
        return node

    async def come(self, node: Node, session: str, room: str = "u1") -> Tab:
        """Open a page, and wait until it knows whether it has joined."""
        tab = Tab()
        self.nursery.start_soon(self._browse, tab, node, {"room": room, "session": session})
        await until(lambda: tab.last in ("joined", "terminate"), f"{session} is told something")
        return tab

    async def _browse(self, tab: Tab, node: Node, join: dict[str, str]) -> None:
        def hear(_: Page, message: dict[str, Any]) -> None:
            tab.told.append(message["type"])

        with contextlib.suppress(*LOST):
            async with open_page(node.port, join, hear, node.host) as tab.page:
                await tab.page.listen()

    async def is_out(self, nodes: list[Node], *sessions: str, room: str = "u1") -> None:
        """See that sessions are let in nowhere."""
        for node in nodes:
            for session in sessions:
                tab = await self.come(node, session, room)
                assert tab.told[0] == "terminate", f"{session} is let in: {tab.told}"


async def until(is_so: Callable[[], object], what: str) -> None:
    """Ask again and again until something is so."""
    with trio.move_on_after(DEADLINE):
        while not is_so():  # noqa: ASYNC110
            await trio.sleep(0.02)
        return
    raise AssertionError(f"not within {DEADLINE:g} s: {what}")


async def notify(node: Node, session: str, room: str = "u1") -> tuple[int, Any]:
    """Announce a login once; return the status and the answer."""
    message = {"room": room, "sender": session, "id": f"{room}/{session}"[:128]}
    answer = await ask(node.port, "POST", "/notify", message, host=node.host, patience=DEADLINE)
    return (0, None) if answer is None else (answer.status, answer.json)


async def notified(node: Node, session: str, room: str = "u1") -> Any:
    """Announce a login until that is answered 200, as often as that takes."""
    with trio.move_on_after(DEADLINE):
        while True:
            status, answer = await notify(node, session, room)
            if status == 200:
                return answer
            assert status in (0, 503), (status, answer)
            await trio.sleep(0.1)
    raise AssertionError(f"{session} could not be announced")


# -- a commit whose answer is lost --------------------------------------------------------------


async def answer_lost(stage: Stage) -> None:
    """The connection is killed between COMMIT and its answer: the notify has one effect."""
    with stage.database() as server:
        async with proxied(server.port) as proxy:
            a = await stage.start("a", server.url(port=proxy.port))
            b = await stage.start("b", server.url())
            await lose_answer(stage, proxy, a, b)


async def lose_answer(stage: Stage, proxy: Proxy, a: Node, b: Node) -> None:
    """Lose the answer to a commit of `a`, which has the database through the proxy."""
    old = await stage.come(b, "old")
    proxy.loses_answer_to = b"u1/new"
    began = trio.current_time()
    answer = await notified(a, "new")
    assert proxy.loses_answer_to is None
    assert answer["epoch"] == 1, answer
    assert old.is_silent, old.told
    stage.say(f"answered after {trio.current_time() - began:.2f} s, with one effect")
    assert (await notified(b, "new"))["epoch"] == 1
    assert (await notified(b, "newer"))["epoch"] == 2
    await stage.is_out([a, b], "old", "new")


# -- links --------------------------------------------------------------------------------------

# In a network of its own, a node has one link for its database, and one for its clients.
_DATABASE, _NODE = "10.231.{0}.1", "10.231.{0}.2"
_NOWHERE = "02:00:00:00:00:99"


@attrs.frozen
class Network:
    """A network namespace, with two links to that of this process."""

    name: str
    number: int

    @property
    def database(self) -> str:
        """Where the database is, seen from inside."""
        return _DATABASE.format(self.number)

    @property
    def node(self) -> str:
        """Where the node is, for its clients."""
        return _NODE.format(self.number + 1)

    @property
    def prefix(self) -> tuple[str, ...]:
        return ("ip", "netns", "exec", self.name)

    def cut(self, *, outward: bool = False, inward: bool = False) -> None:
        """Lose what goes to the database, or what comes from there, without a word.

        It is sent to a machine that there is not.
        """
        link = f"sst{self.number}"
        if outward:
            _ip(f"-n {self.name} neigh replace {self.database} lladdr {_NOWHERE} dev {link}b")
        if inward:
            address = _NODE.format(self.number)
            _ip(f"neigh replace {address} lladdr {_NOWHERE} dev {link}a nud permanent")

    def heal(self) -> None:
        link = f"sst{self.number}"
        with contextlib.suppress(subprocess.CalledProcessError):
            _ip(f"-n {self.name} neigh del {self.database} dev {link}b")
        with contextlib.suppress(subprocess.CalledProcessError):
            _ip(f"neigh del {_NODE.format(self.number)} dev {link}a")


def _ip(arguments: str) -> None:
    subprocess.run(["ip", *arguments.split()], check=True, capture_output=True)


@contextlib.contextmanager
def network(number: int = os.getpid() % 100 * 2) -> Iterator[Network]:
    """Make a network, and remove it."""
    net = Network(f"sse-trio-{os.getpid()}", number)
    _ip(f"netns add {net.name}")
    try:
        _ip(f"-n {net.name} link set lo up")
        for each in (number, number + 1):
            _ip(f"link add sst{each}a type veth peer name sst{each}b netns {net.name}")
            _ip(f"addr add {_DATABASE.format(each)}/24 dev sst{each}a")
            _ip(f"-n {net.name} addr add {_NODE.format(each)}/24 dev sst{each}b")
            _ip(f"link set sst{each}a up")
            _ip(f"-n {net.name} link set sst{each}b up")
        yield net
    finally:
        _ip(f"netns del {net.name}")


async def links_cut(stage: Stage) -> None:
    """The link between a node and the database is cut: one way, the other way, and both."""
    with (
        network() as net,
        stage.database(listen_addresses=f"{HOST},{net.database}") as server,
    ):
        a = await stage.start("a", server.url())
        url = server.url().replace(HOST, net.database)
        b = await stage.start("b", url, host=net.node, prefix=net.prefix)
        for cut in ({"outward": True}, {"inward": True}, {"outward": True, "inward": True}):
            await cut_link(stage, net, cut, a, b)
        await b.signal(SIGKILL)


class Link(Protocol):
    """What a node has its database through."""

    def cut(self, *, outward: bool = False, inward: bool = False) -> None: ...
    def heal(self) -> None: ...


async def cut_link(stage: Stage, link: Link, cut: Mapping[str, bool], a: Node, b: Node) -> None:
    """Cut the link of `b`, announce a login at `a`, and heal it again."""
    what = " and ".join(cut)
    old = await stage.come(b, "old", what)
    link.cut(**cut)
    began = trio.current_time()
    answer = await notified(a, "new", what)
    took = trio.current_time() - began
    assert answer["epoch"] == 1, answer
    assert old.is_silent, old.told
    assert (await notify(b, "newer", what))[0] == 503
    link.heal()
    began = trio.current_time()
    await until(lambda: old.last == "terminate", "the old one is told when the link is back")
    told = trio.current_time() - began
    await notified(b, "newer", what)
    await stage.is_out([a, b], "old", "new", room=what)
    stage.say(f"{what}: answered after {took:.2f} s; told {told:.2f} s after it was back")


# -- failover -----------------------------------------------------------------------------------


@contextlib.contextmanager
def replicated(stage: Stage) -> Iterator[tuple[Server, Server, str]]:
    """Run a primary and a synchronous standby; the URL names both."""
    standby = stage.server("standby")
    with stage.database("primary") as primary, contextlib.ExitStack() as stack:
        standby.copy(primary)
        stack.callback(standby.stop, SIGQUIT)
        standby.start(is_standby=True)
        with primary.connect() as connection:
            connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            connection.execute("SELECT pg_reload_conf()")
        hosts = f"{HOST}:{primary.port},{HOST}:{standby.port}"
        yield (
            primary,
            standby,
            (f"postgresql://postgres@{hosts}/postgres?target_session_attrs=read-write"),
        )


async def promoted_fenced(stage: Stage) -> None:
    """The primary is killed, its synchronous standby promoted: all that was answered is kept."""
    with replicated(stage) as (primary, standby, url):
        a, b = await stage.start("a", url), await stage.start("b", url)
        first = await stage.come(b, "first")
        assert (await notified(a, "second"))["epoch"] == 1
        assert first.is_silent
        second = await stage.come(b, "second")
        primary.kill()
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, standby.promote)
            answer = await notified(a, "third")
        stage.say(f"answered {trio.current_time() - began:.2f} s after the primary was killed")
        assert answer["epoch"] == 2, answer
        assert second.is_silent
        await until(lambda: second.last == "terminate", "the second one is told")
        await stage.is_out([a, b], "first", "second")


async def promoted_not_fenced(stage: Stage) -> None:
    """The standby is promoted while the primary lives: that can acknowledge nothing any more."""
    with replicated(stage) as (primary, standby, url):
        a, b = await stage.start("a", url), await stage.start("b", url)
        first = await stage.come(b, "first")
        await trio.to_thread.run_sync(standby.promote)
        c = await stage.start("c", standby.url())
        began = trio.current_time()
        answer = await notified(c, "second")
        stage.say(f"the new primary's node: answered after {trio.current_time() - began:.2f} s")
        assert (answer["epoch"], answer["lapsed"]) == (1, 2), answer
        assert first.is_silent, first.told
        for node in (a, b):
            assert (await notify(node, "lost", "u2"))[0] == 503
        primary.kill()
        await until(lambda: first.last == "terminate", "the first one is told")
        assert (await notified(a, "third"))["epoch"] == 2
        await stage.is_out([a, b, c], "first", "second")


# -- a full disk --------------------------------------------------------------------------------


async def disk_full(stage: Stage) -> None:
    """The database's disk is full, and has space again: all that was answered is kept."""
    small = stage.directory / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=192m,mode=0755", "tmpfs", str(small)]
    await trio.run_process(mount)
    try:
        with stage.database(small.name) as server:
            await _fill(stage, server, small)
    finally:
        with trio.CancelScope(shield=True):
            await trio.run_process(["umount", "-l", str(small)])


async def _fill(stage: Stage, server: Server, small: Path) -> None:
    a, b = await stage.start("a", server.url()), await stage.start("b", server.url())
    old = await stage.come(b, "old")
    answered = 5
    for number in range(answered):
        await notified(a, "s" * 200, f"r{number}")
    filler = small / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(1 << 16)):
            pass
    with trio.fail_after(DEADLINE):
        while (await notify(a, "s" * 200, f"r{answered}"))[0] == 200:
            answered += 1
    status, _ = await notify(a, "new")
    assert status != 200 or old.is_silent
    stage.say(f"full after {answered} notifies; the database {_state(server)}")
    filler.unlink()
    if server.has_ended:
        server.start()
    assert (await notified(a, "new"))["epoch"] == 1
    await until(lambda: old.last == "terminate", "the old one is told")
    await stage.is_out([a, b], "old")
    for number in range(answered):
        assert (await notified(b, "s" * 200, f"r{number}"))["epoch"] == 1


def _state(server: Server) -> str:
    return "has ended itself" if server.has_ended else "goes on"


SCENARIOS: dict[str, Callable[[Stage], Awaitable[None]]] = {
    scenario.__name__: scenario
    for scenario in (answer_lost, links_cut, promoted_fenced, promoted_not_fenced, disk_full)
}


async def play(
    scenario: Callable[[Stage], Awaitable[None]],
    programs: Path,
    directory: Path,
    say: Callable[[str], object],
) -> None:
    """Run one scenario.

    Raises:
        AssertionError: the promise was broken.
    """
    async with trio.open_nursery() as nursery:
        await scenario(Stage(programs, directory, nursery, say))
        nursery.cancel_scope.cancel()


def main() -> int:
    """Run from the command line; it ends with a traceback if the promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description="Single faults.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(SCENARIOS))
    programs = postgres.directory_of_programs()
    assert programs is not None, "no PostgreSQL here: apt-get install postgresql"
    for name in parser.parse_args().names or SCENARIOS:
        print(f"{name}: {SCENARIOS[name].__doc__}", flush=True)  # noqa: T201
        with postgres.directory() as directory:
            say = partial(print, "   ", flush=True)
            trio.run(play, SCENARIOS[name], programs, directory, say)
    return 0


if __name__ == "__main__":
    sys.exit(main())
