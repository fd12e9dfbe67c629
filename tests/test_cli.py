"""The command's own logic, in process. `test_process` runs it as its users do."""

import contextlib
import json
import os
import re
import signal
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

import sse_trio
from sse_trio.cli import main

from .support import KEY

DEADLINE = 20


@attrs.frozen
class Live:
    """A server in another thread."""

    hub: sse_trio.Hub
    nursery: trio.Nursery
    token: trio.lowlevel.TrioToken

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.hub.port}"

    @property
    def ws(self) -> str:
        return f"ws://127.0.0.1:{self.hub.port}/ws"

    def soon(self, function: Callable[..., Any], *arguments: object) -> None:
        """Start a task over there."""
        start = partial(self.nursery.start_soon, function, *arguments)
        trio.from_thread.run_sync(start, trio_token=self.token)


@contextlib.contextmanager
def live(**settings: Any) -> Iterator[Live]:
    """Run a server in a thread, because `main` has a loop of its own."""
    config = sse_trio.Config(**{"port": 0, "authkey": KEY, "linger": 0.1, **settings})
    ready: Future[Live] = Future()

    async def run() -> None:
        async with trio.open_nursery() as nursery:
            hub = await nursery.start(partial(sse_trio.serve, config))
            ready.set_result(Live(hub, nursery, trio.lowlevel.current_trio_token()))

    thread = threading.Thread(target=trio.run, args=(run,))
    thread.start()
    server = ready.result(DEADLINE)
    try:
        yield server
    finally:
        with contextlib.suppress(trio.RunFinishedError):
            trio.from_thread.run_sync(server.hub.drain, trio_token=server.token)
        thread.join(DEADLINE)
        assert not thread.is_alive()


@pytest.fixture
def server() -> Iterator[Live]:
    with live() as server:
        yield server


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in an empty directory, with the key in the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SSE_TRIO_AUTHKEY", KEY)


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """Return the one line on standard error; there is nothing on standard output."""

    def told() -> str:
        out, err = capsys.readouterr()
        assert out == ""
        assert KEY not in err
        [line] = err.splitlines()
        assert line.startswith("sse-trio: ")
        assert line.isprintable()
        return line.removeprefix("sse-trio: ")

    return told


Told = Callable[[], str]


# -- the command line -------------------------------------------------------------------


@pytest.mark.parametrize("command", ["serve", "notify", "watch", "keygen"])
def test_every_help_has_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main([command, "--help"])
    assert done.value.code == 0
    assert re.search(rf"example:\n  sse-trio {command}\b", capsys.readouterr().out)


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main(["--version"])
    assert done.value.code == 0
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*\n", capsys.readouterr().out)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["notify"],
        ["notify", "--room", "u1", "--wait", "long"],
        ["notify", "--room", "u1", "--key", "secret"],
        ["notify", "--room", "\udcff"],
        ["watch", "--room", "u1"],
        ["serve", "--port", "http"],
        ["serve", "--log-level", "loud"],
    ],
    ids=str,
)
def test_wrong_arguments(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main(arguments)
    assert done.value.code == 2
    assert "usage: sse-trio" in capsys.readouterr().err


def test_keygen(capsys: pytest.CaptureFixture[str]) -> None:
    keys = []
    for _ in range(2):
        assert main(["keygen"]) == 0
        keys.append(capsys.readouterr().out)
        assert re.fullmatch(r"[\w-]{43}\n", keys[-1])
    assert keys[0] != keys[1]


# -- serve ------------------------------------------------------------------------------


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


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


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


# -- notify -----------------------------------------------------------------------------


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


def test_notify_spares_nobody_or_somebody(server: Live, told: Told) -> None:
    both = ["--everyone", "--sender", "s1"]
    assert main(["notify", "--room", "u1", "--url", server.http, *both]) == 2
    assert "exclude one another" in told()


def test_watch_joins_with_a_ticket_from_the_environment(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSE_TRIO_AUTHKEY", KEY)
    with live(join="ticket") as server:
        assert main(["notify", "--room", "u1", "--sender", "s1", "--url", server.http]) == 0
        ticket = json.loads(capsys.readouterr().out)["ticket"]
        assert main(["notify", "--room", "u1", "--sender", "s2", "--url", server.http]) == 0
        capsys.readouterr()
        monkeypatch.setenv("SSE_TRIO_TICKET", ticket)
        assert main(["watch", "--url", server.ws]) == 0
        assert json.loads(capsys.readouterr().out)["type"] == "terminate"


def test_watch_needs_a_room_or_a_ticket(told: Told) -> None:
    assert main(["watch", "--url", "ws://127.0.0.1:1/ws"]) == 2
    assert "SSE_TRIO_TICKET" in told()


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
    ],
)
def test_notify_at_a_wrong_url(told: Told, url: str) -> None:
    assert main(["notify", "--url", url, "--room", "u1"]) == 2
    assert told() == "--url must look like http://host:port"


