"""Between an application and its hub: can hold the answer to a login back."""

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import attrs

from ..browser.processes import DEADLINE

PASSED_ON = ("Content-Type", "Authorization", "Retry-After")


@attrs.define(eq=False)
class Relay:
    """Passes questions and answers on."""

    hub: int
    port: int = 0
    _hold: threading.Event = attrs.Factory(threading.Event)
    _is_held: threading.Event = attrs.Factory(threading.Event)
    _go_on: threading.Event = attrs.Factory(threading.Event)

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def hold(self) -> None:
        """Keep the next answer to a notify until `go_on`."""
        self._is_held.clear()
        self._go_on.clear()
        self._hold.set()

    def wait_until_held(self) -> None:
        assert self._is_held.wait(DEADLINE)

    def go_on(self) -> None:
        self._hold.clear()
        self._go_on.set()

    @contextmanager
    def running(self) -> Iterator[None]:
        relay = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: object) -> None:
                pass

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                told = {name: self.headers[name] for name in PASSED_ON if name in self.headers}
                with closing(HTTPConnection("127.0.0.1", relay.hub, timeout=DEADLINE)) as hub:
                    try:
                        hub.request("POST", self.path, body, told)
                        answer = hub.getresponse()
                        content = answer.read()
                    except (OSError, HTTPException):  # the hub is away, and so is this
                        self.close_connection = True
                        return
                if self.path == "/notify" and relay._hold.is_set():
                    relay._hold.clear()
                    relay._is_held.set()
                    relay._go_on.wait(DEADLINE)
                self.send_response(answer.status)
                for name in PASSED_ON:
                    if name in answer.headers:
                        self.send_header(name, answer.headers[name])
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, request: object, client_address: object) -> None:
                pass  # the application has given up

        with Server(("127.0.0.1", 0), Handler) as server:
            self.port = server.server_address[1]
            thread = threading.Thread(target=server.serve_forever, args=(0.05,))
            thread.start()
            try:
                yield
            finally:
                server.shutdown()
                thread.join(DEADLINE)
