"""What a node counts about itself in the cluster; no figure is by room or session."""

import attrs


@attrs.define(kw_only=True)
class Statistics:
    """Counts since the start, and how things are at the moment."""

    commits: int = 0
    commit_seconds: float = 0.0
    """All of them together, each from its first attempt to its answer."""
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
    """Decisions that the hub could not carry out at once: it was told again."""
    nodes: int = 0
    """Registered, this one too."""
    feed_lag: float = 0.0
    """Seconds since the log was last read and applied to its end."""
    lease_age: float = 0.0
    """Seconds since the last renewal that counts was sent; infinite if there is none."""
