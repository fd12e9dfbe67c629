"""The answers to requests, a module for each kind; here, the questions answered in one step."""

from ...core.problems import Problem
from ...core.questions import Check, DecisionsQuery, Sessions, StatisticsQuery, Verify
from ...hub.hub import Hub
from ..replies import Reply
from .checks import check, verify
from .reading import Question
from .sessions import sessions
from .statistics import decisions, statistics


def answer(hub: Hub, asked: Question) -> Reply | Problem:
    """Answer a question."""
    match asked:
        case Check():
            return check(hub, asked)
        case Sessions():
            return sessions(hub, asked)
        case Verify():
            return verify(hub, asked)
        case StatisticsQuery():
            return statistics(hub)
        case DecisionsQuery():
            return decisions(hub, asked)
