"""HTTP requests as bytes, through h11, however they are split: what is to be done about them."""

import base64
import json
from typing import Any

import attrs
import h11
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sse_trio.config import Config
from sse_trio.core.events import Listen, Say
from sse_trio.core.handshake import Upgrade
from sse_trio.core.keyed import Keyed, is_authkey
from sse_trio.core.notify import LAST_JOINED, Notify, Release
from sse_trio.core.problems import HEADERS_TOO_LARGE, TOO_LARGE, Problem, from_error
from sse_trio.core.questions import Check, LoginQuery, Sessions, Verify
from sse_trio.core.requests import NOT_FOUND, Page, RequestReader, Wanted
from sse_trio.paths import OPERATOR, PAGES

from .. import strategies

KEY = "HknYh/u762yhdi<4"
CONFIG = Config(authkey=KEY, max_body=2048, max_check_body=2048)

# What an application server may announce: where, in which members, and what it comes to.
NOTIFY = {"room": "u1", "key": KEY, "sender": "s2"}
RELEASE = {"room": "u1", "key": KEY, "session": "s2"}
CHECK = {"room": "u1", "key": KEY, "session": "s2"}
SESSIONS = {"room": "u1", "key": KEY}
BODIES: dict[str, dict[str, Any]] = {
    "/notify": NOTIFY,
    "/release": RELEASE,
    "/check": CHECK,
    "/sessions": SESSIONS,
}
ANNOUNCED = {
    "/notify": Notify(room="u1", sender="s2"),
    "/release": Release(room="u1", session="s2"),
    "/check": Check((LoginQuery(room="u1", session="s2"),)),
    "/sessions": Sessions("u1"),
}
announcements = pytest.mark.parametrize("target", ANNOUNCED)


class Server:
    """h11 and a `RequestReader`, answering as little as keeps the connection going."""

    def __init__(self, config: Config, *, is_public: bool = True) -> None:
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=config.max_headers)
        self._reader = RequestReader(config, is_public=is_public)
        self._over = False
        self.outcomes: list[Wanted] = []
        self.continued = 0

    def receive(self, data: bytes) -> None:
        """Read on, until more is needed or the connection is given up."""
        if not self._over:
            self._http.receive_data(data)
        while not self._over:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                self._conclude(from_error(error))
                return
            if event is h11.NEED_DATA:
                if self._http.they_are_waiting_for_100_continue:
                    self._http.send(h11.InformationalResponse(status_code=100, headers=[]))
                    self.continued += 1
                return
            assert isinstance(event, h11.Request | h11.Data | h11.EndOfMessage)
            if outcome := self._reader.feed(event):
                self._conclude(outcome)

    def _conclude(self, outcome: Wanted) -> None:
        self.outcomes.append(outcome)
        self._over = isinstance(outcome, Upgrade) or (
            isinstance(outcome, Problem) and outcome.close
        )
        if not self._over:
            self._http.send(h11.Response(status_code=304, headers=[]))
            self._http.send(h11.EndOfMessage())
            self._over = self._http.states != {h11.CLIENT: h11.DONE, h11.SERVER: h11.DONE}
        if not self._over:
            self._http.start_next_cycle()


PIPELINED = b"GET /healthz HTTP/1.1\r\nHost: test\r\n\r\n"


def ask(request: bytes, config: Config = CONFIG, *, is_public: bool = True) -> Wanted:
    """Send a request whole, byte by byte, and with another behind it: the same each time."""
    whole = Server(config, is_public=is_public)
    whole.receive(request)
    split = Server(config, is_public=is_public)
    for byte in request:
        split.receive(bytes([byte]))
    trailing = Server(config, is_public=is_public)
    trailing.receive(request + PIPELINED)
    (outcome,) = whole.outcomes
    assert split.outcomes == [outcome]
    assert trailing.outcomes[0] == outcome
    assert trailing.outcomes[1:] in ([], [Page("/healthz")])
    # Where the next request begins is known, unless the outcome says otherwise.
    goes_on = isinstance(outcome, Keyed | Verify | Page | Listen | Say) or (
        isinstance(outcome, Problem) and not outcome.close
    )
    assert bool(trailing.outcomes[1:]) == (goes_on and b" HTTP/1.1\r\n" in request)
    return outcome


def http(
    method: str,
    target: str,
    *headers: str,
    body: bytes = b"",
    version: str = "1.1",
    host: str | None = "test",
) -> bytes:
    """Write a request down as it is, right or wrong."""
    lines = [f"{method} {target} HTTP/{version}"]
    lines += [f"Host: {host}"] if host else []
    return "\r\n".join([*lines, *headers, "", ""]).encode("latin-1") + body


JSON = "Content-Type: application/json"


def post(body: bytes | dict[str, Any], *headers: str, target: str = "/notify") -> bytes:
    """POST `body` as JSON, with its length."""
    if isinstance(body, dict):
        body = json.dumps(body).encode()
    return http("POST", target, f"Content-Length: {len(body)}", JSON, *headers, body=body)


def announce(target: str, *headers: str, without: str = "", **members: Any) -> bytes:
    """POST what `target` is for, but for what the arguments change."""
    body = {name: value for name, value in BODIES[target].items() if name != without}
    return post(body | members, *headers, target=target)


def chunked(body: bytes, *headers: str, size: int = 100, target: str = "/notify") -> bytes:
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    coded = b"".join(b"%x;ext=1\r\n%b\r\n" % (len(part), part) for part in parts)
    fields = ("Transfer-Encoding: chunked", JSON, *headers)
    return http("POST", target, *fields, body=coded + b"0\r\nTrailer: x\r\n\r\n")


