"""Pages of Socket.IO on requests, and on their way to a WebSocket; on a running hub."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import h11
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked
from wsproto.events import Ping

import sse_trio
from sse_trio.core.messages import CloseCode

from ...support import (
    HANDSHAKE,
    Listening,
    Response,
    Start,
    connect,
    open_files,
    post_notify,
    raw_websocket,
    read_response,
    request,
    request_on,
    reset,
)
from .clients import (
    UPGRADE,
    OnRequests,
    OnWebSocket,
    handshake,
    joined,
    on_requests,
    on_websocket,
    target,
)

ORIGIN = "https://app.example"


async def begin(start: Start, **settings: Any) -> sse_trio.Hub:
    return await start(socketio=True, **settings)


def error(response: Response) -> tuple[int, int, str]:
    assert response.headers["content-type"] == "application/json"
    return response.status, response.json["code"], response.json["message"]


def upgrading(client: OnRequests) -> bytes:
    return handshake(sid=client.sid)


@asynccontextmanager
async def tried(
    hub: Listening, client: OnRequests, *, is_probed: bool = True
) -> AsyncIterator[OnWebSocket]:
    """Have a session try a WebSocket."""
    page = OnWebSocket(await raw_websocket(hub, handshake=upgrading(client)))
    async with page.raw.stream:
        if is_probed:
            await page.say("2probe")
            assert await page.hear() == "3probe"
        yield page


# -- requests ------------------------------------------------------------------------------


async def test_the_handshake(start: Start) -> None:
    hub = await begin(start)
    response = await request(hub, "GET", target())
    assert response.status == 200
    assert response.headers["content-type"] == "text/plain; charset=UTF-8"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.body.startswith(b'0{"sid":"')
    async with on_requests(hub, t="abc") as client:
        assert len(client.opening.pop("sid")) == 22
        assert client.opening == {
            "upgrades": ["websocket"],
            "pingInterval": 25000,
            "pingTimeout": 35000,
            "maxPayload": 16384,
        }


TRANSPORT = (400, 0, "Transport unknown")
VERSION = (400, 5, "Unsupported protocol version")
METHOD = (400, 2, "Bad handshake method")
BAD = (400, 3, "Bad request")
UNKNOWN = (400, 1, "Session ID unknown")

REASONS = ["transport", "unknown_session", "method", "malformed", "origin", "version"]

REFUSED = [
    ("GET", "EIO=4", TRANSPORT),
    ("GET", "EIO=4&transport=", TRANSPORT),
    ("GET", "EIO=4&transport=constructor", TRANSPORT),
    ("GET", "EIO=4&transport=jsonp", TRANSPORT),
    ("GET", "", TRANSPORT),
    ("GET", "transport=polling", VERSION),
    ("GET", "transport=polling&EIO=", VERSION),
    ("GET", "transport=polling&EIO=abc", VERSION),
    ("GET", "transport=polling&EIO=2", VERSION),
    ("GET", "transport=polling&EIO=5", VERSION),
    ("GET", "transport=polling&EIO=5&EIO=4", VERSION),
    ("POST", "transport=polling&EIO=4", METHOD),
    ("PUT", "transport=polling&EIO=4", METHOD),
    ("GET", "transport=polling&EIO=4&sid=", UNKNOWN),
    ("GET", "transport=polling&EIO=4&sid=abc", UNKNOWN),
    ("POST", "transport=polling&EIO=4&sid=abc", UNKNOWN),
    ("DELETE", "transport=polling&EIO=4&sid=abc", BAD),
    ("GET", "transport=websocket&EIO=4", BAD),
    ("POST", "transport=websocket&EIO=4", BAD),
]


@pytest.mark.parametrize(("method", "query", "expected"), REFUSED)
async def test_a_refusal(
    start: Start, method: str, query: str, expected: tuple[int, int, str]
) -> None:
    hub = await begin(start)
    headers = {"Origin": ORIGIN}
    response = await request(hub, method, f"/socket.io/?{query}", headers=headers)
    assert error(response) == expected
    # Without this the page would see no status at all.
    assert response.headers["access-control-allow-origin"] == ORIGIN
    assert list(hub.statistics().refused_handshakes) == [REASONS[expected[1]]]


@pytest.mark.parametrize("query", ["transport=polling&EIO=2", "transport=websocket"])
async def test_the_log_tells_of_a_client_that_is_too_old(
    start: Start, caplog: pytest.LogCaptureFixture, query: str
) -> None:
    hub = await begin(start)
    for _ in range(20):
        await request(hub, "GET", f"/socket.io/?{query}", headers=UPGRADE)
    told = [line for line in caplog.messages if "Socket.IO" in line]
    assert len(told) == 10
    (line,) = set(told)
    assert line.startswith("a client of Socket.IO was refused, because its EIO is neither 3 nor 4:")
    caplog.clear()
    for query in ("", "transport=polling&EIO=4&sid=abc", "transport=polling&EIO=4"):
        await request(hub, "GET", f"/socket.io/?{query}")
    assert not [line for line in caplog.messages if "Socket.IO" in line]


@pytest.mark.parametrize(("query", "expected"), [("", VERSION), ("&EIO=4&sid=abc", UNKNOWN)])
async def test_a_refusal_of_a_websocket(
    start: Start, query: str, expected: tuple[int, int, str]
) -> None:
    hub = await begin(start)
    head = HANDSHAKE.replace(b"/ws", b"/socket.io/?transport=websocket" + query.encode())
    async with await connect(hub) as stream:
        await stream.send_all(head)
        http = h11.Connection(h11.CLIENT)
        http.send(h11.Request(method="GET", target="/", headers=[("Host", "test")]))
        http.send(h11.EndOfMessage())
        assert error(await read_response(stream, http)) == expected


async def test_a_page_joins_and_is_terminated(start: Start) -> None:
    hub = await begin(start)
    async with on_requests(hub) as page, trio.open_nursery() as nursery:
        assert await page.connect()
        assert await page.join("u1", "s1") == {
            "room": "u1", "session": "s1", "epoch": 0, "heartbeat": 25
        }  # fmt: skip
        told: list[str] = []

        async def listen() -> None:
            told.extend(await page.packets())
            await page.say("1")

        nursery.start_soon(listen)
        await wait_all_tasks_blocked()
        answer = await post_notify(hub, room="u1", sender=None, wait=5)
        assert (answer.json["terminated"], answer.json["acked"]) == (1, 1)
        assert [packet[:14] for packet in told] == ['42["terminate"', "41"]
        assert error(await page.get()) == UNKNOWN


async def test_packets_that_have_come_meanwhile_are_one_answer(start: Start) -> None:
    hub = await begin(start)
    async with on_requests(hub) as page:
        await page.say("40", '42["join","u1","s1"]')
        first, second = await page.packets()
        assert first.startswith("40{")
        assert second.startswith('42["joined"')


async def test_who_has_ended_is_terminated_at_the_door(start: Start) -> None:
    """In this order: the client keeps back what comes before it is connected."""
    hub = await begin(start)
    await hub.notify("u1", sender="s1")
    await hub.notify("u1", sender="s2")
    async with on_requests(hub) as page:
        await page.say('40{"room":"u1","session":"s1"}')
        packets = await page.packets()
        assert [packet[:4] for packet in packets] == ['40{"', '42["', "41"]


async def test_a_refusal_of_a_join_is_one_answer(start: Start) -> None:
    hub = await begin(start, join="ticket")
    async with on_requests(hub) as page:
        await page.connect()
        await page.say('42["join","x"]')
        refused, last = await page.packets()
        assert refused.endswith(',"data":{"code":4401}}')
        assert last == "41"


@pytest.mark.parametrize("is_apart", [False, True])
async def test_a_connection_takes_the_next_request(start: Start, *, is_apart: bool) -> None:
    """After a GET that was held too, and if the next request has come meanwhile."""
    hub = await begin(start)
    async with on_requests(hub) as page:
        head = f"GET {target(sid=page.sid)} HTTP/1.1\r\nHost: test\r\n\r\n".encode()
        await page.getting.send_all(head)
        if is_apart:
            await wait_all_tasks_blocked()
        await page.getting.send_all(b"GET /healthz HTTP/1.1\r\nHost: test\r\n\r\n")
        await wait_all_tasks_blocked()
        await page.say("40")
        http = h11.Connection(h11.CLIENT)
        for expected in (b'40{"sid":', b"alive\n"):
            http.send(h11.Request(method="GET", target="/", headers=[("Host", "test")]))
            http.send(h11.EndOfMessage())
            response = await read_response(page.getting, http)
            assert response.body.startswith(expected)
            http.start_next_cycle()


async def test_a_client_of_http_1_0(start: Start) -> None:
    hub = await begin(start)
    async with on_requests(hub) as page, await connect(hub) as stream:
        await stream.send_all(f"GET {target(sid=page.sid)} HTTP/1.0\r\n\r\n".encode())
        await wait_all_tasks_blocked()
        await page.say("40")
        received = b"".join([bytes(data) async for data in stream])
        assert received.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"\r\nConnection: close\r\n" in received
        assert b'\r\n\r\n40{"sid"' in received


async def test_two_gets_at_once(start: Start) -> None:
    hub = await begin(start)
    async with on_requests(hub) as page, trio.open_nursery() as nursery:
        first: list[Response] = []

        async def get() -> None:
            first.append(await page.get())

        nursery.start_soon(get)
        await wait_all_tasks_blocked()
        response = await request_on(page.posting, "GET", target(sid=page.sid))
        assert error(response) == BAD
        await wait_all_tasks_blocked()
        assert (first[0].status, first[0].body) == (200, b"1")
        assert error(await page.get()) == UNKNOWN
    assert hub.statistics().connections == 0


@pytest.mark.parametrize("how", ["closed", "reset"])
async def test_a_held_get_whose_connection_ends_ends_the_session(start: Start, how: str) -> None:
    hub = await begin(start)
    async with on_requests(hub) as page:
        await page.hold_get()
        await (page.getting.aclose() if how == "closed" else reset(page.getting))
        response = await request_on(page.posting, "GET", target(sid=page.sid))
        assert error(response) == UNKNOWN


async def test_a_held_get_keeps_so_much_of_what_comes_behind_it(start: Start) -> None:
    hub = await begin(start, max_headers=2000)
    async with on_requests(hub) as page:
        await page.hold_get()
        await page.getting.send_all(bytes(3000))
        with pytest.raises((AssertionError, trio.BrokenResourceError)):
            assert await page.getting.receive_some(1)
        await wait_all_tasks_blocked()
        assert hub.statistics().connections == 0


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        ("", {}),
        ("abc", {}),
        ("4\x1e9", {}),
        (b"\xff", {}),
        ("2", {}),
        ("b!", {}),
        ("\x1e".join(["3"] * 65), {}),
        (b"\x00\x01\xff3", {"Content-Type": "application/octet-stream"}),
    ],
)
async def test_what_no_client_posts_ends_the_session(
    start: Start, body: str | bytes, headers: dict[str, str]
) -> None:
    hub = await begin(start)
    async with on_requests(hub) as page:
        response = await page.post(body, **headers)
        assert error(response) == BAD
        assert error(await page.get()) == UNKNOWN
    assert hub.statistics().connections == 0


async def test_what_may_be_posted(start: Start) -> None:
    hub = await begin(start)
    async with on_requests(hub) as page:
        await page.say(*["3"] * 64)
        await page.say("40", "451-" + '["x",{"_placeholder":true,"num":0}]', "bAQID")
        assert (await page.packets())[0].startswith("40{")


async def test_of_two_posts_at_once_each_is_taken_when_it_is_whole(start: Start) -> None:
    """No client sends them so; a body is read to its end before anything of it is taken."""
    hub = await begin(start)
    async with on_requests(hub) as page, await connect(hub) as other:
        body = b'42["join","u1","s1"]'
        head = f"POST {target(sid=page.sid)} HTTP/1.1\r\nHost: test\r\nContent-Length: {len(body)}"
        await other.send_all(head.encode() + b"\r\n\r\n" + body[:9])
        await wait_all_tasks_blocked()
        assert await page.connect()
        await other.send_all(body[9:])
        assert (await page.packets())[0].startswith('42["joined"')


async def test_a_body_that_is_too_long(start: Start) -> None:
    hub = await begin(start, max_body=1000)
    async with on_requests(hub) as page:
        response = await page.post("4" * 1001, Origin=ORIGIN)
        assert response.status == 413
        assert response.headers["access-control-allow-origin"] == ORIGIN
        assert hub.statistics().connections == 1


async def test_what_a_client_of_socket_io_does_not_say(start: Start) -> None:
    """A message that is none is no error of the request; the client may come back."""
    hub = await begin(start)
    async with on_requests(hub) as page:
        await page.say('42["join","u1"]')
        assert await page.packets() == ["1"]
        assert error(await page.get()) == BAD


async def test_a_page_that_closes(start: Start) -> None:
    hub = await begin(start)
    async with on_requests(hub) as page, trio.open_nursery() as nursery:
        told: list[str] = []

        async def listen() -> None:
            told.extend(await page.packets())

        nursery.start_soon(listen)
        await wait_all_tasks_blocked()
        await page.say("1")
        await wait_all_tasks_blocked()
        assert told == ["6"]
        assert error(await page.get()) == UNKNOWN


# -- a WebSocket ---------------------------------------------------------------------------


async def test_an_upgrade(start: Start) -> None:
    hub = await begin(start)
    async with on_requests(hub) as client, trio.open_nursery() as nursery:
        await client.connect()
        told: list[str] = []

        async def listen() -> None:
            told.extend(await client.packets())

        nursery.start_soon(listen)
        await wait_all_tasks_blocked()
        async with tried(hub, client) as page:
            await wait_all_tasks_blocked()
            # The client waits for this before it goes on.
            assert told == ["6"]
            assert await client.packets() == ["6"]
            await client.say('42["join","u1","s1"]')
            await page.say("5")
            assert (await page.heard())[0] == "joined"
            for response in (await client.get(), await client.post("3")):
                assert error(response) == BAD
            assert await page.join("u1", "s1")
            await hub.notify("u1", sender=None)
            assert (await page.heard())[0] == "terminate"
            assert await page.hear() == "41"
            await page.close()
            assert await page.hear() is None
        await wait_all_tasks_blocked()
        assert hub.statistics().connections == 0


async def refused(hub: sse_trio.Hub, client: OnRequests) -> Response:
    """The answer to the handshake of a WebSocket that a session may not try."""
    async with await connect(hub) as stream:
        await stream.send_all(upgrading(client))
        http = h11.Connection(h11.CLIENT)
        http.send(h11.Request(method="GET", target="/", headers=[("Host", "test")]))
        http.send(h11.EndOfMessage())
        return await read_response(stream, http)


@pytest.mark.parametrize("is_probed", [False, True])
async def test_a_session_tries_one_websocket_at_a_time(start: Start, is_probed: bool) -> None:
    hub = await begin(start)
    async with on_requests(hub) as client:
        async with tried(hub, client, is_probed=is_probed) as page:
            assert error(await refused(hub, client)) == BAD
            assert hub.statistics().refused_handshakes == {"malformed": 1}
            if not is_probed:
                await page.say("2probe")
                assert await page.hear() == "3probe"
            await page.close()
            assert await page.hear() is None
        await wait_all_tasks_blocked()
        async with tried(hub, client) as page:
            await page.say("5")
            assert await page.connect()


async def test_a_session_that_is_on_a_websocket_gets_no_other_one(start: Start) -> None:
    """It is closed behind its handshake: the protocol's own tests want to see it opened."""
    hub = await begin(start)
    async with on_requests(hub) as client, tried(hub, client) as page:
        await page.say("5")
        assert await page.connect()
        async with tried(hub, client, is_probed=False) as second:
            assert await second.raw.closed() == 1000
        assert hub.statistics().refused_handshakes == {"malformed": 1}
        assert await page.join("u1", "s1")


