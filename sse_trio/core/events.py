"""``POST /events``: pages that cannot use a WebSocket join by a POST, and its answer is a stream.

The answer is an event stream (HTML, section 9.2) of the same messages. Such a page POSTs its other
messages, with the name that it has given its stream.
"""

import functools
import re
import urllib.parse
from collections.abc import Callable

import attrs

from ..config import Config
from ..values import frozen
from . import messages
from .cors import CorsHeaders, may_come_from, readable_by
from .headers import RequestHeaders, unlike_media_type
from .problems import ORIGIN_REFUSED, Problem


@frozen
class Listen:
    """A page joins, and its answer is the stream."""

    join: messages.Join
    stream: str | None = attrs.field(default=None, repr=False)
    """The page's own name for the stream: a secret of 1 to 256 characters, or None."""
    wait: int | None = None
    """If given, the answer ends with its first message, at the latest after so many seconds."""
    cors: CorsHeaders = ()
    """Headers of the answer."""


@frozen
class Say:
    """A page with a stream sends a message."""

    stream: str = attrs.field(repr=False)
    message: messages.ClientMessage
    cors: CorsHeaders = ()
    """Headers of the answer."""


def read_events(
    query: str, headers: RequestHeaders, config: Config
) -> Problem | Callable[[bytes], Listen | Say | Problem]:
    """Check the head of a request; return a function that reads its body, or a problem.

    The body is ``text/plain``, so that a browser sends no preflight (Fetch, section 2.2.2). So a
    page needs one request instead of two.
    """
    origin = headers.get(b"origin")
    if not may_come_from(origin, config):
        return ORIGIN_REFUSED
    cors = readable_by(origin)
    if problem := unlike_media_type(headers.get(b"content-type"), "text/plain"):
        return with_headers(problem, cors)
    try:
        wait = _wait(query)
    except ValueError as error:
        return with_headers(Problem("malformed", str(error)), cors)
    return functools.partial(_read_untrusted, wait, cors)


def with_headers(problem: Problem, headers: CorsHeaders) -> Problem:
    """Return the problem with these headers added, so that the page may read it."""
    return attrs.evolve(problem, headers=(*problem.headers, *headers))


def _read_untrusted(wait: int | None, cors: CorsHeaders, body: bytes) -> Listen | Say | Problem:
    try:
        message, stream = messages.parse_posted_untrusted(body)
        if isinstance(message, messages.Join):
            return Listen(message, stream, wait, cors)
        if stream is None:
            raise ValueError("a message that is no join needs a stream")
    except ValueError as error:
        return with_headers(Problem("malformed", str(error)), cors)
    return Say(stream, message, cors)


def _wait(query: str) -> int | None:
    """Read ``wait`` from the query: a whole number of seconds."""
    values = [value for key, value in urllib.parse.parse_qsl(query, True) if key == "wait"]
    if not values:
        return None
    if len(values) > 1 or not re.fullmatch("[0-9]{1,4}", values[0], re.ASCII):
        raise ValueError("wait must be a whole number of seconds")
    return int(values[0])