def status(outcome: Wanted) -> int:
    assert isinstance(outcome, Problem), outcome
    return outcome.status


# -- a notify, and a release ------------------------------------------------------------


@given(strategies.notify_bodies, st.booleans())
def test_a_notify_is_what_its_members_say(members: dict[str, Any], ascii_only: bool) -> None:
    body = json.dumps({"key": KEY, **members}, ensure_ascii=ascii_only).encode()
    server = Server(Config(authkey=KEY))
    server.receive(post(body))
    assert server.outcomes == [Notify(**members)]


@given(strategies.release_bodies, st.booleans())
def test_a_release_is_what_its_members_say(members: dict[str, Any], ascii_only: bool) -> None:
    body = json.dumps({"key": KEY, **members}, ensure_ascii=ascii_only).encode()
    server = Server(Config(authkey=KEY))
    server.receive(post(body, target="/release"))
    assert server.outcomes == [Release(**members)]


def ways_to_say(target: str) -> list[bytes]:
    body = BODIES[target]
    text = json.dumps(body).encode()
    return [
        announce(target),
        announce(target, unknown=[1, {"a": None}], Room="u2"),
        post(body, target=f"{target}?room=u2&key=wrong"),
        post(body, target=f"http://test{target}"),
        post(body, target=f"HTTPS://test:8080{target}?x=http://y/z"),
        announce(target, "Content-Encoding: identity"),
        announce(target, "Content-Encoding: Identity"),
        announce(target, f"Authorization: Bearer {KEY}"),
        announce(target, f"Authorization: Bearer {KEY}", without="key"),
        announce(target, f"authorization: bEARER   {KEY}  ", without="key"),
        chunked(text, target=target),
        chunked(text, size=1, target=target),
        *(
            announce(target).replace(JSON.encode(), b"Content-Type: " + spelled)
            for spelled in (
                b"application/json;charset=utf-8",
                b'APPLICATION/JSON ; Charset="UTF-8"',
                b"application/json; charset=utf8; profile=x",
                b"application/json;",
            )
        ),
    ]


@pytest.mark.parametrize(
    ("target", "request_"),
    [(target, request) for target in ANNOUNCED for request in ways_to_say(target)],
)
def test_the_ways_to_say_the_same(target: str, request_: bytes) -> None:
    assert ask(request_) == ANNOUNCED[target]


@pytest.mark.parametrize(
    ("members", "notify"),
    [
        ({"room": 7}, Notify(room="7", sender=LAST_JOINED)),
        ({"room": "u1"}, Notify(room="u1", sender=LAST_JOINED)),
        ({"room": "u1", "sender": None}, Notify(room="u1", sender=None)),
        ({"room": "u1", "sender": 8}, Notify(room="u1", sender="8")),
        ({"room": "u1", "detail": None, "id": None}, Notify(room="u1")),
        ({"room": "x" * 256}, Notify(room="x" * 256)),
        ({"room": "u1", "wait": 10}, Notify(room="u1", wait=10)),
    ],
)
def test_what_may_be_left_out_or_null(members: dict[str, Any], notify: Notify) -> None:
    assert ask(post({"key": KEY} | members)) == notify


@pytest.mark.parametrize(
    ("members", "release"),
    [
        ({"room": 7, "session": -8}, Release(room="7", session="-8")),
        ({"session": "x" * 256}, Release(room="u1", session="x" * 256)),
        ({"wait": 10}, Release(room="u1", session="s2", wait=10)),
        # A notify's members mean nothing here.
        ({"sender": "s1", "detail": 7}, Release(room="u1", session="s2")),
        ({"reason": "idle"}, Release(room="u1", session="s2", reason="idle")),
    ],
)
def test_what_a_release_takes(members: dict[str, Any], release: Release) -> None:
    assert ask(announce("/release", **members)) == release


def test_a_notify_and_a_release_in_one_packet_are_told_apart() -> None:
    server = Server(CONFIG)
    server.receive(announce("/release") + announce("/notify") + announce("/release"))
    assert server.outcomes == [ANNOUNCED[path] for path in ("/release", "/notify", "/release")]


def test_two_notifies_in_one_packet_are_two() -> None:
    server = Server(CONFIG)
    first = {"room": "u1", "key": KEY, "detail": {"a": "b"}}
    server.receive(post(first) + post({"room": "u2", "key": KEY}) + post({"room": "u3"}))
    rooms = [outcome.room for outcome in server.outcomes if isinstance(outcome, Notify)]
    assert rooms == ["u1", "u2"]
    assert status(server.outcomes[2]) == 401


MALFORMED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "not JSON"),
    "no JSON": (b"room=u1", "not JSON"),
    "cut": (b'{"room": "u1"', "not JSON"),
    "two documents": (b"{} {}", "not JSON"),
    "null": (b"null", "a JSON object"),
    "list": (b'[{"room": "u1"}]', "a JSON object"),
    "string": (b'"u1"', "a JSON object"),
    "number": (b"1", "a JSON object"),
    "room twice": (b'{"room": "u1", "room": "u2"}', "twice"),
    "key twice": (b'{"key": "x", "key": "y"}', "twice"),
    "twice, further down": (b'{"detail": {"a": 1, "\\u0061": 2}}', "twice"),
    "NaN": (b'{"wait": NaN}', "NaN and Infinity"),
    "Infinity": (b'{"wait": Infinity}', "NaN and Infinity"),
    "minus Infinity": (b'{"x": -Infinity}', "NaN and Infinity"),
    "1e999": (b'{"wait": 1e999}', "out of range"),
    "an endless integer": (b'{"room": ' + b"1" * 1000 + b"}", "out of range"),
    "deep": (b"[" * 40 + b"]" * 40, "nested"),
    "deep, and cut": (b'{"detail":' * 200, "nested"),
    "lone surrogate": (b'{"room": "\\ud800"}', "surrogate"),
    "not UTF-8": (b'{"room": "\xff"}', "not UTF-8"),
    "latin-1": ('{"room": "é"}'.encode("latin-1"), "not UTF-8"),
    "UTF-16": ('{"room": "u1"}'.encode("utf-16"), "not UTF-8"),
    "a byte order mark": (b'\xef\xbb\xbf{"room": "u1"}', "not JSON"),
}


