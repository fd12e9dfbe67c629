"""The command as its users run it: real processes, real signals, real time."""

import contextlib
import http.client
import json
import os
import resource
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from wsproto.connection import Connection, ConnectionType
from wsproto.events import TextMessage

import sse_trio
from sse_trio.core.messages import Joined

from .processes import DEADLINE, KEY, Run, Serve, Server, write_config
from .support import HANDSHAKE

JSON = {"Content-Type": "application/json"}


@attrs.define(eq=False)
class Mute:
    stream: trio.SocketStream
    connection: Connection = attrs.Factory(partial(Connection, ConnectionType.CLIENT))

    async def say(self, message: dict[str, Any]) -> None:
        await self.stream.send_all(self.connection.send(TextMessage(data=json.dumps(message))))

    async def hears(self, text: bytes) -> None:
        heard = b""
        with trio.fail_after(DEADLINE):
            while text not in heard:
                data = bytes(await self.stream.receive_some())
                assert data, heard
                heard += data


@contextlib.asynccontextmanager
async def mute_member(server: Server, room: str, session: str) -> AsyncIterator[Mute]:
    """Join and from then on say nothing, not even in answer to a close."""
    async with await trio.open_tcp_stream("127.0.0.1", server.port) as stream:
        member = Mute(stream)
        await stream.send_all(HANDSHAKE)
        await member.hears(b"\r\n\r\n")
        await member.say({"type": "join", "room": room, "session": session})
        await member.hears(b'"joined"')
        yield member


# -- serve ------------------------------------------------------------------------------


async def test_the_printed_curl_line_works(serve: Serve) -> None:
    server = await serve()
    printed = (await server.program.out.line(r"^  (curl .*)$"))[1]
    command = [word.replace("KEY", KEY) for word in shlex.split(printed)]
    with trio.fail_after(DEADLINE):
        answer = json.loads(await trio.to_thread.run_sync(post_as, command))
    assert (answer["room"], answer["epoch"], answer["terminated"]) == ("u1", 1, 0)


def post_as(curl: list[str]) -> bytes:
    """Run the command; where there is no curl, do what it says."""
    if shutil.which("curl") or os.environ.get("CI"):
        return subprocess.run(
            [curl[0], "--silent", "--max-time", str(DEADLINE), *curl[1:]],
            check=True,
            capture_output=True,
        ).stdout
    _, url, *options = curl
    pairs = list(zip(options[::2], options[1::2], strict=True))
    headers = dict(value.encode().split(b": ") for option, value in pairs if option == "-H")
    [body] = [value for option, value in pairs if option == "-d"]
    address, slash, path = url.removeprefix("http://").partition("/")
    with contextlib.closing(http.client.HTTPConnection(address, timeout=DEADLINE)) as connection:
        named = {name.decode(): value for name, value in headers.items()}
        connection.request("POST", slash + path, body, named)
        return connection.getresponse().read()


