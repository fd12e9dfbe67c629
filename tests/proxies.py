"""What the tests of real proxies share: an application, a wire to the hub, and processes."""

import contextlib
import json
import socket
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import h11
import trio

from .support import Response, read_response

DEADLINE = 30


@attrs.define(eq=False)
class Application:
    """Says what it was asked, and how long the body was."""

    port: int = 0
    requests: int = 0

    async def serve(self, *, task_status: trio.TaskStatus[None]) -> None:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.port = listeners[0].socket.getsockname()[1]
        task_status.started()  # from now on the system takes connections
        await trio.serve_listeners(self._handle, listeners)

    async def _handle(self, stream: trio.SocketStream) -> None:
        with contextlib.suppress(trio.BrokenResourceError, h11.RemoteProtocolError):
            async with stream:
                http = h11.Connection(h11.SERVER)
                while await self._answer(stream, http):
                    http.start_next_cycle()

    async def _answer(self, stream: trio.SocketStream, http: h11.Connection) -> bool:
        size, request = 0, None
        while True:
            event = http.next_event()
            if event is h11.NEED_DATA:
                if http.they_are_waiting_for_100_continue:
                    go_on = h11.InformationalResponse(status_code=100, headers=[])
                    await stream.send_all(http.send(go_on) or b"")
                http.receive_data(bytes(await stream.receive_some(65536)))
            elif isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                size += len(event.data)
            elif isinstance(event, h11.EndOfMessage):
                break
            else:
                return False
        assert request is not None
        self.requests += 1
        told = {
            "method": request.method.decode(),
            "target": request.target.decode(),
            "headers": [
                (name.decode(), value.decode("latin-1")) for name, value in request.headers
            ],
            "size": size,
        }
        body = b"" if request.method == b"HEAD" else json.dumps(told).encode()
        fields = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        sent = [
            http.send(h11.Response(status_code=200, headers=fields)),
            http.send(h11.Data(data=body)),
            http.send(h11.EndOfMessage()),
        ]
        await stream.send_all(b"".join(filter(None, sent)))
        return http.our_state is h11.DONE


@attrs.define(eq=False)
class Wire:
    """Between a proxy and the hub: counts connections and keeps what goes to the hub."""

    hub: int
    port: int = 0
    connections: int = 0
    asked: bytes = b""
    """What has gone to the hub, but for what was sent by WebSocket."""
    silent: bool = False
    """Whether nothing comes through any more, as if the hub had frozen."""
    _scope: trio.CancelScope = attrs.Factory(trio.CancelScope)
    _cut: trio.Event = attrs.Factory(trio.Event)

    async def serve(self, *, task_status: trio.TaskStatus[None]) -> None:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.port = listeners[0].socket.getsockname()[1]
        task_status.started()
        with self._scope:
            await trio.serve_listeners(self._handle, listeners)
        self._cut.set()

    async def cut(self) -> None:
        """End all connections, and take no more."""
        self._scope.cancel()
        await self._cut.wait()

    async def _handle(self, proxy: trio.SocketStream) -> None:
        self.connections += 1
        hub = await trio.open_tcp_stream("127.0.0.1", self.hub)
        async with proxy, hub, trio.open_nursery() as nursery:
            nursery.start_soon(self._pass_on, hub, proxy, None)
            await self._pass_on(proxy, hub, self)

    async def _pass_on(
        self, source: trio.SocketStream, to: trio.SocketStream, counter: "Wire | None"
    ) -> None:
        with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            async for data in source:
                if counter:
                    counter.asked += bytes(data)
                if not self.silent:
                    await to.send_all(data)
            await to.send_eof()


def join_by_post(host: str, who: dict[str, str]) -> bytes:
    """Encode the request of a page that cannot use a WebSocket."""
    body = json.dumps({"type": "join", **who})
    head = f"Host: {host}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n\r\n"
    return f"POST /events HTTP/1.1\r\n{head}{body}".encode()


async def hear(stream: trio.abc.Stream, word: str) -> None:
    """Wait until this comes, while the answer goes on."""
    received = b""
    with trio.fail_after(DEADLINE):
        while word.encode() not in received:
            data = await stream.receive_some(65536)
            assert data, received
            received += bytes(data)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def nginx_with(where: Path, servers: str) -> list[str]:
    """Write a configuration with these servers; return the command that starts nginx."""
    temporary = "".join(
        f"{kind}_temp_path {where}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    main = where / "nginx.conf"
    main.write_text(
        "daemon off;\nmaster_process off;\nerror_log stderr;\n"
        f"pid {where}/pid;\nevents {{}}\nhttp {{\naccess_log off;\n{temporary}{servers}}}\n"
    )
    return ["nginx", "-p", str(where), "-e", "stderr", "-c", str(main)]


@asynccontextmanager
async def running(command: list[str], port: int, where: Path, **env: str) -> AsyncIterator[None]:
    """Run a server in the foreground until it listens, and end it afterwards."""
    with (where / "output.txt").open("wb") as output:
        process = await trio.lowlevel.open_process(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=where,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(where), **env},
        )
        try:
            with trio.fail_after(DEADLINE):
                while True:
                    assert process.poll() is None, (where / "output.txt").read_text()
                    with contextlib.suppress(OSError):
                        await (await trio.open_tcp_stream("127.0.0.1", port)).aclose()
                        break
                    await trio.sleep(0.05)
            yield
        finally:
            with trio.CancelScope(shield=True), trio.move_on_after(DEADLINE):
                process.terminate()
                await process.wait()
            if process.poll() is None:
                process.kill()
                with trio.CancelScope(shield=True):
                    await process.wait()


Ask = Callable[..., Awaitable[Response]]


async def ask(
    port: int,
    method: str = "GET",
    target: str = "/",
    *,
    cookie: str | None = None,
    body: bytes = b"",
    headers: tuple[tuple[str, str], ...] = (),
) -> Response:
    """Send one request to a proxy, on a connection of its own."""
    http = h11.Connection(h11.CLIENT)
    fields = [("Host", "test"), *headers]
    if cookie is not None:
        fields.append(("Cookie", cookie))
    if body:
        fields.append(("Content-Length", str(len(body))))
    head = h11.Request(method=method, target=target, headers=fields)
    sent = [http.send(head), http.send(h11.Data(data=body)), http.send(h11.EndOfMessage())]
    with trio.fail_after(DEADLINE):
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            with contextlib.suppress(trio.BrokenResourceError):  # it has answered already
                await stream.send_all(b"".join(filter(None, sent)))
            return await read_response(stream, http)
