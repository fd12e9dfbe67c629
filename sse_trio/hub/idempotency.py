"""Idempotency: the outcomes of notifies with an `id`, so that a repetition has no second effect."""

from collections.abc import Callable, Iterable

import attrs

from ..core.notify import REMEMBERED_NOTIFIES, REMEMBERED_SECONDS, Answer, Notify, Release
from ..core.recent import Recent
from ..core.tickets import Ticket
from ..errors import Conflict, LoginEnded
from .drafts import Draft
from .member import Ending, Outcome
from .recognition import Recognition


@attrs.define
class _Entry:
    answer: Answer
    outcome: Outcome | None
    """After a restart it is made when it is first needed."""


class Answers:
    """The outcomes of the last ten minutes by their ids, over a restart too.

    `clock` is monotonic, `wall` is Unix time, both in seconds.
    """

    def __init__(
        self,
        recognition: Recognition,
        *,
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self._recognition = recognition
        self._clock = clock
        self._wall = wall
        self._recent: Recent[_Entry] = Recent(lifetime=REMEMBERED_SECONDS, size=REMEMBERED_NOTIFIES)

    def restore(self, answers: Iterable[Answer]) -> None:
        """Add what the ledger remembers, the oldest first."""
        for answer in answers:
            age = max(0.0, self._wall() - answer.at)
            if age < REMEMBERED_SECONDS:
                self._recent.put(answer.id, _Entry(answer, None), self._clock() - age)

    def get(self, wanted: Notify | Release) -> tuple[Answer | None, Outcome] | None:
        """Return the outcome of an earlier notify with the same id, if there was one.

        Raises:
            Conflict: that one was for another room or sender, or with another `end`; or the
                login that it announced has ended since, so that its ticket is no longer valid
                (`LoginEnded`).
        """
        if isinstance(wanted, Release) or wanted.id is None:
            return None
        entry = self._recent.get(wanted.id, self._clock())
        if entry is None:
            return None
        self._check(wanted, entry.answer)
        entry.outcome = entry.outcome or self._outcome(entry.answer)
        return entry.answer, entry.outcome

    def repeat(self, wanted: Notify, answer: Answer) -> Outcome:
        """Return the outcome of a notify with the same id on another node, and keep it.

        Raises:
            Conflict: as `get` does.
        """
        self._check(wanted, answer)
        outcome = self._outcome(answer)
        self._recent.put(answer.id, _Entry(answer, outcome), self._clock())
        return outcome

    def _check(self, wanted: Notify, answer: Answer) -> None:
        if (answer.room, answer.asked, answer.end) != (wanted.room, wanted.sender, wanted.end):
            raise Conflict("this id was used for another room, another sender or another end")
        if answer.sender is not None:
            login = Ticket(answer.room, answer.sender, answer.epoch, answer.at)
            if self._recognition.stands(login) is False:
                raise LoginEnded("the login that this id has announced has ended since")

    def of(self, draft: Draft) -> Answer | None:
        """Return the answer to a notify with an id, for the ledger."""
        wanted = draft.wanted
        if isinstance(wanted, Release) or wanted.id is None:
            return None
        return Answer(
            wanted.id,
            wanted.room,
            wanted.sender,
            draft.sender,
            draft.standing.epoch,
            terminated=0,
            at=self._wall(),
            end=wanted.end,
            ended=tuple(draft.decision.ended),
        )

    def put(self, answer: Answer, ending: Ending) -> None:
        """Keep the outcome of a notify with an id."""
        answer.terminated = len(ending.members)
        answer.ended = ending.outcome.ended
        self._recent.put(answer.id, _Entry(answer, ending.outcome), self._clock())

    def _outcome(self, answer: Answer) -> Outcome:
        """Return an outcome from before the restart, which has ended all connections."""
        ticket = token = None
        if answer.sender is not None:
            login = Ticket(answer.room, answer.sender, answer.epoch)
            ticket, token = self._recognition.mint(login, answer.at)
        outcome = Outcome(
            answer.room,
            answer.epoch,
            answer.sender,
            ticket,
            token,
            ended=answer.ended,
            terminated=answer.terminated,
        )
        outcome.durable = True
        outcome.note_all_sent()
        return outcome
