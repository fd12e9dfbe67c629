"""docs/cluster.md is followed as it stands there: its SQL, configurations and nginx.

Two real nodes, a real nginx and a real PostgreSQL; only ports and places are put in. In place of
the two browsers are clients that come back as a page does.
"""

import json
import re
import shlex
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

import sse_trio
from sse_trio.config import Config
from sse_trio.core.messages import Joined, ServerMessage, Terminate

from .postgres import Server
from .processes import DEADLINE, Program, Run
from .processes import Server as Node
from .proxies import ask, free_port, nginx_with, running
from .test_docs import ROOT, curl_data, fences

PAGE = ROOT / "docs" / "cluster.md"
BROWSER = ROOT / "docs" / "browser.md"

PATIENCE = 3 * DEADLINE


def blocks(info: str) -> list[str]:
    found = [block.text for block in fences(PAGE.read_text()) if block.info == info]
    assert found, info
    return found


# -- the walk-through -------------------------------------------------------------------


@attrs.define(eq=False)
class Browser:
    """A page that comes back whenever its connection is lost, until its login has ended."""

    session: str
    port: int
    events: list[ServerMessage] = attrs.Factory(list)
    _more: trio.Event = attrs.Factory(trio.Event)

    async def stay(self) -> None:
        while not self.is_ended:
            url = f"ws://127.0.0.1:{self.port}/ws"
            try:
                async with sse_trio.open_member(url, room="demo", session=self.session) as member:
                    async for event in member:
                        self.events.append(event)
                        self._more.set()
                        self._more = trio.Event()
            except sse_trio.MemberClosed:
                await trio.sleep(0.1)

    @property
    def is_ended(self) -> bool:
        return any(isinstance(event, Terminate) for event in self.events)

    async def hears(self, kind: type[ServerMessage]) -> None:
        with trio.fail_after(PATIENCE):
            while not any(isinstance(event, kind) for event in self.events):
                await self._more.wait()


class Machine:
    """What the page has on one machine, each on a port that is free here."""

    def __init__(self, run: Run, where: Path, database: int) -> None:
        self._run = run
        self._where = where
        self.ports = {theirs: free_port() for theirs in (8000, 8001, 8081, 8082)}
        self.ports[5432] = database
        (config,) = blocks("json walk-through")
        (where / "cluster.json").write_text(self.adapt(config))
        (where / "cluster.json").chmod(0o600)

    def adapt(self, text: str) -> str:
        for theirs, ours in self.ports.items():
            text = re.sub(rf"\b{theirs}\b", str(ours), text)
        return text

    async def type(self, lines: str) -> Program:
        """Do what a terminal does with an assignment and a command."""
        export, command = self.adapt(lines).splitlines()
        name, _, value = export.removeprefix("export ").partition("=")
        first, *arguments = shlex.split(command)
        assert first == "sse-trio"
        return await self._run(*arguments, **{name: value})

    async def start(self, lines: str) -> Node:
        program = await self.type(lines)
        found = await program.out.line(r"^listening on http://127\.0\.0\.1:(\d+) ")
        return Node(program, int(found[1]))

    async def curl(self, command: str) -> Any:
        """Do what curl does with a notify of the page."""
        words = shlex.split(self.adapt(command))
        (found,) = [re.fullmatch(r"http://127\.0\.0\.1:(\d+)(/\S*)", w) for w in words if "//" in w]
        assert found is not None
        with trio.fail_after(PATIENCE):
            answer = await ask(
                int(found[1]),
                "POST",
                found[2],
                body=json.dumps(curl_data(words)).encode(),
                headers=(("Content-Type", "application/json"),),
            )
        assert answer.status == 200, answer
        return answer.json


async def members(node: Node) -> int:
    shown = (await node.get("/metrics")).body.decode()
    (found,) = re.findall(r"^sse_trio_members (\d+)", shown, re.MULTILINE)
    return int(found)


