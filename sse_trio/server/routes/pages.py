"""The pages that are fetched with GET: health, metrics, the browser client, the index.

The metrics are read off the hub's statistics when somebody asks; nothing is counted
twice, and no label tells who is logged in.
"""

from collections.abc import Iterator
from importlib.metadata import version
from itertools import accumulate

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector, CollectorRegistry

from ...browser import INTEGRITY, SOURCE
from ...config import Config
from ...core.headers import Headers
from ...core.requests import PRIVATE, Page
from ...histogram import Histogram
from ...hub.hub import Hub
from ...hub.statistics import Statistics
from ...ledger.cluster.statistics import Statistics as ClusterStatistics
from ..replies import JSON, Reply
from .openapi import document

TEXT = "text/plain; charset=utf-8"
HTML = "text/html; charset=utf-8"
JAVASCRIPT = "text/javascript; charset=utf-8"

_ETAG = f'"{INTEGRITY}"'.encode()

# The one page that other sites use: as a module, which takes CORS, also where a page asks
# that whatever it embeds agrees to it (Cross-Origin-Embedder-Policy). Five minutes are how
# long a new version may take to arrive.
_CLIENT_HEADERS: Headers = [
    (b"ETag", _ETAG),
    (b"Cache-Control", b"public, max-age=300"),
    (b"Access-Control-Allow-Origin", b"*"),
    (b"Cross-Origin-Resource-Policy", b"cross-origin"),
]

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

# What is where, in this order.
_INDEXED = {
    "/ws": "<code>GET /ws</code>: browsers join the room of their user (WebSocket)",
    "/events": "<code>POST /events</code>: the same for pages that cannot use a WebSocket",
    "/client.js": '<a href="/client.js">/client.js</a>: the client for browsers',
    "/verify": "<code>/verify</code>: a proxy asks whether a request may pass",
    "/notify": "<code>POST /notify</code>: application servers announce a login",
    "/release": "<code>POST /release</code>: they announce that one session has logged out",
    "/check": "<code>POST /check</code>: they ask whether a session is active",
    "/sessions": "<code>POST /sessions</code>: they ask which sessions are active",
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
            if hub.leaving.is_set():
                return Reply(503, TEXT, b"shutting down\n")
            if hub.loading:
                return Reply(503, TEXT, b"reading the ledger\n")
            if not hub.recognition.ledger.ready:
                return Reply(503, TEXT, b"the ledger cannot be written\n")
            return Reply(200, TEXT, b"ready\n")
        case "/metrics":
            registry = CollectorRegistry()
            registry.register(_Metrics(hub.statistics()))
            return Reply(200, CONTENT_TYPE_PLAIN_0_0_4, generate_latest(registry))
        case "/openapi.json":
            return Reply(200, JSON, document(hub.config))
        case "/client.js":
            if page.is_known(_ETAG):
                return Reply(304, JAVASCRIPT, b"", _CLIENT_HEADERS)
            return Reply(200, JAVASCRIPT, SOURCE, _CLIENT_HEADERS)
        case _:
            return Reply(200, HTML, _index(hub.config))


class _Metrics(Collector):
    """One moment's statistics, as Prometheus families."""

    def __init__(self, statistics: Statistics) -> None:
        self._now = statistics

    def collect(self) -> Iterator[Metric]:
        now = self._now
        for name, about, value in (
            ("connections", "WebSockets open, joined or not", now.connections),
            ("closing", "WebSockets that the server is closing", now.closing),
            ("members", "Living members", now.members),
            ("rooms", "Rooms with a living member", now.rooms),
            ("remembered_rooms", "Rooms that the server remembers", now.remembered_rooms),
            (
                "terminations_pending",
                "Members whose termination is not answered",
                now.terminations_pending,
            ),
            ("ledger_ready", "1 while the ledger can be written, else 0", now.ledger_ready),
        ):
            yield GaugeMetricFamily(f"sse_trio_{name}", about, value)
        for name, about, count in (
            ("terminations_sent", "Members that were sent a termination", now.terminations_sent),
            ("terminations_acked", "Of those, acknowledged or closed", now.terminations_acked),
            ("terminations_cut", "Of those, cut without an answer", now.terminations_cut),
            ("dead_peers", "Members dropped for silence", now.dead_peers),
            ("slow_members", "Members closed for reading too slowly", now.slow_members),
            ("audit_failures", "Decisions missing in the audit log", now.audit_failures),
        ):
            yield CounterMetricFamily(f"sse_trio_{name}", about, count)
        refused = now.refused_handshakes
        for name, about, label, counts in (
            ("joins", "Joins by result", "result", now.joins),
            ("notifies", "Notifies by result", "result", now.notifies),
            ("releases", "Releases by result", "result", now.releases),
            ("checks", "Sessions that were asked about, by result", "result", now.checks),
            ("refused_keys", "Requests without a right key, by result", "result", now.refused_keys),
            ("refused_handshakes", "Refused WebSocket handshakes by reason", "reason", refused),
        ):
            family = CounterMetricFamily(f"sse_trio_{name}", about, labels=[label])
            for result, count in counts.items():
                family.add_metric([result], count)
            yield family
        yield _histogram("fan_out_seconds", "From a notify to its last termination", now.fan_outs)
        if now.cluster is not None:
            yield from _of_cluster(now, now.cluster)


def _of_cluster(now: Statistics, cluster: ClusterStatistics) -> Iterator[Metric]:
    """Yield what only a node has that shares its ledger with others."""
    for name, about, value in (
        ("nodes", "Nodes that are registered, this one too", cluster.nodes),
        ("held", "Members on hold", now.held),
        ("feed_lag_seconds", "Since the log was read and applied to its end", cluster.feed_lag),
        ("lease_age_seconds", "Since the renewal that counts was sent", cluster.lease_age),
    ):
        yield GaugeMetricFamily(f"sse_trio_{name}", about, value)
    for name, about, count in (
        ("registrations", "Registrations of this node", cluster.registrations),
        ("resyncs", "Times that all cached rooms were dropped", cluster.resyncs),
        ("reasserts", "Rooms written again after the database had lost commits", now.reasserts),
        ("expulsions", "Other nodes that this one has expelled", cluster.expulsions),
    ):
        yield CounterMetricFamily(f"sse_trio_{name}", about, count)
    yield _histogram(
        "commit_seconds", "From a batch's first attempt to its answer", cluster.commits
    )


def _histogram(name: str, about: str, counted: Histogram) -> HistogramMetricFamily:
    bounds = [*map(str, counted.bounds), "+Inf"]
    return HistogramMetricFamily(
        f"sse_trio_{name}",
        about,
        buckets=list(zip(bounds, accumulate(counted.counts), strict=True)),
        sum_value=counted.seconds,
    )