@pytest.mark.parametrize(("body", "why"), MALFORMED.values(), ids=MALFORMED)
@pytest.mark.parametrize("write", [post, chunked])
@announcements
def test_a_malformed_body_is_400(target: str, write: Any, body: bytes, why: str) -> None:
    outcome = ask(write(body, f"Authorization: Bearer {KEY}", target=target))
    assert isinstance(outcome, Problem)
    assert outcome.status == 400
    assert why in outcome.detail
    assert not outcome.close


WRONG_OF_NOTIFY: dict[str, list[Any]] = {
    "room": [None, True, 1.5, "", "x" * 257, [], {}, "\x00", 10**300],
    "sender": [False, 0.5, "", "x" * 257, [], {}, "\n"],
    "reason": [None, 7, "x" * 65, "a\tb", []],
    "detail": ["x", 7, [], True, {"a": "x" * 1017}],
    "id": [7, "", "x" * 129, "\r", {}],
    "wait": [None, "1", -1, 10.1, True, 11],
    "end": [None, "s1", 7, {}, [None], [""], ["x" * 257], ["s2"], [f"e{n}" for n in range(17)]],
    "max_sessions": [0, -1, 1.0, True, "1", [], CONFIG.max_remembered_sessions],
    "at_limit": ["", "END-OLDEST", 7, [], True],
    "about": ["x", 7, [], True, {"a": "x" * 505}],
    "key": [None, 7, [KEY], {"key": KEY}],
}
WRONG_EPOCHS = [-1, 2**53 + 1, 1.0, True, "1", [], {}]
WRONG_OF_RELEASE: dict[str, list[Any]] = {
    "epoch": WRONG_EPOCHS,
    "room": WRONG_OF_NOTIFY["room"],
    # A notify may leave nobody; a release is of somebody.
    "session": [None, *WRONG_OF_NOTIFY["sender"]],
    "wait": WRONG_OF_NOTIFY["wait"],
    "key": WRONG_OF_NOTIFY["key"],
}
# A member that is null is left out.
WRONG_OF_CHECK: dict[str, list[Any]] = {
    "room": [value for value in WRONG_OF_NOTIFY["room"] if value is not None],
    "session": WRONG_OF_NOTIFY["sender"],
    "token": [1, True, [], {}],
    "epoch": WRONG_EPOCHS,
    "seen": [0, 1, "true", [], {}],
    "renew": [0, 1, "true", [], {}],
    "key": WRONG_OF_NOTIFY["key"],
}
WRONG_OF_SESSIONS = {name: WRONG_OF_NOTIFY[name] for name in ("room", "key")}
WRONG = {
    "/notify": WRONG_OF_NOTIFY,
    "/release": WRONG_OF_RELEASE,
    "/check": WRONG_OF_CHECK,
    "/sessions": WRONG_OF_SESSIONS,
}
WRONG_MEMBERS = [
    (target, {member: value})
    for target, wrong in WRONG.items()
    for member, values in wrong.items()
    for value in values
]


def shown(value: object) -> str:
    return repr(value)[:40]


@pytest.mark.parametrize(("target", "members"), WRONG_MEMBERS, ids=shown)
def test_a_member_out_of_its_limits_is_400_and_named(target: str, members: dict[str, Any]) -> None:
    outcome = ask(announce(target, **members))
    assert isinstance(outcome, Problem)
    assert outcome.status == 400
    assert outcome.detail.startswith(f"{next(iter(members))} must ")


@pytest.mark.parametrize(
    ("target", "missing"),
    [("/notify", "room"), ("/release", "room"), ("/release", "session"), ("/sessions", "room")],
)
def test_what_is_needed_and_missing_is_400_and_named(target: str, missing: str) -> None:
    assert ask(announce(target, without=missing)) == Problem("malformed", f"{missing} is missing")


@pytest.mark.parametrize("target", ["/notify", "/release", "/sessions"])
def test_of_all_that_is_missing_the_first_is_named(target: str) -> None:
    assert ask(post({"key": KEY}, target=target)) == Problem("malformed", "room is missing")


# -- keys -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "authorization"),
    [
        (None, None),
        ("", None),
        ("wrong", None),
        (KEY.lower(), None),
        (KEY + " ", None),
        (KEY[:-1], None),
        (None, ""),
        (None, "Bearer"),
        (None, "Bearer "),
        (None, "Bearer wrong"),
        (None, KEY),
        (None, f"Basic {KEY}"),
        (None, "Basic " + base64.b64encode(f"x:{KEY}".encode()).decode()),
        (None, f"Bearer {KEY}, Bearer {KEY}"),
        (None, "Bearer \xff"),
        (KEY, ""),
        (KEY, "Basic x"),
        (KEY, "Bearer wrong"),
        (KEY, f"Token {KEY}"),
        ("wrong", f"Bearer {KEY}"),
        ("", f"Bearer {KEY}"),
    ],
)
@announcements
def test_every_key_that_is_presented_has_to_be_right(
    target: str, key: str | None, authorization: str | None
) -> None:
    members = {} if key is None else {"key": key}
    headers = [] if authorization is None else [f"Authorization: {authorization}"]
    assert ask(announce(target, *headers, without="key", **members)) == Problem(
        "unauthorized", "a valid key is required", ((b"WWW-Authenticate", b"Bearer"),)
    )


