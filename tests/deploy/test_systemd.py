"""The units of docs/deploy/systemd: judged by systemd's own programs, and their sockets used."""

import configparser
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from sse_trio.config import Config
from sse_trio.fields import Tcp, Unix
from sse_trio.ledger.cluster.ledger import CLOSING

from ..processes import DEADLINE, Run, Server, write_config
from ..proxies import free_port
from ..support import KEY
from .files import PACK, program

FOLDER = PACK / "systemd"


class Unit(configparser.RawConfigParser):
    """A unit, whose options are written once each."""

    def __init__(self, name: str) -> None:
        super().__init__(strict=False)
        self.optionxform = str  # type: ignore[assignment, method-assign]
        self.read(FOLDER / name)


SERVICE, SOCKET = Unit("sse-trio.service"), Unit("sse-trio.socket")
STREAMS = re.findall(r"^ListenStream=(.+)$", (FOLDER / "sse-trio.socket").read_text(), re.MULTILINE)


@pytest.fixture
def units(tmp_path: Path) -> list[str]:
    """Copies of the units, whose program exists here."""
    for name in ("sse-trio.service", "sse-trio.socket"):
        text = (FOLDER / name).read_text()
        adapted = text.replace("/opt/sse-trio/bin/sse-trio ", f"{sys.executable} ")
        (tmp_path / name).write_text(adapted)
    return [str(tmp_path / name) for name in ("sse-trio.service", "sse-trio.socket")]


def analyze(*arguments: str) -> str:
    command = [program("systemd-analyze"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_systemd_finds_no_fault(units: list[str]) -> None:
    assert analyze("verify", "--man=no", *units) == ""


def test_the_service_is_exposed_to_little(units: list[str]) -> None:
    # Of 10; without any restriction it is 9.6.
    analyze("security", "--offline=true", "--threshold=20", "--no-pager", units[0])


def test_the_configuration_is_of_the_same_addresses() -> None:
    config = Config.load(FOLDER / "config.json", {})
    assert isinstance(config.internal, Unix)
    assert [str(Tcp(config.ipaddr, config.port)), config.internal.path] == STREAMS
    state = f"/var/lib/{SERVICE['Service']['StateDirectory']}"
    assert str(config.ledger_path).startswith(f"{state}/")
    assert config.join == "ticket"


def test_the_service_has_time_and_files() -> None:
    config = Config.load(FOLDER / "config.json", {})
    service = SERVICE["Service"]
    assert int(service["TimeoutStopSec"]) >= config.shutdown_grace + 2 * CLOSING
    assert int(service["LimitNOFILE"]) > config.max_connections


async def test_the_server_is_activated_and_tells_how_far_it_is(run: Run, tmp_path: Path) -> None:
    activate = program("systemd-socket-activate")
    port, api, manager = free_port(), tmp_path / "api.sock", tmp_path / "notify"
    write_config(tmp_path, port=port, internal=f"unix:{api}", linger=0.1)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(str(manager))
        told.setblocking(False)
        environment = {
            "NOTIFY_SOCKET": manager,
            "SSE_TRIO_AUTHKEY": KEY,
            "PYTHONPATH": Path(__file__).parents[2],
        }
        prefix = [activate, f"--listen=127.0.0.1:{port}", f"--listen={api}"]
        prefix += [f"--setenv={name}={value}" for name, value in environment.items()]
        server_program = await run("serve", "--config", "config.json", prefix=tuple(prefix))
        await server_program.err.line("Listening on")
        # It is started by this connection, which waits until it is there.
        server = Server(server_program, port)
        assert (await server.get("/healthz")).status == 200
        assert await heard(told) == "READY=1"
        assert api.is_socket()
        os.kill(server_program.process.pid, signal.SIGHUP)
        assert (await heard(told)).startswith("RELOADING=1\nMONOTONIC_USEC=")
        assert await heard(told) == "READY=1"
        server.signal(signal.SIGTERM)
        assert await heard(told) == "STOPPING=1"
        assert await server_program.ends() == 0
        # What systemd has opened is systemd's to remove.
        assert api.is_socket()


async def heard(told: socket.socket) -> str:
    with trio.fail_after(DEADLINE):
        await trio.lowlevel.wait_readable(told)
    return told.recv(1000).decode()
