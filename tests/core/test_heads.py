"""What is known by its bytes is what h11 and the reader would say; and nothing else is known."""

import base64
from unittest.mock import patch

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sse_trio import Config
from sse_trio.core.handshake import Upgrade
from sse_trio.core.heads import Heads, begins_request, without_empty_lines
from sse_trio.core.notify import Notify, Release
from sse_trio.core.problems import Problem
from sse_trio.core.questions import Check, LoginQuery, Verify
from sse_trio.core.requests import RequestReader, Wanted
from sse_trio.core.socketio import Attach, Begin, Poll, Push

KEY = "a-key-of-the-tests"
CONFIG = Config(authkey=KEY, max_body=200, max_headers=600, max_header_lines=16)

BODY = b'{"room":"u1","sender":"s1","key":"a-key-of-the-tests"}'
NONCE = b"dGhlIHNhbXBsZSBub25jZQ=="


def post(*fields: bytes, body: bytes = BODY, target: bytes = b"/notify") -> bytes:
    usual = (b"Host: hub", b"Content-Type: application/json", b"Content-Length: %d" % len(body))
    return b"\r\n".join([b"POST %b HTTP/1.1" % target, *usual, *fields, b"", body])


def handshake(*fields: bytes, key: bytes = NONCE) -> bytes:
    usual = (
        b"Host: hub",
        b"Upgrade: websocket",
        b"Connection: keep-alive, Upgrade",
        b"Sec-WebSocket-Version: 13",
        b"Sec-WebSocket-Key: " + key,
    )
    return b"\r\n".join([b"GET /ws HTTP/1.1", *usual, *fields, b"", b""])


def verify(*fields: bytes, target: bytes = b"/verify", method: bytes = b"GET") -> bytes:
    return b"\r\n".join([b"%b %b HTTP/1.1" % (method, target), b"Host: hub", *fields, b"", b""])


COOKIE = b"Cookie: __Host-sse_trio="


def by_h11(data: bytes, config: Config = CONFIG) -> tuple[Wanted, str | None, bytes, bool] | None:
    """Return the outcome, for whom it is, what is left, and whether the connection is kept.

    None if there is no outcome yet.
    """
    http = h11.Connection(h11.SERVER, max_incomplete_event_size=config.max_headers)
    reader = RequestReader(config)
    http.receive_data(data)
    hops: list[bytes] = []
    while True:
        event = http.next_event()
        if not isinstance(event, h11.Request | h11.Data | h11.EndOfMessage):
            return None
        if isinstance(event, h11.Request):
            hops = [value for name, value in event.headers if name == b"x-forwarded-for"]
        if outcome := reader.feed(event):
            state = http.their_state
            upgrades = isinstance(outcome, Upgrade | Attach)
            is_kept = state is not h11.MUST_CLOSE if upgrades else state is h11.DONE
            forwarded_for = b",".join(hops).decode("latin-1") if hops else None
            return outcome, forwarded_for, http.trailing_data[0], is_kept


def outcome(heads: Heads, data: bytes) -> Wanted:
    reading = heads.read(data)
    assert isinstance(reading, tuple), reading
    return reading[0]


# -- what is usual --------------------------------------------------------------------------


def test_a_notify_a_release_and_a_handshake_are_usual() -> None:
    heads = Heads(CONFIG)
    assert outcome(heads, post()) == Notify(room="u1", sender="s1")
    release = b'{"room":"u1","session":"s1","key":"a-key-of-the-tests"}'
    assert outcome(heads, post(body=release, target=b"/release")) == Release(
        room="u1", session="s1"
    )
    upgrade = outcome(heads, handshake(b"Sec-WebSocket-Protocol: sse-trio.v1"))
    # RFC 6455, section 1.3
    assert upgrade == Upgrade(b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "sse-trio.v1")


