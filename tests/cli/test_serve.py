"""`sse-trio serve`, in process. `test_process` runs it as its users do."""

import argparse
import contextlib
import json
import os
import re
import signal
import socket
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

import sse_trio
from sse_trio.cli import main
from sse_trio.cli.serve import reload
from sse_trio.config import COMMAND_LEDGER

from ..support import KEY
from .live import DEADLINE, Told, has_ipv6


def serve_and_signal(*signals: signal.Signals, **settings: str) -> tuple[int, str]:
    """Run ``serve`` and send it `signals` once it listens; return its status and its output."""
    Path("config.json").write_text(json.dumps({"port": 1} | settings))
    receiver, sender = os.pipe()
    printed = ""

    def send() -> None:
        nonlocal printed
        with open(receiver) as output:  # noqa: PTH123
            for line in output:
                printed += line
                if "curl" in line:
                    for number in signals:
                        os.kill(os.getpid(), number)

    thread = threading.Thread(target=send)
    thread.start()
    with open(sender, "w") as output, contextlib.redirect_stdout(output):  # noqa: PTH123
        status = main(["serve", "--config", "config.json", "--port", "0"])
    thread.join(DEADLINE)
    assert not thread.is_alive()
    return status, printed


@contextlib.contextmanager
def on_hangup(action: signal.Handlers) -> Iterator[None]:
    before = signal.signal(signal.SIGHUP, action)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_until_a_signal(number: signal.Signals) -> None:
    status, printed = serve_and_signal(number)
    assert status == 0
    assert re.match(r"listening on http://127\.0\.0\.1:\d+ and ws://127\.0\.0\.1:\d+/ws\n", printed)


@pytest.mark.parametrize(
    ("internal", "shown", "curl"),
    [
        ("127.0.0.1:0", r"127\.0\.0\.1:\d+", r"http://127\.0\.0\.1:\d+"),
        ("unix:a b.sock", r"unix:a b\.sock", r"--unix-socket 'a b\.sock' http://localhost"),
    ],
)
def test_serve_internal_requests_elsewhere(internal: str, shown: str, curl: str) -> None:
    status, printed = serve_and_signal(signal.SIGTERM, internal=internal)
    assert status == 0
    assert re.search(rf"^internal requests on {shown}$", printed, re.MULTILINE)
    assert re.search(rf"^  curl {curl}/notify -H ", printed, re.MULTILINE)


def test_a_hangup_that_was_ignored_at_the_start_stays_so(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    with on_hangup(signal.SIG_IGN):
        assert serve_and_signal(signal.SIGHUP, signal.SIGTERM)[0] == 0
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    assert "SIGTERM: draining" in caplog.messages
    assert not any("SIGHUP" in message for message in caplog.messages)


def reloaded(
    hub: sse_trio.Hub, caplog: pytest.LogCaptureFixture, **settings: Any
) -> list[tuple[str, str]]:
    """Configure so, and reload; return what is logged, but for what is dangerous."""
    file = Path("config.json")
    file.write_text(json.dumps({"port": 0, "join": "ticket", "max_connections": 1} | settings))
    file.chmod(0o600)
    options = argparse.Namespace(config="config.json", port=None)
    caplog.clear()
    with caplog.at_level("INFO"):
        trio.run(partial(reload, options, hub))
    return [(record.levelname, record.getMessage()) for record in caplog.records]


@pytest.fixture
def hub() -> sse_trio.Hub:
    """A hub that nobody serves."""
    config = sse_trio.Config(
        port=0, join="ticket", authkey=KEY, ledger=COMMAND_LEDGER, max_connections=1
    )

    async def make() -> sse_trio.Hub:
        return sse_trio.Hub(config, sse_trio.MemoryLedger(), lambda *_: None)

    return trio.run(make)


READ_AGAIN = "the configuration was read again; changed: %s; needs a restart: %s"


def test_a_reload_says_what_has_changed(
    hub: sse_trio.Hub, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert reloaded(hub, caplog) == [("INFO", READ_AGAIN % ("nothing", "nothing"))]
    monkeypatch.setenv("SSE_TRIO_MAX_SESSIONS", "3")
    monkeypatch.setenv("SSE_TRIO_AUTHKEY", "the new key that nobody knows")
    assert reloaded(hub, caplog, internal="unix:x", audit="log") == [
        ("WARNING", READ_AGAIN % ("authkey, max_sessions", "internal, audit"))
    ]
    assert hub.config.max_sessions == 3
    assert hub.config.internal is None


def test_a_reload_of_something_wrong_changes_nothing(
    hub: sse_trio.Hub, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = hub.config
    nothing = "the new configuration is wrong, and nothing has changed: "
    assert reloaded(hub, caplog, max_sessions=3, linger="x") == [
        ("ERROR", f"{nothing}config.json: linger must be a number, not a string")
    ]
    monkeypatch.delenv("SSE_TRIO_AUTHKEY")
    [(level, told)] = reloaded(hub, caplog, max_sessions=3)
    assert (level, told[: len(nothing) + 20]) == ("ERROR", f"{nothing}authkey is required:")
    assert hub.config is before


def test_a_reload_warns_as_a_start_does(
    hub: sse_trio.Hub, caplog: pytest.LogCaptureFixture
) -> None:
    said = reloaded(hub, caplog, join="open", max_connections=10**9)
    assert [(level, told[:10]) for level, told in said] == [
        ("WARNING", "open mode:"),
        ("WARNING", "max_connec"),
        ("INFO", "the config"),
    ]


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
def test_serve_on_ipv6() -> None:
    status, printed = serve_and_signal(signal.SIGTERM, ipaddr="::1")
    assert status == 0
    assert re.match(r"listening on http://\[::1\]:\d+ and ws://\[::1\]:\d+/ws\n", printed)


def test_serve_on_a_port_that_is_taken(told: Told) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", "--port", str(port)]) == 1
    assert told() == f"cannot listen on 127.0.0.1 port {port}: Address already in use"


@pytest.mark.parametrize("port", ["-1", "65536"])
def test_serve_on_a_port_that_is_none(told: Told, port: str) -> None:
    assert main(["serve", "--port", port]) == 2
    assert told() == f"port must be from 0 to 65535, not {port}"


def test_serve_without_a_key(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSE_TRIO_AUTHKEY")
    assert main(["serve"]) == 2
    assert told().startswith("authkey is required: ")


def test_serve_with_an_unknown_key(told: Told) -> None:
    Path("config.json").write_text('{"prot": 8080}')
    assert main(["serve", "--config", "config.json"]) == 2
    assert told() == "config.json: unknown key 'prot'; did you mean 'port'?"


def test_serve_without_its_file(told: Told) -> None:
    assert main(["serve", "--config", "missing.json"]) == 2
    assert "missing.json" in told()
