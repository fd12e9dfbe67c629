"""What the application of `docs/applications.md` does while the hub is away."""

import json
from typing import Any
from urllib.error import HTTPError

import h11
import pytest
import trio

from sse_trio.config import Config

from .examples import Load, in_thread
from .examples import load as load


class Script:
    """A server that answers as it is told, request for request, and keeps what it was asked."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.asked: list[tuple[str, Any]] = []
        self.port = 0

    async def serve(self, *, task_status: trio.TaskStatus[None]) -> None:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.port = listeners[0].socket.getsockname()[1]
        task_status.started()
        await trio.serve_listeners(self._answer, listeners)

    async def _answer(self, stream: trio.SocketStream) -> None:
        async with stream:
            http, body = h11.Connection(h11.SERVER), b""
            while not isinstance(event := http.next_event(), h11.EndOfMessage):
                if event is h11.NEED_DATA:
                    http.receive_data(bytes(await stream.receive_some(65536)))
                elif isinstance(event, h11.Request):
                    path = event.target.decode()
                elif isinstance(event, h11.Data):
                    body += bytes(event.data)
            self.asked.append((path, json.loads(body)))
            status = self.statuses.pop(0)
            if not status:
                return  # it hangs up
            head = h11.Response(status_code=status, headers=[("Content-Length", "2")])
            parts = [
                http.send(head),
                http.send(h11.Data(data=b"{}")),
                http.send(h11.EndOfMessage()),
            ]
            await stream.send_all(b"".join(filter(None, parts)))


async def test_a_notify_is_repeated_until_it_is_answered(load: Load, nursery: trio.Nursery) -> None:
    hub = Script(503, 0, 200)
    await nursery.start(hub.serve)
    waited: list[float] = []
    away = load("away.py", hub.port)
    assert await in_thread(away.notify, "ada", waited.append) == {}
    assert waited == [0, 1, 3]
    (asked,) = {json.dumps(asked) for asked in hub.asked}
    assert json.loads(asked)[0] == "/notify"

    # Given up, it is released, so that it holds no place.
    hub.statuses, hub.asked = [503, 503, 0, 200], []
    with pytest.raises(away.Away):
        await in_thread(away.notify, "ada", waited.append)
    path, members = hub.asked[-1]
    assert (path, members["session"]) == ("/release", hub.asked[0][1]["sender"])

    # A refusal is none of this.
    hub.statuses, hub.asked = [409], []
    with pytest.raises(HTTPError) as refused:
        await in_thread(away.notify, "ada", waited.append)
    refused.value.close()
    assert len(hub.asked) == 1


async def test_a_check_while_the_hub_is_away(load: Load, nursery: trio.Nursery) -> None:
    hub = Script(503, 0, 503, 0, 401)
    await nursery.start(hub.serve)
    away, remembered = load("away.py", hub.port), {"active": True}
    for _ in range(2):
        assert await in_thread(away.check_fail_closed, "a token") == {"active": False}
    for _ in range(2):
        assert await in_thread(away.check_fail_open, "a token", remembered) is remembered
    with pytest.raises(HTTPError) as refused:
        await in_thread(away.check_fail_open, "a token", remembered)
    refused.value.close()


def test_the_deadlines_are_those_of_the_hub(load: Load) -> None:
    away = load("away.py", 0)
    assert (2, Config().ledger_timeout + 1) == (away.CHECK, away.NOTIFY)
