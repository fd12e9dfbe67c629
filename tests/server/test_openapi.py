"""The description of the REST API, held against what the server answers."""

import json
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any, NoReturn

import attrs
import h11
import jsonschema_rs
import pytest
import trio
from trio.testing import MockClock

import sse_trio
from sse_trio import LedgerError, LocalProposal, Swap, paths
from sse_trio.core import keyed, messages, notify, problems, questions, tokens
from sse_trio.fields import Tcp
from sse_trio.ledger.cluster.context import Settings
from sse_trio.ledger.cluster.ledger import ClusterLedger
from sse_trio.ledger.cluster.memory import MemoryDatabase
from sse_trio.server.routes.openapi import document

from ..ledger.cluster.fakes import Faulty
from ..support import KEY, Response, Start, connect, read_response, request

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"

# Of the WebSocket alone.
NOT_REST = {"upgrade-required"}

# Seconds.
LEASE = 6.0


def description(**settings: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(document(sse_trio.Config(authkey=KEY, **settings)))
    return found


def closed(schema: Any) -> Any:
    """Allow nothing in an object but what is described."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: closed(value) for key, value in schema.items()}
    return inner | ({"additionalProperties": False} if "required" in schema else {})


@attrs.define
class Described:
    """What is described, and which of it has been seen."""

    document: dict[str, Any]
    seen: set[tuple[str, str]] = attrs.Factory(set)
    kinds: set[str] = attrs.Factory(set)

    def check(self, method: str, path: str, answer: Response) -> None:
        """Hold an answer against what is described."""
        described = self.document["paths"][path][method]["responses"][str(answer.status)]
        if reference := described.get("$ref"):
            assert reference.startswith("#/components/responses/")
            described = self.document["components"]["responses"][reference.rpartition("/")[2]]
        self.seen.add((path, str(answer.status)))
        for name, header in described.get("headers", {}).items():
            value, schema = answer.headers[name.lower()], header["schema"]
            self.is_valid(schema, int(value) if schema.get("type") == "integer" else value)
        media = answer.headers.get("content-type", "").partition(";")[0]
        if "content" in described:
            schema = described["content"][media]["schema"]
            self.is_valid(schema, answer.json if media.endswith("json") else answer.body.decode())
        if media == "application/problem+json":
            self.kinds.add(answer.json["type"].removeprefix(problems.PREFIX))

    def is_valid(self, schema: Any, instance: Any) -> None:
        components = closed({"schemas": self.document["components"]["schemas"]})
        validator = jsonschema_rs.Draft202012Validator({**closed(schema), "components": components})
        validator.validate(instance)


async def raw(hub: sse_trio.Hub, data: bytes) -> Response:
    """Send any bytes; return the answer."""
    http = h11.Connection(h11.CLIENT)
    http.send(h11.Request(method="GET", target="/", headers=[("Host", "test")]))
    async with await connect(hub) as stream:
        await stream.send_all(data)
        return await read_response(stream, http)


def test_it_describes_what_there_is() -> None:
    described = set(description()["paths"])
    assert described == {*keyed.READERS, *paths.PAGES, "/verify", "/events"}
    assert set(description(metrics=False)["paths"]) == described - {"/metrics"}
    described = description(token_cookie="login")["components"]
    assert described["securitySchemes"]["cookie"]["name"] == "login"
    assert set(described["responses"]) == set(problems.STATUSES)
    for name, schema in described["schemas"].items():
        jsonschema_rs.meta.validate(schema)
        assert f'"#/components/schemas/{name}"' in json.dumps(description())


def refused(schema: str, instance: Any) -> bool:
    components = {"schemas": description()["components"]["schemas"]}
    whole = {"$ref": f"#/components/schemas/{schema}", "components": components}
    return not jsonschema_rs.Draft202012Validator(whole).is_valid(instance)


def edges() -> Iterator[tuple[str, dict[str, Any], str, Any, Any]]:
    """Yield bodies, and what is just within the limits of a member, and just beyond."""
    room, release = {"room": "u1"}, {"room": "u1", "session": "s1"}
    most = sse_trio.Config(authkey=KEY).max_remembered_sessions - 1
    name, reason = messages.MAX_NAME, notify.MAX_REASON
    look = {"room": "u1", "session": "s1"}
    yield "Notify", {}, "room", "r" * name, "r" * (name + 1)
    yield "Notify", room, "room", 7, 7.5
    yield "Notify", room, "room", "r", ""
    yield "Notify", room, "room", "\x7e", "\x7f"
    yield "Notify", room, "room", "\xa0", "\x9f"
    yield "Notify", room, "sender", None, True
    yield "Notify", room, "end", ["s"] * notify.MAX_END, ["s"] * (notify.MAX_END + 1)
    yield "Notify", room, "max_sessions", most, most + 1
    yield "Notify", room, "max_sessions", 1, 0
    yield "Notify", room, "at_limit", "refuse-new", "refuse"
    yield "Notify", room, "about", {}, []
    yield "Notify", room, "detail", None, "text"
    yield "Notify", room, "reason", "r" * reason, "r" * (reason + 1)
    yield "Notify", room, "id", "i" * notify.MAX_ID, "i" * (notify.MAX_ID + 1)
    yield "Notify", room, "id", None, ""
    yield "Notify", room, "wait", notify.MAX_WAIT, notify.MAX_WAIT + 0.5
    yield "Notify", room, "wait", 0, -0.5
    yield "Release", release, "epoch", tokens.MAX_EPOCH, tokens.MAX_EPOCH + 1
    yield "Release", release, "epoch", None, -1
    yield "Release", room, "session", "s" * name, "s" * (name + 1)
    yield "Release", release, "reason", "r" * reason, "r" * (reason + 1)
    yield "Check", {}, "checks", [look] * questions.MAX_CHECKS, [look] * (questions.MAX_CHECKS + 1)
    yield "Check", {}, "checks", [look], []
    yield "Check", look, "token", None, "t"
    yield "Check", look, "seen", True, 1
    yield "Check", {}, "token", "t", 7
    yield "RoomQuestion", {}, "room", "r" * name, "r" * (name + 1)
    yield "DecisionsQuestion", {}, "limit", questions.MAX_DECISIONS, questions.MAX_DECISIONS + 1
    yield "DecisionsQuestion", {}, "limit", 1, 0
    yield "DecisionsQuestion", {}, "limit", 1, 1.5


READS = {
    "Notify": "/notify",
    "Release": "/release",
    "Check": "/check",
    "RoomQuestion": "/sessions",
    "DecisionsQuestion": "/decisions",
}


@pytest.mark.parametrize(("schema", "body", "member", "within", "beyond"), [*edges()])
def test_the_limits_are_the_codes(
    schema: str, body: dict[str, Any], member: str, within: Any, beyond: Any
) -> None:
    config = sse_trio.Config(authkey=KEY)
    read = partial(keyed.read_json_untrusted, config, keyed.READERS[READS[schema]], b"Bearer x")
    for value, is_wrong in ((within, False), (beyond, True)):
        instance = body | {member: value}
        outcome = read(json.dumps(instance).encode())
        assert isinstance(outcome, problems.Problem)
        assert outcome.kind == ("malformed" if is_wrong else "unauthorized")
        assert refused(schema, instance) is is_wrong


HEAD = b"POST %b HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"


class FailingLedger(sse_trio.MemoryLedger):
    """Cannot be written, or breaks in a way that nobody thought of."""

    error: Exception | None = None

    def propose(self, swap: Swap) -> Any:
        if self.error is not None and not isinstance(self.error, LedgerError):
            raise self.error
        done = super().propose(swap)
        return done if self.error is None else _Failed(self.error)


@attrs.define
class _Failed(LocalProposal):
    error: Exception
    done: bool = False

    async def durable(self) -> NoReturn:
        await trio.lowlevel.checkpoint()
        raise self.error


Ask = Callable[..., Awaitable[Response]]


def asker(hub: sse_trio.Hub, described: Described) -> Ask:
    """Return what asks and checks: a method, a path, a body, an authkey."""

    async def ask(
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = KEY,
        media: str = JSON,
        data: bytes = b"",
        **headers: str,
    ) -> Response:
        content = data if body is None else json.dumps(body).encode()
        fields = {"Content-Type": media} | {k.replace("_", "-"): v for k, v in headers.items()}
        if key is not None:
            fields["Authorization"] = f"Bearer {key}"
        answer = await request(hub, method, path, body=content, headers=fields)
        described.check(method.lower(), path.partition("?")[0], answer)
        return answer

    return ask


async def _tour_of_logins(ask: Ask) -> None:
    about = {"device": "Firefox"}
    first = (await ask("POST", "/notify", {"room": 7, "sender": "s1", "about": about})).json
    await ask("POST", "/notify", {"room": 7, "sender": "s2", "detail": about, "id": "i"})
    await ask("POST", "/notify", {"room": 7, "sender": "s3", "id": "i"})
    second = (await ask("POST", "/notify", {"room": 7, "sender": "s2"})).json
    await ask("POST", "/notify", {"room": "u2", "sender": None})
    full = {"room": 7, "sender": "s3", "at_limit": "refuse-new"}
    assert (await ask("POST", "/notify", full)).json["sessions"]
    await ask("POST", "/sessions", {"room": 7})
    await ask("POST", "/sessions", {"room": "nobody"})
    looks = [
        {"token": second["token"], "renew": True},
        {"token": first["token"]},
        {"token": "none"},
        {"room": 7, "session": "s2"},
        {"room": 7, "session": "s1", "epoch": 1},
        {"room": 7, "session": "nobody", "seen": True},
    ]
    for look in looks:
        await ask("POST", "/check", look)
    await ask("POST", "/check", {"checks": looks})
    for token in (second["token"], first["token"]):
        await ask("POST", "/check", data=b"token=" + token.encode(), media=FORM)
        await ask("GET", "/verify", key=token)
    await ask("GET", "/verify", key=None)
    await ask("GET", "/verify", key=None, Cookie=f"__Host-sse_trio={second['token']}")
    await ask("POST", "/release", {"room": 7, "session": "s2", "epoch": 3})
    await ask("POST", "/statistics", {})
    decided = (await ask("POST", "/decisions", {})).json["decisions"]
    assert {each["event"] for each in decided} == {"began", "ended", "refused", "released"}
    await ask("POST", "/decisions", {"limit": 1})


async def _tour_of_streams(hub: sse_trio.Hub, ask: Ask) -> None:
    """Have every kind of answer to a page that listens."""
    page = partial(ask, "POST", key=None, media="text/plain", Origin="https://app.example")
    await page("/events?wait=0", {"type": "join", "room": "u1"})
    await page("/events", {"type": "heartbeat", "stream": "nobody's"})
    async with await connect(hub) as stream:
        body = b'{"type":"join","room":"u1","stream":"s"}'
        head = (HEAD % b"/events").replace(b"application/json", b"text/plain")
        await stream.send_all(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        await stream.receive_some()
        await page("/events", {"type": "heartbeat", "stream": "s"})
    await page("/events", data=b"[]")
    await page("/events", data=b"[]", media=JSON)
    await page("/events", data=b"[]", Origin="https://evil.example")


async def test_every_answer_is_described(start: Start, autojump_clock: MockClock) -> None:
    described = Described(description(max_wrong_keys=2))
    ledger = FailingLedger()
    hub = await start(ledger=ledger, max_wrong_keys=2, origins=("https://app.example",))
    ask = asker(hub, described)
    await _tour_of_logins(ask)
    await _tour_of_streams(hub, ask)
    for page in paths.PAGES:
        etag = (await ask("GET", page)).headers.get("etag")
        if etag is not None:
            await ask("GET", page, If_None_Match=etag)
    ask_nothing = {"room": "u1", "session": "s1"}
    for path in keyed.READERS:
        await ask("POST", path, data=b"[]")
        await ask("POST", path, ask_nothing, media="text/plain")
        await ask("POST", path, data=b" " * 70000)
        await ask("POST", path, ask_nothing, Expect="the best")
        head = HEAD % path.encode()
        for rest in (b"", b"\r\n", b"Transfer-Encoding: gzip\r\n\r\n"):
            described.check("post", path, await raw(hub, head + rest))
        await ask("POST", path, ask_nothing, X_Long="x" * 20000)
    assert (await request(hub, "PUT", "/notify")).json["type"].endswith("method-not-allowed")
    described.kinds.add("method-not-allowed")
    ledger.error = LedgerError("the disk is full")
    assert (await ask("POST", "/notify", {"room": 8, "sender": "s1"})).status == 503
    ledger.error = RuntimeError()
    assert (await ask("POST", "/release", {"room": 8, "session": "s1"})).status == 500
    ledger.error = None
    await ask("POST", "/notify", {"room": 8, "sender": "s1", "id": "8"})
    await ask("POST", "/notify", {"room": 8, "sender": "s2"})
    await ask("POST", "/notify", {"room": 8, "sender": "s1", "id": "8"})
    for path in keyed.READERS:
        await trio.sleep(61)
        for key in ("wrong", "wrong", KEY):
            last = await ask("POST", path, ask_nothing, key=key)
        assert last.status == 429
    hub.loading = True
    for path in keyed.READERS:
        await trio.sleep(61)
        await ask("POST", path, ask_nothing)
    await ask("GET", "/verify")
    await ask("POST", "/events", {"type": "join", "room": "u1"}, media="text/plain")
    assert (await ask("GET", "/readyz")).status == 503
    hub.loading = False
    async with await connect(hub) as stream:
        http = h11.Connection(h11.CLIENT)
        http.send(h11.Request(method="GET", target="/", headers=[("Host", "test")]))
        body = b'{"key": "%b", "room": "u1"}' % KEY.encode()
        head = HEAD % b"/notify"
        await stream.send_all(head + b"Content-Length: %d\r\n\r\n" % len(body) + body[:-1])
        await trio.testing.wait_all_tasks_blocked(0.01)
        hub.drain()
        await stream.send_all(body[-1:])
        described.check("post", "/notify", await read_response(stream, http))
    assert described.kinds == set(problems.STATUSES) - NOT_REST - {"not-current"}
    answered = {
        (path, status)
        for path, item in described.document["paths"].items()
        for method in item.values()
        for status in method["responses"]
    }
    # These are alike for all requests, and were seen for some.
    everywhere = {"400", "404", "408", "413", "417", "431", "500", "501"}
    assert {(path, status) for path, status in answered if status not in everywhere} == {
        (path, status) for path, status in described.seen if status not in everywhere
    }


async def test_the_answers_of_a_node_are_described(start: Start, autojump_clock: MockClock) -> None:
    described = Described(description())
    engine = Faulty(MemoryDatabase(trio.current_time))
    settings = Settings(lease=LEASE)
    async with ClusterLedger.open(
        engine, settings, clock=trio.current_time, local=trio.current_time
    ) as ledger:
        ask = asker(await start(ledger=ledger), described)
        login, asked = {"room": "u1", "sender": "s1"}, {"room": "u1", "session": "s1"}
        answer = await ask("POST", "/notify", login)
        assert (answer.json["nodes"], answer.json["lapsed"]) == (0, 0)
        await ask("POST", "/release", {"room": "u1", "session": "s2"})
        engine.away = {"commit", "poll", "report", "read"}
        await trio.sleep(LEASE)
        assert (await ask("POST", "/notify", login)).status == 503
        assert described.kinds == {"not-durable"}
        for path in ("/check", "/sessions"):
            assert (await ask("POST", path, asked)).status == 503
        assert (await ask("GET", "/verify", key=answer.json["token"])).status == 503
        assert described.kinds == {"not-durable", "not-current"}
        engine.away = set()


async def test_it_is_where_the_rest_is(start: Start) -> None:
    """Apart from browsers, where there is an address for that."""
    hub = await start()
    answer = await request(hub, "GET", "/openapi.json")
    assert (answer.status, answer.headers["content-type"]) == (200, JSON)
    assert answer.json == description()
    assert not [name for name in answer.headers if name.startswith("access-control")]
    apart = await start(internal="127.0.0.1:0")
    public = await request(apart, "GET", "/openapi.json")
    described = Described(description())
    described.check("get", "/openapi.json", public)
    for path in keyed.READERS:
        described.check("post", path, await request(apart, "POST", path))
    assert described.kinds == {"not-found"}
    internal = apart.internal
    assert isinstance(internal, Tcp)
    assert (await request(internal, "GET", "/openapi.json")).status == 200


async def test_a_reload_changes_it(start: Start) -> None:
    hub = await start()
    hub.reload(attrs.evolve(hub.config, max_remembered_sessions=9))
    told = (await request(hub, "GET", "/openapi.json")).json["components"]["schemas"]
    assert told["Notify"]["properties"]["max_sessions"]["maximum"] == 8
