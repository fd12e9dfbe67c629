"""The product's main job, end to end, as two different clients see it."""

import json

import pytest
from trio.testing import MockClock
from trio_websocket import ConnectionClosed

from ..support import Start, joined, post_notify, raw_websocket


async def test_the_others_are_ended_and_the_sender_stays(start: Start) -> None:
    hub = await start()
    async with joined(hub, "u1", "s1") as old, joined(hub, "u1", "s2") as new:
        answer = await post_notify(hub, room="u1", sender="s2")
        assert (answer.status, answer.json["epoch"], answer.json["terminated"]) == (200, 1, 1)
        assert json.loads(await old.get_message()) == {
            "type": "terminate",
            "room": "u1",
            "epoch": 1,
            "reason": "login",
            "detail": None,
            "reconnect": False,
        }
        await old.send_message('{"type": "terminated", "epoch": 1}')
        with pytest.raises(ConnectionClosed) as closed:
            await old.get_message()
        assert closed.value.reason is not None
        assert closed.value.reason.code == 4001
        await new.send_message('{"type": "heartbeat"}')
        assert new.closed is None


async def test_a_raw_client_sees_the_same(start: Start, autojump_clock: MockClock) -> None:
    hub = await start()
    websocket = await raw_websocket(hub)
    await websocket.send({"type": "join", "room": 7, "session": "s1"})
    assert (await websocket.message())["room"] == "7"
    await hub.notify("7", sender=None)
    assert (await websocket.message())["type"] == "terminate"
    assert await websocket.closed() == 4001
    await websocket.stream.aclose()