def ask_last(request: bytes) -> Wanted:
    """Ask for what cannot be split, or have another request behind it."""
    server = Server(CONFIG)
    server.receive(request)
    return server.outcomes[-1]


@announcements
def test_two_authorizations_are_not_one(target: str) -> None:
    header = f"Authorization: Bearer {KEY}"
    assert status(ask(announce(target, header, header, without="key"))) == 401


@pytest.mark.parametrize("key", ["new", "old", "ключ"])
@announcements
def test_every_configured_key_opens(target: str, key: str) -> None:
    config = Config(authkey=["new", "old", "ключ"])
    assert ask(announce(target, key=key), config) == ANNOUNCED[target]
    in_header = "Authorization: Bearer " + key.encode().decode("latin-1")
    assert ask(announce(target, in_header, without="key"), config) == ANNOUNCED[target]
    both = announce(target, "Authorization: Bearer new", key=key)
    assert ask(both, config) == ANNOUNCED[target]


@pytest.mark.parametrize("key", ["", "None", "()", "null"])
@announcements
def test_without_a_configured_key_none_is_right(target: str, key: str) -> None:
    assert status(ask(announce(target, key=key), Config())) == 401
    assert status(ask(announce(target, without="key"), Config())) == 401
    assert not is_authkey(Config(), key.encode())


@pytest.mark.parametrize(
    ("target", "request_members"),
    [*WRONG_MEMBERS, ("/notify", {"room": ...}), ("/release", {"session": ...})],
    ids=shown,
)
def test_what_is_malformed_does_not_tell_whether_its_key_was_right(
    target: str, request_members: dict[str, Any]
) -> None:
    """Who is refused for guessing wrong would go on guessing with those."""
    bodies = [BODIES[target] | {"key": key} | request_members for key in (KEY, "wrong")]
    present = [{n: value for n, value in body.items() if value is not ...} for body in bodies]
    right, wrong = (ask(post(body, target=target)) for body in present)
    assert right == wrong
    assert status(wrong) == 400


@given(
    strategies.keys,
    st.sampled_from(["configured", "presented", "in the header"]),
    st.sampled_from(list(ANNOUNCED)),
    st.data(),
)
def test_no_key_is_ever_in_an_outcome(
    key: str, role: str, target: str, data: st.DataObject
) -> None:
    wrong: list[dict[str, Any]] = [{}, {"wait": 99}, {"room": None}, {"id": "x" * 200}]
    members = data.draw(st.sampled_from(wrong))
    if role == "in the header":
        assume(key.isascii())
        request = announce(target, f"Authorization: Bearer {key}", without="key", **members)
    else:
        request = announce(target, **members | {"key": key})
    request = request[: data.draw(st.sampled_from([None, -1]))] + b"}"
    config = Config(authkey=key if role == "configured" else KEY)
    server = Server(config)
    server.receive(request)
    (*_, outcome) = server.outcomes
    texts = [repr(outcome), repr(config)]
    texts += [outcome.body.decode(), str(outcome.headers)] if isinstance(outcome, Problem) else []
    assert not any(strategies.KEY_MARK in text for text in texts)


# -- the head ---------------------------------------------------------------------------


def with_type(target: str, content_type: str) -> bytes:
    return announce(target).replace(JSON.encode(), f"Content-Type: {content_type}".encode())


def without(request: bytes, header: bytes) -> bytes:
    head, _, body = request.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.startswith(header)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


@announcements
def test_a_body_of_no_type_is_415(target: str) -> None:
    assert status(ask(without(announce(target), b"Content-Type"))) == 415
    assert status(ask(announce(target, JSON))) == 415


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "text/json",
        "application/jsonp",
        "application/problem+json",
        "application/x-www-form-urlencoded",
        "text/plain; application/json",
        "application/json, application/json",
        "application/json; charset=latin-1",
        "application/json; charset=utf-16",
        'application/json; x=y; CHARSET = "UTF-7"',
        "application/json; charset=",
    ],
)
@announcements
def test_what_is_not_json_is_415(target: str, content_type: str) -> None:
    is_form = target == "/check" and content_type == "application/x-www-form-urlencoded"
    # Which this is not.
    assert status(ask(with_type(target, content_type))) == (400 if is_form else 415)


@pytest.mark.parametrize("codings", [["gzip"], ["identity, gzip"], ["gzip", "identity"]], ids=str)
@announcements
def test_what_is_compressed_is_415(target: str, codings: list[str]) -> None:
    headers = [f"Content-Encoding: {coding}" for coding in codings]
    assert status(ask(announce(target, *headers))) == 415


@announcements
def test_what_has_no_length_is_411(target: str) -> None:
    assert status(ask(http("POST", target, JSON))) == 411
    assert status(ask(http("POST", target, JSON, "Content-Length: 0"))) == 400


def padded(size: int, target: str = "/notify") -> bytes:
    body = json.dumps(BODIES[target]).encode()
    return body + b" " * (size - len(body))


@announcements
def test_a_body_may_be_as_long_as_the_limit(target: str) -> None:
    for write in (post, chunked):
        assert ask(write(padded(2048, target), target=target)) == ANNOUNCED[target]


