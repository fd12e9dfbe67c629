"""The load generator, `load.c`, compiled and driven.

It runs in a process of its own, and what it reports is raw: nanoseconds, and faults. A fault
makes the run void: `Void` is raised, and no figure comes of it.
"""

import base64
import contextlib
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Self

import attrs

from sse_trio.core.messages import Terminate, encode

from . import machine

HERE = Path(__file__).parent
KEY = "the benchmark's authkey"
ACCEPT = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
FLAGS = ("-Wall", "-Wextra", "-O2")

# Beyond this share of a core the generator may be what is measured.
BUSY = 0.97

HANDSHAKES = 1000
PATIENCE = 20

TERMINATION = encode(Terminate("$R", 0, "login", None)).replace('"epoch":0', '"epoch":$E')
NOTIFY = json.dumps({"room": "$R", "key": KEY, "sender": "$S"}, separators=(",", ":"))


class Void(Exception):
    """What was measured is worth nothing: something was missing, doubled or wrong."""


class NoCompiler(Exception):
    """There is no gcc."""


@attrs.frozen(kw_only=True)
class Dialect:
    """What the members of a server say and expect; the templates of `load.c`.

    A `joined`, `beat` and `answer` may go on after what is expected; a `terminate` may not. A
    `beat` that has a `beat_reply` may also come before `joined`.
    """

    path: str = "/ws"
    greeting: str = ""
    greeting_reply: str = ""
    opened: str = ""
    join: str = '{"type":"join","room":"$R","session":"$S"}'
    joined: str = '{"type":"joined","room":"$R","session":"$S"'
    terminate: str = TERMINATION
    last: str = ""
    """What comes behind it, if anything does."""
    beat: str = '{"type":"heartbeat","time":'
    beat_reply: str = ""
    notify: str = NOTIFY
    answer: str = '{"room":"$R","epoch":$E,"terminated":$T'
    question: str = ""
    """A whole request, of which every one may hold another ``$N``; ``$L`` ends a line."""
    status: str = "HTTP/1.1 200 "
    """How the answer to a question begins."""
    verdict: str = ""
    """And its body."""
    poll: str = ""
    """The path of the requests with which a member begins, if it does; its id comes behind."""
    taken: str = "ok"
    """The answer to a POST."""
    probe: str = ""
    """What is sent to try a WebSocket; without it, a member that has begun by requests stays so."""
    probed: str = "3probe"
    """Its answer."""
    nothing: str = "6"
    """The answer to the GET that is open meanwhile."""
    gone_over: str = "5"
    """What is sent then: from now on the WebSocket is used alone."""


PLAIN = Dialect()

SOCKET_IO = Dialect(
    path="/socket.io/?EIO=4&transport=websocket",
    greeting='0{"sid":"',
    greeting_reply="40",
    opened='40{"sid":',
    join='42["join",{"type":"join","room":"$R","session":"$S"}]',
    joined='42["joined",{"type":"joined","room":"$R","session":"$S"',
    terminate=f'42["terminate",{TERMINATION}]',
    beat="2",
    beat_reply="3",
)
"""Engine.IO 4 over WebSocket, Socket.IO 5: their own framing and heartbeats."""

POLLING = attrs.evolve(SOCKET_IO, poll="/socket.io/?EIO=4&transport=polling")
"""The same by requests alone."""

DEFAULT = attrs.evolve(POLLING, probe="2probe")
"""As clients do if they are told nothing: by requests, and then over to a WebSocket."""


def cache() -> Path:
    """Return the directory for what is compiled."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    directory = Path(base) / "sse_trio-bench"
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def compiled(source: Path) -> Path:
    """Compile a C program, if this version of it has not been; return the program.

    Raises:
        NoCompiler: there is no gcc.
    """
    gcc = shutil.which("gcc")
    if gcc is None:
        raise NoCompiler("the benchmarks need gcc, for their load generator: apt-get install gcc")
    version = hashlib.sha256(" ".join(FLAGS).encode() + source.read_bytes()).hexdigest()[:16]
    program = cache() / f"{source.stem}-{version}"
    if not program.exists():
        unfinished = program.with_suffix(f".{os.getpid()}")
        subprocess.run([gcc, *FLAGS, "-o", unfinished, source], check=True)  # noqa: S603
        unfinished.rename(program)
    return program


@attrs.frozen
class Load:
    """A running load generator."""

    process: subprocess.Popen[str]

    @classmethod
    @contextlib.contextmanager
    def running(
        cls, port: int, http_port: int, dialect: Dialect, *, patience: float = PATIENCE
    ) -> Iterator[Self]:
        """Start one, for the server at these ports of the loopback interface.

        What is due and has not come within `patience` seconds is missing.
        """
        program = compiled(HERE / "load.c")
        with subprocess.Popen(  # noqa: S603
            [program, str(port), str(http_port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            machine.keep_apart(process.pid, generator=True)
            load = cls(process)
            try:
                load.speak(dialect)
                load._tell(f"set patience {patience}")
                for _ in range(HANDSHAKES):
                    key = base64.b64encode(os.urandom(16)).decode()
                    digest = hashlib.sha1(f"{key}{ACCEPT}".encode()).digest()  # noqa: S324
                    load._tell(f"set key {key} {base64.b64encode(digest).decode()}")
                yield load
            finally:
                process.kill()
                with contextlib.suppress(BrokenPipeError):  # what it did not read any more
                    load.input.close()

    @property
    def input(self) -> IO[str]:
        """Where it is told what to do."""
        assert self.process.stdin is not None
        return self.process.stdin

    def speak(self, dialect: Dialect) -> None:
        """Say and expect this from now on."""
        for name, value in attrs.asdict(dialect).items():
            self._tell(f"set {name} {value}")

    def _tell(self, line: str) -> None:
        self.input.write(line + "\n")

    def do(self, command: str, **arguments: float) -> dict[str, Any]:
        """Carry out a command; return what came of it.

        Raises:
            Void: something was missing, doubled or wrong.
        """
        assert self.process.stdout is not None
        words = [command, *(f"{name}={value}" for name, value in arguments.items())]
        with contextlib.suppress(BrokenPipeError):
            self._tell(" ".join(words))
            self.input.flush()
        line = self.process.stdout.readline()
        if not line.endswith("\n"):
            raise Void(f"the load generator ended during {command}")
        found: dict[str, Any] = json.loads(line)
        check(found)
        return found


def check(found: dict[str, Any]) -> None:
    """Raise `Void` if a report tells of a fault."""
    faults = {kind: count for kind, count in found["faults"].items() if count}
    if faults:
        counts = ", ".join(f"{count} {kind}" for kind, count in faults.items())
        raise Void(f"{found['command']}: {counts}; first: {found['fault']}")
