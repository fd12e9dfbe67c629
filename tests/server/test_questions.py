"""Applications and proxies ask a running server whether logins stand."""

import json
from typing import Any

import h11
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

import sse_trio
from sse_trio.hub.member import Outcome

from ..support import (
    KEY,
    Response,
    Start,
    connect,
    open_peer,
    post,
    post_notify,
    read_response,
    request,
)

GONE = {"active": False, "known": False}


async def asked(hub: sse_trio.Hub, path: str, **members: Any) -> Any:
    answer = await post(hub, path, {"key": KEY, **members})
    assert answer.status == 200
    return answer.json


async def introspect(hub: sse_trio.Hub, body: str, key: str = KEY) -> Response:
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "Authorization": f"Bearer {key}",
    }
    return await request(hub, "POST", "/check", body=body.encode(), headers=headers)


async def verify(hub: sse_trio.Hub, token: str | None, path: str = "/verify") -> Response:
    return await request(hub, "GET", path, headers={"Cookie": f"__Host-sse_trio={token}"})


async def twice(hub: sse_trio.Hub) -> tuple[Outcome, Outcome]:
    """A user logs in, and again elsewhere."""
    first = await hub.notify("u 1", sender="s/1")
    return first, await hub.notify("u 1", sender="s/2", reason="another Gerät", detail={"a": 1})


async def test_a_check_says_what_a_join_is_told(start: Start) -> None:
    hub = await start()
    first, second = await twice(hub)
    stands = {"active": True, "room": "u 1", "session": "s/2", "epoch": 2}
    ended = {"active": False, "room": "u 1", "session": "s/1", "epoch": 2}
    ended |= {"reason": "another Gerät", "detail": {"a": 1}}
    answer = await asked(hub, "/check", token=second.token)
    expires = answer.pop("exp")
    assert (answer, type(expires)) == (stands, int)
    assert await asked(hub, "/check", room="u 1", session="s/2") == stands
    assert await asked(hub, "/check", room="u 1", session="s/1") == ended
    assert await asked(hub, "/check", room="u 1", session="s/3") == GONE
    several = [{"room": "u 1", "session": "s/1"}, {"token": "x"}, {"room": "u2", "session": "s/2"}]
    assert await asked(hub, "/check", checks=several) == {"checks": [ended, GONE, GONE]}
    answer = await asked(hub, "/check", token=first.token)
    assert answer.pop("exp") <= expires
    assert answer == ended


async def test_a_fresh_token_and_ticket(start: Start) -> None:
    hub = await start()
    first, second = await twice(hub)
    fresh = await asked(hub, "/check", token=second.token, renew=True)
    assert (await asked(hub, "/check", token=fresh["token"]))["active"]
    assert await asked(hub, "/check", token=fresh["ticket"]) == GONE
    assert (await verify(hub, fresh["token"])).status == 200
    assert {"token", "ticket"}.isdisjoint(await asked(hub, "/check", token=first.token, renew=True))


async def test_as_rfc_7662_says(start: Start) -> None:
    hub = await start()
    first, second = await twice(hub)
    answer = await introspect(hub, f"token={second.token}&token_type_hint=access_token")
    assert answer.json.pop("exp") > 0
    assert answer.json["sub"] == "u 1"
    assert answer.json["active"] is True
    for inactive in (first.token, second.ticket, "", "x"):
        answer = await introspect(hub, f"token={inactive}")
        assert (answer.status, answer.body) == (200, b'{"active":false}')
    assert (await introspect(hub, f"token={second.token}", key="wrong")).status == 401
    assert (await introspect(hub, "")).status == 400


async def test_who_stands_in_a_room(start: Start) -> None:
    hub = await start(max_sessions=2)
    await twice(hub)
    answer = await asked(hub, "/sessions", room="u 1")
    assert [session["session"] for session in answer["sessions"]] == ["s/2", "s/1"]
    assert (answer["room"], answer["epoch"]) == ("u 1", 2)
    nobody = {"room": "7", "epoch": 0, "floor": 0, "sessions": []}
    assert await asked(hub, "/sessions", room=7) == nobody


