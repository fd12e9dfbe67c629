"""The demo as a process, and a browser that has only what a test needs of one."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import attrs

from sse_trio.demo.users import PEOPLE

from ..browser.processes import DEADLINE
from ..support import keep_cookies

ROOT = Path(__file__).parents[2]

PASSWORDS = {person.user.id: person.password for person in PEOPLE}

_READY = re.compile(r"^demo on (http://\S+:(\d+))$")

COMMAND = ("sse_trio", "demo")
SHIFTED = ("tests.demo.shifted",)


@attrs.define(eq=False)
class DemoProcess:
    """``sse-trio demo``, or a module that does as it does, on ports of the system's choice."""

    directory: Path
    command: tuple[str, ...] = COMMAND
    port: int = 0
    output: str = ""
    """All that it has printed, once it has ended."""
    _process: subprocess.Popen[str] | None = None

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self.directory / "demo.log").read_text()

    def start(self, *options: str) -> None:
        options = ("--port", str(self.port), "--hub-port", "0", *options)
        with (self.directory / "demo.log").open("a") as stderr:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    *self.command,
                    *(options if self.command == COMMAND else ()),
                ],
                cwd=self.directory,
                env=os.environ | {"PYTHONPATH": str(ROOT)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )
        found = _READY.match(self.line())
        assert found, self.log
        self.port = int(found[2])

    def line(self) -> str:
        """Wait for one more line of output."""
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        self.output += line
        return line

    def move(self, minutes: float) -> None:
        """Put the clock of `SHIFTED` forward."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(f"{60 * minutes}\n")
        self._process.stdin.flush()
        assert self.line() == "moved\n"

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End the process; return its status, or 0 if it has been ended before.

        `SHIFTED` ends with its input.
        """
        if self._process is None:
            return 0
        if self.command == COMMAND:
            self._process.send_signal(how)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(DEADLINE)
        self.output += self._process.stdout.read()
        self._process.stdout.close()
        status, self._process = self._process.returncode, None
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
