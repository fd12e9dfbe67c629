"""The demo as a process, and a browser that has only what a test needs of one."""

import http.client
import json
import re
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import attrs

from sse_trio.cli import main
from sse_trio.demo.users import PEOPLE

from ..browser.forked import DEADLINE, Forked, start
from ..support import keep_cookies

ROOT = Path(__file__).parents[2]

PASSWORDS = {person.user.id: person.password for person in PEOPLE}

_READY = re.compile(r"^demo on (http://\S+:(\d+))$")

Command = Callable[[list[str]], int | None]


def sse_trio_demo(options: list[str]) -> int:
    """Do as the command does."""
    return main(["demo", *options])


@attrs.define(eq=False)
class DemoProcess:
    """``sse-trio demo``, or what does as it does, on ports of the system's choice."""

    directory: Path
    command: Command = sse_trio_demo
    port: int = 0
    output: str = ""
    """All that it has printed, once it has ended."""
    _process: Forked | None = None

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def _file(self) -> Path:
        return self.directory / "demo.log"

    @property
    def log(self) -> str:
        return self._file.read_text()

    def start(self, *options: str) -> None:
        options = ("--port", str(self.port), "--hub-port", "0", *options)
        self._process = start(partial(self.command, [*options]), self.directory, self._file)
        found = _READY.match(self.line())
        assert found, self.log
        self.port = int(found[2])

    def line(self) -> str:
        """Wait for one more line of output."""
        assert self._process is not None
        line = self._process.output.readline()
        self.output += line
        return line

    def move(self, minutes: float) -> None:
        """Put the clock of `shifted` forward."""
        assert self._process is not None
        self._process.say(f"{60 * minutes}")
        assert self.line() == "moved\n"

    def end(self, how: signal.Signals = signal.SIGTERM) -> int | None:
        """End the process; return its status, or 0 if it has been ended before.

        `shifted` ends with its input.
        """
        if self._process is None:
            return 0
        if self.command is sse_trio_demo:
            self._process.signal(how)
        status = self._process.ends()
        self.output += self._process.output.read()
        self._process.close()
        self._process = None
        return status


@attrs.frozen
class Answer:
    """A whole answer."""

    status: int
    headers: http.client.HTTPMessage = attrs.field(repr=False)
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@attrs.define
class Client:
    """Keeps cookies, and sends the CSRF token where a test does not say otherwise."""

    port: int
    cookies: dict[str, str] = attrs.Factory(dict)

    @property
    def csrf(self) -> str:
        return parse_qs(self.cookies.get("nr2Users", "")).get("crf", [""])[0]

    def get(self, path: str, **headers: str) -> Answer:
        return self.request("GET", path, None, **headers)

    def post(self, path: str, value: object, **headers: str) -> Answer:
        """POST as the pages' script does."""
        fields = {"Content_Type": "application/json", "X_CSRF_Token": self.csrf} | headers
        return self.request("POST", path, json.dumps(value).encode(), **fields)

    def login(self, user: str = "ada", *, remember: bool = False, **members: object) -> Answer:
        asked = {"user": user, "password": PASSWORDS.get(user, ""), "remember": remember}
        return self.post("/login", asked | members)

    def request(self, method: str, path: str, body: bytes | None, **headers: str) -> Answer:
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.cookies:
            fields["Cookie"] = "; ".join("=".join(pair) for pair in self.cookies.items())
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)
        try:
            connection.request(method, path, body, fields)
            response = connection.getresponse()
            answer = Answer(response.status, response.headers, response.read())
        finally:
            connection.close()
        keep_cookies(self.cookies, answer.headers.get_all("Set-Cookie", []))
        return answer