async def test_a_repetition_says_who_stands_now(start: Start) -> None:
    """An old answer would have the application delete the login that came since."""
    hub = await start(max_sessions=2)
    await hub.notify("u1", sender="s0")
    await hub.notify("u1", sender="s1")
    first = (await post_notify(hub, room="u1", sender="s2", id="once")).json
    assert (first["standing"], first["ended"]) == (["s2", "s1"], ["s0"])
    await hub.notify("u1", sender="s3")
    again = (await post_notify(hub, room="u1", sender="s2", id="once")).json
    assert (again["standing"], again["ended"], again["epoch"]) == (["s3", "s2"], ["s0"], 3)
    assert again["floor"] >= first["floor"]


async def test_a_late_release_ends_no_newer_login(start: Start) -> None:
    hub = await start()
    await twice(hub)
    late = await asked(hub, "/release", room="u 1", session="s/2", epoch=1)
    assert (late["standing"], late["ended"]) == (["s/2"], [])
    right = await asked(hub, "/release", room="u 1", session="s/2", epoch=2)
    assert (right["standing"], right["ended"]) == ([], ["s/2"])
    assert {"ticket", "token"}.isdisjoint(right)


async def test_a_proxy_is_told_whose_request_may_pass(start: Start) -> None:
    hub = await start()
    first, second = await twice(hub)
    for path in ("/verify", "/verify/a?b"):
        answer = await verify(hub, second.token, path)
        assert answer.status == 200
        assert answer.json == {"subject": "u 1", "extra": {"session": "s/2", "epoch": 2}}
        names = ("x-session-room", "x-session-id", "x-session-epoch")
        assert [answer.headers[name] for name in names] == ["u%201", "s%2F2", "2"]
        assert "access-control-allow-origin" not in answer.headers
    reasons = {first.token: "another%20Ger%C3%A4t", second.ticket: "unknown", "": "missing"}
    for token, reason in reasons.items():
        answer = await verify(hub, token)
        assert answer.status == 401
        assert answer.headers["x-session-reason"] == reason
        assert answer.headers["www-authenticate"] == "Bearer"
        # Nothing of who stands in its place.
        assert answer.json == {
            "type": "urn:sse-trio:problem:not-standing",
            "title": "Unauthorized",
            "status": 401,
            "detail": "no active login came with the request",
        }
        assert {name for name in answer.headers if name.startswith("x-session-")} == {
            "x-session-reason"
        }


async def test_a_refused_request_is_no_wrong_key(start: Start) -> None:
    hub = await start(max_wrong_keys=1)
    for _ in range(5):
        assert (await verify(hub, "x")).status == 401
        assert (await request(hub, "PUT", "/verify")).status == 401
    assert (await post_notify(hub, room="u1", sender="s1")).status == 200
    assert hub.statistics().refused_keys == {}


@pytest.mark.parametrize("path", ["/check", "/sessions"])
async def test_who_has_no_key_is_counted(start: Start, path: str) -> None:
    hub = await start(max_wrong_keys=3)
    _, second = await twice(hub)
    members = {"room": "u 1"} | ({"session": "s/2"} if path == "/check" else {})
    keys: list[dict[str, Any]] = [{}, {"key": second.token}, {"key": second.ticket}]
    for key in keys:
        answer = await post(hub, path, members | key)
        assert answer.status == 401
        assert b"s/2" not in answer.body
    assert hub.statistics().refused_keys == {"unauthorized": 3}
    assert (await post(hub, path, members | {"key": KEY})).status == 429
    # Proxies have none to guess.
    assert (await verify(hub, second.token)).status == 200