def test_notify_where_nobody_listens(told: Told) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    assert main(["notify", "--url", f"http://127.0.0.1:{port}", "--room", "u1"]) == 1
    assert told().endswith("Connection refused")


def test_notify_at_a_name_that_cannot_be_one(told: Told) -> None:
    assert main(["notify", "--url", f"http://{'a' * 64}.invalid", "--room", "u1"]) == 1
    assert told().startswith("cannot notify http://aaa")


@contextlib.contextmanager
def fake(answer: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """Run a server that gives `answer` to everything; yield its URL and what it was asked."""
    asked = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            asked.append(self.rfile.readline())
            self.wfile.write(answer)
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_WR)
            self.rfile.read()

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", asked
        finally:
            server.shutdown()
            thread.join(DEADLINE)


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


# What ends a line or a string of orders, is an order by itself, or turns what follows around.
ORDERS = "\x1b[31m \x7f \x9b2J \x85 \u2028 \u202e \u2066 \ufeff \U000e0041"


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


# -- watch ------------------------------------------------------------------------------


async def when_joined(hub: sse_trio.Hub, then: Callable[[], Any]) -> None:
    """Call `then` once somebody has joined."""
    with trio.fail_after(DEADLINE):
        while not hub.statistics().members:  # noqa: ASYNC110 - the hub tells nobody
            await trio.sleep(0.001)
    then()


def test_watch_until_terminated(server: Live, capsys: pytest.CaptureFixture[str]) -> None:
    def login() -> None:
        server.nursery.start_soon(partial(server.hub.notify, "u1", sender="s2"))

    server.soon(when_joined, server.hub, login)
    assert main(["watch", "--url", server.ws, "--room", "u1", "--session", "s1"]) == 0
    out, err = capsys.readouterr()
    assert [json.loads(line)["type"] for line in out.splitlines()] == ["joined", "terminate"]
    assert err == ""


def test_what_a_page_would_be_told_is_escaped(
    server: Live, capsys: pytest.CaptureFixture[str]
) -> None:
    detail = {"device": ORDERS, ORDERS: "ä"}

    def login() -> None:
        server.nursery.start_soon(partial(server.hub.notify, "u1", sender="s2", detail=detail))

    server.soon(when_joined, server.hub, login)
    assert main(["watch", "--url", server.ws, "--room", "u1"]) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.isprintable()
    assert json.loads(line)["detail"] == detail
    assert '"ä"' in line


def test_watch_until_interrupted(server: Live, capsys: pytest.CaptureFixture[str]) -> None:
    server.soon(when_joined, server.hub, lambda: os.kill(os.getpid(), signal.SIGINT))
    assert main(["watch", "--url", server.ws, "--room", "u1"]) == 1
    assert capsys.readouterr().err == ""


def test_watch_until_the_server_goes(server: Live, capsys: pytest.CaptureFixture[str]) -> None:
    server.soon(when_joined, server.hub, server.hub.drain)
    assert main(["watch", "--url", server.ws, "--room", "u1"]) == 1
    assert capsys.readouterr().err == "sse-trio: closed with 1001: the server is shutting down\n"


def test_watch_of_a_room_that_cannot_be(server: Live, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch", "--url", server.ws, "--room", ""]) == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["code"] == 4400
    assert err == "sse-trio: closed with 4400: room must have 1 to 256 characters\n"


def test_watch_at_a_wrong_url(told: Told) -> None:
    assert main(["watch", "--url", "http://127.0.0.1:1/ws", "--room", "u1"]) == 2
    assert told() == "the URL must look like ws://host:port/ws"


def test_watch_where_nobody_listens(told: Told) -> None:
    assert main(["watch", "--url", "ws://127.0.0.1:1/ws", "--room", "u1"]) == 1
    assert told().startswith("closed with 1006: cannot connect: ")


def test_watch_into_a_pipe_that_is_broken(server: Live, capfd: pytest.CaptureFixture[str]) -> None:
    receiver, sender = os.pipe()
    os.close(receiver)
    with open(sender, "w") as broken, contextlib.redirect_stdout(broken):  # noqa: PTH123
        assert main(["watch", "--url", server.ws, "--room", "u1"]) == 1
        broken.write("this goes nowhere, and says nothing")
    assert capfd.readouterr() == ("", "")
