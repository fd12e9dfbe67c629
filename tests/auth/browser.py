"""A browser for the tests of the middleware: it keeps cookies, and sends what a page would."""

import json
from typing import Any
from urllib.parse import parse_qs

import attrs
import h11
import trio
from trio_websocket import wrap_client_stream

from ..support import Response, keep_cookies, read_response


@attrs.define(eq=False)
class Browser:
    """Requests to 127.0.0.1, each on a connection of its own."""

    port: int
    jar: dict[str, str] = attrs.Factory(dict)

    async def get(self, target: str, headers: dict[str, str] | None = None) -> Response:
        return await self.request("GET", target, headers or {})

    async def load(self, target: str) -> Response:
        """As a browser loads a page, without any header of the application's own."""
        return await self.request("GET", target, {}, csrf=False)

    async def post(self, target: str, form: dict[str, Any] | None = None) -> Response:
        headers = {"Content-Type": "application/json"}
        return await self.request("POST", target, headers, json.dumps(form or {}).encode())

    async def request(
        self,
        method: str,
        target: str,
        headers: dict[str, str],
        body: bytes = b"",
        *,
        csrf: bool = True,
    ) -> Response:
        fields = {
            "Host": f"127.0.0.1:{self.port}",
            "User-Agent": "Test/1.0",
            "Content-Length": str(len(body)),
            **({"Cookie": self.cookie} if self.jar else {}),
            **({"X-CSRF-Token": self.csrf} if csrf and self.jar else {}),
            **headers,
        }
        http = h11.Connection(h11.CLIENT)
        head = h11.Request(method=method, target=target, headers=list(fields.items()))
        async with await trio.open_tcp_stream("127.0.0.1", self.port) as stream:
            sent = http.send(head) + http.send(h11.Data(data=body)) + http.send(h11.EndOfMessage())
            await stream.send_all(sent)
            response = await read_response(stream, http)
        keep_cookies(self.jar, response.cookies)
        return response

    async def websocket(self, target: str, *, origin: str | None = None) -> dict[str, Any]:
        """The first message of a WebSocket."""
        fields = [(b"Cookie", self.cookie.encode())]
        if origin:
            fields.append((b"Origin", origin.encode()))
        async with (
            await trio.open_tcp_stream("127.0.0.1", self.port) as stream,
            trio.open_nursery() as nursery,
        ):
            host = f"127.0.0.1:{self.port}"
            socket = await wrap_client_stream(nursery, stream, host, target, extra_headers=fields)
            message: dict[str, Any] = json.loads(await socket.get_message())
            nursery.cancel_scope.cancel()
        return message

    @property
    def cookie(self) -> str:
        return "; ".join(f"{name}={value}" for name, value in self.jar.items())

    @property
    def csrf(self) -> str:
        """As a page's script reads it."""
        (nr2,) = [value for name, value in self.jar.items() if "nr2" in name]
        return parse_qs(nr2)["crf"][0]
