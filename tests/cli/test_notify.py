"""`sse-trio notify`, and how the commands speak to a server."""

import io
import json
import socket
from pathlib import Path

import pytest

from sse_trio.cli import main

from ..support import KEY
from .live import ORDERS, Live, Told, fake, has_ipv6, live


def test_notify(server: Live, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["notify", "--url", f"{server.http}/", "--room", "ä", "--sender", "s2"]
    assert main(arguments) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["room"], answer["epoch"], answer["terminated"]) == ("ä", 1, 0)
    assert "ticket" in answer


def test_notify_says_all_that_the_api_can_hear(
    server: Live, capsys: pytest.CaptureFixture[str]
) -> None:
    login = ["notify", "--room", "u1", "--url", server.http, "--id", "login-1"]
    for _ in range(2):
        assert main([*login, "--sender", "s1", "--reason", "new device"]) == 0
        assert json.loads(capsys.readouterr().out)["epoch"] == 1
    assert main(["notify", "--room", "u1", "--url", server.http, "--everyone"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["epoch"], "ticket" in answer) == (2, False)


def test_notify_reads_the_sender_where_nobody_else_can(
    server: Live,
    told: Told,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = ["notify", "--room", "u1", "--url", server.http, "--sender", "-"]
    monkeypatch.setattr("sys.stdin", io.StringIO("s1\n"))
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out)["standing"] == ["s1"]
    for wrong in ("", "s1\ns2\n"):
        monkeypatch.setattr("sys.stdin", io.StringIO(wrong))
        assert main(command) == 2
        assert "one line" in told()


def test_notify_spares_nobody_or_somebody(server: Live, told: Told) -> None:
    both = ["--everyone", "--sender", "s1"]
    assert main(["notify", "--room", "u1", "--url", server.http, *both]) == 2
    assert "exclude one another" in told()


def test_notify_at_the_configured_address(
    server: Live, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SSE_TRIO_AUTHKEY")
    Path("config.json").write_text(json.dumps({"port": server.hub.port, "authkey": [KEY, "old"]}))
    assert main(["notify", "--config", "config.json", "--room", "u1"]) == 0
    assert json.loads(capsys.readouterr().out)["epoch"] == 1


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
def test_notify_over_ipv6(capsys: pytest.CaptureFixture[str]) -> None:
    with live(ipaddr="::1") as server:
        Path("config.json").write_text(json.dumps({"ipaddr": "::1", "port": server.hub.port}))
        assert main(["notify", "--config", "config.json", "--room", "u1"]) == 0


@pytest.mark.parametrize("key", ["schlüssel ☃", "two words", '"quotes"\\'], ids=repr)
def test_notify_with_any_key(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSE_TRIO_AUTHKEY", key)
    with live(authkey=key) as server:
        assert main(["notify", "--url", server.http, "--room", "u1"]) == 0


def test_notify_passes_by_every_proxy(server: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("http_proxy", "all_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:1")
    assert main(["notify", "--url", server.http, "--room", "u1"]) == 0


@pytest.mark.parametrize(
    ("options", "refusal"),
    [
        (["--room", ""], "400 room must have 1 to 256 characters"),
        (["--room", "u1", "--sender", ""], "400 sender must have 1 to 256 characters"),
        (["--room", "u1", "--wait", "10.5"], "400 wait must be from 0 to 10 seconds"),
        (["--room", "u1", "--wait", "-1"], "400 wait must be from 0 to 10 seconds"),
        (["--room", "u1", "--wait", "nan"], "400 NaN and Infinity are not JSON"),
        (["--room", "u1", "--wait", "inf"], "400 NaN and Infinity are not JSON"),
    ],
)
def test_what_the_server_refuses(
    server: Live, told: Told, options: list[str], refusal: str
) -> None:
    assert main(["notify", "--url", server.http, *options]) == 1
    assert told() == f"cannot notify {server.http}: {refusal}"


def test_notify_with_a_wrong_key(server: Live, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSE_TRIO_AUTHKEY", "wrong")
    assert main(["notify", "--url", server.http, "--room", "u1"]) == 1
    assert told() == f"cannot notify {server.http}: 401 a valid key is required"


def test_notify_without_a_key(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSE_TRIO_AUTHKEY")
    assert main(["notify", "--room", "u1"]) == 2
    assert "SSE_TRIO_AUTHKEY" in told()


def test_notify_at_a_port_that_is_any(told: Told) -> None:
    Path("config.json").write_text('{"port": 0}')
    assert main(["notify", "--config", "config.json", "--room", "u1"]) == 2
    assert told() == "--url is required: the configured port is 0, so the system chooses it"


@pytest.mark.parametrize(
    "url",
    [
        *("127.0.0.1:8080", "ws://127.0.0.1", "http://", "http://[::1", "http://h:x"),
        *("http://h:70000", "http://h:0", "http://user:password@h", "http://h/?x", "http://h/#x"),
        *("unix:", "unix", f"http://{'a' * 64}.invalid"),
    ],
)
def test_notify_at_a_wrong_url(told: Told, url: str) -> None:
    assert main(["notify", "--url", url, "--room", "u1"]) == 2
    assert told() == "the hub's URL must look like http://host:port or unix:/path"


def test_notify_where_nobody_listens(told: Told) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    assert main(["notify", "--url", f"http://127.0.0.1:{port}", "--room", "u1"]) == 1
    assert told().endswith("Connection refused")


def test_notify_follows_no_redirect(told: Told) -> None:
    with fake(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}") as (thief, stolen):
        answer = f"HTTP/1.1 307 Go\r\nLocation: {thief}\r\nContent-Length: 0\r\n\r\n"
        with fake(answer.encode()) as (url, asked):
            assert main(["notify", "--url", f"{url}/a b", "--room", "u1"]) == 1
            assert told().startswith(f"cannot notify {url}/a b: 307 ")
    assert asked == [b"POST /a%20b/notify HTTP/1.1\r\n"]
    assert stolen == []


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2p1\r\n",
        b'HTTP/1.1 400 Bad\r\n\r\n{"detail": "two\\nlines \\u001b[31m"}',
        b"HTTP/1.1 501 Unsupported\r\n\r\n<html>no</html>",
        b"HTTP/1.1 400 Bad\r\nContent-Length: 2\r\n\r\n[]",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\n\r\n<html>yes</html>",
        b"HTTP/1.1 200 OK\r\n\r\n\x1b[2J",
    ],
)
def test_notify_at_a_server_that_is_none(told: Told, answer: bytes) -> None:
    with fake(answer) as (url, _):
        assert main(["notify", "--url", url, "--room", "u1"]) == 1
    assert told().startswith(f"cannot notify {url}: ")


def test_a_servers_words_are_escaped(told: Told, capsys: pytest.CaptureFixture[str]) -> None:
    body = {"room": "ä", "said": ORDERS}
    for answer in (json.dumps(body), json.dumps(body, indent=1, ensure_ascii=False)):
        with fake(b"HTTP/1.1 200 OK\r\n\r\n" + answer.encode()) as (url, _):
            assert main(["notify", "--url", url, "--room", "u1"]) == 0
        [line] = capsys.readouterr().out.splitlines()
        assert line.isprintable()
        assert '{"room":"ä","said":"\\u001b[31m \\u007f \\u009b2J ' in line
        assert json.loads(line) == body
    refusal = json.dumps({"detail": f"two\nlines {ORDERS}"})
    with fake(b"HTTP/1.1 400 Bad\r\n\r\n" + refusal.encode()) as (url, _):
        assert main(["notify", "--url", url, "--room", "u1"]) == 1
    line = told()
    assert line.startswith(f"cannot notify {url}: 400 two\\nlines \\u001b[31m \\u007f ")
    assert line.endswith("\\u202e \\u2066 \\ufeff \\udb40\\udc41")
