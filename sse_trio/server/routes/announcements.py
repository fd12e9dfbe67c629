"""The answers to notifies and releases."""

from ...core import problems
from ...core.notify import Notify, Release
from ...core.problems import Problem
from ...core.questions import Sessions
from ...errors import Conflict, Draining, LedgerError, LimitReached
from ...hub.hub import Hub
from ...hub.member import Outcome
from ...strict_json import dumps, dumps_texts
from ..replies import JSON, Reply
from .reading import read


async def announce(hub: Hub, wanted: Notify | Release, address: str) -> Reply | Problem:
    """Carry out a notify or release that `address` has sent; return the answer when it is due."""
    try:
        outcome = await hub.decisions.accept(wanted, caller=address)
    except Draining:
        return problems.DRAINING
    except Conflict as other:
        return problems.conflict(other)
    except LimitReached as full:
        return problems.limit_reached(full)
    except LedgerError:
        return undurable(hub)
    return await announced_after(hub, outcome, wanted.wait)


async def announced_after(hub: Hub, outcome: Outcome, wait: float) -> Reply | Problem:
    """Return the answer when everybody has acknowledged, or `wait` seconds are over."""
    if wait:
        await outcome.acknowledged(wait)
    return await read(hub, Sessions(outcome.room)) or announced(hub, outcome)


def undurable(hub: Hub) -> Problem:
    """Say that a notify or release could not be made durable."""
    # Why, the ledger has logged itself, once.
    hub.limited_log.error("a notify or release could not be made durable")
    return problems.UNDURABLE


def announced(hub: Hub, outcome: Outcome) -> Reply:
    """Return the answer that says what became of a notify or release, and who stands now.

    `standing` is as it is now, and not as it was decided: an application deletes the sessions that
    are not in it, and must not delete a login that came while this answer waited.
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