async def test_no_websocket_is_tried_while_the_hub_drains(
    start: Start, autojump_clock: MockClock
) -> None:
    """A page whose trial fails stays where it is; so it is told that it may come again."""
    hub = await begin(start, linger=60, shutdown_grace=70)
    async with on_requests(hub) as client, await connect(hub) as stream:
        handshake = upgrading(client)
        await stream.send_all(handshake[:-2])
        await wait_all_tasks_blocked()
        hub.drain()
        await wait_all_tasks_blocked()
        await stream.send_all(handshake[-2:])
        received = b"".join([bytes(data) async for data in stream])
        assert received.startswith(b"HTTP/1.1 503 ")
        assert received.endswith(b'{"code":3,"message":"the server is shutting down"}')


@pytest.mark.parametrize("said", ["4x", "5", "1", "2", "2probing"])
async def test_a_websocket_without_a_probe_is_closed(start: Start, said: str) -> None:
    hub = await begin(start)
    async with on_requests(hub) as client:
        async with tried(hub, client, is_probed=False) as page:
            await page.say(said)
            assert await page.hear() is None
        assert await client.connect()


@pytest.mark.parametrize("is_probed", [False, True])
async def test_a_trial_has_ten_seconds(
    start: Start, autojump_clock: MockClock, is_probed: bool
) -> None:
    patience = {"join_timeout": 60, "request_timeout": 60}
    hub = await begin(start, heartbeat_interval=100, heartbeat_timeout=200, **patience)
    before = open_files()
    async with on_requests(hub) as client:
        began = trio.current_time()
        async with tried(hub, client, is_probed=is_probed) as page:
            assert await page.hear() is None
            assert 10 <= trio.current_time() - began < 11
            # A client that does not close its end is cut.
            assert await page.raw.event() is None
            assert 15 <= trio.current_time() - began < 16
        assert await client.connect()
        async with tried(hub, client) as page:
            await page.say("5")
            await page.join("u1")
            await trio.sleep(20)
            assert await page.join("u1")
    await wait_all_tasks_blocked()
    assert hub.statistics().connections == 0
    assert open_files() <= before


