"""``SSE_TRIO_URL`` and ``SSE_TRIO_KEY`` are all that a client needs."""

import io
import json
from pathlib import Path

import pytest

from sse_trio.cli import main

from ..support import KEY
from .live import Live, Told, fake


@pytest.fixture(autouse=True)
def client(monkeypatch: pytest.MonkeyPatch, server: Live) -> None:
    """The environment of an application server."""
    monkeypatch.delenv("SSE_TRIO_AUTHKEY")
    monkeypatch.setenv("SSE_TRIO_URL", server.http)
    monkeypatch.setenv("SSE_TRIO_KEY", KEY)


def test_every_client_has_enough(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def output() -> str:
        return capsys.readouterr().out

    assert main(["health"]) == 0
    assert main(["notify", "--room", "u1", "--sender", "s1"]) == 0
    token = json.loads(output())["token"]
    monkeypatch.setattr("sys.stdin", io.StringIO(token))
    assert main(["check"]) == 0
    assert json.loads(output())["active"] is True
    assert main(["sessions", "u1"]) == 0
    name = output().split()[0]
    assert main(["end", "u1", name]) == 0
    assert output() == f"{name}  ended; connected pages: 0\n"
    # The login has ended, so the page is terminated at once.
    assert main(["watch", "--room", "u1", "--session", "s1"]) == 0
    assert json.loads(output())["type"] == "terminate"


def test_they_go_before_the_configuration(server: Live) -> None:
    config = Path("config.json")
    config.write_text(json.dumps({"port": 1, "authkey": "another key", "internal": "unix:none"}))
    config.chmod(0o600)
    assert main(["notify", "--config", "config.json", "--room", "u1"]) == 0
    assert main(["health", "--config", "config.json"]) == 0


def test_an_option_goes_before_them() -> None:
    with fake(b"HTTP/1.1 200 OK\r\n\r\n") as (url, asked):
        assert main(["health", "--url", url]) == 0
    assert len(asked) == 1


def test_of_several_nodes_it_is_the_first(server: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSE_TRIO_URL", f" {server.http}/ , http://127.0.0.1:1")
    assert main(["health"]) == 0
    assert main(["watch", "--room", "u1", "--session", ""]) == 1  # it is refused by this one


def test_a_member_has_to_be_told_where(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSE_TRIO_URL")
    assert main(["watch", "--room", "u1"]) == 2
    assert told() == "pass a URL, or set SSE_TRIO_URL, which must look like http://host:port"


@pytest.mark.parametrize("command", [["health"], ["watch", "--room", "u1"]])
def test_a_wrong_address(command: list[str], told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSE_TRIO_URL", "ftp://h")
    assert main(command) == 2
    assert "must look like http://host:port" in told()


def test_a_wrong_key(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSE_TRIO_KEY", f"{KEY}\n")
    assert main(["notify", "--room", "u1"]) == 2
    assert told().startswith("authkey must not begin or end with a space")


def test_no_key(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSE_TRIO_KEY")
    assert main(["notify", "--room", "u1"]) == 2
    assert "SSE_TRIO_KEY" in told()
