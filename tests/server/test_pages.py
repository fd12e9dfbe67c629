"""What can be GET, asked of a running server."""

import base64
import hashlib
import json
import re
from functools import partial
from typing import Any

import h11
import pytest
import trio
from prometheus_client.parser import text_string_to_metric_families
from trio.testing import wait_all_tasks_blocked

import sse_trio
from sse_trio.browser import INTEGRITY, SOURCE
from sse_trio.hub.statistics import FAN_OUT_BUCKETS

from ..support import (
    HANDSHAKE,
    KEY,
    Start,
    connect,
    joined,
    open_peer,
    post_notify,
    read_response,
    request,
)

PAGES = ["/", "/client.js", "/healthz", "/readyz", "/metrics", "/openapi.json"]


async def samples(hub: sse_trio.Hub) -> dict[str, float]:
    """Read /metrics as Prometheus does; the labels are part of the name."""
    response = await request(hub, "GET", "/metrics")
    assert response.status == 200
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    found = {}
    for family in text_string_to_metric_families(response.body.decode()):
        assert family.documentation, family.name
        for sample in family.samples:
            labels = ",".join(sample.labels.values())
            found[f"{sample.name}[{labels}]" if labels else sample.name] = sample.value
    return found


async def test_alive(start: Start) -> None:
    response = await request(await start(), "GET", "/healthz")
    assert (response.status, response.body) == (200, b"alive\n")
    assert response.headers["content-type"] == "text/plain; charset=utf-8"


async def test_ready(start: Start) -> None:
    response = await request(await start(), "GET", "/readyz")
    assert (response.status, response.body) == (200, b"ready\n")


class FickleLedger(sse_trio.MemoryLedger):
    """A ledger whose disk comes and goes."""

    ready = True


async def test_not_ready_without_a_ledger(nursery: trio.Nursery) -> None:
    ledger = FickleLedger()
    serve = partial(sse_trio.serve, sse_trio.Config(port=0, authkey=KEY), ledger=ledger)
    hub = await nursery.start(serve)
    assert (await request(hub, "GET", "/readyz")).status == 200
    ledger.ready = False
    response = await request(hub, "GET", "/readyz")
    assert (response.status, response.body) == (503, b"the ledger cannot be written\n")
    assert (await request(hub, "GET", "/healthz")).status == 200
    ledger.ready = True
    assert (await request(hub, "GET", "/readyz")).status == 200


@pytest.mark.parametrize(("page", "status"), [("/readyz", 503), ("/healthz", 200)])
async def test_while_draining(start: Start, page: str, status: int) -> None:
    hub = await start()
    http = h11.Connection(h11.CLIENT)
    head = http.send(h11.Request(method="GET", target=page, headers=[("Host", "test")]))
    assert head is not None
    async with await connect(hub) as stream:
        # Whoever has begun to ask when the drain begins is still answered.
        await stream.send_all(head[:10])
        await wait_all_tasks_blocked()
        hub.drain()
        await stream.send_all(head[10:])
        response = await read_response(stream, http)
        assert response.status == status
        assert response.headers["connection"] == "close"
        assert await stream.receive_some() == b""


async def test_the_metrics_of_a_server_that_has_done_nothing(start: Start) -> None:
    counted = await samples(await start())
    assert all(name.startswith("sse_trio_") for name in counted)
    assert counted.pop("sse_trio_ledger_ready") == 1.0
    assert set(counted.values()) == {0.0}


