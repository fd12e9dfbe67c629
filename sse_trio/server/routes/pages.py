"""The pages that are fetched with GET: health, metrics, files for browsers, the index."""

from importlib.metadata import version
from typing import Final

from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import CollectorRegistry

from ...browser import INTEGRITY, SOURCE
from ...config import Config
from ...core.headers import Headers
from ...core.requests import PRIVATE, Page
from ...hub.hub import Hub
from ...operator import PAGE, SCRIPT, STYLE
from ...paths import OPERATOR
from ..replies import JSON, Reply
from .metrics import Metrics
from .openapi import document

TEXT = "text/plain; charset=utf-8"
HTML = "text/html; charset=utf-8"
JAVASCRIPT = "text/javascript; charset=utf-8"
CSS = "text/css; charset=utf-8"

_ETAG = f'"{INTEGRITY}"'.encode()

# The one page that other sites use: as a module, which takes CORS, also if a page requires that
# embedded files agree to it (Cross-Origin-Embedder-Policy). Five minutes are how long a new version
# may take to arrive.
_CLIENT_HEADERS: Headers = [
    (b"ETag", _ETAG),
    (b"Cache-Control", b"public, max-age=300"),
    (b"Access-Control-Allow-Origin", b"*"),
    (b"Cross-Origin-Resource-Policy", b"cross-origin"),
]

# The operator's page: it runs its own script alone, asks nobody but this hub, and stands in
# nobody's frame.
_POLICY: Final = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    b"img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    b"require-trusted-types-for 'script'; trusted-types 'none'"
)
_OPERATOR_HEADERS: Final[Headers] = [
    (b"Content-Security-Policy", _POLICY),
    (b"Cross-Origin-Opener-Policy", b"same-origin"),
    (b"Cross-Origin-Resource-Policy", b"same-origin"),
    (b"Referrer-Policy", b"no-referrer"),
]

_OPERATOR: Final = dict(
    zip(
        OPERATOR,
        ((HTML, PAGE), (JAVASCRIPT, SCRIPT), (CSS, STYLE)),
        strict=True,
    )
)

_INDEX = f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>sse_trio</title>
<style>body{{font:1.1rem/1.5 system-ui;max-width:40rem;margin:4rem auto;padding:0 1rem}}</style>
<h1>sse_trio {version("sse-trio")}</h1>
<p>This server enforces one session per user: when somebody logs in on a new device, every
other session of theirs ends. It has nothing to do with server-sent events.
<ul>
"""

# The paths and their descriptions, in this order.
_INDEXED = {
    "/ws": "<code>GET /ws</code>: browsers join the room of their user (WebSocket)",
    "/events": "<code>POST /events</code>: the same for pages that cannot use a WebSocket",
    "/client.js": '<a href="/client.js">/client.js</a>: the client for browsers',
    "/verify": "<code>/verify</code>: a proxy asks whether a request may pass",
    "/notify": "<code>POST /notify</code>: application servers announce a login",
    "/release": "<code>POST /release</code>: they announce that one session has logged out",
    "/check": "<code>POST /check</code>: they ask whether a session is active",
    "/sessions": "<code>POST /sessions</code>: they ask which sessions are active",
    "/statistics": "<code>POST /statistics</code>: operators ask what the server has counted",
    "/decisions": "<code>POST /decisions</code>: they ask what it has decided last",
    "/openapi.json": '<a href="/openapi.json">/openapi.json</a>: all of this for machines',
    "/healthz": '<a href="/healthz">/healthz</a>: whether the server is alive',
    "/readyz": '<a href="/readyz">/readyz</a>: whether it is ready',
    "/metrics": '<a href="/metrics">/metrics</a>: what it has counted',
}


def _index(config: Config) -> bytes:
    """Say what this is, and what there is: on the public listener, if there are two."""
    hidden = PRIVATE if config.internal else set() if config.metrics else {"/metrics"}
    lines = [f"<li>{line}\n" for path, line in _INDEXED.items() if path not in hidden]
    return f"{_INDEX}{''.join(lines)}</ul>\n".encode()


def render(page: Page, hub: Hub) -> Reply:
    """Return the answer to a GET of `page`."""
    match page.path:
        case "/healthz":
            return Reply(200, TEXT, b"alive\n")
        case "/readyz":
            return _readiness(hub)
        case "/metrics":
            registry = CollectorRegistry()
            registry.register(Metrics(hub.statistics()))
            return Reply(200, CONTENT_TYPE_PLAIN_0_0_4, generate_latest(registry))
        case "/openapi.json":
            return Reply(200, JSON, document(hub.config))
        case "/client.js":
            if page.is_known(_ETAG):
                return Reply(304, JAVASCRIPT, b"", _CLIENT_HEADERS)
            return Reply(200, JAVASCRIPT, SOURCE, _CLIENT_HEADERS)
        case path if path in _OPERATOR:
            return Reply(200, *_OPERATOR[path], _OPERATOR_HEADERS)
        case _:
            return Reply(200, HTML, _index(hub.config))


def _readiness(hub: Hub) -> Reply:
    if hub.leaving.is_set():
        return Reply(503, TEXT, b"shutting down\n")
    if hub.loading:
        return Reply(503, TEXT, b"reading the ledger\n")
    if not hub.recognition.ledger.ready:
        return Reply(503, TEXT, b"the ledger cannot be written\n")
    return Reply(200, TEXT, b"ready\n")
