"""Asks the questions, of one contender after the other, again and again.

Runs interleave: A B C, A B C. What is void is noted and gives no figure. Who is too slow for
more is asked once.
"""

import math
import time
from collections.abc import Iterable
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from . import (
    check,
    cluster,
    fanout,
    heartbeat,
    join,
    ledger,
    memory,
    mixed,
    notify,
    socketio,
    stall,
    verify,
)
from .figures import Sample
from .load import Void
from .results import Answer
from .scale import Scale
from .servers import CONTENDERS, Contender

UNEXPECTED = (OSError, ValueError, LookupError, ArithmeticError)
"""What a contender that has gone mad may make of a measurement, besides voiding it."""


class Question(Protocol):
    """A module that can be asked."""

    ABOUT: str

    def measure(self, contender: Contender, scale: Scale) -> Sample:
        """Measure a contender once. Raises Void."""
        ...


REPETITIONS = 5

MODULES = (
    fanout,
    notify,
    join,
    memory,
    heartbeat,
    stall,
    mixed,
    ledger,
    check,
    verify,
    cluster,
    socketio,
)

QUESTIONS: dict[str, Question] = {module.__name__.rpartition(".")[2]: module for module in MODULES}


OF_ITS_OWN: dict[str, tuple[Contender, ...]] = {
    "ledger": ledger.CONTENDERS,
    "check": check.CONTENDERS,
    "verify": verify.CONTENDERS,
    "cluster": cluster.CONTENDERS,
    "socketio": socketio.CONTENDERS,
}
"""The contenders of a question that is not for the usual ones."""


def everybody(questions: Iterable[str], names: Iterable[str]) -> list[Contender]:
    """Return who is asked any of the questions, each once; `names` are of the usual contenders."""
    usual = [CONTENDERS[name] for name in names]
    asked = [each for name in questions for each in OF_ITS_OWN.get(name, usual)]
    return [*{each.name: each for each in asked}.values()]


def ask(
    console: Console,
    name: str,
    contenders: Iterable[Contender],
    scale: Scale,
    repetitions: int,
    *,
    until: float = math.inf,
) -> Answer:
    """Ask one question of everybody, so many times; begin nothing after `until`."""
    question = QUESTIONS[name]
    contenders = list(contenders)
    answer = Answer(question.ABOUT)
    columns = (
        TextColumn("{task.fields[question]:10}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", question=name, total=repetitions * len(contenders))
        for repetition in range(repetitions):
            for contender in contenders:
                if time.monotonic() > until:
                    answer.skipped.append(contender.name)
                    continue
                if contender.once and repetition:
                    progress.advance(task)
                    continue
                progress.update(task, description=f"{contender.name}, round {repetition + 1}")
                if not console.is_terminal:
                    stamp = time.strftime("%H:%M:%S")
                    console.print(f"{stamp} {name}: {contender.name}, round {repetition + 1}")
                try:
                    answer.add(contender.name, question.measure(contender, scale))
                except Void as void:
                    answer.void.append((contender.name, str(void)))
                except UNEXPECTED as error:  # the others' figures are worth having
                    answer.void.append((contender.name, repr(error)))
                progress.advance(task)
    return answer