def too_long(target: str) -> list[bytes]:
    body = padded(2049, target)
    return [
        post(body, target=target),
        post(body, "Expect: 100-continue", target=target),
        *(chunked(body, size=size, target=target) for size in (1, 100, 2049)),
    ]


@pytest.mark.parametrize(
    "request_",
    [
        *(request for target in ANNOUNCED for request in too_long(target)),
        post(padded(2049), target="/nowhere"),
        http("GET", "/", "Content-Length: 99999999999999999999"),
    ],
)
def test_a_longer_body_is_413_and_the_end(request_: bytes) -> None:
    assert ask(request_) == Problem("body-too-large", "the request's body is too large", close=True)


@announcements
def test_a_body_that_is_too_long_is_not_waited_for(target: str) -> None:
    server = Server(CONFIG)
    server.receive(http("POST", target, JSON, "Content-Length: 2049"))
    assert server.outcomes == [TOO_LARGE]


def test_the_limit_is_each_requests_own() -> None:
    server = Server(CONFIG)
    for target in ("/notify", "/release", "/notify"):
        body = padded(2000, target)
        server.receive(post(body, target=target) + chunked(body, target=target))
    notify, release = ANNOUNCED["/notify"], ANNOUNCED["/release"]
    assert server.outcomes == [notify, notify, release, release, notify, notify]


@pytest.mark.parametrize(
    ("request_", "allow"),
    [
        *(
            (http(method, target), b"POST")
            for method in ("GET", "HEAD", "PUT", "OPTIONS", "DELETE")
            for target in ANNOUNCED
        ),
        *((http(method, "/ws"), b"GET") for method in ("HEAD", "POST", "DELETE")),
        *((http("POST", page, "Content-Length: 0"), b"GET, HEAD") for page in PAGES),
        (http("get", "/"), b"GET, HEAD"),
        *((http("post", target), b"POST") for target in ANNOUNCED),
        (post(NOTIFY, target="/ws"), b"GET"),
    ],
)
def test_another_method_is_405_and_says_which(request_: bytes, allow: bytes) -> None:
    outcome = ask(request_)
    assert isinstance(outcome, Problem)
    assert (outcome.status, outcome.headers) == (405, ((b"Allow", allow),))
    assert outcome.handshake == ("method" if b"/ws" in request_ else None)


@pytest.mark.parametrize(
    "target",
    [
        *("/nowhere", "/notify/", "/Notify", "//notify", "/notify;x", "/%6eotify", "/ws/", "/.."),
        *("*", "test:80", "ftp://test/notify", "http:/notify", "notify", "?/notify", "/client"),
        "http://test//notify",
        *("/release/", "/Release", "//release", "/releases", "release", "/notify/release"),
    ],
)
def test_what_is_not_here_is_404(target: str) -> None:
    for method in ("GET", "OPTIONS"):
        assert status(ask(http(method, target))) == 404
    assert status(ask(post(NOTIFY, target=target))) == 404


@pytest.mark.parametrize(
    ("value", "known"),
    [
        ('"a"', {b'"a"'}),
        ('W/"a"', {b'"a"'}),
        ('"a", W/"b",,"c" ,', {b'"a"', b'"b"', b'"c"'}),
        ("*", {b"*"}),
        ("", set()),
    ],
)
def test_the_versions_that_a_client_has_of_a_page(value: str, known: set[bytes]) -> None:
    page = ask(http("GET", "/client.js", f"If-None-Match: {value}"))
    assert page == Page("/client.js", frozenset(known))
    assert page.is_known(b'"a"') is (b'"a"' in known or known == {b"*"})
    assert not page.is_known(b'"d"') or known == {b"*"}


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_pages_are_to_get_and_to_head(method: str, path: str) -> None:
    for target in (path, f"{path}?x=/y", f"http://test{path}", f"http://[::1]:80{path}?"):
        assert ask(http(method, target)) == Page(path)
        assert ask(http(method, target, "Content-Length: 3", body=b"abc")) == Page(path)
        assert ask(http(method, target, version="1.0", host=None)) == Page(path)


PROOF = "Cookie: __Host-sse_trio=a"


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "PUT", "OPTIONS", "TRACE", "M-SEARCH"])
@pytest.mark.parametrize(
    "target", ["/verify", "/verify/", "/verify/a/b", "/verify?a", "http://test/verify/a?b"]
)
def test_a_verdict_is_asked_for_with_any_method_at_any_place_below(
    method: str, target: str
) -> None:
    assert ask(http(method, target, PROOF)) == Verify("a")
    assert ask(http(method, target, version="1.0", host=None)) == Verify(problem="missing")
    for unread in ("Content-Length: 0", "Content-Encoding: gzip", "Content-Type: a", "Expect: x"):
        assert ask(http(method, target, PROOF, unread)) == Verify("a")


def test_an_id_in_the_head_is_that_of_a_notify() -> None:
    header = 'Idempotency-Key: "once"'
    assert ask(announce("/notify", header)) == Notify(room="u1", sender="s2", id="once")
    assert status(ask(announce("/notify", header, id="twice"))) == 400
    assert status(ask(announce("/notify", header, header))) == 400
    assert status(ask(announce("/notify", header, key="wrong"))) == 401
    for target in ("/release", "/check", "/sessions"):
        assert ask(announce(target, header)) == ANNOUNCED[target]


@pytest.mark.parametrize("target", ["/verifying", "/verif", "/VERIFY", "/%76erify", "/a/verify"])
def test_a_verdict_is_not_asked_for_elsewhere(target: str) -> None:
    assert status(ask(http("GET", target, PROOF))) == 404