async def test_a_session_that_has_gone_over_has_no_deadline_for_it_any_more(
    start: Start, autojump_clock: MockClock
) -> None:
    """Otherwise its WebSocket would be cut then, if it happens to be closing."""
    hub = await begin(start, linger=20)
    async with on_requests(hub) as client, tried(hub, client) as page:
        began = trio.current_time()
        await page.say("5")
        assert await page.connect()
        await page.join("u1", "s1")
        await hub.notify("u1", sender=None)
        await page.heard()
        assert await page.hear() == "41"
        await trio.sleep_until(began + 4.5)
        # It may take its time from now on.
        await page.say('42["terminated"]')
        assert await page.raw.closed() == CloseCode.TERMINATED
        assert await page.raw.event() is None
        assert 24.5 <= trio.current_time() - began < 26


async def test_what_a_session_tried_when_it_ended_has_no_deadline_any_more(
    start: Start, autojump_clock: MockClock
) -> None:
    hub = await begin(start)
    before = hub.timers.next_due()
    async with on_requests(hub) as client, tried(hub, client) as page:
        await client.say("1")
        assert await page.hear() is None
        await page.close()
        assert await page.raw.event() is None
    await wait_all_tasks_blocked()
    assert hub.timers.next_due() == before


async def test_a_websocket_that_says_much_while_its_session_ends_is_closed_in_time(
    start: Start, autojump_clock: MockClock
) -> None:
    """The answer to its close is read, although the session has no member any more."""
    hub = await begin(start)
    async with on_requests(hub) as client, tried(hub, client, is_probed=False) as page:
        await client.hold_get()
        # More frames than one step reads.
        await page.raw.stream.send_all(
            b"".join(page.raw.connection.send(Ping()) for _ in range(32))
        )
        await client.getting.aclose()
        began = trio.current_time()
        assert await page.raw.closed() == 1000
        await page.close()
        assert await page.raw.event() is None
        assert trio.current_time() - began < hub.config.linger


