"""A bug of the server that a request of Socket.IO meets: one answer, and nobody else is harmed."""

from functools import partial
from typing import Any

import pytest
import trio

import sse_trio
from sse_trio.server.server import Server
from sse_trio.server.socketio.client import SocketClient

from ...support import KEY
from .clients import on_requests, target
from .echo import serve_engine


class Broken(SocketClient):
    """A client whose every POST fails."""

    posts = 0

    def post(self, *_: Any) -> None:
        type(self).posts += 1
        raise RuntimeError(self.sid)


# Clients send the one, which is known by its bytes; h11 reads the other one, whose head has an id.
@pytest.mark.parametrize("header", [b"", b"Idempotency-Key: 1\r\n"], ids=["usual", "unusual"])
async def test_a_request_that_fails_is_answered_once(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture, header: bytes
) -> None:
    config = sse_trio.Config(port=0, authkey=KEY, socketio=True)
    server: Server = await nursery.start(partial(serve_engine, config, client=Broken))
    Broken.posts = 0
    async with on_requests(server.hub) as client:
        line = f"POST {target(sid=client.sid)} HTTP/1.1\r\nHost: test\r\n".encode()
        await client.posting.send_all(line + header + b"Content-Length: 2\r\n\r\n40")
        assert bytes(await client.posting.receive_some(9999)).startswith(b"HTTP/1.1 500 ")
        assert Broken.posts == 1
    assert "a request failed" in caplog.text
    assert client.sid not in caplog.text
