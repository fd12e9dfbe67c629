"""The hub's counts, as metric families of Prometheus.

Each request reads them from the hub's statistics. No label has the name of a user.
"""

from collections.abc import Iterator
from itertools import accumulate

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from ...histogram import Histogram
from ...hub.statistics import Statistics
from ...ledger.cluster.statistics import Statistics as ClusterStatistics


class Metrics(Collector):
    """One moment's statistics, as Prometheus families."""

    def __init__(self, statistics: Statistics) -> None:
        self._now = statistics

    def collect(self) -> Iterator[Metric]:
        """Yield each family, as it was at that moment."""
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
    """Yield the metrics of a node that shares its ledger with others."""
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
