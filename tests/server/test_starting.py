"""While the ledger is being read: who is answered, and what; and a start that is given up."""

import json
import re
import time
from collections.abc import Iterable
from functools import partial
from typing import Any

import attrs
import h11
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

import sse_trio
from sse_trio import Config, LedgerError, MemoryLedger
from sse_trio.core.logins import Login, Record, Termination
from sse_trio.core.notify import Answer
from sse_trio.server.serve import ROOMS_A_STEP

from ..ledger.fakes import propose
from ..support import HANDSHAKE, KEY, connect, joined, post_notify, read_response, request

DEADLINE = 20

LOGIN = Login(1, 1.0, 1.0)


class ReadLedger(MemoryLedger):
    """Takes as long to be read as the test says; ends as it says."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = trio.Event()
        self.error: Exception | None = None

    async def load(self) -> tuple[Iterable[tuple[str, Record]], Iterable[Answer]]:
        await self.go_on.wait()
        if self.error is not None:
            raise self.error
        return await super().load()


@attrs.define
class Address:
    """Of a server whose hub nobody has yet."""

    port: int


@attrs.define(eq=False)
class Starting:
    """A server that reads its ledger."""

    ledger: ReadLedger
    at: Address
    hubs: list[sse_trio.Hub] = attrs.Factory(list)
    """None, until it is ready."""
    failures: list[Exception] = attrs.Factory(list)
    ready: trio.Event = attrs.Factory(trio.Event)
    scope: trio.CancelScope = attrs.Factory(trio.CancelScope)

    async def run(self) -> None:
        config = Config(port=0, authkey=KEY, heartbeat_interval=1, heartbeat_timeout=2)
        with self.scope:
            async with trio.open_nursery() as nursery:
                serve = partial(sse_trio.serve, config, ledger=self.ledger)
                try:
                    self.hubs.append(await nursery.start(serve))
                    self.ready.set()
                except (LedgerError, OSError) as error:
                    self.failures.append(error)

    async def is_ready(self) -> sse_trio.Hub:
        self.ledger.go_on.set()
        with trio.fail_after(DEADLINE):
            await self.ready.wait()
        return self.hubs[0]


@pytest.fixture
async def starting(nursery: trio.Nursery, caplog: pytest.LogCaptureFixture) -> Starting:
    starting = Starting(ReadLedger(), Address(0))
    nursery.start_soon(starting.run)
    await wait_all_tasks_blocked()
    [port] = re.findall(r"open mode.* port (\d+)", caplog.text)
    starting.at = Address(int(port))
    return starting


async def test_who_is_told_to_wait_is_counted(starting: Starting) -> None:
    asked: dict[str, dict[str, Any]] = {
        "/notify": {},
        "/release": {"session": "s1"},
        "/check": {"session": "s1"},
        "/sessions": {},
    }
    for path, members in asked.items():
        body = json.dumps({"key": KEY, "room": "u1"} | members).encode()
        headers = {"Content-Type": "application/json"}
        answer = await request(starting.at, "POST", path, body=body, headers=headers)
        assert answer.status == 503
    assert (await request(starting.at, "GET", "/verify")).status == 503
    counted = (await starting.is_ready()).statistics()
    assert counted.notifies == counted.releases == {"loading": 1}
    assert counted.checks == {"loading": 3}


@pytest.mark.parametrize("path", ["/check", "/sessions", "/verify", "/notify"])
async def test_who_asks_when_a_start_fails_is_told_nothing(starting: Starting, path: str) -> None:
    """The memory of a hub that has not read its ledger knows nobody, and so nothing."""
    http = h11.Connection(h11.CLIENT)
    body = json.dumps({"key": KEY, "room": "u1"} | ({"session": "s"} if path == "/check" else {}))
    head = {"Host": "test", "Content-Type": "application/json", "Content-Length": str(len(body))}
    sent = http.send(h11.Request(method="POST", target=path, headers=list(head.items())))
    assert sent
    async with await connect(starting.at) as stream:
        await stream.send_all(sent[:10])
        await wait_all_tasks_blocked()
        starting.ledger.error = LedgerError("it cannot be read")
        starting.ledger.go_on.set()
        await wait_all_tasks_blocked()
        await stream.send_all(sent[10:] + body.encode())
        http.send(h11.Data(data=body.encode()))
        http.send(h11.EndOfMessage())
        answer = await read_response(stream, http)
    assert (answer.status, answer.headers["connection"]) == (503, "close")
    assert answer.json["type"] == "urn:sse-trio:problem:draining"


async def test_it_is_alive_and_not_ready(starting: Starting) -> None:
    assert (await request(starting.at, "GET", "/healthz")).status == 200
    assert (await request(starting.at, "GET", "/client.js")).status == 200
    assert (await request(starting.at, "GET", "/metrics")).status == 200
    answer = await request(starting.at, "GET", "/readyz")
    assert (answer.status, answer.body) == (503, b"reading the ledger\n")
    assert starting.hubs == []
    hub = await starting.is_ready()
    assert hub.port == starting.at.port
    assert (await request(hub, "GET", "/readyz")).status == 200


@pytest.mark.parametrize("times", [1, 3])  # the second time, its head is known by its bytes
async def test_nobody_is_admitted_or_ended_before_it_is_known_who_stands(
    starting: Starting, times: int
) -> None:
    propose(
        starting.ledger,
        "u1",
        Record(1, 1, {"s2": LOGIN}, (Termination(1, "login"),), time.time(), 1.0),
    )
    for _ in range(times):
        answer = await post_notify(starting.at, room="u1", sender="s3")
        assert (answer.status, answer.headers["retry-after"]) == (503, "5")
        assert answer.json["detail"] == "the server is still reading its ledger"
        async with await connect(starting.at) as stream:
            await stream.send_all(HANDSHAKE)
            assert (await read_response(stream, h11.Connection(h11.CLIENT))).status == 503
    assert (await post_notify(starting.at, room="u1", key="wrong")).status == 401
    hub = await starting.is_ready()
    assert hub.statistics().refused_handshakes == {"loading": times}
    async with joined(hub, "u1", "s2"):
        assert (await post_notify(hub, room="u1", sender="s3")).json["epoch"] == 2


async def test_a_python_client_is_told_to_come_back(starting: Starting) -> None:
    url = f"ws://127.0.0.1:{starting.at.port}/ws"
    with pytest.raises(sse_trio.MemberClosed) as refused:
        async with sse_trio.open_member(url, room="u1"):
            pass
    assert refused.value.reconnect


async def test_others_have_their_turn_while_the_rooms_are_taken_up(starting: Starting) -> None:
    many = 60 * ROOMS_A_STEP
    for number in range(many):
        propose(starting.ledger, f"u{number}", Record(1, 1, {"s": LOGIN}, (), time.time(), 1.0))
    seen = set()
    starting.ledger.go_on.set()
    while not starting.hubs:
        response = await request(starting.at, "GET", "/metrics")
        seen |= set(re.findall(r"sse_trio_remembered_rooms (\S+)", response.body.decode()))
    assert len(seen) > 3
    assert starting.hubs[0].statistics().remembered_rooms == many


async def test_what_was_wrong_with_the_ledger_comes_out_as_it_is(starting: Starting) -> None:
    starting.ledger.error = LedgerError("it is damaged")
    starting.ledger.go_on.set()
    await wait_all_tasks_blocked()
    assert starting.failures == [starting.ledger.error]
    with pytest.raises(OSError):
        await connect(starting.at)


async def test_a_start_can_be_given_up(starting: Starting) -> None:
    async with await connect(starting.at) as stream:
        starting.scope.cancel()
        assert await stream.receive_some() == b""
    await wait_all_tasks_blocked()
    assert starting.scope.cancelled_caught
    assert (starting.hubs, starting.failures) == ([], [])