def test_a_tunnel_is_no_question() -> None:
    """An answer of 200 would open it (RFC 9110, section 9.3.6)."""
    assert status(ask(http("CONNECT", "/verify", PROOF))) == 404


@pytest.mark.parametrize(
    "headers",
    [
        ["Content-Length: 5"],
        ["Content-Length: 1000000000"],
        ["Transfer-Encoding: chunked"],
        ["Content-Length: 5", "Expect: 100-continue"],
        ["Transfer-Encoding: chunked", "Expect: something else"],
        ["Content-Length: 5", "Content-Type: text/plain", "Content-Encoding: gzip"],
    ],
)
@pytest.mark.parametrize("target", ["/verify", "/verify/a"])
def test_the_body_of_a_verdicts_request_is_not_waited_for(target: str, headers: list[str]) -> None:
    server = Server(CONFIG)
    server.receive(http("POST", target, PROOF, *headers))
    assert (server.outcomes, server.continued) == ([Verify("a")], 0)
    server.receive(PIPELINED)
    assert server.outcomes == [Verify("a")]


@pytest.mark.parametrize("target", ["/notify", "/release", "/check", "/sessions"])
@pytest.mark.parametrize("path", ["/metrics", "/readyz", "/openapi.json"])
def test_what_is_internal_is_not_on_the_public_listener(target: str, path: str) -> None:
    config = attrs.evolve(CONFIG, internal="127.0.0.1:1")
    assert status(ask(announce(target), config)) == 404
    assert status(ask(http("GET", path), config)) == 404
    assert ask(announce(target), config, is_public=False) == ANNOUNCED[target]
    assert ask(http("GET", path), config, is_public=False) == Page(path)
    for is_public in (True, False):
        assert ask(http("GET", "/verify", PROOF), config, is_public=is_public) == Verify("a")
        assert ask(http("GET", "/healthz"), config, is_public=is_public) == Page("/healthz")
        assert status(ask(http("GET", "/ws"), config, is_public=is_public)) == 426


@pytest.mark.parametrize("internal", [None, "127.0.0.1:1"])
def test_the_operators_page_is_only_on_the_internal_listener(internal: str | None) -> None:
    config = attrs.evolve(CONFIG, internal=internal)
    assert ask(http("GET", "/"), config) == Page("/")
    for path in ("/", *OPERATOR):
        page = Page(OPERATOR[0] if path == "/" else path)
        for target in (path, f"{path}?x"):
            assert ask(http("GET", target), config, is_public=False) == page
            assert ask(http("HEAD", target), config, is_public=False) == page
        refused = ask(http("POST", path, "Content-Length: 0"), config, is_public=False)
        assert isinstance(refused, Problem)
        assert (refused.status, dict(refused.headers)[b"Allow"]) == (405, b"GET, HEAD")
        if path != "/":
            assert status(ask(http("GET", path), config)) == 404


@pytest.mark.parametrize("target", ["http://test", "https://test?x", "http://"])
def test_an_absolute_form_without_a_path_is_the_root(target: str) -> None:
    assert ask(http("GET", target)) == Page("/")


def test_metrics_can_be_switched_off() -> None:
    off = attrs.evolve(CONFIG, metrics=False)
    assert [status(ask(http(method, "/metrics"), off)) for method in ("GET", "POST")] == [404, 404]
    assert ask(http("GET", "/readyz"), off) == Page("/readyz")


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (http("GET", "/", host=None), 400),
        (http("GET", "/", "Host: other"), 400),
        (http("GET", "/ HTTP/1.1 x"), 400),
        (http("GET", "/", "No colon"), 400),
        (http("GET", "/", "Space : x"), 400),
        (http("GET", "/", "Nul: \x00"), 400),
        (b"\r\n\r\n\x00\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (post(NOTIFY, "Content-Length: 1"), 400),
        (post(NOTIFY, "Transfer-Encoding: chunked"), 400),
        (http("POST", "/notify", JSON, "Content-Length: -1"), 400),
        (http("POST", "/notify", JSON, "Content-Length: +5", body=b"12345"), 400),
        (http("POST", "/notify", JSON, "Content-Length: 0x5", body=b"12345"), 400),
        (http("POST", "/notify", JSON, "Transfer-Encoding: chunked", version="1.0"), 400),
        (http("POST", "/notify", JSON, "Transfer-Encoding: chunked", body=b"zz\r\n"), 400),
        (http("GET", "/verify", "Content-Length: 1", "Transfer-Encoding: chunked"), 400),
        (http("GET", "/verify/a", "Content-Length: x"), 400),
        (http("GET", "/verify", "Transfer-Encoding: chunked", version="1.0", host=None), 400),
        (http("GET", "/verify", "Transfer-Encoding: gzip"), 501),
        (http("POST", "/notify", JSON, "Transfer-Encoding: gzip"), 501),
        (http("POST", "/notify", JSON, "Transfer-Encoding: gzip, chunked"), 501),
    ],
    ids=range(21),
)
def test_what_leaves_the_length_in_doubt_ends_the_connection(request_: bytes, code: int) -> None:
    outcome = ask(request_)
    assert isinstance(outcome, Problem)
    assert (outcome.status, outcome.close) == (code, True)


@pytest.mark.parametrize("head", [b"GET /", b"GET / HTTP/1.1\r\nX: ", b"GET / HTTP/1.1\r\n"])
def test_a_head_without_an_end_is_431(head: bytes) -> None:
    assert ask_last(head + b"x" * CONFIG.max_headers) == HEADERS_TOO_LARGE


