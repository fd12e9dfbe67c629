"""Clients 2.x, whose Engine.IO is version 3: the client pings, and is connected without asking."""

import json
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

import sse_trio

from ...support import BINARY, Start, client_frame, raw_websocket, request
from .clients import OnWebSocket, handshake, on_requests, on_websocket, split, target


async def begin(start: Start, **settings: Any) -> sse_trio.Hub:
    return await start(socketio=True, **settings)


async def connected(page: OnWebSocket) -> None:
    assert await page.hear() == "40"


async def test_the_handshake_connects(start: Start) -> None:
    response = await request(await begin(start), "GET", target(version=3))
    opening, connect = split(response.body, 3)
    assert json.loads(opening[1:]) | {"sid": ""} == {
        "sid": "",
        "upgrades": ["websocket"],
        "pingInterval": 25000,
        "pingTimeout": 60000,
        "maxPayload": 16384,
    }
    assert connect == "40"


async def test_a_page_joins_and_is_terminated(start: Start) -> None:
    hub = await begin(start)
    async with on_requests(hub, version=3) as page:
        await page.say('42["join","u1"]')
        (joined,) = await page.packets()
        # Its page knows no other id of its own.
        assert json.loads(joined[2:])[1]["session"] == page.sid
        await hub.notify("u1", sender=None)
        terminate, last = await page.packets()
        assert json.loads(terminate[2:])[0] == "terminate"
        assert last == "41"


async def test_characters_that_count_twice(start: Start) -> None:
    hub = await begin(start)
    async with on_requests(hub, version=3) as page:
        response = await page.post('16:42["join","\U0001f60eu"]')
        assert response.status == 200
        response = await page.get()
        length, _, packet = response.body.decode().partition(":")
        assert int(length) == len(packet) + 1
        assert json.loads(packet[2:])[1]["room"] == "\U0001f60eu"


async def test_the_client_pings(start: Start, autojump_clock: MockClock) -> None:
    hub = await begin(start)
    async with on_requests(hub, version=3) as page:
        await page.say('42["join","u1"]')
        await page.packets()
        for _ in range(4):
            await trio.sleep(20)
            await page.say("2")
            assert await page.packets() == ["3"]
        assert hub.statistics().members == 1
        response = await page.post("1:3")
        assert response.status == 400


async def test_a_silent_client(start: Start, autojump_clock: MockClock) -> None:
    hub = await begin(start)
    async with on_websocket(hub, version=3) as page:
        await connected(page)
        assert await page.hear() is None
        # A hidden page's timers run once a minute.
        assert 85 <= trio.current_time() < 86


async def test_a_heartbeat_is_an_event_alone(start: Start, autojump_clock: MockClock) -> None:
    hub = await begin(start, socketio_heartbeat="heartbeat")
    async with on_websocket(hub, version=3) as page:
        await connected(page)
        await page.join("u1")
        assert (await page.heard())[0] == "heartbeat"
        await page.say("2")
        assert await page.hear() == "3"


async def test_a_session_that_only_begins(start: Start, autojump_clock: MockClock) -> None:
    """On requests it has come when it makes a second one."""
    hub = await begin(start, request_timeout=60)
    async with on_requests(hub, version=3), on_requests(hub, version=3) as other:
        await other.say("2")
        assert await other.packets() == ["3"]
        await trio.sleep(12)
        assert hub.statistics().connections == 1


async def test_an_upgrade(start: Start) -> None:
    hub = await begin(start)
    async with on_requests(hub, version=3) as client:
        page = OnWebSocket(await raw_websocket(hub, handshake=handshake(version=3, sid=client.sid)))
        async with page.raw.stream:
            await page.say("2probe")
            assert await page.hear() == "3probe"
            assert await client.packets() == ["6"]
            await page.say("5")
            assert (await page.join("u1"))["session"] == client.sid


@pytest.mark.parametrize("claims", [{"room": "u1", "session": "s1"}, {"session": "s1"}])
async def test_a_login_in_the_query(start: Start, claims: dict[str, str]) -> None:
    hub = await begin(start)
    async with on_requests(hub, version=3, **claims) as page:
        if "room" not in claims:
            await page.say('42["join","u1"]')
        (joined,) = await page.packets()
        assert json.loads(joined[2:])[1]["session"] == "s1"


async def test_a_wrong_login_in_the_query(start: Start) -> None:
    hub = await begin(start)
    async with on_requests(hub, version=3, session="a\0b") as page:
        assert await page.packets() == ['44"session must not hold control characters"', "41"]


async def test_a_refusal_is_an_error_and_a_disconnect(start: Start) -> None:
    hub = await begin(start, join="ticket")
    async with on_websocket(hub, version=3) as page:
        await connected(page)
        await page.emit("join", "x")
        packet = await page.hear()
        assert packet is not None
        assert packet.startswith('44"')
        assert await page.hear() == "41"


async def test_binary_is_counted_and_dropped(start: Start) -> None:
    hub = await begin(start)
    event = '451-["picture",{"_placeholder":true,"num":0}]'
    async with on_requests(hub, version=3) as page:
        body = b"\x00" + bytes(map(int, str(len(event)))) + b"\xff" + event.encode()
        body += b"\x01\x04\xff\x04\x01\x02\x03"
        response = await page.post(body, **{"Content-Type": "application/octet-stream"})
        assert response.status == 200
        await page.say(event, "b4AQID", '42["join","u1"]')
        assert len(await page.packets()) == 1
    async with on_websocket(hub, version=3) as other:
        await connected(other)
        await other.say(event)
        await other.raw.stream.send_all(client_frame(BINARY, b"\x04\x01\x02\x03"))
        assert await other.join("u1")


@pytest.mark.parametrize("said", ["3", "40", "4", '42["connect"]'])
async def test_what_no_client_says(start: Start, said: str) -> None:
    hub = await begin(start)
    async with on_websocket(hub, version=3) as page:
        await connected(page)
        await page.say(said)
        assert await page.hear() is None
        await wait_all_tasks_blocked()
    assert hub.statistics().members == 0
