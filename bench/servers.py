"""The servers that are measured: the hub, and its peers, all started and ended here.

Every one of them does the same job. A WebSocket client joins a room under a session, by the
same JSON message, and is answered `joined`. A `POST /notify` with room, key and sender is
checked, counts the room's epoch, sends one and the same `terminate` to every member of the
room whose session is not the sender's, takes those out of the room, and is answered with what
was done. A server that has heartbeats sends each member a text and a ping, or what its
library has instead. The hub does more for it: it remembers who has ended, and signs a ticket.
"""

import contextlib
import http.client
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import attrs

from . import machine
from .load import KEY, PLAIN, SOCKET_IO, Dialect, Load, Void, compiled

PEERS = Path(__file__).parent / "peers"
INSTALLED = Path(__file__).parent / ".peers"

PATIENCE = 120
RESTLESS = 120
"""Seconds, until a server listens, and until it rests."""
NEVER = 3600

# Below the ports that the kernel gives to clients (ip_local_port_range).
PORTS = range(20000, 30000)


@attrs.frozen
class Contender:
    """A server that can be measured: how it is started, and how it is talked to.

    `command` is given the ports for WebSockets and for HTTP, a directory, and the seconds
    between heartbeats, 0 for none.
    """

    name: str
    command: Callable[[int, int, Path, float], list[str]]
    dialect: Dialect = PLAIN
    two_ports: bool = False
    """Whether it takes HTTP on a port of its own, because its library takes no POST."""
    limit: bool = False
    """Whether it may be faster than the load generator: then its figures are lower bounds."""
    once: bool = False
    """Whether it is so slow that one repetition has to do."""
    is_usual: bool = True
    """Whether it is measured where nobody is named."""
    probe: tuple[str, ...] = ()
    """A command that fails where the peer is not installed."""
    ready: str | None = None
    """A path that is answered with 200 once it has begun to work, where that is not at once."""
    watch: Callable[[int], contextlib.AbstractContextManager[object]] | None = None
    """Entered with the process id for as long as the job in question is done."""


@attrs.define
class Server:
    """A running one, and the load generator that is connected to it."""

    contender: Contender
    port: int
    http_port: int
    directory: Path
    heartbeat: float
    load: Load = attrs.field(init=False)
    process: subprocess.Popen[bytes] = attrs.field(init=False)

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        command = self.contender.command(self.port, self.http_port, self.directory, self.heartbeat)
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603
                command,
                stdout=log,
                stderr=log,
                env=environment(),
            )
        deadline = time.monotonic() + PATIENCE
        for port in {self.port, self.http_port}:
            while True:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    break
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise Void(f"{self.contender.name} did not start: {self.log()}")
                time.sleep(0.002)
        while self.contender.ready and self._status(self.contender.ready) != http.HTTPStatus.OK:
            if time.monotonic() > deadline:
                raise Void(f"{self.contender.name} is not ready: {self.log()}")
            time.sleep(0.05)  # each question takes time from what it still has to do
        # Not before: threads that a runtime has for its garbage, as Node, go where they like.
        machine.keep_apart(self.process.pid, generator=False)

    def _status(self, path: str) -> int:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.http_port)) as hub:
            hub.request("GET", path)
            return hub.getresponse().status

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.wait()

    @contextlib.contextmanager
    def job(self) -> Iterator[None]:
        """Mark what the question is about, apart from what leads up to it."""
        with self.contender.watch(self.process.pid) if self.contender.watch else nullcontext():
            yield

    def log(self) -> str:
        """Return the end of what it has written."""
        return (self.directory / "log").read_text(errors="replace")[-400:].strip()

    def cpu(self) -> float:
        """Return the seconds of CPU that it has used, all its threads together."""
        # Which clock that is: clock_getcpuclockid(3), for CPUCLOCK_SCHED.
        return time.clock_gettime((~self.process.pid << 3) | 2)

    def resident(self) -> int:
        """Return the bytes that it has in memory."""
        return machine.resident(self.process.pid)

    def settle(self) -> None:
        """Wait until it has nothing more to do: under 10% of a core, twice.

        Raises:
            Void: it does not come to rest.
        """
        deadline = time.monotonic() + RESTLESS
        quiet = 0
        while quiet < 2:
            if time.monotonic() > deadline:
                raise Void(f"{self.contender.name} does not come to rest")
            before = self.cpu()
            time.sleep(0.05)
            quiet = quiet + 1 if self.cpu() - before < 0.005 else 0


