"""The answers to notifies and releases."""

from ...core import problems
from ...core.problems import Problem
from ...core.questions import Sessions
from ...errors import Conflict, Draining, LedgerError, LimitReached
from ...hub.decisions import Accepted
from ...hub.hub import Hub
from ...hub.member import Outcome
from ...strict_json import dumps, dumps_texts
from ..replies import JSON, Reply
from .reading import read


async def announce(hub: Hub, accepted: Accepted) -> Reply | Problem:
    """Complete a notify or release; return the answer when it is due."""
    try:
        outcome = await hub.decisions.finish(accepted)
    except Draining:
        return problems.DRAINING
    except Conflict as other:
        return problems.conflict(other)
    except LimitReached as full:
        return problems.limit_reached(full)
    except LedgerError:
        # The ledger itself has logged why, once.
        hub.limited_log.error("a notify or release could not be made durable")
        return problems.UNDURABLE
    if wait := accepted.wanted.wait:
        await outcome.acknowledged(wait)
    return await read(hub, Sessions(outcome.room)) or announced(hub, outcome)


def announced(hub: Hub, outcome: Outcome) -> Reply:
    """Return the answer with the outcome of a notify or release, and the active sessions.

    `standing` has the sessions that are active now, and not those at the decision: an application
    deletes the sessions that are not in it, and must not delete a login that came while this answer
    waited.
    """
    standing, floor = hub.who_stands(outcome.room)
    # Both are base64url and dots. By hand, this takes a third of the time.
    ticket = "" if outcome.ticket is None else f',"ticket":"{outcome.ticket}"'
    token = "" if outcome.token is None else f',"token":"{outcome.token}"'
    nodes = ""
    if hub.recognition.cache is not None:
        nodes = f',"nodes":{outcome.nodes},"lapsed":{outcome.lapsed}'
    text = (
        f'{{"room":{dumps(outcome.room)},"epoch":{outcome.epoch:d},'
        f'"terminated":{outcome.terminated},"acked":{outcome.acked},"pending":{outcome.pending},'
        f'"floor":{floor:d},"standing":{dumps_texts(standing)},"ended":{dumps_texts(outcome.ended)}'
        f"{nodes}{ticket}{token}}}"
    )
    return Reply(200, JSON, text.encode())
