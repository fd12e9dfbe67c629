"""The head of a request, judged by h11 once, and not again while it stays the same.

An application server sends the same head again and again, and so do browsers of one make, but for
a few headers that vary by their nature. So a head is divided into these headers and the rest.
The form of the varying headers is checked here, and that of the id of a session of Socket.IO, which
is in the query. The rest is looked up among the heads that h11 has judged before. To have h11 judge
each head anew took two thirds of a notify's 300 us.

h11 remains the only judge: of what is new, and of everything that is in any way unusual.
"""

import functools
import re
from collections.abc import Callable
from typing import Final

import attrs
import h11

from ..config import Config
from ..values import frozen
from .handshake import Upgrade, handshake_accept
from .questions import Verify, read_verify
from .requests import RequestReader, Wanted
from .socketio import Attach, Begin, Poll, Push

# Heads that are remembered. If a client sends many different heads, h11 only judges those of others
# again.
REMEMBERED: Final = 512

# Headers that differ between requests or browsers, in the only form that this server reads.
# Cookies, traces and request ids mean nothing to this server (W3C Trace Context, section 3): to
# leave them out changes nothing.
_VARYING: Final = re.compile(
    rb"\r\n(?i:content-length: ([0-9]{1,9})|sec-websocket-key: ([+/0-9a-z]{22}==)"
    rb"|x-forwarded-for: ([!-~]|[!-~][ -~]*[!-~])|idempotency-key: ([ -~]*)"
    rb"|(?:cookie|traceparent|tracestate|x-request-id): [ -~]*)(?=\r\n)"
)

# The rest must consist of such lines that a line more or less between them cannot change the
# meaning of the others: no other line ends, no folding (RFC 9112, sections 2.2 and 5.2).
_LINES: Final = re.compile(
    rb"[A-Z]+ [!-~]+ HTTP/1\.1(?:\r\n[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[ -~]*)+\r\n\r\n"
)

# And it must not have one of the headers above in another form, nor one that changes how long the
# request is or when it is read.
_OTHERWISE: Final = re.compile(
    rb"\r\n(?i:content-length|sec-websocket-key|x-forwarded-for|idempotency-key"
    rb"|transfer-encoding|expect):"
)

# A request for a verdict. A proxy makes it from the browser's own request, so hardly two are alike:
# each is judged again, and only by the headers that matter to it. HEAD and CONNECT are not usual
# (RFC 9110, sections 9.3.2 and 9.3.6).
_MENTION: Final = b"/verify"
_VERIFY: Final = re.compile(rb"(?!HEAD |CONNECT )[A-Z]+ /verify(?:[/?][!-~]*)? HTTP/1\.1\r\n")

# What it must not have: headers that announce a body, or change what happens to the connection.
# Envoy sends ``content-length: 0`` with each request.
_NOT_FOR_VERIFY: Final = re.compile(
    rb"\r\n(?i:content-length(?!: 0\r\n)|transfer-encoding|upgrade"
    rb"|connection(?!: keep-alive\r\n)):"
)

# The headers that matter to it. There must be one Host (RFC 9112, section 3.2).
_FOR_VERIFY: Final = re.compile(rb"\r\n(?i:(host|cookie|authorization)):([ -~]*)")

# The query of a usual request of Socket.IO has what all clients have there, and nothing else. `t`
# only keeps caches from answering; `sid` is the id of the session.
_ENGINE_QUERY: Final = (
    rb"/?\?EIO=[34]&transport=(?:polling|websocket))(?:&t=[-.0-9A-Z_a-z]+)?"
    rb"(?:&sid=([-0-9A-Z_a-z]+))?(?= HTTP/1\.1\r\n)"
)

_ANY_LENGTH: Final = b"Content-Length: 0\r\n"
_ANY_KEY: Final = b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"


_EMPTY_LINES: Final = re.compile(rb"(?:\r?\n)+")


def without_empty_lines(data: bytes) -> bytes:
    """Drop the empty lines before a request, which mean nothing (RFC 9112, section 2.2)."""
    empty = _EMPTY_LINES.match(data)
    return data[empty.end() :] if empty else data


def begins_request(data: bytes | bytearray) -> bool:
    """Whether `data` begins a request, and is not just the first half of an empty line."""
    return data not in (b"", b"\r")


@frozen
class _Judged:
    """The meaning of a remembered head: `decide` reads the body, of at most `max_body` bytes."""

    decide: Callable[[bytes], Wanted]
    max_body: int