@contextlib.contextmanager
def running(contender: Contender, *, heartbeat: float = 0) -> Iterator[Server]:
    """Start a server with its load generator; end both.

    Raises:
        Void: it did not start, or it did not live.
    """
    port = free_port()
    http_port = free_port() if contender.two_ports else port
    with tempfile.TemporaryDirectory(prefix="sse-trio-bench-") as directory:
        server = Server(contender, port, http_port, Path(directory), heartbeat)
        try:
            server.start()
            with Load.running(port, http_port, contender.dialect) as server.load:
                yield server
            if server.process.poll() is not None:
                raise Void(f"{contender.name} ended: {server.log()}")
        finally:
            server.kill()


def environment() -> dict[str, str]:
    """Return what the peers find their modules by."""
    return os.environ | {
        "NODE_PATH": str(INSTALLED / "node_modules"),
        "PYTHONPATH": str(PEERS.parents[1]),
    }


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens on."""
    while True:
        port = random.choice(PORTS)  # noqa: S311
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def hub(
    name: str = "sse_trio",
    ledger: str = "memory:",
    dialect: Dialect = PLAIN,
    *,
    socketio: bool = False,
) -> Contender:
    """Return the hub: as it is installed, with nothing but its limits out of the way.

    `ledger` and `socketio` are a configuration's; a ``{directory}`` in a ledger is the run's own.
    """

    def command(port: int, _: int, directory: Path, heartbeat: float) -> list[str]:
        config = {
            "port": port,
            "authkey": KEY,
            "ledger": ledger.format(directory=directory),
            "heartbeat_interval": heartbeat or NEVER,
            "heartbeat_timeout": 4 * (heartbeat or NEVER),
            "linger": NEVER,
            "max_connections_per_room": 1_000_000,
            "socketio": socketio,
        }
        (directory / "config.json").write_text(json.dumps(config))
        return [sys.executable, "-m", "sse_trio", "serve", "--config",
                str(directory / "config.json")]  # fmt: skip

    return Contender(name, command, dialect, ready="/readyz")


def bare_loop() -> Contender:
    """Return the limit: accept, epoll and send(2) in C, and nothing else."""

    def command(port: int, _: int, __: Path, heartbeat: float) -> list[str]:
        return [str(compiled(PEERS / "loop.c")), str(port), str(heartbeat)]

    return Contender("C loop", command, limit=True)


def python_peer(
    name: str,
    packages: str,
    module: str,
    *options: str,
    dialect: Dialect = PLAIN,
    two_ports: bool = False,
    once: bool = False,
) -> Contender:
    """Return a peer that is written in Python, in the environment of the peers."""

    def command(port: int, http_port: int, _: Path, heartbeat: float) -> list[str]:
        python = str(INSTALLED / "venv" / "bin" / "python")
        script = f"{__package__}.peers.{module}"
        return [python, "-m", script, str(port), str(http_port), str(heartbeat), *options]

    probe = (str(INSTALLED / "venv" / "bin" / "python"), "-c", f"import {packages}")
    return Contender(name, command, dialect, two_ports, once=once, probe=probe)


def node_peer(
    name: str, package: str, module: str, dialect: Dialect = PLAIN, *options: str
) -> Contender:
    """Return a peer that is written in JavaScript, with the packages of the peers."""

    def command(port: int, _: int, __: Path, heartbeat: float) -> list[str]:
        return ["node", str(PEERS / f"{module}.js"), str(port), str(heartbeat), *options]

    return Contender(name, command, dialect, probe=("node", "-e", f"require('{package}')"))


HUB = hub()

CONTENDERS = {
    contender.name: contender
    for contender in (
        HUB,
        # The same members, beside what pages of Socket.IO need.
        attrs.evolve(hub("sse_trio+socketio", socketio=True), is_usual=False),
        bare_loop(),
        python_peer("websockets", "websockets, httptools", "with_websockets", two_ports=True),
        python_peer(
            "websockets+uvloop",
            "websockets, httptools, uvloop",
            "with_websockets",
            "uvloop",
            two_ports=True,
        ),
        python_peer("picows", "picows, httptools, uvloop", "with_picows", two_ports=True),
        python_peer(
            "python-socketio",
            "socketio, uvicorn, uvloop, httptools",
            "with_socketio",
            dialect=SOCKET_IO,
            once=True,  # who leaves is looked for in every room: minutes for ten thousand
        ),
        python_peer("socketify", "socketify", "with_socketify"),
        node_peer("ws", "ws", "ws"),
        node_peer("socket.io", "socket.io", "socketio", SOCKET_IO),
    )
}