@pytest.fixture
def hangups() -> Iterator[None]:
    """Have commands inherit that a hangup ends them, also where `nohup` runs the tests."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains(serve: Serve, run: Run, number: signal.Signals) -> None:
    server = await serve(linger=DEADLINE, shutdown_grace=DEADLINE)
    async with (
        sse_trio.open_member(server.ws, room="u2") as bystander,
        mute_member(server, "u1", "s1") as terminated,
    ):
        assert isinstance(await anext(bystander), Joined)
        options = ("--sender", "s2", "--wait", "10", "--url", server.http)
        notify = await run("notify", "--config", "config.json", "--room", "u1", *options)
        await terminated.hears(b'"terminate"')
        server.signal(number)
        with trio.fail_after(DEADLINE), pytest.raises(sse_trio.MemberClosed) as closed:
            await anext(bystander)
        assert closed.value.code == 1001
        # The notify is in flight, and so is the acknowledgement that it waits for.
        await terminated.say({"type": "terminated", "epoch": 1})
        assert await notify.ends() == 0
        answer = json.loads(notify.out.text)
        assert (answer["terminated"], answer["acked"], answer["pending"]) == (1, 1, 0)
    assert await server.program.ends() == 0
    await server.program.err.line(f"{number.name}: draining")


async def test_a_second_signal_does_not_wait(serve: Serve) -> None:
    server = await serve(linger=600, shutdown_grace=600)
    async with mute_member(server, "u1", "s1"):
        server.signal(signal.SIGTERM)
        await server.program.err.line("SIGTERM: draining")
        server.signal(signal.SIGINT)
        assert await server.program.ends() == 1
    await server.program.err.line("SIGINT: stopping now")


@pytest.mark.usefixtures("hangups")
async def test_a_hangup_reads_the_configuration_again(serve: Serve, tmp_path: Path) -> None:
    server = await serve()
    new = "the new key that the application has already"
    assert (await server.notify(room="u1", key=new)).status == 401
    async with sse_trio.open_member(server.ws, room="u1", session="s1") as member:
        assert isinstance(await anext(member), Joined)
        write_config(tmp_path, port=0, authkey=["new", 7])
        server.signal(signal.SIGHUP)
        await server.program.err.line("ERROR.* nothing has changed: config.json: authkey must be")
        write_config(tmp_path, port=0, authkey=[new, KEY], ipaddr="::1", max_wrong_keys=5)
        server.signal(signal.SIGHUP)
        line = "changed: authkey, max_wrong_keys; needs a restart: ipaddr"
        await server.program.err.line(f"WARNING.* {line}")
        assert (await server.notify(room="u1", key=new)).status == 200
        answer = (await server.notify(room="u1", sender="s2")).json
        assert (answer["epoch"], answer["terminated"]) == (2, 1)
    server.signal(signal.SIGTERM)
    assert await server.program.ends() == 0
    assert new not in server.program.err.text


@pytest.mark.usefixtures("hangups")
async def test_nohup_is_respected(serve: Serve) -> None:
    server = await serve(prefix=("nohup",))
    server.signal(signal.SIGHUP)
    assert (await server.get("/healthz")).status == 200
    server.signal(signal.SIGTERM)
    assert await server.program.ends() == 0
    await server.program.err.line("SIGTERM: draining")
    assert "SIGHUP" not in server.program.err.text


async def test_the_grace_ends(serve: Serve) -> None:
    server = await serve(linger=600, shutdown_grace=0.05)
    async with mute_member(server, "u1", "s1"):
        server.signal(signal.SIGTERM)
        assert await server.program.ends() == 0


async def test_whoever_answers_outlasts_a_stop(serve: Serve) -> None:
    """Stopped for longer than any silence may last; whoever is silent is dropped all the same."""
    server = await serve(heartbeat_interval=1, heartbeat_timeout=3)
    async with contextlib.AsyncExitStack() as stack:
        members = [
            await stack.enter_async_context(sse_trio.open_member(server.ws, room="u1"))
            for _ in range(3)
        ]
        for member in members:
            assert isinstance(await anext(member), Joined)
        silent = await stack.enter_async_context(mute_member(server, "u2", "s1"))
        server.signal(signal.SIGSTOP)
        await trio.sleep(4)
        server.signal(signal.SIGCONT)
        await silent.hears(b"4408")
        answer = (await server.notify(room="u1", sender=None)).json
        assert answer["terminated"] == 3
    await server.program.err.line("WARNING.*the server was paused for")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"prot": 1}, ["'prot'", "'port'"]),
        ({"heartbeat_intervall": 1}, ["'heartbeat_intervall'", "'heartbeat_interval'"]),
        ({"port": "8080"}, ["port", "a whole number", "a string"]),
        ({"port": 70000}, ["port", "65535"]),
        ({"authkey": 5}, ["authkey"]),
        ({}, ["authkey is required", "SSE_TRIO_AUTHKEY", "keygen"]),
    ],
    ids=str,
)
async def test_a_wrong_configuration(
    run: Run, tmp_path: Path, settings: dict[str, Any], words: list[str]
) -> None:
    write_config(tmp_path, **settings)
    program = await run("serve", "--config", "config.json")
    assert await program.ends() == 2
    assert program.out.text == ""
    [line] = program.err.text.splitlines()
    assert all(word in line for word in words)


async def test_a_port_that_is_taken(run: Run, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        write_config(tmp_path, port=port, authkey=KEY, max_connections=1)
        program = await run("serve", "--config", "config.json")
        assert await program.ends() == 1
    assert program.out.text == ""
    reason = f"sse-trio: cannot listen on 127.0.0.1 port {port}: Address already in use\n"
    assert program.err.text == reason


async def test_the_key_from_the_environment(run: Run) -> None:
    server = await run("serve", "--port", "0", SSE_TRIO_AUTHKEY=KEY)
    address = (await server.out.line(r"listening on (\S+)"))[1]
    notify = await run("notify", "--room", "u1", "--url", address, SSE_TRIO_AUTHKEY=KEY)
    assert await notify.ends() == 0
    assert json.loads(notify.out.text)["epoch"] == 1
    if sys.platform == "linux":
        shown = await trio.Path(f"/proc/{server.process.pid}/cmdline").read_bytes()
        assert KEY.encode() not in shown


async def test_a_key_that_others_may_read_is_warned_of(run: Run, tmp_path: Path) -> None:
    write_config(tmp_path, port=0, authkey=KEY)
    (tmp_path / "config.json").chmod(0o644)
    program = await run("serve", "--config", "config.json", "--log-format", "json")
    line = await program.err.line("holds the authkey")
    assert json.loads(line.string)["level"] == "warning"


async def test_open_mode_is_warned_of(serve: Serve) -> None:
    server = await serve()
    await server.program.err.line(f"WARNING.*open mode.*127.0.0.1 port {server.port}")


async def test_ticket_mode_is_not(serve: Serve) -> None:
    server = await serve(join="ticket", max_connections=1)
    server.signal(signal.SIGTERM)
    assert await server.program.ends() == 0
    assert "open mode" not in server.program.err.text


async def test_open_files(serve: Serve) -> None:
    limits = ("sh", "-c", 'ulimit -Sn 100 && ulimit -Hn 300 && exec "$@"', "sh")
    server = await serve(prefix=limits, max_connections=12345)
    line = (await server.program.err.line("WARNING.*open only.*"))[0]
    assert "12345" in line
    assert "300" in line
    if sys.platform == "linux":
        raised = resource.prlimit(server.program.process.pid, resource.RLIMIT_NOFILE)
        assert raised == (300, 300)


def test_a_log_that_nobody_reads(tmp_path: Path) -> None:
    """Standard error is a pipe, and full before the first line."""
    write_config(tmp_path, port=0, authkey=KEY)
    read, write = os.pipe()
    os.set_blocking(write, False)
    with contextlib.suppress(BlockingIOError):
        while os.write(write, bytes(4096)):
            pass
    os.set_blocking(write, True)
    command = [sys.executable, "-m", "sse_trio", "serve", "--config", "config.json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=write, cwd=tmp_path) as process:
        os.close(write)
        try:
            assert process.stdout is not None
            assert select.select([process.stdout], [], [], DEADLINE)[0]
            port = int(process.stdout.readline().split(b":")[2].split()[0])
            for _ in range(3):
                with contextlib.closing(
                    http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
                ) as connection:
                    connection.request("POST", "/notify", '{"room":"u1"}', JSON)
                    assert connection.getresponse().status == 401
            process.terminate()
            assert process.wait(DEADLINE) == 0
        finally:
            process.kill()
            os.close(read)


async def test_json_logs(serve: Serve, run: Run) -> None:
    server = await serve("--log-format", "json", "--log-level", "debug")
    wrong = await run("notify", "--room", "u1", "--url", server.http, SSE_TRIO_AUTHKEY="wrong")
    assert await wrong.ends() == 1
    server.signal(signal.SIGTERM)
    assert await server.program.ends() == 0
    lines = [json.loads(line) for line in server.program.err.text.splitlines()]
    assert all(line.keys() == {"time", "level", "logger", "message"} for line in lines)
    told = [(line["level"], line["message"]) for line in lines if line["logger"] == "sse_trio"]
    assert ("warning", "a request from 127.0.0.1 had a wrong or no key") in told
    assert ("info", "SIGTERM: draining") in told


# -- watch and notify -------------------------------------------------------------------


async def test_watch_ends_with_a_termination(serve: Serve, run: Run) -> None:
    server = await serve()
    watch = await run("watch", "--url", server.ws, "--room", "u1", "--session", "s1")
    await watch.out.line('"joined"')
    options = ("--sender", "s2", "--wait", "10", "--url", server.http)
    notify = await run("notify", "--config", "config.json", "--room", "u1", *options)
    assert await notify.ends() == 0
    assert json.loads(notify.out.text)["acked"] == 1
    assert await watch.ends() == 0
    assert watch.err.text == ""
    joined, terminate = map(json.loads, watch.out.text.splitlines())
    assert (joined["type"], joined["session"]) == ("joined", "s1")
    assert (terminate["type"], terminate["epoch"]) == ("terminate", 1)


async def test_watch_ends_with_a_shutdown(serve: Serve, run: Run) -> None:
    server = await serve()
    watch = await run("watch", "--url", server.ws, "--room", "u1")
    await watch.out.line('"joined"')
    server.signal(signal.SIGTERM)
    assert await watch.ends() == 1
    assert watch.err.text == "sse-trio: closed with 1001: the server is shutting down\n"
    assert await server.program.ends() == 0


async def test_watch_is_interrupted(serve: Serve, run: Run) -> None:
    server = await serve()
    watch = await run("watch", "--url", server.ws, "--room", "u1")
    await watch.out.line('"joined"')
    watch.process.send_signal(signal.SIGINT)
    assert await watch.ends() == 1
    assert watch.err.text == ""


async def test_watch_into_a_pipe_that_breaks(serve: Serve, run: Run) -> None:
    server = await serve(heartbeat_interval=0.05)
    watch = await run("watch", "--url", server.ws, "--room", "u1")
    await watch.out.line('"joined"')
    assert watch.process.stdout is not None
    await watch.process.stdout.aclose()
    assert await watch.ends() == 1
    assert watch.err.text == ""


async def test_notify_is_refused(serve: Serve, run: Run) -> None:
    server = await serve()
    too_long = ("--wait", "11", "--url", server.http)
    notify = await run("notify", "--config", "config.json", "--room", "u1", *too_long)
    assert await notify.ends() == 1
    assert notify.out.text == ""
    [line] = notify.err.text.splitlines()
    assert "400 wait must be from 0 to 10 seconds" in line


async def test_notify_without_a_key(run: Run) -> None:
    notify = await run("notify", "--room", "u1")
    assert await notify.ends() == 2
    [line] = notify.err.text.splitlines()
    assert "SSE_TRIO_AUTHKEY" in line
