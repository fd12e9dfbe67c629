"""The hub's counts: plain integers while it runs, a frozen snapshot for a caller.

No figure is by room or session, so none tells who is logged in.
"""

from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType

import attrs

from ..histogram import Histogram
from ..ledger.cluster.statistics import Statistics as ClusterStatistics

# Upper bounds in seconds. A fan-out of one takes tens of microseconds, of 10,000 tens of
# milliseconds.
FAN_OUT_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1)


@attrs.frozen
class Statistics:
    """A moment of a hub. Counts are since the start."""

    connections: int
    """WebSockets open, joined or not."""
    closing: int
    """Of those, WebSockets that the server is closing."""
    members: int
    rooms: int
    remembered_rooms: int
    ledger_ready: bool
    joins: Mapping[str, int]
    """By result: joined, superseded, or the name of the close code."""
    notifies: Mapping[str, int]
    """By result: accepted, duplicate, conflict, limit, loading, draining, failed."""
    releases: Mapping[str, int]
    """By result: accepted, loading, draining, failed."""
    checks: Mapping[str, int]
    """Sessions that were asked about, by result: active, ended, unknown; or questions: loading."""
    refused_keys: Mapping[str, int]
    """Requests without a right key, by result: unauthorized (401), refused (429)."""
    refused_handshakes: Mapping[str, int]
    """By reason: method, no_upgrade, version, malformed, origin, loading, draining."""
    terminations_sent: int
    terminations_acked: int
    terminations_cut: int
    """Members that neither acknowledged nor closed within `linger`."""
    dead_peers: int
    slow_members: int
    audit_failures: int
    """Decisions that could not be written to the audit log."""
    fan_outs: Histogram
    held: int
    """Members on hold."""
    reasserts: int
    """Rooms that were written again, because the database had lost what it had committed."""
    cluster: ClusterStatistics | None
    """This node's own; None if no nodes share the ledger."""

    @property
    def terminations_pending(self) -> int:
        """Members that were sent a termination, and have not answered; also cut ones."""
        return self.terminations_sent - self.terminations_acked


class Counters:
    """The running counts."""

    def __init__(self) -> None:
        self.joins: Counter[str] = Counter()
        self.notifies: Counter[str] = Counter()
        self.releases: Counter[str] = Counter()
        self.checks: Counter[str] = Counter()
        self.refused_keys: Counter[str] = Counter()
        self.refused_handshakes: Counter[str] = Counter()
        self.terminations_sent = 0
        self.terminations_acked = 0
        self.terminations_cut = 0
        self.dead_peers = 0
        self.slow_members = 0
        self.audit_failures = 0
        self.reasserts = 0
        self.fan_outs = Histogram(FAN_OUT_BUCKETS)

    def snapshot(
        self,
        *,
        connections: int,
        closing: int,
        members: int,
        rooms: int,
        remembered_rooms: int,
        ledger_ready: bool,
        held: int,
        cluster: ClusterStatistics | None,
    ) -> Statistics:
        """Freeze the counts, with the sizes as they are now."""
        return Statistics(
            connections=connections,
            closing=closing,
            members=members,
            rooms=rooms,
            remembered_rooms=remembered_rooms,
            ledger_ready=ledger_ready,
            joins=MappingProxyType(dict(self.joins)),
            notifies=MappingProxyType(dict(self.notifies)),
            releases=MappingProxyType(dict(self.releases)),
            checks=MappingProxyType(dict(self.checks)),
            refused_keys=MappingProxyType(dict(self.refused_keys)),
            refused_handshakes=MappingProxyType(dict(self.refused_handshakes)),
            terminations_sent=self.terminations_sent,
            terminations_acked=self.terminations_acked,
            terminations_cut=self.terminations_cut,
            dead_peers=self.dead_peers,
            slow_members=self.slow_members,
            audit_failures=self.audit_failures,
            fan_outs=self.fan_outs.copy(),
            held=held,
            reasserts=self.reasserts,
            cluster=cluster,
        )