async def test_metrics(start: Start) -> None:
    hub = await start()
    async with (
        joined(hub, "room of alice", "session one") as one,
        joined(hub, "room of alice", "session two"),
        joined(hub, "room of bob", "session three"),
        open_peer(hub) as stranger,
    ):
        await stranger.send_message("nonsense")
        answer = await post_notify(hub, room="room of alice", sender="session two", id="i")
        assert answer.json["terminated"] == 1
        await one.send_message('{"type": "terminated", "epoch": 1}')
        assert (await post_notify(hub, room="room of alice", sender="session two", id="i")).json
        assert (await post_notify(hub, room="room of bob", id="i")).status == 409
        assert (await post_notify(hub, room="room of bob", key="wrong")).status == 401
        await wait_all_tasks_blocked()
        counted = await samples(hub)
        text = (await request(hub, "GET", "/metrics")).body.decode()
    expected = {
        "sse_trio_members": 2,
        "sse_trio_rooms": 2,
        "sse_trio_remembered_rooms": 2,
        "sse_trio_joins_total[joined]": 3,
        "sse_trio_joins_total[malformed]": 1,
        "sse_trio_notifies_total[accepted]": 1,
        "sse_trio_notifies_total[duplicate]": 1,
        "sse_trio_notifies_total[conflict]": 1,
        "sse_trio_refused_keys_total[unauthorized]": 1,
        "sse_trio_terminations_sent_total": 1,
        "sse_trio_terminations_acked_total": 1,
        "sse_trio_terminations_cut_total": 0,
        "sse_trio_dead_peers_total": 0,
        "sse_trio_slow_members_total": 0,
        "sse_trio_audit_failures_total": 0,
        "sse_trio_fan_out_seconds_count": 1,
        "sse_trio_fan_out_seconds_bucket[+Inf]": 1,
    }
    assert {name: counted[name] for name in expected} == expected
    assert counted["sse_trio_fan_out_seconds_sum"] > 0
    for secret in ("alice", "bob", "session", KEY, "127.0.0.1"):
        assert secret not in text


REFUSED = {
    "method": HANDSHAKE.replace(b"GET", b"POST"),
    "no_upgrade": HANDSHAKE.replace(b"Upgrade: websocket\r\n", b""),
    "version": HANDSHAKE.replace(b"13", b"8"),
    "malformed": HANDSHAKE.replace(b"==", b""),
    "origin": HANDSHAKE[:-2] + b"Origin: https://evil.example\r\n\r\n",
}


async def test_refused_handshakes_are_counted_by_reason(start: Start) -> None:
    hub = await start(origins=["https://app.example"])
    for count, handshake in enumerate(REFUSED.values(), 1):
        for _ in range(count):
            async with await connect(hub) as stream:
                await stream.send_all(handshake)
                assert b"HTTP/1.1 4" in await stream.receive_some()
    assert (await request(hub, "POST", "/healthz")).status == 405
    counted = await samples(hub)
    family = "sse_trio_refused_handshakes_total"
    expected = {f"{family}[{reason}]": count for count, reason in enumerate(REFUSED, 1)}
    assert {name: counted[name] for name in counted if name.startswith(family)} == expected


async def test_the_buckets_of_a_histogram_are_cumulative(start: Start) -> None:
    hub = await start()
    for room in range(5):
        await hub.notify(room)
    counted = await samples(hub)
    bounds = [*map(str, FAN_OUT_BUCKETS), "+Inf"]
    buckets = [counted[f"sse_trio_fan_out_seconds_bucket[{bound}]"] for bound in bounds]
    assert buckets == sorted(buckets)
    assert buckets[-1] == counted["sse_trio_fan_out_seconds_count"] == 5


async def test_metrics_can_be_turned_off(start: Start) -> None:
    hub = await start(metrics=False)
    response = await request(hub, "GET", "/metrics")
    assert response.status == 404
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("settings", "hidden"),
    [
        ({}, set()),
        ({"metrics": False}, {"/metrics"}),
        ({"internal": "127.0.0.1:0"}, {"/metrics", "/readyz", "/openapi.json"}),
    ],
)
async def test_the_front_page(start: Start, settings: dict[str, Any], hidden: set[str]) -> None:
    """It names what is there, and nothing else."""
    hub = await start(**settings)
    response = await request(hub, "GET", "/")
    assert response.status == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    page = response.body.decode()
    assert page.startswith("<!doctype html>")
    assert "nothing to do with server-sent events" in page
    links = re.findall('href="([^"]*)"', page)
    assert set(links) == set(PAGES) - {"/"} - hidden
    assert ("/notify" in page) == ("internal" not in settings)
    for link in links:
        assert (await request(hub, "GET", link)).status == 200


async def test_the_client_is_for_every_site(start: Start) -> None:
    response = await request(
        await start(), "GET", "/client.js", headers={"Origin": "https://elsewhere.example"}
    )
    assert (response.status, response.body) == (200, SOURCE)
    assert response.headers.pop("date")
    assert response.headers == {
        "content-type": "text/javascript; charset=utf-8",
        "content-length": str(len(SOURCE)),
        "etag": f'"{INTEGRITY}"',
        "cache-control": "public, max-age=300",
        "access-control-allow-origin": "*",
        "cross-origin-resource-policy": "cross-origin",
        "x-content-type-options": "nosniff",
    }


