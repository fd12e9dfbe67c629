"""`sse-trio health`: whether, why not, and how fast it starts."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from sse_trio.cli import main, rest
from sse_trio.errors import SseTrioError

from .live import Live, Told, fake

READY = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nready\n"


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """It needs none."""
    monkeypatch.delenv("SSE_TRIO_AUTHKEY")


def test_a_server_that_is_ready(server: Live, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["health", "--url", server.http]) == 0
    Path("config.json").write_text(json.dumps({"port": server.hub.port}))
    assert main(["health", "--config", "config.json"]) == 0
    assert capfd.readouterr() == ("", "")


def test_a_server_in_the_environment(server: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSE_TRIO_PORT", str(server.hub.port))
    assert main(["health"]) == 0


def test_over_a_unix_socket(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with fake(READY, at=tmp_path / "api.sock") as (url, asked):
        assert main(["health", "--url", url]) == 0
        # The port is somebody else's.
        Path("config.json").write_text(json.dumps({"port": 1, "internal": url}))
        assert main(["health", "--config", "config.json"]) == 0
    assert asked == [b"GET /readyz HTTP/1.1\r\n"] * 2
    assert capfd.readouterr() == ("", "")


def test_at_the_internal_address() -> None:
    with fake(READY) as (url, asked):
        internal = url.removeprefix("http://")
        Path("config.json").write_text(json.dumps({"port": 1, "internal": internal}))
        assert main(["health", "--config", "config.json"]) == 0
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.1 503 No\r\n\r\nreading the ledger\n", "503 reading the ledger"),
        (b"HTTP/1.1 404 No\r\n\r\n" + b"\xff\x1b[31m" * 1000, "404 \ufffd\\u001b[31m"),
        (b"HTTP/1.1 302 Go\r\nLocation: /\r\n\r\n", "302"),
    ],
)
def test_a_server_that_is_not_ready(told: Told, answer: bytes, why: str) -> None:
    with fake(answer) as (url, _):
        assert main(["health", "--url", url]) == 1
    line = told()
    assert line.startswith(f"{url} is not ready: {why}")
    assert len(line) < 1000


def test_where_nobody_listens(told: Told, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
    assert main(["health", "--url", url]) == 1
    assert told() == f"cannot reach {url}: [Errno 111] Connection refused"
    assert main(["health", "--url", f"unix:{tmp_path}/x"]) == 1
    assert told() == f"cannot reach unix:{tmp_path}/x: [Errno 2] No such file or directory"


def test_a_server_that_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        server = rest.server_at(url, timeout=0.01)
        with pytest.raises(SseTrioError, match=r"cannot reach .*: timed out"):
            server.ask("reach", "GET", "/readyz")


def test_no_more_is_imported_than_is_needed() -> None:
    program = """
import sys
from sse_trio.cli import main
status = main(["health", "--url", "unix:nowhere"])
print(status, *sorted({name.partition(".")[0] for name in sys.modules}))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    status, *imported = done.stdout.decode().split()
    assert status == "1"
    assert {"sse_trio", "attrs"} <= set(imported)
    others = {"trio", "h11", "wsproto", "jwt", "prometheus_client", "sqlite3", "asyncio"}
    assert others.isdisjoint(imported)
