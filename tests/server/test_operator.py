"""What an operator looks at: the page, what the hub has counted, and what it has decided last."""

import json
import re
from typing import Any

import pytest
import trio
from prometheus_client.parser import text_string_to_metric_families
from trio.testing import MockClock

import sse_trio
from sse_trio.core.questions import MAX_DECISIONS
from sse_trio.fields import Tcp
from sse_trio.ledger.cluster.context import Settings
from sse_trio.ledger.cluster.ledger import ClusterLedger
from sse_trio.ledger.cluster.memory import MemoryDatabase, MemoryEngine
from sse_trio.paths import OPERATOR
from sse_trio.roster import fingerprint

from ..support import KEY, Response, Start, joined, post, post_notify, request

QUESTIONS = ("/statistics", "/decisions")


async def ask(hub: Any, path: str, key: str = KEY, **members: Any) -> Response:
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    return await request(hub, "POST", path, body=json.dumps(members).encode(), headers=headers)


async def inside(start: Start, **settings: Any) -> tuple[sse_trio.Hub, Tcp]:
    hub = await start(internal="127.0.0.1:0", **settings)
    assert isinstance(hub.internal, Tcp)
    return hub, hub.internal


# -- The page ------------------------------------------------------------------------------


async def test_the_page_is_at_the_internal_address_alone(start: Start) -> None:
    public, internal = await inside(start)
    page = await request(internal, "GET", "/")
    assert page.status == 200
    assert b"operator.js" in page.body
    assert (await request(public, "GET", "/")).body != page.body
    for path in OPERATOR:
        assert (await request(internal, "GET", path)).status == 200
        assert (await request(public, "GET", path)).status == 404
    only = await start()
    assert b"operator.js" not in (await request(only, "GET", "/")).body
    for path in OPERATOR:
        assert (await request(only, "GET", path)).status == 404


async def test_what_browsers_are_told_about_it(start: Start) -> None:
    _, internal = await inside(start)
    types = {}
    for path in ("/", *OPERATOR):
        answer = await request(internal, "GET", path)
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        policy = dict(
            each.split(" ", 1) for each in answer.headers["content-security-policy"].split("; ")
        )
        assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
        assert not [name for name in answer.headers if name.startswith("access-control")]
        types[path] = answer.headers["content-type"]
        head = await request(internal, "HEAD", path)
        assert (head.status, head.body) == (200, b"")
    assert types["/"] == types["/operator"] == "text/html; charset=utf-8"
    assert types["/operator.js"] == "text/javascript; charset=utf-8"
    assert types["/operator.css"] == "text/css; charset=utf-8"


async def test_nothing_of_it_comes_from_elsewhere_or_stands_in_line(start: Start) -> None:
    _, internal = await inside(start)
    page = (await request(internal, "GET", "/")).body.decode()
    linked = set(re.findall(r'(?:src|href)="([^"]+)"', page))
    assert linked == {"data:,", "operator.css", "operator.js"}
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script[^>]*>[^<]", page)
    for path in OPERATOR[1:]:
        text = (await request(internal, "GET", path)).body.decode()
        assert not re.search(r"https?://|@import|url\(|innerHTML|insertAdjacent|eval\(", text)


# -- The questions -------------------------------------------------------------------------


@pytest.mark.parametrize("path", QUESTIONS)
async def test_they_need_the_key_and_are_where_the_rest_is(start: Start, path: str) -> None:
    hub, internal = await inside(start)
    assert (await ask(hub, path)).status == 404
    assert (await ask(internal, path)).status == 200
    assert (await post(internal, path, {"key": KEY})).status == 200
    assert (await ask(internal, path, "wrong")).status == 401
    assert (await post(internal, path, {})).status == 401
    assert hub.statistics().refused_keys == {"unauthorized": 2}
    assert (await request(internal, "GET", path)).status == 405
    assert (await ask(await start(), path)).status == 200


@pytest.mark.parametrize("path", QUESTIONS)
async def test_who_guesses_is_refused(start: Start, path: str) -> None:
    hub = await start(max_wrong_keys=2)
    statuses = [(await ask(hub, path, key)).status for key in ("wrong", "wrong", KEY)]
    assert statuses == [401, 401, 429]


@pytest.mark.parametrize("path", QUESTIONS)
async def test_they_wait_for_the_ledger_and_count_as_no_check(start: Start, path: str) -> None:
    hub = await start()
    hub.loading = True
    answer = await ask(hub, path)
    assert answer.status == 503
    assert answer.json["type"].endswith(":loading")
    assert hub.statistics().checks == {}


def told(answer: Response) -> dict[str, float | None]:
    """The numbers, by the names that Prometheus has for them."""
    found: dict[str, float | None] = {}
    for name, metric in answer.json["metrics"].items():
        base = f"sse_trio_{name}"
        suffix = "_total" if metric["type"] == "counter" else ""
        if "value" in metric:
            found[base + suffix] = metric["value"]
        for result, count in metric.get("values", {}).items():
            found[f"{base}{suffix}[{result}]"] = count
        if metric["type"] == "histogram":
            found |= {f"{base}_count": metric["count"], f"{base}_sum": metric["sum"]}
    return found


