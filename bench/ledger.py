"""What durability costs: the questions of `notify`, to the hub with each of its ledgers.

The answer to a notify waits for its commit; a file's is fsynced, in groups.
"""

from . import notify
from .figures import Sample
from .scale import Scale
from .servers import Contender, hub

ABOUT = "Each ledger: the cost of one notify, and notifies a second at p99 < 10 ms"

CONTENDERS = (
    hub("sse_trio", "memory:"),
    hub("sse_trio, sqlite", "sqlite:///{directory}/ledger.db"),
)


def measure(contender: Contender, scale: Scale) -> Sample:
    """Measure once."""
    return notify.measure(contender, scale)
