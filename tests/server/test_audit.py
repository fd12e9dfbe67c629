"""The audit log of a running server: real requests, a real file; and who is not heard."""

import errno
import json
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

import sse_trio
from sse_trio.roster import fingerprint

from ..support import KEY, Response, Start, post_notify, raw_websocket, request


async def post(
    hub: sse_trio.Hub, path: str, key: str = KEY, *, slowly: bool = False, **members: Any
) -> Response:
    """POST with a key: usual enough to be answered in one step, or else by an exchange."""
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    if slowly:
        headers["Expect"] = "100-continue"
    body = json.dumps(members).encode()
    return await request(hub, "POST", path, body=body, headers=headers)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


async def test_a_start_without_its_audit_log_says_so_and_makes_no_ledger(tmp_path: Path) -> None:
    audit, ledger = tmp_path / "none" / "audit", tmp_path / "test.db"
    config = sse_trio.Config(port=0, authkey=KEY, audit=str(audit), ledger=f"sqlite:///{ledger}")
    with pytest.raises(OSError, match=f"cannot write the audit log {audit}: No such file") as told:
        await sse_trio.serve(config)
    assert told.value.errno == errno.ENOENT
    assert not ledger.exists()


async def test_who_asked_for_what(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "audit"
    proxies = {"trusted_proxies": ["127.0.0.0/8"]}
    hub = await start(audit=str(path), join="ticket", max_wrong_keys=1, **proxies)
    assert path.stat().st_mode & 0o777 == 0o600
    about = {"device": "Firefox, Lisbon"}
    first = await post_notify(hub, room="u1", sender="s1", about=about)
    page = await raw_websocket(hub)
    await page.send({"type": "join", "ticket": first.json["ticket"]})
    assert (await page.message())["type"] == "joined"
    assert (await post(hub, "/notify", slowly=True, room="u1", sender="s2")).status == 200
    assert (await page.message())["type"] == "terminate"
    await page.stream.aclose()
    refusing: dict[str, Any] = {"max_sessions": 1, "at_limit": "refuse-new"}
    for slowly in (False, True):
        answer = await post(hub, "/notify", slowly=slowly, room="u1", sender="s3", **refusing)
        assert answer.status == 409
    assert (await post(hub, "/release", room="u1", session="s2")).status == 200
    far = {"X-Forwarded-For": "192.0.2.9", "Content-Type": "application/json"}
    for status in (401, 429):
        body = json.dumps({"key": "wrong", "room": "u1"}).encode()
        assert (await request(hub, "POST", "/notify", body=body, headers=far)).status == status
    told = lines(path)
    assert all(line.pop("time") for line in told)
    usual = {"room": "u1", "reason": "login", "by": "127.0.0.1"}
    s1, s2, s3 = ({"session": fingerprint(session)} for session in ("s1", "s2", "s3"))
    assert told == [
        {"event": "began", "epoch": 1, "about": about, **s1, **usual},
        {"event": "ended", "epoch": 2, **s1, **usual},
        {"event": "began", "epoch": 2, **s2, **usual},
        {"event": "refused", "epoch": 2, **s3, **usual},
        {"event": "refused", "epoch": 2, **s3, **usual},
        {"event": "released", "epoch": 2, **s2, **usual, "reason": "logout"},
        {"event": "wrong key", "by": "192.0.2.9"},
    ]
    text = path.read_text()
    assert not any(secret in text for secret in (KEY, 'wrong"', first.json["ticket"], '"s1"'))


async def test_a_full_disk_keeps_nobody_out(start: Start) -> None:
    hub = await start(audit="/dev/full")
    assert (await post_notify(hub, room="u1", sender="s1")).status == 200
    assert (await post(hub, "/notify", slowly=True, room="u1", sender="s2")).status == 200
    metrics = (await request(hub, "GET", "/metrics")).body
    assert b"sse_trio_audit_failures_total 2.0" in metrics


async def test_a_file_that_cannot_be_opened_is_found_at_the_start(
    start: Start, tmp_path: Path
) -> None:
    with pytest.raises(OSError, match="No such file"):
        await start(audit=str(tmp_path / "nowhere" / "audit"))


@pytest.mark.parametrize("slowly", [False, True])
async def test_an_application_is_not_locked_by_those_who_share_its_address(
    start: Start, autojump_clock: MockClock, tmp_path: Path, slowly: bool
) -> None:
    path = tmp_path / "audit"
    hub = await start(max_wrong_keys=2, audit=str(path))
    clock = hub.clock()
    assert (await post(hub, "/sessions", slowly=slowly, room="u1")).status == 200
    for _ in range(5):
        assert (await post(hub, "/sessions", "wrong", slowly=slowly, room="u1")).status == 401
        assert (await post(hub, "/sessions", slowly=slowly, room="u1")).status == 200
    # Nor is the disk filled by them.
    assert [line["event"] for line in lines(path)] == ["wrong key"] * 2
    await trio.sleep(clock + 59 - hub.clock())
    assert (await post(hub, "/check", "wrong", room="u1", session="s1")).status == 401
    await trio.sleep(1)
    assert (await post(hub, "/sessions", slowly=slowly, room="u1")).status == 429
    assert (await post(hub, "/sessions", "wrong", slowly=slowly, room="u1")).status == 429
    refused = hub.statistics().refused_keys
    assert refused == {"unauthorized": 6, "refused": 2}
    await trio.sleep(59)
    assert (await post(hub, "/sessions", slowly=slowly, room="u1")).status == 200