async def scraped(hub: sse_trio.Hub) -> dict[str, float | None]:
    text = (await request(hub, "GET", "/metrics")).body.decode()
    found: dict[str, float | None] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if not sample.name.endswith("_bucket"):
                label = "".join(f"[{value}]" for value in sample.labels.values())
                value = None if sample.value == float("inf") else sample.value
                found[sample.name + label] = value
    return found


async def test_the_statistics_are_the_metrics(start: Start, autojump_clock: MockClock) -> None:
    hub = await start()
    async with joined(hub, "u1", "s1"), joined(hub, "u2", "s2"):
        for sender in ("s1", "s3"):
            assert (await post_notify(hub, room="u1", sender=sender)).status == 200
        assert (await ask(hub, "/sessions", "wrong", room="u1")).status == 401
        before = hub.uptime
        await trio.sleep(7)
        answer = await ask(hub, "/statistics", anything="ignored")
        numbers = told(answer)
        assert numbers == await scraped(hub)
        assert numbers["sse_trio_notifies_total[accepted]"] == 2
        assert numbers["sse_trio_fan_out_seconds_count"] == 2
        assert numbers["sse_trio_ledger_ready"] == 1
        assert answer.json["uptime"] == pytest.approx(before + 7, abs=1)
        joins = answer.json["metrics"]["joins"]
        assert joins == {"type": "counter", "about": "Joins by result", "values": {"joined": 2}}
        releases = answer.json["metrics"]["releases"]
        assert releases["values"] == {}


async def test_the_statistics_of_a_node(start: Start, autojump_clock: MockClock) -> None:
    engine = MemoryEngine(MemoryDatabase(trio.current_time))
    async with ClusterLedger.open(
        engine, Settings(), clock=trio.current_time, local=trio.current_time
    ) as ledger:
        hub = await start(ledger=ledger)
        numbers = told(await ask(hub, "/statistics"))
        assert numbers.keys() == (await scraped(hub)).keys()
        assert numbers["sse_trio_nodes"] == 1


async def test_the_decisions_are_those_of_the_audit_log(start: Start, tmp_path: Any) -> None:
    audit = tmp_path / "audit"
    hub = await start(audit=str(audit))
    about = {"device": "<img onerror=alert(1)>"}
    first = (await post_notify(hub, room="u1", sender="secret-1", about=about)).json
    await post_notify(hub, room="u1", sender="secret-2")
    await ask(hub, "/release", room="u1", session="secret-2")
    await ask(hub, "/sessions", "a wrong key", room="u1")
    answer = await ask(hub, "/decisions")
    written = [json.loads(line) for line in audit.read_text().splitlines()]
    assert answer.json == {"decisions": written[::-1]}
    assert [each["event"] for each in written] == [
        "began",
        "ended",
        "began",
        "released",
        "wrong key",
    ]
    assert written[0]["session"] == fingerprint("secret-1")
    assert written[0]["about"] == about
    text = answer.body.decode()
    assert not any(secret in text for secret in ("secret", KEY, "a wrong key", first["token"]))
    assert (await ask(hub, "/decisions", limit=2)).json["decisions"] == written[:-3:-1]


async def test_without_an_audit_log_they_are_kept_all_the_same(start: Start) -> None:
    hub = await start()
    for number in range(MAX_DECISIONS + 2):
        await hub.notify(f"u{number}", sender="s1")
    decisions = (await ask(hub, "/decisions")).json["decisions"]
    rooms = [each["room"] for each in decisions]
    assert rooms == [f"u{number}" for number in range(MAX_DECISIONS + 1, 1, -1)]
    for limit, status in ((1, 200), (MAX_DECISIONS, 200), (0, 400), (MAX_DECISIONS + 1, 400)):
        answer = await ask(hub, "/decisions", limit=limit)
        assert answer.status == status
        if status == 200:
            assert answer.json["decisions"] == decisions[:limit]
    for wrong in (True, "1", 1.5, None):
        assert (await ask(hub, "/decisions", limit=wrong)).status == 400


async def test_another_site_can_do_nothing(start: Start) -> None:
    """A browser asks first whether it may send JSON or an `Authorization` from another origin."""
    _, internal = await inside(start)
    for path in (*QUESTIONS, "/notify", "/release", "/sessions"):
        preflight = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
        answer = await request(internal, "OPTIONS", path, headers=preflight)
        assert answer.status == 405
        assert not [name for name in answer.headers if name.startswith("access-control")]
        body = json.dumps({"key": KEY, "room": "u1", "session": "s1"}).encode()
        simple = await request(
            internal, "POST", path, body=body, headers={"Content-Type": "text/plain"}
        )
        assert simple.status == 415
