"""Another configuration for a server that runs: what changes for whom, and what stays."""

import attrs
import pytest
import trio

import sse_trio
from sse_trio import Config

from ..support import HANDSHAKE, KEY, Start, connect, joined, post_notify, raw_websocket, request

NEW = "the new key, of more than 16 bytes"


def reload(hub: sse_trio.Hub, **settings: object) -> None:
    """Change these keys and no others."""
    reload = hub.reload(Config(**{"port": 0, "authkey": KEY, **settings}))  # type: ignore[arg-type]
    assert set(reload.changed) <= settings.keys()
    assert reload.restart == ()
    assert hub.config is reload.config


async def test_keys_are_rotated(start: Start) -> None:
    hub = await start(join="ticket")
    old = (await post_notify(hub, room="u1", sender="s1")).json["ticket"]
    assert (await post_notify(hub, room="u1", key=NEW)).status == 401
    reload(hub, join="ticket", authkey=(NEW, KEY))
    new = (await post_notify(hub, room="u2", sender="s1", key=NEW)).json["ticket"]
    assert (await post_notify(hub, room="u3", sender="s1")).status == 200
    for room, ticket in (("u1", old), ("u2", new)):
        page = await raw_websocket(hub)
        await page.send({"type": "join", "ticket": ticket})
        assert (await page.message())["room"] == room
        await page.stream.aclose()
    reload(hub, join="ticket", authkey=NEW)
    assert (await post_notify(hub, room="u1")).status == 401
    late = await raw_websocket(hub)
    await late.send({"type": "join", "ticket": old})
    assert (await late.message())["code"] == 4401
    await late.stream.aclose()


async def status_of(hub: sse_trio.Hub, handshake: bytes) -> bytes:
    async with await connect(hub) as stream:
        await stream.send_all(handshake)
        return bytes(await stream.receive_some())[9:12]


async def test_a_head_that_was_judged_before_is_judged_again(start: Start) -> None:
    hub = await start()
    handshake = HANDSHAKE[:-2] + b"Origin: https://a.example\r\n\r\n"
    assert await status_of(hub, handshake) == b"101"
    reload(hub, origins=("https://b.example",))
    assert await status_of(hub, handshake) == b"403"
    reload(hub, origins=("https://a.example",))
    assert await status_of(hub, handshake) == b"101"


async def test_a_connection_that_is_kept_has_the_new_limits(start: Start) -> None:
    hub = await start()
    body = b'{"room":"u1","sender":"s1","key":"' + KEY.encode() + b'"}' + b" " * 64
    head = b"POST /notify HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"
    post = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    async with await connect(hub) as stream:
        for limit, status in ((16384, b"200"), (64, b"413")):
            reload(hub, max_body=limit)
            await stream.send_all(post)
            assert bytes(await stream.receive_some())[9:12] == status


async def test_wrong_keys_are_counted_by_the_new_limit(start: Start) -> None:
    hub = await start()
    assert (await post_notify(hub, room="u1", key="wrong")).status == 401
    reload(hub, max_wrong_keys=1)
    assert (await post_notify(hub, room="u1", key="wrong")).status == 429


async def test_the_limit_of_sessions(start: Start) -> None:
    hub = await start(max_sessions=2)
    for session in ("s1", "s2"):
        await hub.notify("u1", sender=session)
    reload(hub, max_sessions=2, at_limit="refuse-new")
    with pytest.raises(sse_trio.LimitReached):
        await hub.notify("u1", sender="s3")
    reload(hub, max_sessions=1, at_limit="end-oldest")
    # To be allowed fewer ends nobody, until the next login.
    assert hub.view("u1").sessions == {"s1", "s2"}
    await hub.notify("u1", sender="s3")
    assert hub.view("u1").sessions == {"s3"}


async def test_members_stay_and_who_comes_is_measured(start: Start) -> None:
    hub = await start()
    async with joined(hub, "u1", "s1") as member:
        reload(hub, join="ticket", max_connections_per_room=1, max_connections=1)
        late = await raw_websocket(hub)
        assert await late.closed() == 1013
        await late.stream.aclose()
        assert hub.statistics().members == 1
        await hub.notify("u1", sender="s2")
        assert '"terminate"' in await member.get_message()


async def test_metrics_come_and_go(start: Start) -> None:
    hub = await start()
    for metrics, status in ((False, 404), (True, 200)):
        reload(hub, metrics=metrics)
        assert (await request(hub, "GET", "/metrics")).status == status


async def test_a_client_is_known_by_the_new_proxies(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    hub = await start(max_wrong_keys=1)
    forwarded = {"X-Forwarded-For": "192.0.2.1", "Content-Type": "application/json"}
    body = b'{"room":"u1","key":"wrong"}'
    for status in (401, 429):
        answer = await request(hub, "POST", "/notify", body=body, headers=forwarded)
        assert answer.status == status
    reload(hub, max_wrong_keys=1, trusted_proxies=("127.0.0.1",))
    answer = await request(hub, "POST", "/notify", body=body, headers=forwarded)
    assert answer.status == 401
    assert "192.0.2.1" in caplog.text


async def test_the_grace_of_a_shutdown_is_the_newest(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with trio.open_nursery() as server:
        config = Config(port=0, authkey=KEY, linger=600, shutdown_grace=600)
        hub: sse_trio.Hub = await server.start(sse_trio.serve, config)
        silent = await raw_websocket(hub)
        reload(hub, linger=600, shutdown_grace=2)
        before = trio.current_time()
        hub.drain()
    assert trio.current_time() - before == pytest.approx(2)
    await silent.stream.aclose()


async def test_whoever_has_to_know_is_told(start: Start) -> None:
    hub = await start(heartbeat_timeout=100)
    told: list[Config] = []
    hub.on_reload.append(told.append)
    before = hub.config
    wanted = Config(port=0, authkey=KEY, join="ticket")
    assert hub.reload(wanted).restart == ("heartbeat_timeout",)
    assert told == [hub.config]
    assert hub.config == attrs.evolve(before, join="ticket")