def test_h11_judges_a_head_once_whatever_varies() -> None:
    heads = Heads(CONFIG)
    with patch("h11.Connection", wraps=h11.Connection) as judge:
        for number in range(5):
            body = BODY[:-1] + b',"id":"%b"}' % (b"x" * (number + 1))
            varying = (b"traceparent: 00-%d-01" % number, b"X-Forwarded-For: 192.0.2.%d" % number)
            found = outcome(heads, post(*varying[: number % 3], body=body))
            assert found == Notify(room="u1", sender="s1", id="x" * (number + 1))
        assert judge.call_count == 1
        for number in range(5):
            key = base64.b64encode(bytes([number] * 16))
            varying = (b"X-Request-ID: %d" % number, b"Cookie: theme=dark; id=%d" % number)
            assert isinstance(outcome(heads, handshake(*varying, key=key)), Upgrade)
        assert judge.call_count == 2


def test_it_tells_whom_the_request_is_for() -> None:
    heads = Heads(CONFIG)
    fields = (b"X-Forwarded-For: 192.0.2.1", b"x-forwarded-for: 192.0.2.2, 192.0.2.3")
    for _ in range(2):
        reading = heads.read(post(*fields))
        assert isinstance(reading, tuple)
        assert reading[1] == "192.0.2.1,192.0.2.2, 192.0.2.3"


def test_who_presents_another_key_is_judged_by_that() -> None:
    heads = Heads(CONFIG)
    body = b'{"room":"u1"}'
    right, wrong = (b"Authorization: Bearer %b" % key for key in (KEY.encode(), b"guess"))
    assert isinstance(outcome(heads, post(right, body=body)), Notify)
    for _ in range(2):
        refusal = outcome(heads, post(wrong, body=body))
        assert getattr(refusal, "status", None) == 401


def test_no_secret_can_be_read_off_it() -> None:
    heads = Heads(CONFIG)
    outcome(heads, post(b"Authorization: Bearer " + KEY.encode()))
    found = outcome(heads, verify(COOKIE + b"a-token"))
    assert KEY not in repr(vars(heads))
    assert "a-token" not in repr((vars(heads), found))


