"""The ledger that lasts as long as the process."""

import pytest
import trio
import trio.testing

from sse_trio import Config, Ledger, LedgerError, MemoryLedger
from sse_trio.core.logins import Login, Record, Termination
from sse_trio.core.notify import REMEMBERED_NOTIFIES, Answer
from sse_trio.ledger import open_ledger

from ..proxies import free_port
from .fakes import propose


def record(epoch: int) -> Record:
    login = Login(epoch, since=1.0, seen=2.0)
    return Record(epoch, epoch, {"s1": login}, (Termination(epoch, "login"),), float(epoch), 1.0)


def answer(id: str, epoch: int = 1) -> Answer:
    return Answer(id, "u1", "s1", "s1", epoch, terminated=0, at=1.0)


@pytest.fixture
def ledger() -> Ledger:
    return MemoryLedger()


async def test_the_last_record_of_each_room_is_loaded_the_longest_untouched_first(
    ledger: Ledger,
) -> None:
    propose(ledger, "u1", record(1))
    propose(ledger, "u2", record(1))
    propose(ledger, "u1", record(2))
    records, answers = await ledger.load()
    assert list(records) == [("u2", record(1)), ("u1", record(2))]
    assert list(answers) == []


async def test_a_room_is_forgotten_and_one_that_is_not_there_too(ledger: Ledger) -> None:
    for room in ("u1", "u2"):
        propose(ledger, room, record(1))
    for room in ("u1", "u3"):
        propose(ledger, room, None)
    records, _ = await ledger.load()
    assert list(records) == [("u2", record(1))]


async def test_the_last_answer_to_each_id_is_loaded_the_oldest_first(ledger: Ledger) -> None:
    propose(ledger, "u1", record(1), answer("x"))
    propose(ledger, "u1", record(2), answer("y"))
    propose(ledger, "u1", record(3), answer("x", epoch=3))
    propose(ledger, "u1", None)
    records, answers = await ledger.load()
    assert list(records) == []
    assert list(answers) == [answer("y"), answer("x", epoch=3)]


async def test_answers_are_bounded_and_the_oldest_goes_first(ledger: Ledger) -> None:
    for number in range(REMEMBERED_NOTIFIES + 2):
        propose(ledger, "u1", None, answer(str(number)))
    _, answers = await ledger.load()
    kept = [answer.id for answer in answers]
    assert (len(kept), kept[0]) == (REMEMBERED_NOTIFIES, "2")


async def test_what_is_noted_is_as_durable_as_it_will_ever_be(ledger: Ledger) -> None:
    commit = propose(ledger, "u1", record(1))
    assert ledger.pending("u1") is None
    assert ledger.ready
    with trio.testing.assert_checkpoints():
        await commit.durable()


async def test_what_was_loaded_is_unaffected_by_what_comes_after(ledger: Ledger) -> None:
    propose(ledger, "u1", record(1), answer("x"))
    records, answers = await ledger.load()
    propose(ledger, "u2", record(1), answer("y"))
    assert ([room for room, _ in records], list(answers)) == (["u1"], [answer("x")])


async def test_an_embedder_has_it_unless_configured_otherwise() -> None:
    async with open_ledger(Config()) as ledger:
        assert isinstance(ledger, MemoryLedger)


async def test_a_database_that_cannot_be_reached_is_not_replaced_by_the_memory() -> None:
    config = Config(ledger=f"postgresql://127.0.0.1:{free_port()}/sse_trio")
    with pytest.raises(LedgerError, match="cannot open the ledger's database"):
        async with open_ledger(config):
            pytest.fail("it was opened")
