"""Real clients of Socket.IO, of each generation, in Node: they join, end, and stay away."""

import json
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

import sse_trio

from ...processes import Serve
from ...support import Listening, Start
from .packages import HERE, VERSIONS, install

# The first is what a page has that says nothing of it.
TRANSPORTS = [None, ["polling"], ["websocket"]]

# A client that came back would do so after 0.5 to 1.5 s; a test does not wait for the default.
OPTIONS = {"reconnectionDelay": 50, "reconnectionDelayMax": 50, "randomizationFactor": 0}
# Many times as long as a client that means to come back takes.
QUIET = 0.6

AWAY = ("transport close", "transport error", "ping timeout")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clients, as npm has them, and what drives them."""
    project = install(tmp_path_factory.mktemp("clients"))
    shutil.copy(HERE / "clients.js", project)
    return project


@attrs.define(eq=False)
class Page:
    """One client in the process, and what has happened to it that was not asked for yet."""

    id: str
    node: "Node"
    news: trio.MemoryReceiveChannel[dict[str, Any]]
    _passed: list[dict[str, Any]] = attrs.Factory(list)

    async def tell(self, **command: Any) -> None:
        await self.node.tell(id=self.id, **command)

    async def hear(self, event: str) -> list[Any]:
        """Wait until this happens; what happens before it is kept."""
        for index, news in enumerate(self._passed):
            if news["event"] == event:
                return list(self._passed.pop(index)["arguments"])
        with trio.fail_after(20):
            async for news in self.news:
                if news["event"] == event:
                    return list(news["arguments"])
                self._passed.append(news)
        raise AssertionError("the process has ended")

    def happened(self) -> list[str]:
        """Return the names of all that has happened and was not asked for."""
        while True:
            try:
                self._passed.append(self.news.receive_nowait())
            except trio.WouldBlock:
                happened = [news["event"] for news in self._passed]
                self._passed.clear()
                return happened


@attrs.define(eq=False)
class Node:
    """The process that the clients are in."""

    process: trio.Process
    pages: dict[str, trio.MemorySendChannel[dict[str, Any]]] = attrs.Factory(dict)
    _telling: trio.Lock = attrs.Factory(trio.Lock)

    async def tell(self, **command: Any) -> None:
        assert self.process.stdin is not None
        async with self._telling:
            await self.process.stdin.send_all(json.dumps(command).encode() + b"\n")

    async def open(self, version: str, hub: Listening, **options: Any) -> Page:
        number = str(len(self.pages))
        self.pages[number], receive = trio.open_memory_channel[dict[str, Any]](1000)
        url = f"http://127.0.0.1:{hub.port}"
        await self.tell(id=number, open=[version, url, OPTIONS | options])
        return Page(number, self, receive)

    async def read(self) -> None:
        assert self.process.stdout is not None
        rest = b""
        async for data in self.process.stdout:
            *lines, rest = (rest + bytes(data)).split(b"\n")
            for line in map(json.loads, lines):
                await self.pages[line["id"]].send(line)


@asynccontextmanager
async def running(installed: Path) -> AsyncIterator[Node]:
    async with trio.open_nursery() as nursery:
        run = partial(
            trio.run_process,
            ["node", "clients.js"],
            cwd=installed,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        node = Node(await nursery.start(run))
        nursery.start_soon(node.read)
        yield node
        assert node.process.stdin is not None
        await node.process.stdin.aclose()


KINDS = [
    (version, {} if transports is None else {"transports": transports})
    for version in VERSIONS
    for transports in TRANSPORTS
]

Open = Callable[..., Awaitable[Page]]
Scenario = Callable[[sse_trio.Hub, Open, str], Awaitable[None]]


async def play(start: Start, installed: Path, scenario: Scenario, **settings: Any) -> None:
    """Play a scenario with clients of each kind, each with a hub of its own, all at once."""
    async with running(installed) as node, trio.open_nursery() as nursery:
        for version, transports in KINDS:
            hub = await start(socketio=True, **settings)
            opened = partial(node.open, version, hub, **transports)
            nursery.start_soon(scenario, hub, opened, version)


def claims(version: str, login: dict[str, Any]) -> dict[str, Any]:
    """What a page gives its client, so that it joins as it connects."""
    return {"query" if version < "3" else "auth": login}


async def is_resting(page: Page) -> bool:
    """Whether a client will never connect again by itself, however long one waits."""
    await page.tell(call="resting")
    (resting,) = await page.hear("resting")
    return resting is True


async def wait_until(condition: Callable[[], bool]) -> None:
    with trio.fail_after(20):
        while not condition():  # noqa: ASYNC110
            await trio.sleep(0.01)


async def test_the_others_are_terminated_and_stay_away(start: Start, installed: Path) -> None:
    async def scenario(hub: sse_trio.Hub, open: Open, version: str) -> None:
        old, new = await open(), await open()
        ids = []
        for page in (old, new):
            # As pages do: at once, before they are connected.
            await page.tell(emit=["join", "u1"])
            ids += await page.hear("connect")
            (members,) = await page.hear("joined")
            assert members["session"] == ids[-1]
        # The sender is named by what its page knows as `socket.id`.
        outcome = await hub.notify("u1", sender=ids[1], reason="login", detail={"a": 1})
        (told,) = await old.hear("terminate")
        assert told == {
            "room": "u1", "epoch": 1, "reason": "login", "detail": {"a": 1}, "reconnect": False
        }  # fmt: skip
        assert await old.hear("disconnect") == ["io server disconnect"]
        assert await is_resting(old)
        # Its connection is closed by the client itself.
        assert await outcome.acknowledged(timeout=20)
        await wait_until(lambda: hub.statistics().connections == 1)
        await trio.sleep(QUIET)
        assert old.happened() == []
        assert hub.statistics().connections == 1
        await new.tell(ask=["join", "u1"])
        assert (await new.hear("answer"))[0]["session"] == ids[1]
        assert "disconnect" not in new.happened()
        # And without a sender it is the one that joined last.
        third = await open()
        await third.tell(emit=["join", "u1"])
        await third.hear("joined")
        await hub.notify("u1")
        assert await new.hear("disconnect") == ["io server disconnect"]
        await third.tell(ask=["join", "u1"])
        await third.hear("answer")

    await play(start, installed, scenario)


async def test_a_page_that_connects_again_whenever_it_is_terminated_has_to_wait(
    start: Start, installed: Path
) -> None:
    """Once a second, whether the hub knows of its end before it is there again or not."""

    async def scenario(hub: sse_trio.Hub, open: Open, version: str) -> None:
        page = await open()
        await page.tell(emit=["join", "u1", "s1"])
        await page.hear("joined")
        began = trio.current_time()
        await hub.notify("u1", sender=None)
        for times in range(3):
            await page.hear("terminate")
            assert trio.current_time() - began >= times
            await page.hear("disconnect")
            await page.tell(call="connect")
            await page.tell(emit=["join", "u1", "s1"])

    await play(start, installed, scenario)


async def test_a_refusal_is_for_good(start: Start, installed: Path) -> None:
    async def scenario(hub: sse_trio.Hub, open: Open, version: str) -> None:
        page = await open()
        await page.tell(emit=["join", "no ticket"])
        await page.hear("connect")
        await page.hear("error" if version < "3" else "connect_error")
        await wait_until(lambda: hub.statistics().connections == 0)
        await trio.sleep(QUIET)
        assert await is_resting(page)
        assert set(page.happened()) <= {"disconnect"}
        assert hub.statistics().connections == 0

    await play(start, installed, scenario, join="ticket")


async def test_a_page_with_a_ticket(start: Start, installed: Path) -> None:
    async def scenario(hub: sse_trio.Hub, open: Open, version: str) -> None:
        ticket = (await hub.notify("u1", sender="s1")).ticket
        page = await open(**claims(version, {"ticket": ticket}))
        assert (await page.hear("joined"))[0]["session"] == "s1"
        await hub.notify("u1", sender="s2")
        assert (await page.hear("terminate"))[0]["epoch"] == 2

    await play(start, installed, scenario, join="ticket")


async def test_a_page_comes_back_to_a_server_that_was_away(
    nursery: trio.Nursery, installed: Path
) -> None:
    """And is terminated then, if its login has ended meanwhile."""

    async def serve(
        ledger: sse_trio.MemoryLedger, port: int
    ) -> tuple[sse_trio.Hub, trio.CancelScope]:
        # A client that is about to change to a WebSocket notices by its heartbeats alone.
        config = sse_trio.Config(
            port=port,
            authkey="a key of the tests",
            socketio=True,
            heartbeat_interval=1,
            heartbeat_timeout=2,
        )
        scope = trio.CancelScope()

        async def run(*, task_status: trio.TaskStatus[sse_trio.Hub]) -> None:
            with scope:
                await sse_trio.serve(config, ledger=ledger, task_status=task_status)

        return await nursery.start(run), scope

    async def scenario(node: Node, version: str, transports: dict[str, Any]) -> None:
        ledger = sse_trio.MemoryLedger()
        hub, first = await serve(ledger, 0)
        for room in ("u1", "u2"):
            await hub.notify(room, sender="s1")
        pages = {}
        for room in ("u1", "u2"):
            login = claims(version, {"room": room, "session": "s1"})
            pages[room] = await node.open(version, hub, **transports, **login)
            await pages[room].hear("joined")
        first.cancel()
        for page in pages.values():
            assert (await page.hear("disconnect"))[0] in AWAY
        hub, second = await serve(ledger, hub.port)
        await hub.notify("u2", sender="s2")
        await pages["u1"].hear("joined")
        await pages["u2"].hear("terminate")
        # On a busy machine it may have been away more than once.
        while (await pages["u2"].hear("disconnect"))[0] in AWAY:
            pass
        assert await is_resting(pages["u2"])
        assert not await is_resting(pages["u1"])
        pages["u2"].happened()
        await trio.sleep(QUIET)
        assert pages["u2"].happened() == []
        second.cancel()

    async with running(installed) as node, trio.open_nursery() as scenarios:
        for version, transports in KINDS:
            scenarios.start_soon(scenario, node, version, transports)


async def test_the_usual_way_ends_on_a_websocket(start: Start, installed: Path) -> None:
    async with running(installed) as node:
        for version in VERSIONS:
            page = await node.open(version, await start(socketio=True))
            await page.hear("connect")
            name = "polling"
            with trio.fail_after(20):
                while name != "websocket":
                    await page.tell(call="transport")
                    (name,) = await page.hear("transport")


async def test_the_rest_of_what_pages_do(start: Start, installed: Path) -> None:
    async def scenario(hub: sse_trio.Hub, open: Open, version: str) -> None:
        page = await open()
        await page.tell(emit=["chat", {"a": "\u20ac\U0001f60e"}])
        await page.tell(call="binary")
        # Clients 1.x write text twice as UTF-8, while they are on requests.
        room = "u1" if version < "2" else "r\u00f6\U0001f60e"
        await page.tell(ask=["join", room])
        assert (await page.hear("answer"))[0]["room"] == room
        for _ in range(3):
            assert (await page.hear("heartbeat"))[0]["time"] > 0
        assert hub.statistics().members == 1
        await page.tell(call="disconnect")
        await wait_until(lambda: hub.statistics().connections == 0)
        await page.tell(call="connect")
        await page.tell(emit=["join", "u1"])
        await wait_until(lambda: hub.statistics().members == 1)

    settings = {"socketio_heartbeat": "heartbeat", "heartbeat_interval": 0.5}
    await play(start, installed, scenario, **settings)


async def test_a_recent_client_is_recognised_without_a_word_of_its_page(
    start: Start, installed: Path
) -> None:
    """It sends the `pid` that it was given, whenever it comes back."""
    hub = await start(socketio=True)
    async with running(installed) as node:
        page = await node.open("4.8.4", hub)
        await page.tell(emit=["join", "u1"])
        (session,) = await page.hear("connect")
        await page.hear("joined")
        await page.tell(call="disconnect")
        await wait_until(lambda: hub.statistics().connections == 0)
        await page.tell(call="connect")
        assert await page.hear("connect") == [session]
        await page.tell(emit=["join", "u1"])
        assert (await page.hear("joined"))[0]["session"] == session
        # A page that had gone before its login ended is terminated when it comes back.
        await page.tell(call="disconnect")
        await wait_until(lambda: hub.statistics().connections == 0)
        await hub.notify("u1", sender="s2")
        await page.tell(call="connect")
        await page.tell(emit=["join", "u1"])
        await page.hear("terminate")


async def test_a_drain_has_pages_come_back(start: Start, installed: Path) -> None:
    async def scenario(hub: sse_trio.Hub, open: Open, version: str) -> None:
        page = await open()
        await page.tell(emit=["join", "u1"])
        await page.hear("joined")
        hub.drain()
        assert (await page.hear("disconnect"))[0] in AWAY
        await page.hear("reconnect_attempt")

    await play(start, installed, scenario)


async def test_a_page_notices_that_the_server_is_silent(serve: Serve, installed: Path) -> None:
    """And connects again when it is there again."""
    hub = await serve(socketio=True, heartbeat_interval=1, heartbeat_timeout=2)
    is_stopped = trio.Event()

    async def scenario(node: Node, version: str, transports: dict[str, Any]) -> None:
        page = await node.open(version, hub, **transports)
        await page.hear("connect")
        connected.append(page)
        if len(connected) == len(KINDS):
            hub.signal(signal.SIGSTOP)
            is_stopped.set()
        await is_stopped.wait()
        assert (await page.hear("disconnect"))[0] in AWAY
        connected.remove(page)
        if not connected:
            hub.signal(signal.SIGCONT)
        await page.hear("connect")

    connected: list[Page] = []
    async with running(installed) as node, trio.open_nursery() as scenarios:
        for version, transports in KINDS:
            scenarios.start_soon(scenario, node, version, transports)


async def test_the_hub_notices_that_pages_are_silent(start: Start, installed: Path) -> None:
    hub = await start(socketio=True, heartbeat_interval=1, heartbeat_timeout=2)
    async with running(installed) as node:
        for number, (version, transports) in enumerate(KINDS):
            page = await node.open(version, hub, **transports)
            await page.tell(emit=["join", f"u{number}"])
            await page.hear("joined")
        assert hub.statistics().members == len(KINDS)
        node.process.send_signal(signal.SIGSTOP)
        try:
            await wait_until(lambda: hub.statistics().dead_peers == len(KINDS))
        finally:
            node.process.send_signal(signal.SIGCONT)
        assert hub.statistics().members == 0


async def test_a_client_1_x_that_polls_joins_another_room_if_its_name_is_not_ascii(
    start: Start, installed: Path
) -> None:
    """It reads its own text again, so that its page cannot tell."""
    hub = await start(socketio=True)
    async with running(installed) as node:
        page = await node.open("1.7.4", hub, transports=["polling"])
        await page.tell(emit=["join", "\u00e9"])
        assert (await page.hear("joined"))[0]["room"] == "\u00e9"
        assert (await hub.notify("\u00e9", sender=None)).terminated == 0
        assert (await hub.notify("\u00c3\u00a9", sender=None)).terminated == 1
        await page.hear("terminate")
