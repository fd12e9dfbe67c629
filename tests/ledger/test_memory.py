"""The ledger that lasts as long as the process."""

from sse_trio import Config, Ledger, MemoryLedger
from sse_trio.core.standing import Record, Termination
from sse_trio.ledger import open_ledger


def record(epoch: int) -> Record:
    return Record(epoch, epoch, {"s1": epoch}, (Termination(epoch, "login"),), 1.0)


async def test_the_last_record_of_each_room_is_loaded_the_longest_untouched_first() -> None:
    ledger: Ledger = MemoryLedger()
    await ledger.advance("u1", record(1))
    await ledger.advance("u2", record(1))
    await ledger.advance("u1", record(2))
    assert list(await ledger.load()) == [("u2", record(1)), ("u1", record(2))]


async def test_it_is_bounded_and_forgets_the_longest_untouched() -> None:
    ledger = MemoryLedger(max_rooms=2)
    for room in ("u1", "u2", "u1", "u3"):
        await ledger.advance(room, record(1))
    assert [room for room, _ in await ledger.load()] == ["u1", "u3"]


async def test_the_configured_ledger_is_opened_with_the_configured_bound() -> None:
    async with open_ledger(Config(max_remembered_rooms=1)) as ledger:
        assert ledger.ready
        await ledger.advance("u1", record(1))
        await ledger.advance("u2", record(1))
        assert [room for room, _ in await ledger.load()] == ["u2"]
