"""`sse-trio demo` as a command: its options, its output, its end."""

import importlib
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path

import pytest

from sse_trio.cli import main
from sse_trio.demo.options import Options

from ..browser.forked import DEADLINE, start
from ..test_docs import README, fences
from .conftest import StartDemo
from .processes import PASSWORDS, Client, sse_trio_demo

EXTRA = ("argon2", "hypercorn", "jinja2", "starlette")


def test_help_has_an_example_and_the_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main(["demo", "--help"])
    assert done.value.code == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "example: sse-trio demo" in told
    for default in ("127.0.0.1", "8000", "8080", "memory:", "5", "20", "1"):
        assert f"({default})" in told


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_it_prints_and_how_it_ends(
    start_demo: StartDemo, number: signal.Signals, tmp_path: Path
) -> None:
    demo = start_demo()
    assert Client(demo.port).get("/login").status == 200
    assert demo.end(number) == 0
    (shown,) = [block.text for block in fences(README.read_text()) if block.info == "text demo"]
    assert re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:8000", demo.output) == shown
    for user, password in PASSWORDS.items():
        assert re.search(rf"^ +{user} .*: {password}\b", shown, re.MULTILINE)
    assert f"{number.name}: draining" in demo.log
    # It leaves nothing behind.
    assert [path.name for path in tmp_path.iterdir()] == ["demo.log"]


def test_a_ledger_in_a_file_keeps_logins_over_a_restart(start_demo: StartDemo) -> None:
    demo = start_demo("--ledger", "sqlite:///demo.db")
    client = Client(demo.port)
    assert client.login().status == 204
    assert demo.end() == 0
    demo.start("--ledger", "sqlite:///demo.db")
    assert client.get("/api/me").json["user"] == "ada"
    # So it is known who the second login ends.
    assert Client(demo.port).login().status == 204
    assert client.get("/api/me").status == 401


def test_for_other_machines_it_says_what_that_means(start_demo: StartDemo) -> None:
    demo = start_demo("--host", "0.0.0.0")
    assert "nothing is encrypted" in demo.log
    policy = (
        Client(demo.port).get("/login", Host="demo.lan:8000").headers["Content-Security-Policy"]
    )
    assert re.search(r"connect-src 'self' ws://(demo\.lan:\d+) http://\1/events;", policy)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--port", "http"),
        ("--port", "65536"),
        ("--hub-port", "-1"),
        ("--ledger", "demo.db"),
        ("--idle-minutes", "0"),
        ("--idle-minutes", "1", "--cache-minutes", "5"),
        ("--cache-minutes", "often"),
        ("--max-sessions", "0"),
        ("--max-sessions", "1.5"),
        ("--log-level", "loud"),
        ("--open-bar",),
    ],
    ids=" ".join,
)
def test_wrong_options(arguments: tuple[str, ...], tmp_path: Path) -> None:
    demo = partial(sse_trio_demo, ["--port", "0", "--hub-port", "0", *arguments])
    status, output, errors = run_to_its_end(demo, tmp_path)
    assert status == 2
    assert output == ""
    assert "Traceback" not in errors
    assert re.match("sse-trio( demo: error)?: ", errors.splitlines()[-1])


@pytest.mark.parametrize("option", ["--port", "--hub-port"])
def test_a_port_that_is_taken(option: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        free = "--hub-port" if option == "--port" else "--port"
        run = subprocess.run(
            [sys.executable, "-m", "sse_trio", "demo", option, port, free, "0"],
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
    assert run.returncode == 1
    assert run.stderr.endswith(
        f"sse-trio: cannot listen on 127.0.0.1 port {port}: Address already in use\n"
    )


@pytest.mark.parametrize("missing", EXTRA)
def test_without_the_extra(missing: str, tmp_path: Path) -> None:
    status, _, errors = run_to_its_end(partial(without, [missing], "demo"), tmp_path)
    assert status == 1
    assert errors == (
        "sse-trio: the demo needs more packages: python -m pip install 'sse-trio[demo]', "
        "or '.[demo]' in a checkout\n"
    )


def test_the_other_commands_need_no_extra(tmp_path: Path) -> None:
    status, _, errors = run_to_its_end(partial(without, EXTRA, "keygen"), tmp_path)
    assert (status, errors) == (0, "")


def without(packages: Collection[str], name: str) -> int:
    """Run a command where these packages cannot be imported; in a process that has begun so."""
    for module in list(sys.modules):
        package = module.partition(".")[0]
        if package == "sse_trio":
            del sys.modules[module]
        elif package in packages:
            sys.modules[module] = None  # type: ignore[assignment]
    sys.modules.update(dict.fromkeys(packages))  # type: ignore[arg-type]
    cli = importlib.import_module("sse_trio.cli")
    status: int = cli.main([name])
    return status


def run_to_its_end(run: Callable[[], int], directory: Path) -> tuple[int | None, str, str]:
    """Run what ends by itself; return its status, and what it has written to where."""
    log = directory / "log"
    process = start(run, directory, log)
    output = process.output.read()
    status = process.ends()
    process.close()
    return status, output, log.read_text()


@pytest.mark.parametrize(
    ("host", "origins"),
    [
        ("127.0.0.1", {"http://127.0.0.1:1", "http://localhost:1"}),
        ("localhost", {"http://127.0.0.1:1", "http://localhost:1"}),
        ("::1", {"http://[::1]:1", "http://127.0.0.1:1", "http://localhost:1"}),
        ("192.0.2.1", None),
        ("demo.lan", None),
    ],
)
def test_the_origins_that_the_hub_takes(host: str, origins: set[str] | None) -> None:
    taken = Options(host=host).hub(1).origins
    assert (set(taken) if taken else None) == origins


def test_the_hub_takes_tickets_alone() -> None:
    first, second = (Options().hub(8000) for _ in range(2))
    assert first.join == second.join == "ticket"
    assert first.authkey != second.authkey


def test_browsers_leave_out_the_usual_port() -> None:
    origins = Options(port=80).hub(80).origins
    assert origins is not None
    assert "http://127.0.0.1" in origins