async def test_a_termination_goes_one_way(start: Start) -> None:
    """Whichever moment of the upgrade it comes in."""
    hub = await begin(start)
    for step in range(4):
        async with on_requests(hub) as client:
            await client.connect()
            await client.join(f"u{step}", "s1")
            async with tried(hub, client, is_probed=False) as page:
                if step == 0:
                    await hub.notify(f"u{step}", sender=None)
                await page.say("2probe")
                assert await page.hear() == "3probe"
                if step == 1:
                    await hub.notify(f"u{step}", sender=None)
                if step == 2:
                    await hub.notify(f"u{step}", sender=None)
                    assert len(await client.packets()) == 2
                    assert await client.packets() == ["6"]
                await page.say("5")
                if step == 3:
                    await wait_all_tasks_blocked()
                    await hub.notify(f"u{step}", sender=None)
                if step != 2:
                    assert (await page.heard())[0] == "terminate"
                    assert await page.hear() == "41"
                await page.say("1")
                assert await page.hear() is None
    await wait_all_tasks_blocked()
    assert hub.statistics().connections == 0


# -- time ----------------------------------------------------------------------------------


async def test_a_page_is_pinged_by_its_get(start: Start, autojump_clock: MockClock) -> None:
    hub = await begin(start)
    async with on_requests(hub) as page:
        await page.connect()
        await page.join("u1")
        for _ in range(3):
            assert await page.packets() == ["2"]
            await page.say("3")
        assert trio.current_time() > 60
        assert hub.statistics().members == 1


