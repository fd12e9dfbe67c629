"""If several nodes share the ledger: reads what a question needs before it is answered."""

from ...core import problems
from ...core.problems import Problem
from ...core.questions import (
    Check,
    DecisionsQuery,
    LoginQuery,
    Sessions,
    StatisticsQuery,
    Verify,
)
from ...errors import LedgerError
from ...hub.hub import Hub

Question = Check | Sessions | Verify | StatisticsQuery | DecisionsQuery
"""A request that is answered from memory."""


def unread(hub: Hub, asked: Question) -> list[str]:
    """Return the rooms that have to be read before a question can be answered."""
    recognition = hub.recognition
    if recognition.cache is None:
        return []
    match asked:
        case Check():
            rooms = [recognition.room_of(query) for query in asked.queries]
        case Sessions():
            rooms = [asked.room]
        case Verify():
            token = asked.token
            rooms = [] if token is None else [recognition.room_of(LoginQuery(token=token))]
        case StatisticsQuery() | DecisionsQuery():
            rooms = []
    return [room for room in rooms if room is not None and not recognition.knows(room)]


async def read(hub: Hub, asked: Question) -> Problem | None:
    """Read the rooms of a question, if necessary; return why it cannot be answered now."""
    if rooms := unread(hub, asked):
        try:
            await hub.read(*rooms)
        except LedgerError:
            return problems.NOT_CURRENT
    return None