@pytest.fixture
def where() -> Iterator[Path]:
    """A directory that nginx's own user can read, unlike those of pytest."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
async def machine(
    run: Run, tmp_path: Path, where: Path, postgres: Server
) -> AsyncIterator[Machine]:
    """PostgreSQL with the page's SQL, and nginx as it stands there."""
    if shutil.which("nginx", path="/usr/sbin:/usr/bin") is None:
        pytest.skip("nginx is not installed")
    (statements,) = blocks("sql setup")
    with postgres.connect() as connection:
        for statement in filter(str.strip, statements.split(";")):
            connection.execute(statement.encode())
    machine = Machine(run, tmp_path, postgres.port)
    (servers,) = blocks("nginx cluster")
    command = nginx_with(where, machine.adapt(servers))
    async with running(command, machine.ports[8000], where):
        yield machine


async def test_a_node_dies_while_a_user_is_logged_in_through_both(
    machine: Machine, nursery: trio.Nursery
) -> None:
    first, second = [await machine.start(lines) for lines in blocks("sh node")]
    (nodes,) = blocks("sh nodes")
    program = await machine.type(nodes)
    assert await program.ends() == 0
    assert len(program.out.text.splitlines()) == 3
    laptop_in, phone_in, tablet_in, again = [
        line
        for block in blocks("sh")
        for line in block.splitlines()
        if line.startswith("curl ") and "/notify" in line
    ]

    for line in (laptop_in, phone_in):
        assert (await machine.curl(line))["nodes"] == 1
    assert (await ask(machine.ports[8000], target="/client.js")).status == 200
    assert (await ask(machine.ports[8000], "POST", "/notify")).status == 404
    browsers = [Browser(session, machine.ports[8000]) for session in ("laptop", "phone")]
    laptop, phone = browsers
    nursery.start_soon(laptop.stay)
    await laptop.hears(Joined)
    dying, left = (first, second) if await members(first) else (second, first)
    nursery.start_soon(phone.stay)
    await phone.hears(Joined)
    assert [await members(node) for node in (dying, left)] == [1, 1]

    dying.program.process.kill()
    answer = await machine.curl(tablet_in)
    (said,) = map(json.loads, blocks("json answer"))
    assert {name: answer[name] for name in said} == said
    await laptop.hears(Terminate)
    assert not phone.is_ended
    tablet, late = [Browser(name, machine.ports[8000]) for name in ("tablet", "laptop")]
    nursery.start_soon(tablet.stay)
    await tablet.hears(Joined)
    await late.stay()
    assert not [event for event in late.events if isinstance(event, Joined)]

    lines = dict(zip((first, second), blocks("sh node"), strict=True))[dying]
    await machine.start(lines)
    for port in (8081, 8082):
        repeated = again.replace("127.0.0.1:8081", f"127.0.0.1:{port}")
        assert (await machine.curl(repeated))["epoch"] == answer["epoch"]
    assert not phone.is_ended
    assert not tablet.is_ended


def test_the_page_is_that_of_the_browser_client() -> None:
    (page,) = blocks("html page")
    (known,) = [block.text for block in fences(BROWSER.read_text()) if block.info == "html page"]
    assert page == known.replace(":8080", ":8000").replace("tab-1", "laptop")


# -- configurations ---------------------------------------------------------------------


@pytest.mark.parametrize("info", ["json config", "json walk-through", "json pgbouncer"])
def test_configurations_are_accepted(info: str) -> None:
    for text in blocks(info):
        assert Config(**json.loads(text)).is_shared


def test_nginx_waits_for_longer_than_a_notify_may_take() -> None:
    (text,) = blocks("nginx cluster")
    config = Config(ledger="postgresql://h/d")
    *pages, applications = map(int, re.findall(r"proxy_read_timeout (\d+)s", text))
    # A WebSocket, and an event stream.
    assert len(pages) == 2
    assert min(pages) > config.heartbeat_timeout
    assert applications > config.ledger_timeout