def test_nothing_of_malformed_bytes_is_told() -> None:
    outcome = ask(http("GET", "/", f"Key : {KEY}"))
    assert isinstance(outcome, Problem)
    assert KEY not in outcome.detail


# -- Expect -----------------------------------------------------------------------------


@pytest.mark.parametrize("expectation", ["100-continue", "100-Continue"])
@announcements
def test_who_expects_a_100_gets_it(target: str, expectation: str) -> None:
    head, _, body = announce(target, f"Expect: {expectation}").partition(b"\r\n\r\n")
    server = Server(CONFIG)
    server.receive(head + b"\r\n\r\n")
    assert (server.outcomes, server.continued) == ([], 1)
    server.receive(body)
    assert server.outcomes == [ANNOUNCED[target]]


@pytest.mark.parametrize(
    ("method", "target", "headers", "code"),
    [
        ("POST", "/notify", ["Content-Type: text/plain", "Content-Length: 9"], 415),
        ("POST", "/release", ["Content-Type: text/plain", "Content-Length: 9"], 415),
        ("POST", "/notify", [JSON, "Content-Length: 9", "Content-Encoding: br"], 415),
        ("POST", "/release", [JSON, "Content-Length: 9", "Content-Encoding: br"], 415),
        ("POST", "/nowhere", ["Content-Length: 9"], 404),
        ("PUT", "/notify", [JSON, "Transfer-Encoding: chunked"], 405),
        ("PUT", "/release", [JSON, "Transfer-Encoding: chunked"], 405),
        ("POST", "/notify", [JSON, "Content-Length: 2049"], 413),
        ("POST", "/release", [JSON, "Content-Length: 2049"], 413),
    ],
)
def test_who_expects_a_100_is_refused_before_the_body(
    method: str, target: str, headers: list[str], code: int
) -> None:
    server = Server(CONFIG)
    server.receive(http(method, target, "Expect: 100-continue", *headers))
    (outcome,) = server.outcomes
    assert isinstance(outcome, Problem)
    assert (outcome.status, outcome.close, server.continued) == (code, True, 0)


@pytest.mark.parametrize("expectation", ["", "200-ok", "100-continue, 100-continue", "100"])
@announcements
def test_nothing_else_can_be_expected(target: str, expectation: str) -> None:
    outcome = ask(announce(target, f"Expect: {expectation}"))
    assert isinstance(outcome, Problem)
    assert (outcome.status, outcome.close) == (417, True)


# -- the WebSocket handshake ------------------------------------------------------------

HANDSHAKE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}


def handshake(
    *more: str, target: str = "/ws", http_version: str = "1.1", **changed: str | None
) -> bytes:
    """Write a handshake; a keyword changes the header of that last word, None leaves it out."""
    headers = []
    for name, usual in HANDSHAKE.items():
        value = changed.get(name.rpartition("-")[2].lower(), usual)
        headers += [] if value is None else [f"{name}: {value}"]
    return http("GET", target, *headers, *more, version=http_version)


# RFC 6455, section 1.3.
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_the_sample_of_the_rfc() -> None:
    outcome = ask(handshake())
    assert outcome == Upgrade(ACCEPT, None)
    assert outcome.headers == [
        (b"Upgrade", b"websocket"),
        (b"Connection", b"Upgrade"),
        (b"Sec-WebSocket-Accept", ACCEPT),
    ]


@pytest.mark.parametrize(
    "request_",
    [
        handshake(upgrade="WebSocket", connection="upgrade"),
        handshake(upgrade="h2c, WEBSOCKET", connection="keep-alive, UPGRADE"),
        handshake("Upgrade: h2c", "Connection: keep-alive"),
        handshake("Origin: https://anywhere.example"),
        handshake("Sec-WebSocket-Extensions: permessage-deflate"),
        handshake(target="/ws?room=u1"),
        handshake(target="http://test/ws"),
        handshake(target="ws://test/ws"),
        handshake(target="WSS://test:443/ws?room=u1"),
        handshake("Content-Length: 0"),
    ],
)
def test_the_ways_to_ask_for_a_websocket(request_: bytes) -> None:
    assert ask(request_) == Upgrade(ACCEPT, None)


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (["sse-trio.v1"], "sse-trio.v1"),
        (["chat, sse-trio.v1 ,x"], "sse-trio.v1"),
        (["chat", "sse-trio.v1"], "sse-trio.v1"),
        (["sse-trio.v1.1"], "sse-trio.v1.1"),
        # The newest that both know, in whatever order they are offered.
        (["sse-trio.v1.1, sse-trio.v1"], "sse-trio.v1.1"),
        (["sse-trio.v1", "sse-trio.v1.2", "sse-trio.v1.1"], "sse-trio.v1.1"),
        (["sse-trio.v1.2, sse-trio.v1"], "sse-trio.v1"),
        ([], None),
        ([""], None),
        (["chat"], None),
        (["sse-trio.v2, sse-trio"], None),
        # Browsers compare what was chosen with what was offered, letter by letter.
        (["SSE-TRIO.V1"], None),
    ],
)
def test_the_subprotocol_is_chosen_if_it_was_offered(
    offered: list[str], chosen: str | None
) -> None:
    outcome = ask(handshake(*(f"Sec-WebSocket-Protocol: {value}" for value in offered)))
    assert outcome == Upgrade(ACCEPT, chosen)
    assert outcome.holds is (chosen == "sse-trio.v1.1")
    told = [value for name, value in outcome.headers if name == b"Sec-WebSocket-Protocol"]
    assert told == ([chosen.encode()] if chosen else [])


