"""What a node counts about itself in the cluster; no figure is by room or session."""

import attrs

from ...histogram import Histogram

# Upper bounds in seconds. A commit takes a millisecond on a fast disk, a few with a standby; a
# failover takes a minute.
COMMIT_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60)


@attrs.define(kw_only=True)
class Statistics:
    """Counts since the start, and how things are at the moment."""

    commits: Histogram = attrs.Factory(lambda: Histogram(COMMIT_BUCKETS))
    """Batches, each from its first attempt to its answer."""
    in_doubt: int = 0
    """Batches of which it was not known at first whether they were written."""
    feed_errors: int = 0
    """Readings of the log that have failed."""
    resyncs: int = 0
    """How often everything cached was dropped, because entries of the log were missed."""
    registrations: int = 0
    """More than 1 if the node was expelled, or the engine has lost commits."""
    losses: int = 0
    """How often the engine had lost commits that it had acknowledged."""
    expulsions: int = 0
    """Other nodes that this one has expelled."""
    failures: int = 0
    """Decisions that the hub could not carry out at once: it got them again."""
    nodes: int = 0
    """Registered, this one too."""
    feed_lag: float = 0.0
    """Seconds since the log was last read and applied to its end."""
    lease_age: float = 0.0
    """Seconds since the last renewal that counts was sent; infinite if there is none."""
