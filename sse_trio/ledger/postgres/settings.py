"""How to reach the database, and how long to wait for it.

A URL is libpq's, and so are its parameters, its passwords and its TLS
(https://www.postgresql.org/docs/current/libpq-connect.html). The values here apply if the URL has
no others. No message has more of the URL than the host: libpq's error for an invalid URL may quote
a password.
"""

from collections.abc import Mapping

import attrs
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

from ...errors import LedgerError
from ...values import frozen

# Seconds of the lease for which the usual times are made.
LEASE = 6.0


@frozen
class Settings:
    """Times are in seconds: usually those for a lease of `LEASE` or longer."""

    url: str = attrs.field(repr=False)
    patience: float = 2.5
    """How long a call may take: here, then the connection is closed; and at the database."""
    unsent: float = 2.5
    """How long sent data may stay unacknowledged, and a transaction idle."""
    connecting: int = 2
    """How long it may take to connect to each host; libpq takes no less."""
    committing: float = 5.0
    """How long the node waits for a commit, which then continues at the database; and how long the
    commit waits for a lock."""

    @classmethod
    def within(cls, lease: float, url: str) -> "Settings":
        """Return times with which one failure is noticed while the lease is still valid.

        All times except the last are less than half of it. libpq allows no connect timeout below 2
        s, but a call that takes longer than its own time is abandoned here.
        """
        usual, part = cls(url), min(1.0, lease / LEASE)
        return attrs.evolve(
            usual,
            patience=usual.patience * part,
            unsent=usual.unsent * part,
            committing=usual.committing * part,
        )

    def parameters(self, *, commits: bool = False) -> Mapping[str, str]:
        """Return libpq's parameters.

        Raises:
            LedgerError: it does not understand the URL.
        """
        try:
            given = {key: str(value) for key, value in conninfo_to_dict(self.url).items()}
        except ProgrammingError:
            raise LedgerError(
                "the ledger's URL is not understood: it is like postgresql://user@host/database, "
                "with special characters percent-encoded"
            ) from None
        options = {
            # The database never cancels a commit: only this side stops waiting for it.
            "statement_timeout": "0" if commits else _milliseconds(self.patience),
            "lock_timeout": _milliseconds(self.committing if commits else self.patience),
            "idle_in_transaction_session_timeout": _milliseconds(self.unsent),
            # An abandoned statement ends at the database too, unless it commits already.
            "client_connection_check_interval": _milliseconds(self.unsent),
        }
        words = [f"-c {name}={value}" for name, value in options.items()]
        defaults = {
            "application_name": "sse_trio",
            "connect_timeout": str(self.connecting),
            "tcp_user_timeout": _milliseconds(self.unsent),
            "keepalives_idle": "2",
            "keepalives_interval": "1",
            "keepalives_count": "2",
        }
        return (
            defaults
            | given
            | {
                "options": " ".join([*words, given.get("options", "")]).strip(),
                "client_encoding": "UTF8",
            }
        )


def _milliseconds(seconds: float) -> str:
    return str(round(seconds * 1000))