@pytest.mark.parametrize(
    "request_",
    [
        http("GET", "/ws"),
        handshake(upgrade=None),
        handshake(upgrade="h2c"),
        handshake(upgrade="websockets"),
        handshake(connection=None),
        handshake(connection="keep-alive"),
        handshake(connection="close"),
    ],
)
def test_what_is_no_websocket_is_426(request_: bytes) -> None:
    outcome = ask(request_) if b"close" not in request_ else ask_last(request_)
    headers = ((b"Upgrade", b"websocket"), (b"Connection", b"Upgrade"))
    assert outcome == Problem(
        "upgrade-required", "this path is for WebSockets", headers, handshake="no_upgrade"
    )


@pytest.mark.parametrize("version", [None, "", "8", "12", "14", "13, 8", "013", "x"])
def test_another_version_is_426_and_told_which(version: str | None) -> None:
    outcome = ask(handshake(version=version))
    assert isinstance(outcome, Problem)
    assert outcome.status == 426
    assert (b"Sec-WebSocket-Version", b"13") in outcome.headers
    assert (b"Upgrade", b"websocket") in outcome.headers
    assert outcome.handshake == "version"


NONCE = HANDSHAKE["Sec-WebSocket-Key"]


@pytest.mark.parametrize(
    "request_",
    [
        handshake(key=None),
        handshake(key=""),
        handshake(key="x"),
        handshake(key=NONCE[:-1]),
        handshake(key=NONCE.rstrip("=")),
        handshake(key=NONCE + "="),
        handshake(key=f"{NONCE}, {NONCE}"),
        handshake(f"Sec-WebSocket-Key: {NONCE}"),
        handshake(key="!" + NONCE),
        handshake(key=base64.b64encode(bytes(15)).decode()),
        handshake(key=base64.b64encode(bytes(17)).decode()),
        handshake(key="\xe9" * 24),
    ],
)
def test_a_key_that_is_no_nonce_is_400(request_: bytes) -> None:
    assert status(ask(request_)) == 400


def test_a_websocket_in_http_1_0_is_none() -> None:
    outcome = ask(handshake(http_version="1.0"))
    why = "this is not a well-formed WebSocket handshake"
    assert outcome == Problem("malformed", why, handshake="malformed")


@pytest.mark.parametrize(
    ("origin", "welcome"),
    [
        ("https://app.example.com", True),
        ("HTTPS://App.Example.Com", True),
        ("https://app.example.com:443", True),
        ("https://xn--mller-kva.example", True),
        ("file://", True),
        ("http://localhost:3000", True),
        ("https://m\xfcller.example", False),
        ("wss://app.example.com", False),
        (None, True),
        ("null", False),
        ("", False),
        ("https://app.example.com:8443", False),
        ("http://app.example.com", False),
        ("https://app.example.com.evil.example", False),
        ("https://evil.example", False),
        ("https://app.example.com, https://app.example.com", False),
        ("https://app.example.com/", False),
        ("\xff", False),
    ],
)
def test_only_pages_of_the_listed_origins_may_connect(origin: str | None, welcome: bool) -> None:
    listed = ["https://App.example.com:443", "https://müller.example", "http://localhost:3000"]
    config = Config(origins=[*listed, "file://"])
    outcome = ask(handshake(*([] if origin is None else [f"Origin: {origin}"])), config)
    if welcome:
        assert outcome == Upgrade(ACCEPT, None)
    else:
        assert outcome == Problem(
            "origin-refused", "pages of this origin may not connect", handshake="origin"
        )


def test_no_origin_at_all_may_be_listed() -> None:
    config = Config(origins=[])
    assert status(ask(handshake("Origin: https://app.example.com"), config)) == 403
    assert ask(handshake(), config) == Upgrade(ACCEPT, None)


# -- anything at all --------------------------------------------------------------------


@given(
    st.binary(min_size=1, max_size=300)
    | st.tuples(st.sampled_from([*map(announce, ANNOUNCED)]), st.binary(max_size=100)).map(b"".join)
)
def test_any_bytes_have_an_outcome_or_wait_for_more(data: bytes) -> None:
    whole, split = Server(CONFIG), Server(CONFIG)
    whole.receive(data)
    for byte in data:
        split.receive(bytes([byte]))
    assert split.outcomes == whole.outcomes


# -- other paths for the same ------------------------------------------------------------


def test_further_paths_take_what_notify_takes() -> None:
    settings: dict[str, Any] = {"authkey": KEY, "notify_paths": ["/rest/Login", "/b/"]}
    headers = [("Host", "test"), ("Content-Type", "application/json")]
    body = json.dumps(NOTIFY).encode()

    def asked(path: str, *, method: str = "POST", **more: Any) -> Wanted | None:
        reader = RequestReader(Config(**settings, **more))
        head = h11.Request(
            method=method,
            target=path,
            headers=[*headers, ("Content-Length", str(len(body))), ("Idempotency-Key", "x")],
        )
        return (
            reader.feed(head) or reader.feed(h11.Data(data=body)) or reader.feed(h11.EndOfMessage())
        )

    wanted = Notify(room="u1", sender="s2", id="x")
    for path in ("/notify", "/rest/Login", "/rest/Login?a=b", "/b/"):
        assert asked(path) == wanted
        refused = asked(path, method="GET")
        assert isinstance(refused, Problem)
        assert refused.kind == "method-not-allowed"
        # Where the key is for the internal listener alone, so are they.
        assert asked(path, internal="127.0.0.1:9000") == NOT_FOUND
    for path in ("/rest/login", "/rest/Login/", "/b"):
        assert asked(path) == NOT_FOUND
