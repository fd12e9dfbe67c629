"""`sse-trio serve`, in process. `test_process` runs it as its users do."""

import contextlib
import json
import os
import re
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sse_trio.cli import main

from .live import DEADLINE, Told, has_ipv6


def serve_and_signal(*signals: signal.Signals, ipaddr: str = "127.0.0.1") -> tuple[int, str]:
    """Run ``serve`` and send it `signals` once it listens; return its status and its output."""
    Path("config.json").write_text(json.dumps({"ipaddr": ipaddr, "port": 1}))
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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_serve_until_a_signal(number: signal.Signals) -> None:
    with on_hangup(signal.SIG_DFL):
        status, printed = serve_and_signal(number)
    assert status == 0
    assert re.match(r"listening on http://127\.0\.0\.1:\d+ and ws://127\.0\.0\.1:\d+/ws\n", printed)


def test_a_hangup_that_was_ignored_at_the_start_stays_so(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    with on_hangup(signal.SIG_IGN):
        assert serve_and_signal(signal.SIGHUP, signal.SIGTERM)[0] == 0
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    assert "SIGTERM: draining" in caplog.messages
    assert not any("SIGHUP" in message for message in caplog.messages)


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