class Heads:
    """The heads of one listener's requests; `is_public` is as a `RequestReader` has it."""

    def __init__(self, config: Config, *, is_public: bool = True) -> None:
        self._take(config)
        self._is_public = is_public
        self._known = functools.lru_cache(REMEMBERED)(self._judge)

    def reload(self, config: Config) -> None:
        """Use another configuration, and judge again the heads that were judged by the old one."""
        self._take(config)
        self._known.cache_clear()

    def _take(self, config: Config) -> None:
        self._config = config
        self._engine = config.socketio_path[:-1].encode()
        self._engine_line = re.compile(rb"((?:GET|POST) " + re.escape(self._engine) + _ENGINE_QUERY)

    def reader(self) -> RequestReader:
        """Return what reads a request that is not usual."""
        return RequestReader(self._config, is_public=self._is_public)

    def read(self, data: bytes) -> tuple[Wanted, str | None] | int | None:
        """Return what a request asks for, and the addresses in its ``X-Forwarded-For``.

        If `data` has the whole head but not the whole body, return the request's length in bytes:
        read it again when so many bytes have come.

        None, if `data` is not exactly one request, with a head that means nothing unusual:
        then read it with h11 from its beginning.
        """
        end = data.find(b"\r\n\r\n") + 4
        if not 4 <= end <= self._config.max_headers:
            return None
        # Two lines are not headers: the request line and the empty line.
        if data.count(b"\n", 0, end) > self._config.max_header_lines + 2:
            return None
        line_end = data.find(b"\r\n")
        if self._config.socketio and data.find(self._engine, 0, line_end) >= 0:
            return self._read_engine(data, end)
        # Wherever it is in the path: its cookies must not get into a remembered head.
        if data.find(_MENTION, 0, line_end) >= 0:
            verify = self._read_verify(data) if len(data) == end else None
            return (verify, None) if verify else None
        return self._read_usual(data, end)

    def _read_engine(self, data: bytes, end: int) -> tuple[Wanted, str | None] | int | None:
        """Read a usual request of Socket.IO: the id of its session gets into no remembered head."""
        line = self._engine_line.match(data)
        if line is None:
            return None
        alike, sid = line[1] + (b"&sid=0" if line[2] else b""), line[2]
        longer = line.end() - len(alike)
        reading = self._read_usual(alike + data[line.end() :], end - longer, fewest=0)
        if isinstance(reading, int):
            return reading + longer
        match reading:
            case Begin(), _:
                return reading
            case Poll() | Push() | Attach() as wanted, forwarded_for:
                return attrs.evolve(wanted, sid=sid.decode()) if sid else wanted, forwarded_for
        return None

    def _read_usual(
        self, data: bytes, end: int, *, fewest: int = 1
    ) -> tuple[Wanted, str | None] | int | None:
        """Read a request with a length or with a key, or with neither if `fewest` is 0."""
        # The lines between the varying headers, each followed by four values, of which one at most
        # is set.
        parts = _VARYING.split(data[:end])
        rest = b"".join(parts[::5])
        lengths = [*filter(None, parts[1::5])]
        keys = [*filter(None, parts[2::5])]
        hops = [*filter(None, parts[3::5])]
        # An Idempotency-Key changes what the request asks for, so it is left to h11.
        has_id = any(named is not None for named in parts[4::5])
        if has_id or not fewest <= len(lengths) + len(keys) <= 1:
            return None
        forwarded_for = b",".join(hops).decode("ascii") if hops else None
        if lengths:
            length = int(lengths[0])
            judged = self._known(rest, _ANY_LENGTH)
            whole = end + length
            if judged is None or not end <= len(data) <= whole <= end + judged.max_body:
                return None
            return whole if len(data) < whole else (judged.decide(data[end:]), forwarded_for)
        judged = self._known(rest, _ANY_KEY if keys else b"")
        if judged is None or len(data) > end:
            return None
        wanted = judged.decide(b"")
        if keys and isinstance(wanted, Upgrade):
            wanted = Upgrade(handshake_accept(keys[0]), wanted.subprotocol)
        elif keys and isinstance(wanted, Attach):
            upgrade = Upgrade(handshake_accept(keys[0]), wanted.upgrade.subprotocol)
            wanted = attrs.evolve(wanted, upgrade=upgrade)
        elif keys:
            return None
        return wanted, forwarded_for

    def _read_verify(self, head: bytes) -> Verify | None:
        """Read a usual request for a verdict, which has no body."""
        if not _VERIFY.match(head) or not _LINES.fullmatch(head) or _NOT_FOR_VERIFY.search(head):
            return None
        found: dict[bytes, list[bytes]] = {b"host": [], b"cookie": [], b"authorization": []}
        for name, value in _FOR_VERIFY.findall(head):
            found[name.lower()].append(value.strip())
        if len(found[b"host"]) != 1:
            return None
        return read_verify(found[b"cookie"], found[b"authorization"], self._config.token_cookie)

    def _judge(self, rest: bytes, varying: bytes) -> "_Judged | None":
        """Have h11 judge a head: `varying` are its headers beside the `rest`.

        None if it is unusual.
        """
        if not _LINES.fullmatch(rest) or _OTHERWISE.search(rest):
            return None
        http = h11.Connection(h11.SERVER, max_incomplete_event_size=2 * self._config.max_headers)
        http.receive_data(rest[:-2] + varying + b"\r\n")
        try:
            request = http.next_event()
            http.next_event()
        except h11.RemoteProtocolError:
            return None
        assert isinstance(request, h11.Request), "all its lines are there"
        reader = self.reader()
        # Not if the connection is to be closed after it, or to change its protocol.
        ends = varying is not _ANY_KEY and http.their_state is not h11.DONE
        if ends or reader.feed(request):
            return None
        assert reader.decide is not None, "the head has been read"
        return _Judged(reader.decide, reader.max_body)