@pytest.mark.parametrize("method", [b"GET", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PURGE"])
@pytest.mark.parametrize("target", [b"/verify", b"/verify/", b"/verify?a=/b", b"/verify/a/b?c=d"])
@pytest.mark.parametrize("fields", [(), (b"Content-Length: 0",), (b"Connection: keep-alive",)])
def test_what_a_proxy_asks_is_usual(method: bytes, target: bytes, fields: tuple[bytes]) -> None:
    """Envoy says that there is no body."""
    data = verify(COOKIE + b"a", *fields, target=target, method=method)
    assert outcome(Heads(CONFIG), data) == Verify("a")


def test_a_cookie_may_take_half_of_the_head() -> None:
    heads = Heads(Config(authkey=KEY))
    data = verify(b"Cookie: other=" + b"x" * 8192 + b"; __Host-sse_trio=a")
    assert outcome(heads, data) == Verify("a")


def test_ten_thousand_verdicts_and_ids_make_no_other_head_be_judged_again() -> None:
    heads = Heads(CONFIG)
    outcome(heads, post())
    with patch("h11.Connection", wraps=h11.Connection) as judge:
        for number in range(10_000):
            url = b"/verify/%d" % number
            length = (b"Content-Length: 0",)[: number % 2]
            method = (b"GET", b"HEAD")[number % 3 == 0]
            target = (url, b"http://hub" + url)[number % 5 == 0]
            heads.read(verify(b"X-Forwarded-Uri: " + url, *length, target=target, method=method))
            heads.read(post(b"Idempotency-Key: %d" % number))
        outcome(heads, post())
        assert not judge.called


def test_the_body_of_a_check_has_a_limit_of_its_own() -> None:
    heads = Heads(Config(authkey=KEY, max_body=64))
    limit = Config().max_check_body
    body = b'{"key":"a-key-of-the-tests","token":"a"}'.ljust(limit)
    assert outcome(heads, post(body=body, target=b"/check")) == Check((LoginQuery(token="a"),))
    assert heads.read(post(body=body, target=b"/check")[:-1]) == len(
        post(body=body, target=b"/check")
    )
    assert heads.read(post(body=body + b" ", target=b"/check")) is None
    assert heads.read(post(body=BODY.ljust(65))) is None


# -- and what is not ------------------------------------------------------------------------

UNUSUAL = {
    "another path": post(target=b"/elsewhere"),
    "a page": b"GET / HTTP/1.1\r\nHost: hub\r\n\r\n",
    "HTTP/1.0": post().replace(b"HTTP/1.1", b"HTTP/1.0"),
    "a head that is not whole": post()[:60],
    "something behind it": post() + b"P",
    "something behind a handshake": handshake() + b"\x81",
    "a handshake with a body": handshake(b"Content-Length: 0"),
    "an empty line before it": b"\r\n" + post(),
    "a line feed alone": post(b"A: b\nC: d"),
    "a carriage return alone": post(b"A: b\rC: d"),
    "an end of two line feeds": post(b"A: b\n"),
    "a folded line": post(b"A: b\r\n c"),
    "a folded length": post().replace(b"Content-Length: ", b"Content-Length: 1\r\n "),
    "a space before the colon": post(b"A : b"),
    "a space before the name": post(b" A: b"),
    "a null": post(b"A: \0"),
    "what is not ASCII": post("A: ü".encode()),
    "two lengths": post(b"Content-Length: %d" % len(BODY)),
    "two lengths that differ": post(b"Content-Length: 1"),
    "a second length, without a space": post(b"Content-Length:%d" % len(BODY)),
    "a second length, with a tab": post(b"content-length:\t%d" % len(BODY)),
    "a length with a sign": post().replace(b"Content-Length: ", b"Content-Length: +"),
    "a list of lengths": post().replace(b"Content-Length: 54", b"Content-Length: 54, 54"),
    "an id": post(b"Idempotency-Key: once"),
    "an id twice": post(b"Idempotency-Key: once", b"Idempotency-Key: once"),
    "an empty id": post(b"idempotency-key: "),
    "an id, without a space": post(b"Idempotency-Key:once"),
    "chunks": post(b"Transfer-Encoding: chunked"),
    "chunks alone": b"POST /notify HTTP/1.1\r\nHost: hub\r\n"
    b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "one who waits to go on": post(b"Expect: 100-continue"),
    "one who closes": post(b"Connection: close"),
    "one who closes, among other things": post(b"connection: x, CLOSE"),
    "one who closes, or would be another": post(b"Connection: close", b"Upgrade: h2c"),
    "hops, without a space": post(b"X-Forwarded-For:192.0.2.1"),
    "hops, and a space behind them": post(b"X-Forwarded-For: 192.0.2.1 "),
    "no host": post().replace(b"Host: hub\r\n", b""),
    "two hosts": post(b"Host: other"),
    "another type": post().replace(b"application/json", b"text/plain"),
    "a compressed body": post(b"Content-Encoding: gzip"),
    "two keys of a handshake": handshake(b"Sec-WebSocket-Key: " + NONCE),
    "a key of another length": handshake(key=b"AAAA"),
    "another version": handshake(b"Sec-WebSocket-Version: 8"),
    "a method that is not allowed": post().replace(b"POST", b"PUT"),
    "a body that is too long": post(body=b" " * 201),
    "a head that is too long": post(b"A: " + b"b" * 600),
    "a verdict without a body to tell": verify(method=b"HEAD"),
    "a verdict of a tunnel": verify(method=b"CONNECT"),
    "a verdict of another form": verify(target=b"http://hub/verify"),
    "a verdict of another form, with a length": verify(
        b"Content-Length: 0", target=b"http://hub/verify"
    ),
    "a verdict, without a body to tell, with a length": verify(
        b"Content-Length: 0", method=b"HEAD"
    ),
    "a verdict with a body": verify(b"Content-Length: 1") + b"1",
    "a verdict with a body that does not come": verify(b"Content-Length: 1"),
    "a verdict with something behind it": verify(b"Content-Length: 0") + b"1",
    "a verdict of another place": verify(target=b"/verifying"),
    "a verdict for two hosts": verify(b"Host: other"),
    "a verdict that closes": verify(b"Connection: close"),
    "a verdict with what is not ASCII": verify(COOKIE + b"\xff"),
}


@pytest.mark.parametrize("data", UNUSUAL.values(), ids=UNUSUAL)
def test_what_is_not_usual_is_left_to_h11(data: bytes) -> None:
    heads = Heads(CONFIG)
    for _ in range(2):
        # Also where its like has been judged before.
        reading = heads.read(data)
        assert not isinstance(reading, tuple) or isinstance(reading[0], Problem)
        assert isinstance(heads.read(post()), tuple)
        assert isinstance(heads.read(handshake()), tuple)


def test_the_limits_are_exact() -> None:
    heads = Heads(CONFIG)
    assert isinstance(heads.read(post(body=BODY.ljust(200))), tuple)
    head = len(post(b"A: ")) - len(BODY)
    assert isinstance(heads.read(post(b"A: " + b"b" * (600 - head))), tuple)
    assert heads.read(post(b"A: " + b"b" * (601 - head))) is None
    assert isinstance(heads.read(post(*[b"A: b"] * 13)), tuple)
    assert heads.read(post(*[b"A: b"] * 14)) is None
    # Those of the body are none of the head.
    assert isinstance(heads.read(post(*[b"A: b"] * 13, body=BODY + b"\n" * 100)), tuple)


@pytest.mark.parametrize(
    ("data", "rest"),
    [
        (b"", b""),
        (b"\r\n", b""),
        (b"\n\r\n\n", b""),
        (b"\r", b"\r"),
        (b"\r\n\r", b"\r"),
        (b"\r\nGET", b"GET"),
        (b"GET\r\n", b"GET\r\n"),
        (b"\rGET", b"\rGET"),
        (b" \r\n", b" \r\n"),
    ],
)
def test_empty_lines_before_a_request_mean_nothing(data: bytes, rest: bytes) -> None:
    """RFC 9112, section 2.2; a carriage return alone is no end of a line."""
    assert without_empty_lines(data) == rest
    assert begins_request(rest) == (rest not in (b"", b"\r"))


@pytest.mark.parametrize("missing", range(1, len(BODY) + 1))
def test_a_body_that_is_not_whole_is_waited_for(missing: int) -> None:
    assert Heads(CONFIG).read(post()[:-missing]) == len(post())


# -- held against h11 -----------------------------------------------------------------------

names = st.sampled_from(
    [
        b"Content-Length", b"content-length", b"Transfer-Encoding", b"Sec-WebSocket-Key",
        b"Upgrade", b"Connection", b"Host", b"Expect", b"Content-Type", b"Authorization",
        b"traceparent", b"TraceState", b"X-Request-Id", b"X-Forwarded-For", b"Cookie", b"A",
        b"X-Forwarded-For", b"Idempotency-Key", b"", b" A",
    ]
)  # fmt: skip
separators = st.sampled_from([b": ", b": ", b": ", b":", b":  ", b":\t", b" : "])
values = st.sampled_from(
    [
        b"54", b"54", b"0", b"1", b"054", b"54,54", NONCE, b"websocket", b"Upgrade", b"close",
        b"keep-alive", b"chunked", b"application/json", b"hub", b"100-continue", b"", b"x y",
        b"\x80", b"00-ab-01", b"Bearer a-key-of-the-tests",
    ]
)  # fmt: skip
ends = st.sampled_from([b"\r\n"] * 8 + [b"\n", b"\r\n ", b"\r", b"\r\n\r\n"])
fields = st.tuples(names, separators, values, ends).map(b"".join)
beginnings = st.sampled_from(
    [b"POST /notify HTTP/1.1\r\n"] * 4
    + [b"GET /ws HTTP/1.1\r\n", b"GET /ws HTTP/1.1\r\n", b"POST /release?x HTTP/1.1\r\n"]
    + [b"POST http://hub/notify HTTP/1.1\r\n", b"POST /notify HTTP/1.0\r\n", b"\r\n", b"POST \r\n"]
)
usual_fields = st.sampled_from(
    [
        b"Host: hub\r\nContent-Type: application/json\r\nContent-Length: 54\r\n",
        b"Host: hub\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + NONCE + b"\r\n",
    ]
)
bodies = st.sampled_from([b"", BODY, BODY, BODY + b" ", BODY[:-1], b"1"])


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    lines = [*draw(st.lists(fields, max_size=3)), draw(usual_fields)]
    parts = draw(st.permutations(lines))
    return b"".join([draw(beginnings), *parts, b"\r\n", draw(bodies)])


verify_fields = st.sampled_from(
    [
        COOKIE + b"a", COOKIE + b"a", COOKIE + b'"a"', COOKIE + b"b; x; __Host-sse_trio=a", COOKIE,
        b"cookie:\ta=b;__Host-sse_trio=a ", COOKIE + b"\xff", b"Authorization: Bearer a",
        b"authorization: bearer  b ", b"Authorization: Basic YTpi", b"Authorization:Bearer",
        b"Host: hub", b"Content-Length: 0", b"Content-Length: 0", b"Content-Length:0",
        b"Content-Length: 00", b"Content-Length: 1", b"content-length: 0, 0", b"Content-Length: x",
        b"Transfer-Encoding: chunked", b"Transfer-Encoding: x", b"Expect: 100-continue",
        b"Expect: x", b"Connection: close", b"Connection: keep-alive", b"connection: x",
        b"Connection: Upgrade", b"Upgrade: websocket", b"Content-Encoding: gzip", b"A : b",
        b"A: b\r\n c", b"Sec-WebSocket-Key: " + NONCE, b"X-Forwarded-For: a", b"A: " + b"b" * 600,
    ]
)  # fmt: skip
verify_beginnings = st.builds(
    b"%b %b HTTP/%b\r\n".__mod__,
    st.tuples(
        st.sampled_from(
            [b"GET"] * 4 + [b"POST", b"HEAD", b"OPTIONS", b"CONNECT", b"TRACE", b"get", b"M-X"]
        ),
        st.sampled_from(
            [b"/verify"] * 4
            + [b"/verify/", b"/verify/a?b", b"/verify?a", b"/verifying", b"http://hub/verify"]
            + [b"HTTPS://hub/verify/a", b"http://hub?/verify", b"/%76erify", b"/notify?/verify"]
        ),
        st.sampled_from([b"1.1"] * 6 + [b"1.0", b"2.0"]),
    ),
)


@st.composite
def verifies(draw: st.DrawFn) -> bytes:
    host = draw(st.sampled_from([[b"Host: hub"]] * 5 + [[]]))
    lines = draw(st.permutations([*draw(st.lists(verify_fields, max_size=3)), *host]))
    head = b"".join(line + b"\r\n" for line in lines) + b"\r\n"
    return draw(verify_beginnings) + head + draw(st.sampled_from([b""] * 5 + [b"1", b"1\r\n1"]))


@settings(max_examples=1000)
@given(verifies())
def test_what_it_says_to_a_proxy_is_what_h11_says(data: bytes) -> None:
    heads = Heads(CONFIG)
    reading = heads.read(data)
    if isinstance(reading, tuple):
        assert reading[1] is None
        found = by_h11(data)
        assert found
        assert (found[0], *found[2:]) == (reading[0], b"", True)


@given(st.lists(requests(), min_size=1, max_size=6))
def test_what_it_says_is_what_h11_says(requests: list[bytes]) -> None:
    heads = Heads(CONFIG)
    for data in requests * 2:
        reading: tuple[Wanted, str | None] | int | None = heads.read(data)
        if isinstance(reading, tuple):
            # One request, nothing behind it, and the next may come.
            assert by_h11(data) == (*reading, b"", True)
        elif reading is not None:
            assert by_h11(data) is None
            assert len(data) < reading
            # So much has to come, and no less.
            assert by_h11(data + b"1" * (reading - len(data) - 1)) is None
            assert by_h11(data + b"1" * (reading - len(data))) is not None


verdict_fields = st.tuples(
    st.sampled_from([b"Cookie", b"cookie", b"Authorization", b"A", b"X-Forwarded-For"]),
    separators,
    st.sampled_from(
        [b"__Host-sse_trio=a", b"theme=dark; __Host-sse_trio=b ;c", b"x__Host-sse_trio=a", b" ",
         b"Bearer c", b"bearer  c  ", b"Basic c", b"\t__Host-sse_trio=d\t", b"\x80"]
    ),
    ends,
).map(b"".join)  # fmt: skip
verdict_beginnings = st.sampled_from(
    [b"GET /verify", b"DELETE /verify/a/b?c", b"HEAD /verify", b"CONNECT /verify", b"GET /verifyx",
     b"GET http://hub/verify", b"GET /./verify", b"get /verify"]
)  # fmt: skip


@given(verdict_beginnings, st.lists(verdict_fields | fields, max_size=4), st.integers(0, 4))
def test_a_request_for_a_verdict_is_what_h11_says(
    beginning: bytes, lines: list[bytes], at: int
) -> None:
    lines.insert(at, b"Host: hub\r\n")
    data = b"".join([beginning, b" HTTP/1.1\r\n", *lines, b"\r\n"])
    reading = Heads(CONFIG).read(data)
    if isinstance(reading, tuple):
        wanted, _ = reading
        found = by_h11(data)
        assert found is not None
        # Whose it is does not matter to a verdict.
        assert (found[0], *found[2:]) == (wanted, b"", True)


def test_a_usual_request_for_a_verdict_is_known() -> None:
    """Also what is written in an unusual way, as long as it can mean one thing only."""
    lines = [b"GET /verify/a?b HTTP/1.1", b"Host: hub", b"X-Forwarded-Uri: /a?b=1"]
    cookie = b"cookie:  theme=dark;__Host-sse_trio=a.b.c  "
    data = b"\r\n".join([*lines, cookie, b"", b""])
    assert outcome(Heads(CONFIG), data) == Verify("a.b.c")


# -- another configuration --------------------------------------------------------------


def test_what_was_judged_is_judged_anew() -> None:
    heads = Heads(CONFIG)
    page = handshake(b"Origin: https://a.example")
    assert isinstance(outcome(heads, page), Upgrade)
    assert isinstance(outcome(heads, post()), Notify)
    heads.reload(Config(authkey="another key", origins=("https://b.example",)))
    assert heads.read(page) is None
    refused = outcome(heads, post())
    assert isinstance(refused, Problem)
    assert refused.status == 401
    assert isinstance(outcome(heads, handshake(b"Origin: https://b.example")), Upgrade)


def test_the_readers_that_come_have_the_other_limits() -> None:
    heads = Heads(CONFIG)
    heads.reload(Config(max_body=64, max_headers=300))
    assert heads.reader().max_body == 64
    assert heads.read(post(b"X-Padding: " + b"x" * 300)) is None


# -- requests of Socket.IO ------------------------------------------------------------------

SOCKETIO = Config(
    authkey=KEY, socketio=True, max_body=64, max_headers=300, origins=("https://a.example",)
)

POLLING = b"/socket.io/?EIO=4&transport=polling"
WEBSOCKET = b"/socket.io/?EIO=4&transport=websocket"


def poll(*fields: bytes, target: bytes = POLLING) -> bytes:
    return b"\r\n".join([b"GET %b HTTP/1.1" % target, b"Host: hub", *fields, b"", b""])


def push(*fields: bytes, target: bytes = POLLING, body: bytes = b"40") -> bytes:
    length = b"Content-Length: %d" % len(body)
    return b"\r\n".join([b"POST %b HTTP/1.1" % target, b"Host: hub", length, *fields, b"", body])


def attach(*fields: bytes, target: bytes = WEBSOCKET) -> bytes:
    return handshake(*fields).replace(b"/ws", target, 1)


def test_what_clients_of_socketio_ask_is_usual() -> None:
    heads = Heads(SOCKETIO)
    assert outcome(heads, poll(target=POLLING + b"&t=P1a.0")) == Begin(4, {})
    assert outcome(heads, poll(target=POLLING + b"&t=P1b&sid=S-_1")) == Poll("S-_1")
    assert outcome(heads, push(target=POLLING + b"&sid=S")) == Push("S", b"40", False)
    accept = Upgrade(b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", None)
    assert outcome(heads, attach(target=WEBSOCKET + b"&sid=S")) == Attach(accept, 4, "S", {})
    assert outcome(heads, attach()) == Attach(accept, 4, None, {})


def test_h11_judges_it_once_whatever_the_session() -> None:
    heads = Heads(SOCKETIO)
    with patch("h11.Connection", wraps=h11.Connection) as judge:
        for number in range(5):
            target = POLLING + b"&t=%d&sid=secret%d" % (number, number)
            assert outcome(heads, poll(target=target)) == Poll(f"secret{number}")
        assert judge.call_count == 1
    assert "secret" not in repr(vars(heads))


def test_a_post_of_socketio_that_is_not_whole_is_waited_for() -> None:
    data = push(target=POLLING + b"&t=P1&sid=a-long-id", body=b"4" * 64)
    heads = Heads(SOCKETIO)
    for missing in (1, 63, 64):
        assert heads.read(data[:-missing]) == len(data)
    assert heads.read(data + b"G") is None


UNUSUAL_ENGINE = {
    "another order": poll(target=b"/socket.io/?transport=polling&EIO=4"),
    "a ticket": poll(target=POLLING + b"&ticket=T"),
    "two ids": poll(target=POLLING + b"&sid=S&sid=T"),
    "a coded id": poll(target=POLLING + b"&sid=S%41"),
    "another version": poll(target=b"/socket.io/?EIO=5&transport=polling"),
    "another method": poll(target=POLLING + b"&sid=S").replace(b"GET", b"HEAD"),
    "another path": poll(target=b"/events" + POLLING),
    "a POST that begins": push(),
    "another origin": poll(b"Origin: https://b.example"),
    "another origin's WebSocket": attach(b"Origin: https://b.example"),
    "the last request": poll(b"Connection: close"),
    "a key that has no use": poll(b"Sec-WebSocket-Key: " + NONCE),
    "no key": attach().replace(b"Sec-WebSocket-Key: " + NONCE + b"\r\n", b""),
    "no WebSocket": poll(target=WEBSOCKET),
    "too long a body": push(target=POLLING + b"&sid=S", body=b"4" * 65),
    "something behind it": poll() + b"G",
}


@pytest.mark.parametrize("data", UNUSUAL_ENGINE.values(), ids=UNUSUAL_ENGINE)
def test_what_is_not_usual_of_socketio_is_left_to_h11(data: bytes) -> None:
    heads = Heads(SOCKETIO)
    assert heads.read(data) is None
    assert heads.read(data) is None


def test_without_socketio_it_is_nothing() -> None:
    found = outcome(Heads(CONFIG), push(target=POLLING + b"&sid=S"))
    assert isinstance(found, Problem)
    assert found.kind == "not-found"


engine_targets = st.builds(
    b"".join,
    st.tuples(
        st.sampled_from([b"/socket.io/", b"/socket.io", b"/socket.io/x", b"/x/socket.io/"]),
        st.sampled_from([b"?EIO=4", b"?EIO=3", b"?EIO=", b"?", b""]),
        st.sampled_from([b"&transport=polling", b"&transport=websocket", b"&transport=x", b""]),
        st.sampled_from([b"", b"", b"&t=1", b"&t=", b"&t=1&t=2"]),
        st.sampled_from([b"", b"&sid=S", b"&sid=T-_9", b"&sid=", b"&sid=%53", b"&sid=S&sid=T"]),
        st.sampled_from([b"", b"", b"", b"&room=r", b"#x"]),
    ),
)
engine_fields = st.lists(
    st.sampled_from(
        [
            b"Origin: https://a.example",
            b"Origin: https://b.example",
            b"Content-Type: application/octet-stream",
            b"Connection: keep-alive",
            b"Connection: close",
            b"Cookie: io=S",
            b"X-Forwarded-For: 192.0.2.1",
            b"Transfer-Encoding: chunked",
        ]
    ),
    max_size=3,
)


@settings(max_examples=500)
@given(
    st.lists(
        st.builds(
            lambda make, target, fields: make(*fields, target=target),
            st.sampled_from([poll, push, attach]),
            engine_targets,
            engine_fields,
        ),
        min_size=1,
        max_size=6,
    )
)
def test_what_it_says_to_clients_of_socketio_is_what_h11_says(requests: list[bytes]) -> None:
    heads = Heads(SOCKETIO)
    for data in requests:
        reading = heads.read(data)
        if isinstance(reading, tuple):
            assert by_h11(data, SOCKETIO) == (*reading, b"", True)
