"""The registered nodes, for an operator: read from the database, so that no node has to answer."""

from ...errors import LedgerError
from ...values import frozen
from .direct import connected
from .schema import present_version

# Entries of the log that are counted at most, for each node and writer.
_COUNTED = 10_000

# The log has an entry of every batch, and every renewal of a lease is one. A node that has reported
# nothing yet has its position in its own memory.
_REGISTERED = """
    SELECT n.node, n.address, n.software, n.draining, n.beat,
        sse_trio.wall() - (SELECT max(l.at) FROM sse_trio.log l WHERE l.writer = n.node),
        CASE WHEN n.applied <> '{}' THEN behind.entries END,
        CASE WHEN n.applied <> '{}' THEN coalesce(sse_trio.wall() - behind.since, 0) END
    FROM sse_trio.nodes n
    CROSS JOIN LATERAL (
        SELECT count(*) AS entries, min(l.at) AS since
        FROM sse_trio.writers() w
        CROSS JOIN LATERAL (
            SELECT l.at FROM sse_trio.log l
            WHERE l.writer = w.writer AND l.seq > coalesce((n.applied ->> w.writer)::bigint, 0)
            ORDER BY l.seq LIMIT %s
        ) l
    ) behind
    ORDER BY n.address, n.node
"""


@frozen
class RegisteredNode:
    """A node as the database knows it. Ages are seconds by the database's clock."""

    node: str
    address: str
    software: str
    draining: bool
    beat: int
    """How often it has renewed its lease."""
    wrote: float | None
    """Since it last wrote, which is not before its last renewal; None if it has not yet."""
    behind: int | None
    """Entries of the log that it has not applied; None if it has reported nothing yet."""
    lag: float | None
    """Since the first of those was written; 0 if there is none."""


def registered_nodes(url: str) -> list[RegisteredNode]:
    """Return the registered nodes, by address; this blocks.

    Raises:
        LedgerError: the database cannot be asked, or has never been a ledger.
    """
    with connected(url) as connection:
        if not present_version(connection):
            raise LedgerError("the database is not a ledger: no node has used it yet")
        return [RegisteredNode(*row) for row in connection.execute(_REGISTERED, (_COUNTED,))]