async def test_a_page_that_answers_no_ping(start: Start, autojump_clock: MockClock) -> None:
    hub = await begin(start)
    async with on_requests(hub) as page:
        await page.connect()
        assert await page.packets() == ["2"]
        await trio.sleep(70)
        assert hub.statistics().members == 0
        assert error(await page.get()) == UNKNOWN


async def test_a_page_that_is_not_polled_any_more(start: Start, autojump_clock: MockClock) -> None:
    hub = await begin(start)
    async with on_requests(hub) as page:
        await page.connect()
        await page.join("u1", "s1")
        await hub.notify("u1", sender=None)
        await trio.sleep(11)
        assert error(await page.get()) == UNKNOWN
    assert hub.statistics().connections == 0


async def test_sessions_without_a_connection_do_not_take_all_places(
    start: Start, autojump_clock: MockClock
) -> None:
    """They are connected, so that they have no deadline, and only one of them joins."""
    hub = await begin(start, max_connections=12)
    async with on_requests(hub) as first, on_requests(hub) as second, on_requests(hub) as third:
        await first.connect()
        await first.say('42["join","u1","s1"]')
        await second.connect()
        await third.connect()
        async with on_requests(hub), on_requests(hub), joined(hub, "u1", "s2"):
            # The second one is the eldest that has not joined.
            assert (await second.packets())[-1] == "1"
            await third.say('42["join","u1","s3"]')
            await wait_all_tasks_blocked()
            assert hub.statistics().members == 3


