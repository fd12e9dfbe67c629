"""`sse-trio config`: what would be used, from where, and what is wrong or dangerous about it."""

import json
from pathlib import Path
from typing import Any

import pytest

from sse_trio.cli import main
from sse_trio.config import KEYS

from ..support import KEY
from .live import Told

SAFE = {"join": "ticket", "max_connections": 100}


def configure(**settings: Any) -> None:
    file = Path("config.json")
    file.write_text(json.dumps(settings))
    file.chmod(0o600)


def test_the_configuration_is_shown_without_the_key(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(**SAFE, trusted_proxies=["10.0.0.1"], internal="unix:a\nb", origins=["https://ä.x"])
    monkeypatch.setenv("SSE_TRIO_LINGER", "2.5")
    assert main(["config", "--config", "config.json", "--port", "9"]) == 0
    out, err = capsys.readouterr()
    assert (KEY in out, err) == (False, "")
    lines = out.splitlines()
    assert [line.split()[0] for line in lines] == list(KEYS)
    assert {
        "port = 9  # --port",
        'ipaddr = "127.0.0.1"  # default',
        "authkey = (hidden)  # SSE_TRIO_AUTHKEY",
        'origins = ["https://xn--4ca.x"]  # config.json',
        'internal = "unix:a\\nb"  # config.json',
        'ledger = "sqlite:///sse-trio.db"  # default',
        "linger = 2.5  # SSE_TRIO_LINGER",
        'trusted_proxies = ["10.0.0.1/32"]  # config.json',
        "metrics = true  # default",
    } <= set(lines)


def test_the_ledgers_password_is_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    configure(**SAFE, ledger="postgresql://hub:hunter2@db/x")
    assert main(["config", "--config", "config.json"]) == 0
    out, _ = capsys.readouterr()
    assert 'ledger = "postgresql://hub:***@db/x"  # config.json' in out.splitlines()
    assert "hunter2" not in out


def test_a_configuration_that_is_fine(capsys: pytest.CaptureFixture[str]) -> None:
    configure(**SAFE)
    assert main(["config", "--check", "--config", "config.json"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "authkey: SSE_TRIO_AUTHKEY",
        "join: config.json",
        "max_connections: config.json",
        "the configuration is fine",
    ]
    assert err == ""


def test_what_serve_would_warn_of(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSE_TRIO_AUTHKEY")
    configure(authkey="short", max_connections=10**9)
    Path("config.json").chmod(0o644)
    for arguments in (["--check"], []):
        assert main(["config", "--config", "config.json", *arguments]) == 0
        out, err = capsys.readouterr()
        assert "short" not in out
        assert [line[:38] for line in err.splitlines()] == [
            "warning: config.json holds the authkey",
            "warning: open mode: anyone who reaches",
            "warning: an authkey is short: anyone w",
            "warning: max_connections is 1000000000",
        ]
        if arguments:
            assert out.endswith("the configuration is fine, but see the warnings\n")


@pytest.mark.parametrize("check", [["--check"], []])
def test_what_is_wrong(check: list[str], told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSE_TRIO_PORT", "x")
    assert main(["config", *check]) == 2
    assert told() == "SSE_TRIO_PORT: port must be a whole number, not a string"
    monkeypatch.setenv("SSE_TRIO_PORT", "1")
    monkeypatch.delenv("SSE_TRIO_AUTHKEY")
    assert main(["config", *check]) == 2
    assert told().startswith("authkey is required: ")
