"""HTTP on one connection to the hub: requests and answers as bytes. No socket is known here.

It uses h11, which the server needs anyway. A total deadline must limit the wait for each piece of
an answer. The timeouts of http.client, urllib3, requests and httpx are for each read, so a server
that sends a byte now and then can block their caller for ever. They also have no common code for
threads and asyncio. Redirects are not followed, and no proxy of the environment is used: both would
send the authkey to others.
"""

from typing import Final

import attrs
import h11

from .address import Address

# Bytes of an answer's body. A hundred checks with tokens and tickets have 200 KB.
MAX_ANSWER: Final = 1 << 20


class BadAnswer(Exception):
    """The answer is not HTTP, or is too long."""


@attrs.frozen
class Answer:
    """A whole answer."""

    status: int
    body: bytes = attrs.field(repr=False)
    retry_after: float | None = None
    """Seconds, if the hub sent this header."""


@attrs.define(eq=False)
class Exchange:
    """The requests and answers of one connection, one after the other."""

    _http: h11.Connection = attrs.Factory(lambda: h11.Connection(h11.CLIENT))
    _head: h11.Response | None = None
    _body: bytearray = attrs.Factory(bytearray)
    is_begun: bool = False
    """Whether a byte of the present answer has come."""

    def request(self, address: Address, path: str, body: bytes) -> bytes:
        """Return the bytes of a POST of JSON."""
        if self._http.our_state is h11.DONE:
            self._http.start_next_cycle()
        self._head, self._body, self.is_begun = None, bytearray(), False
        fields = [
            ("Host", address.host_header),
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(body))),
        ]
        head = h11.Request(method="POST", target=address.path + path, headers=fields)
        events = (head, h11.Data(data=body), h11.EndOfMessage())
        return b"".join(self._http.send(event) or b"" for event in events)

    def receive(self, data: bytes) -> Answer | None:
        """Take the bytes that have come, none at the end; return the answer when it is complete.

        Raises:
            BadAnswer: it is not HTTP, is too long, or is incomplete.
        """
        self.is_begun = self.is_begun or bool(data)
        try:
            self._http.receive_data(data)
            while (event := self._http.next_event()) is not h11.NEED_DATA:
                if isinstance(event, h11.Response):
                    self._head = event
                elif isinstance(event, h11.Data):
                    self._body += event.data
                    if len(self._body) > MAX_ANSWER:
                        raise BadAnswer("the answer is too long")
                elif isinstance(event, h11.EndOfMessage):
                    return self._answer()
                elif not isinstance(event, h11.InformationalResponse):
                    raise BadAnswer("the connection was closed")
        except h11.RemoteProtocolError:
            raise BadAnswer("the answer is not HTTP, or is incomplete") from None
        return None

    @property
    def can_go_on(self) -> bool:
        """Whether the connection takes another request: both are done, and no more has come."""
        done = self._http.our_state is h11.DONE and self._http.their_state is h11.DONE
        return done and self._http.trailing_data == (b"", False)

    def _answer(self) -> Answer:
        assert self._head is not None
        waits = [value for name, value in self._head.headers if name == b"retry-after"]
        seconds = float(waits[0]) if waits and waits[0].isdigit() and len(waits[0]) < 6 else None
        return Answer(self._head.status_code, bytes(self._body), seconds)