async def test_a_queue_that_nobody_takes_is_bounded(
    start: Start, autojump_clock: MockClock
) -> None:
    hub = await begin(start, max_outbox=1024)
    async with on_requests(hub) as page:
        await page.connect()
        for _ in range(9):
            await page.say('42["join","u1","s1"]')
            await trio.sleep(1.1)
        assert hub.statistics().slow_members == 1
        assert (await page.packets())[-1] == "1"


async def test_a_drain_has_pages_come_back(start: Start) -> None:
    hub = await begin(start)
    async with on_requests(hub) as page, trio.open_nursery() as nursery:
        await page.connect()
        told: list[Response] = []

        async def listen() -> None:
            told.append(await page.get())

        nursery.start_soon(listen)
        await wait_all_tasks_blocked()
        hub.drain()
        while not told:
            await wait_all_tasks_blocked()
        assert (told[0].body, told[0].headers["connection"]) == (b"1", "close")


async def test_nobody_is_let_in_while_it_drains(start: Start, autojump_clock: MockClock) -> None:
    hub = await begin(start)
    async with on_websocket(hub) as page, await connect(hub) as stream:
        await page.connect()
        await stream.send_all(b"GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\n")
        await wait_all_tasks_blocked()
        hub.drain()
        await wait_all_tasks_blocked()
        await stream.send_all(b"Host: test\r\nOrigin: https://app.example\r\n\r\n")
        received = b"".join([bytes(data) async for data in stream])
        assert received.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nAccess-Control-Allow-Origin: https://app.example\r\n" in received


