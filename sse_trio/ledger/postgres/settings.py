"""How to reach the database, and how long to wait for it.

A URL is libpq's, and so are its parameters, its passwords and its TLS
(https://www.postgresql.org/docs/current/libpq-connect.html). What is set here holds where the URL
says nothing else. No message names more of it than the host: what libpq says of a URL that it does
not understand may quote a password.
"""

from collections.abc import Mapping

import attrs
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

from ...errors import LedgerError

# Seconds of the lease that the usual times are for.
LEASE = 6.0


@attrs.frozen
class Settings:
    """Times are in seconds: usually those for a lease of `LEASE` or longer."""

    url: str = attrs.field(repr=False)
    patience: float = 2.5
    """How long a call may take: here, where the connection is thrown away then, and there."""
    unsent: float = 2.5
    """How long what was sent may stay unacknowledged, and a transaction idle."""
    connecting: int = 2
    """How long it may take to connect to each host; libpq takes no less."""
    committing: float = 5.0
    """How long a commit is waited for: it goes on there. And how long it waits for a lock."""

    @classmethod
    def within(cls, lease: float, url: str) -> "Settings":
        """Return those with which what fails once is noticed while the lease still holds.

        All times but the last are less than half of it; but libpq does not connect within less
        than 2 s: a call that takes longer than its own time is given up here all the same.
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
            # A commit is never cut off: who gives up waiting for it does so here.
            "statement_timeout": "0" if commits else _milliseconds(self.patience),
            "lock_timeout": _milliseconds(self.committing if commits else self.patience),
            "idle_in_transaction_session_timeout": _milliseconds(self.unsent),
            # What was given up here ends there too, unless it commits already.
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
