"""What tests of the command share: running processes, and what they have written.

Nothing sleeps: a test waits for a line of output, a frame, or an end, and no longer than
`DEADLINE` seconds for any of them. What is still running when a test ends is killed.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import h11
import pytest
import trio

from .support import Response, read_response

DEADLINE = 20

# What a password generator might come up with, and what breaks naive quoting and headers.
KEY = "Hkn\"Yh/u7 6'2$yh\\di<4-schlüssel-☃"

HOST = ("Host", "test")


@attrs.define(eq=False)
class Output:
    """What a process has written so far."""

    data: bytes = b""
    over: bool = False
    _more: trio.Event = attrs.Factory(trio.Event)

    async def read(self, stream: trio.abc.ReceiveStream) -> None:
        with contextlib.suppress(trio.ClosedResourceError):  # by a test that has enough
            async for data in stream:
                self.data += data
                self._more.set()
                self._more = trio.Event()
        self.over = True
        self._more.set()

    @property
    def text(self) -> str:
        return self.data.decode()

    async def line(self, pattern: str) -> re.Match[str]:
        """Wait for a line that `pattern` is found in."""
        with trio.fail_after(DEADLINE):
            while True:
                for line in self.text.splitlines(keepends=True):
                    if line.endswith("\n") and (found := re.search(pattern, line)):
                        return found
                assert not self.over, self.text
                await self._more.wait()


@attrs.define(eq=False)
class Program:
    """A running command."""

    process: trio.Process
    out: Output = attrs.Factory(Output)
    err: Output = attrs.Factory(Output)
    closed: trio.Event = attrs.Factory(trio.Event)
    """Set when both outputs have ended."""

    async def read(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.out.read, self.process.stdout)
            nursery.start_soon(self.err.read, self.process.stderr)
        self.closed.set()

    async def ends(self) -> int:
        """Wait for the end; return the exit status."""
        with trio.fail_after(DEADLINE):
            await self.closed.wait()
            return await self.process.wait()


Run = Callable[..., Awaitable[Program]]


@pytest.fixture
async def run(nursery: trio.Nursery, tmp_path: Path) -> AsyncIterator[Run]:
    """``program = await run("serve", ...)``: the command, in a directory of its own."""
    started = []

    async def kill(process: trio.Process) -> None:
        process.kill()

    async def run(*arguments: str, prefix: tuple[str, ...] = (), **env: str) -> Program:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("SSE_TRIO_")}
        command = [*prefix, sys.executable, "-m", "sse_trio", *arguments]
        assert KEY not in "".join(command)
        process: trio.Process = await nursery.start(
            partial(
                trio.run_process,
                command,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                check=False,
                deliver_cancel=kill,
                cwd=tmp_path,
                env=inherited | env,
            )
        )
        program = Program(process)
        nursery.start_soon(program.read)
        started.append(program)
        return program

    yield run
    for program in started:
        for told in (program.out.text, program.err.text):
            assert KEY not in told
            assert json.dumps(KEY).strip('"') not in told
            assert "Traceback" not in told


@attrs.frozen
class Server:
    """A ``serve`` that listens."""

    program: Program
    port: int

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws"

    def signal(self, number: signal.Signals) -> None:
        self.program.process.send_signal(number)

    async def get(self, path: str) -> Response:
        """Ask for a page, on a connection of its own."""
        return await self._request(h11.Request(method="GET", target=path, headers=[HOST]))

    async def notify(self, **members: Any) -> Response:
        """POST a notify, on a connection of its own."""
        body = json.dumps({"key": KEY, **members}).encode()
        fields = [HOST, ("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        return await self._request(
            h11.Request(method="POST", target="/notify", headers=fields), h11.Data(data=body)
        )

    async def _request(self, *events: h11.Event) -> Response:
        http = h11.Connection(h11.CLIENT)
        sent = [http.send(event) or b"" for event in (*events, h11.EndOfMessage())]
        with trio.fail_after(DEADLINE):
            async with await trio.open_tcp_stream("127.0.0.1", self.port) as stream:
                await stream.send_all(b"".join(sent))
                return await read_response(stream, http)


Serve = Callable[..., Awaitable[Server]]


@pytest.fixture
async def serve(run: Run, tmp_path: Path) -> Serve:
    """``server = await serve(linger=1, ...)``: configured so, and listening."""

    async def serve(*arguments: str, prefix: tuple[str, ...] = (), **settings: Any) -> Server:
        write_config(tmp_path, port=0, authkey=KEY, **settings)
        program = await run("serve", "--config", "config.json", *arguments, prefix=prefix)
        found = await program.out.line(r"^listening on http://127\.0\.0\.1:(\d+) and ws://\S+/ws$")
        return Server(program, int(found[1]))

    return serve


def write_config(where: Path, **settings: Any) -> None:
    file = where / "config.json"
    file.write_text(json.dumps(settings))
    file.chmod(0o600)