# -- CORS ----------------------------------------------------------------------------------


async def test_an_origin_may_read_the_answers(start: Start) -> None:
    hub = await begin(start)
    response = await request(hub, "GET", target(), headers={"Origin": ORIGIN})
    assert response.headers["access-control-allow-origin"] == ORIGIN
    assert response.headers["vary"] == "Origin"
    assert "access-control-allow-credentials" not in response.headers
    without = await request(hub, "GET", target())
    assert "access-control-allow-origin" not in without.headers


async def test_clients_2_x_send_credentials(start: Start) -> None:
    hub = await begin(start)
    response = await request(hub, "GET", target(version=3), headers={"Origin": ORIGIN})
    assert response.headers["access-control-allow-origin"] == ORIGIN
    assert response.headers["access-control-allow-credentials"] == "true"


async def test_a_preflight(start: Start) -> None:
    hub = await begin(start)
    asked = {"Origin": ORIGIN, "Access-Control-Request-Headers": "x-token"}
    response = await request(hub, "OPTIONS", target(), headers=asked)
    assert response.status == 204
    assert response.headers["access-control-allow-origin"] == ORIGIN
    assert response.headers["access-control-allow-methods"] == "GET, POST"
    assert response.headers["access-control-allow-headers"] == "x-token"
    assert response.headers["access-control-max-age"] == "600"


async def test_an_origin_that_is_not_allowed(start: Start) -> None:
    hub = await begin(start, origins=[ORIGIN])
    assert (await request(hub, "GET", target(), headers={"Origin": ORIGIN})).status == 200
    for method in ("GET", "OPTIONS"):
        response = await request(hub, method, target(), headers={"Origin": "https://b.example"})
        assert error(response) == (403, 4, "Forbidden")
        assert "access-control-allow-origin" not in response.headers


async def test_a_full_server_says_so_before_there_is_anything(start: Start) -> None:
    hub = await begin(start, max_connections_per_address=1)
    async with on_requests(hub):
        response = await request(hub, "GET", target(), headers={"Origin": ORIGIN})
        assert error(response) == (503, 3, "too many connections from this address")
        assert response.headers["retry-after"] == "5"
        assert hub.statistics().refused_handshakes == {"full": 1}
        assert response.headers["access-control-allow-origin"] == ORIGIN
        assert hub.statistics().connections == 1


# -- the client's file -----------------------------------------------------------------------


async def test_the_clients_file(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "client.js"
    file.write_bytes(b"hello()")
    hub = await begin(start, socketio_client=str(file))
    response = await request(hub, "GET", "/socket.io/socket.io.js")
    assert (response.status, response.body) == (200, b"hello()")
    assert response.headers["content-type"] == "text/javascript; charset=utf-8"
    assert response.headers["access-control-allow-origin"] == "*"
    known = {"If-None-Match": response.headers["etag"]}
    again = await request(hub, "GET", "/socket.io/socket.io.min.js", headers=known)
    assert (again.status, again.body) == (304, b"")


async def test_a_file_that_cannot_be_read(
    start: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hub = await begin(start, socketio_client=str(tmp_path / "none.js"))
    assert (await request(hub, "GET", "/socket.io/socket.io.js")).status == 404
    assert "socketio_client cannot be read: No such file or directory" in caplog.messages
    (tmp_path / "none.js").write_bytes(b"here()")
    hub.reload(hub.config)
    assert (await request(hub, "GET", "/socket.io/socket.io.js")).body == b"here()"