async def test_a_token_opens_no_websocket(start: Start) -> None:
    hub = await start()
    _, second = await twice(hub)
    async with open_peer(hub) as peer:
        await peer.send_message(json.dumps({"type": "join", "ticket": second.token}))
        assert json.loads(await peer.get_message())["code"] == 4401


async def test_no_secret_is_in_the_log(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    hub = await start()
    first, second = await twice(hub)
    for token in (first.token, second.token, second.ticket):
        await verify(hub, token)
        await introspect(hub, f"token={token}")
        await introspect(hub, f"token={token}", key=str(token))
        await post(hub, "/check", {"token": token})
        for secret in (KEY, str(token), "u 1", "s/1", "s/2"):
            assert secret not in caplog.text


@pytest.mark.parametrize("announced", ["Content-Length: 60", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize("cookie", ["Cookie: __Host-sse_trio=x", "Cookie: theme=dark"])
async def test_a_body_that_is_not_read_is_not_the_next_request(
    start: Start, announced: str, cookie: str
) -> None:
    hub = await start()
    head = f"POST /verify HTTP/1.1\r\nHost: test\r\n{announced}\r\n{cookie}\r\n\r\n"
    async with await connect(hub) as stream:
        await stream.send_all(head.encode())
        await wait_all_tasks_blocked()
        await stream.send_all(b"GET /healthz HTTP/1.1\r\nHost: test\r\n\r\n")
        await stream.send_eof()
        answers = b""
        while data := await stream.receive_some():
            answers += data
    assert answers.count(b"HTTP/1.1 ") == 1
    assert answers.startswith(b"HTTP/1.1 401 ")
    assert b"\r\nConnection: close\r\n" in answers


async def test_a_large_cookie_passes(start: Start) -> None:
    hub = await start()
    _, second = await twice(hub)
    cookie = f"other={'x' * 8192}; __Host-sse_trio={second.token}"
    assert (await request(hub, "GET", "/verify", headers={"Cookie": cookie})).status == 200


async def test_the_body_of_a_check_may_be_longer_than_others(start: Start) -> None:
    hub = await start()
    media = {"Content-Type": "application/json"}
    body = json.dumps({"key": KEY, "room": "u1", "session": "s1"}).encode()
    for size, check, sessions in ((16384, 200, 200), (16385, 200, 413), (65536, 200, 413)):
        sent = body.ljust(size)
        for path, status in (("/check", check), ("/sessions", sessions)):
            answer = await request(hub, "POST", path, body=sent, headers=media)
            assert answer.status == status
    answer = await request(hub, "POST", "/check", body=body.ljust(65537), headers=media)
    assert answer.status == 413


@pytest.mark.parametrize(
    ("path", "members", "status"),
    [
        ("/check", {"room": "u 1", "session": "s/2"}, 200),
        ("/sessions", {"room": "u 1"}, 200),
        ("/verify", {}, 200),
        ("/notify", {"room": "u 1", "sender": "s/3"}, 503),
        ("/release", {"room": "u 1", "session": "s/2"}, 503),
    ],
)
async def test_a_question_is_answered_while_the_server_drains(
    start: Start, path: str, members: dict[str, str], status: int
) -> None:
    hub = await start()
    _, second = await twice(hub)
    body = b"" if path == "/verify" else json.dumps({"key": KEY, **members}).encode()
    http = h11.Connection(h11.CLIENT)
    fields = {
        "Host": "test",
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "Cookie": f"__Host-sse_trio={second.token}",
    }
    head = http.send(h11.Request(method="POST", target=path, headers=list(fields.items())))
    assert head
    async with await connect(hub) as stream:
        await stream.send_all(head[:10])
        await wait_all_tasks_blocked()
        hub.drain()
        await stream.send_all(head[10:] + body)
        http.send(h11.Data(data=body))
        http.send(h11.EndOfMessage())
        with trio.fail_after(5):
            answer = await read_response(stream, http)
    assert (answer.status, answer.headers["connection"]) == (status, "close")
