"""What the browser tests run beside the browser: the hub as a process, and a site.

Playwright's loop is in the way of Trio's, so these are plain and blocking, and have a
deadline each.
"""

import contextlib
import json
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import attrs

from sse_trio.cli import main

from . import forked

KEY = "a key of the browser's tests"

DEADLINE = forked.DEADLINE

_LISTENING = re.compile(r"^listening on http://127\.0\.0\.1:(\d+) and")
_INTERNAL = re.compile(r"^internal requests on 127\.0\.0\.1:(\d+)$")


@attrs.define(eq=False)
class HubProcess:
    """``sse-trio serve`` on ports that stay the same when it is started again.

    With `is_split`, there is an internal one.
    """

    directory: Path
    settings: dict[str, Any]
    port: int = 0
    is_split: bool = False
    internal_port: int = 0
    _process: forked.Forked | None = None

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def internal(self) -> str:
        """Where the REST API is."""
        return f"http://127.0.0.1:{self.internal_port}" if self.is_split else self.origin

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws"

    @property
    def client(self) -> str:
        return f"{self.origin}/client.js"

    def start(self) -> None:
        settings = {"authkey": KEY, "port": self.port, **self.settings}
        if self.is_split:
            settings["internal"] = f"127.0.0.1:{self.internal_port}"
        (self.directory / "config.json").write_text(json.dumps(settings))
        log = self.directory / "serve.log"
        command = partial(main, ["serve", "--config", "config.json"])
        self._process = forked.start(command, self.directory, log)
        found = _LISTENING.match(self._process.output.readline())
        assert found, log.read_text()
        self.port = int(found[1])
        if self.is_split:
            found = _INTERNAL.match(self._process.output.readline())
            assert found, log.read_text()
            self.internal_port = int(found[1])

    def end(self, how: signal.Signals = signal.SIGKILL) -> None:
        """End the process, and wait until its port is free."""
        if self._process is not None:
            self._process.signal(how)
            self._process.ends()
            self._process.close()
            self._process = None

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """For a while it takes connections, and answers nothing."""
        assert self._process is not None
        self._process.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.signal(signal.SIGCONT)

    def notify(self, **members: Any) -> dict[str, Any]:
        """POST a notify; it must be answered 200."""
        return self.post("/notify", **members)

    def post(self, path: str, **members: Any) -> dict[str, Any]:
        body = json.dumps({"key": KEY, **members}).encode()
        request = urllib.request.Request(
            self.internal + path, body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=DEADLINE) as response:
            answer: dict[str, Any] = json.load(response)
            return answer

    def members(self) -> int:
        """How many members the hub has now."""
        with urllib.request.urlopen(f"{self.internal}/metrics", timeout=DEADLINE) as response:
            found = re.search(rb"^sse_trio_members (\d+)", response.read(), re.MULTILINE)
        assert found
        return int(found[1])


@attrs.frozen
class Posted:
    """What a page has POSTed."""

    path: str
    headers: dict[str, str]
    body: str


@attrs.define(eq=False)
class Site:
    """The application's web server: pages as they are given, and a record of what is POSTed."""

    port: int
    pages: dict[str, tuple[str, bytes, dict[str, str]]] = attrs.Factory(dict)
    posted: list[Posted] = attrs.Factory(list)

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def page(self, path: str, html: str, **headers: str) -> str:
        """Serve `html` at `path`, and return its address."""
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        self.pages[path] = ("text/html; charset=utf-8", html.encode(), fields)
        return self.origin + path


@contextmanager
def run_site() -> Iterator[Site]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = DEADLINE

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            missing = ("text/plain", b"nothing is at this path", dict[str, str]())
            content_type, body, headers = site.pages.get(path, missing)
            self.send_response(200 if path in site.pages else 404)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            site.posted.append(Posted(self.path, dict(self.headers), body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        site = Site(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield site
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def run_server(command: list[str], port: int) -> Iterator[None]:
    """Run a server in the foreground until it listens, and end it afterwards."""
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    with subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL) as process:
        try:
            for _ in range(20 * DEADLINE):
                with contextlib.suppress(OSError):
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                assert process.poll() is None
                time.sleep(0.05)
            yield
        finally:
            process.terminate()


def shut(end: socket.socket) -> None:
    """End a connection, unless it has ended."""
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)


@attrs.define(eq=False)
class Cable:
    """A TCP proxy. `unplug` leaves what is connected open, and silent for ever."""

    port: int
    websockets: str | float = "pass"
    """What becomes of a new WebSocket: "pass"; "refused"; "silence", from its beginning or once it
    is "open"; or after how many seconds it is cut."""
    pairs: list[tuple[socket.socket, socket.socket]] = attrs.Factory(list)
    dead: set[socket.socket] = attrs.Factory(set)

    def unplug(self) -> None:
        self.dead.update(end for pair in self.pairs for end in pair)

    def admit(self, near: socket.socket, far: socket.socket) -> None:
        """Do to a WebSocket what is done to them, and pass on what comes from `near`."""
        with contextlib.suppress(OSError):
            first = near.recv(65536)
            fate = self.websockets  # a test may change it at any moment
            if not first.startswith(b"GET /ws ") or fate == "pass":
                far.sendall(first)
                self.carry(near, far)
            elif fate == "refused":
                shut(near)
            elif fate == "silence":
                self.dead |= {near, far}
                self.carry(near, far)
            elif fate == "open":
                far.sendall(first)
                self.dead.add(near)
                self.carry(near, far)
            else:
                assert isinstance(fate, float)
                far.sendall(first)
                timer = threading.Timer(fate, shut, [near])
                timer.start()
                self.carry(near, far)
                timer.cancel()

    def carry(self, near: socket.socket, far: socket.socket) -> None:
        """Pass on what comes from `near`, until its end."""
        with contextlib.suppress(OSError):
            while data := near.recv(65536):
                if near not in self.dead:
                    far.sendall(data)
            if near not in self.dead:
                far.shutdown(socket.SHUT_WR)


@contextmanager
def run_cable(port: int) -> Iterator[Cable]:
    """Lead to `port` on this machine."""
    threads = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        cable = Cable(listener.getsockname()[1])

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    near, _ = listener.accept()
                    far = socket.create_connection(("127.0.0.1", port))
                    cable.pairs.append((near, far))
                    for carry, *pair in ((cable.admit, near, far), (cable.carry, far, near)):
                        threads.append(threading.Thread(target=carry, args=pair))
                        threads[-1].start()

        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield cable
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join()
            for pair in cable.pairs:
                for end in pair:
                    shut(end)
            for thread in threads:
                thread.join()
            for pair in cable.pairs:
                for end in pair:
                    end.close()
