"""The outcome of a notify, and the tasks that wait for it."""

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from sse_trio.hub.member import Outcome
from sse_trio.ledger.proposals import Elsewhere


class Others(Elsewhere):
    """Other nodes, whose members have not answered yet."""

    def __init__(self) -> None:
        super().__init__(nodes=1)
        self.are_asked = False
        self.answered = trio.Event()

    async def settled(self) -> None:
        self.are_asked = True
        await self.answered.wait()


async def test_other_nodes_are_asked_while_a_member_here_has_not_answered(
    autojump_clock: MockClock,
) -> None:
    """Their counts are kept up to date only for as long as a task waits for them."""
    others = Others()
    outcome = Outcome("u1", 1, elsewhere=others)
    outcome.note_sent(1)
    outcome.note_all_sent()
    results: list[bool] = []

    async def wait() -> None:
        results.append(await outcome.acknowledged(5))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await wait_all_tasks_blocked()
        assert others.are_asked
        outcome.note_finished(acked=True)
        await wait_all_tasks_blocked()
        assert not results
        others.answered.set()
    assert results == [True]


async def test_each_that_waits_is_woken_for_what_it_waits_for(autojump_clock: MockClock) -> None:
    outcome = Outcome("u1", 1)
    outcome.note_sent(2)
    told: list[float] = []
    finished: list[bool] = []

    async def wait_until_told() -> None:
        await outcome.wait_until_told()
        told.append(trio.current_time())

    async def wait_for_answers(seconds: float) -> None:
        finished.append(await outcome.acknowledged(seconds))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait_until_told)
        nursery.start_soon(wait_for_answers, 1)
        nursery.start_soon(wait_for_answers, 9)
        await trio.sleep(2)
        assert (told, finished) == ([], [False])
        outcome.note_all_sent()
        await wait_all_tasks_blocked()
        assert (told, finished) == ([2], [False])
        await outcome.wait_until_told()
        outcome.note_finished(acked=True)
        outcome.note_finished(acked=True)
    assert finished == [False, True]