async def test_the_integrity_is_that_of_the_client(start: Start) -> None:
    algorithm, _, digest = INTEGRITY.partition("-")
    body = (await request(await start(), "GET", "/client.js")).body
    assert base64.b64decode(digest) == hashlib.new(algorithm, body).digest()


ETAG = f'"{INTEGRITY}"'


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("known", [ETAG, f"W/{ETAG}", f'"old", {ETAG}', f'W/"a",{ETAG}', "*"])
async def test_a_client_that_is_known_is_not_sent_again(
    start: Start, method: str, known: str
) -> None:
    hub = await start()
    async with await connect(hub) as stream:
        http = h11.Connection(h11.CLIENT)
        for _ in range(2):  # the connection is still good for another request
            head = h11.Request(
                method=method,
                target="/client.js",
                headers=[("Host", "test"), ("If-None-Match", known)],
            )
            await stream.send_all((http.send(head) or b"") + (http.send(h11.EndOfMessage()) or b""))
            response = await read_response(stream, http)
            assert (response.status, response.body) == (304, b"")
            assert response.headers["etag"] == ETAG
            assert response.headers["cache-control"] == "public, max-age=300"
            assert response.headers["access-control-allow-origin"] == "*"
            assert "content-length" not in response.headers
            http.start_next_cycle()


@pytest.mark.parametrize("known", ['"old"', "", ETAG[1:-1], '"*"', f"{ETAG}x", f"w/{ETAG}"])
async def test_another_version_of_the_client_is_replaced(start: Start, known: str) -> None:
    hub = await start()
    response = await request(hub, "GET", "/client.js", headers={"If-None-Match": known})
    assert (response.status, response.body) == (200, SOURCE)


@pytest.mark.parametrize("page", ["/", "/healthz", "/metrics"])
async def test_other_pages_have_no_versions(start: Start, page: str) -> None:
    response = await request(await start(), "GET", page, headers={"If-None-Match": "*"})
    assert response.status == 200


async def test_an_answer_that_upgrades_and_closes_says_both(start: Start) -> None:
    """RFC 9110, section 7.8: who sends Upgrade names it in Connection."""
    hub = await start()
    async with await connect(hub) as stream:
        await stream.send_all(b"GET /ws HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\n")
        await stream.send_all(b"Content-Length: 1\r\n\r\n")
        head = b"".join([bytes(data) async for data in stream]).lower()
    assert head.startswith(b"http/1.1 426 ")
    assert b"\r\nconnection: upgrade\r\n" in head
    assert b"\r\nconnection: close\r\n" in head


@pytest.mark.parametrize("page", PAGES)
async def test_head_is_get_without_the_body(start: Start, page: str) -> None:
    hub = await start()
    get = await request(hub, "GET", page)
    async with await connect(hub) as stream:
        await stream.send_all(f"HEAD {page} HTTP/1.1\r\nHost: test\r\n".encode())
        await stream.send_all(b"Connection: close\r\n\r\n")
        received = b"".join([bytes(data) async for data in stream])
    head, _, body = received.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    assert status == f"HTTP/1.1 {get.status} OK"
    assert body == b""
    assert headers.pop("connection") == "close"
    assert headers.pop("date")
    assert headers == {name: value.lower() for name, value in get.headers.items() if name != "date"}


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        *(("GET", page, 200) for page in PAGES if page != "/client.js"),
        ("GET", "/nothing", 404),
        ("OPTIONS", "/notify", 405),
        ("OPTIONS", "/metrics", 405),
        ("POST", "/", 405),
        ("GET", "/ws", 426),
        ("POST", "/notify", 200),
        ("POST", "/notify?", 200),
    ],
)
async def test_no_other_site_may_read_it_and_nobody_keeps_it(
    start: Start, method: str, target: str, status: int
) -> None:
    response = await request(
        await start(),
        method,
        target,
        body=json.dumps({"key": KEY, "room": "u1"}).encode() if status == 200 else b"",
        headers={
            "Content-Type": "application/json",
            "Origin": "https://elsewhere.example",
            "Access-Control-Request-Method": "POST",
        },
    )
    assert response.status == status
    assert not [name for name in response.headers if name.startswith("access-control")]
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-content-type-options"] == "nosniff"
