"""Nodes at once, and random batches: each engine against the rules, and both against each other."""

import random
from collections.abc import Sequence

import attrs
import trio

from sse_trio.ledger.cluster.engine import Expelled, Write
from sse_trio.ledger.proposals import Lost, Repeated, Result, Version, Won

from .engines import Cluster
from .test_engines import Member, answer, join, record


async def at_once(members: Sequence[Member], *writes: Write) -> list[Result]:
    """Let each of the members write one of these."""
    results: list[Result] = []

    async def write(member: Member, each: Write) -> None:
        results.extend(await member.write(each))

    async with trio.open_nursery() as nursery:
        for member, each in zip(members, writes, strict=True):
            nursery.start_soon(write, member, each)
    return results


async def test_of_rivals_for_a_room_exactly_one_wins(cluster: Cluster) -> None:
    members = [await join(cluster, name) for name in "abcd"]
    current: Version | None = None
    for epoch in range(1, 11):
        results = await at_once(members, *[Write("u1", current, record(epoch))] * 4)
        winners = [result for result in results if isinstance(result, Won)]
        losers = [result for result in results if isinstance(result, Lost)]
        assert (len(winners), len(losers)) == (1, 3)
        current = winners[0].version
        now = await members[0].read("u1")
        assert now is not None
        assert (now.version, now.record.epoch) == (current, epoch)
        assert all(loser.current == now for loser in losers)


async def test_of_rivals_for_an_id_exactly_one_wins(cluster: Cluster) -> None:
    members = [await join(cluster, name) for name in "abcd"]
    for turn in range(10):
        rooms = [f"{turn}{member.name}" for member in members]
        writes = [Write(room, None, record(), answer(f"x{turn}", room)) for room in rooms]
        results = await at_once(members, *writes)
        winners = [result for result in results if isinstance(result, Won)]
        assert len(winners) == 1
        assert winners[0].version is not None
        writer = winners[0].version.writer
        told = Repeated(answer(f"x{turn}", f"{turn}{writer}"), writer, turn + 1)
        assert [result for result in results if result != winners[0]] == [told] * 3
        read, _ = await members[0].engine.read(rooms)
        assert list(read) == [f"{turn}{writer}"]


@attrs.define(eq=False)
class Rival:
    """A node that writes random batches, with what it believes of the rooms."""

    member: Member
    lots: random.Random
    rooms: Sequence[str]
    ids: Sequence[str]
    known: dict[str, Version] = attrs.Factory(dict)
    won: list[tuple[str, Version | None, Version | None]] = attrs.Factory(list)
    """Of each swap that has won: its room, and what it has replaced by what."""

    async def write(self) -> None:
        chosen = self.lots.sample(self.rooms, self.lots.randint(1, len(self.rooms)))
        writes = [
            Write(
                room,
                self.known.get(room),
                self.lots.choice((record(), record(2), None)),
                self.lots.choice((None, None, answer(self.lots.choice(self.ids), room))),
            )
            for room in chosen
        ]
        results = await self.member.write(*writes, renews=self.lots.random() < 0.2)
        if self.lots.random() < 0.2:
            again = (await self.member.again(*writes)).results
            assert [r for r in again if isinstance(r, Won)] == [
                r for r in results if isinstance(r, Won)
            ]
        for write, result in zip(writes, results, strict=True):
            if isinstance(result, Won):
                self.won.append((write.room, write.expected, result.version))
                self._know(write.room, result.version)
            elif isinstance(result, Lost):
                current = result.current
                self._know(write.room, None if current is None else current.version)

    def _know(self, room: str, version: Version | None) -> None:
        self.known.pop(room, None)
        if version is not None:
            self.known[room] = version


async def test_batches_that_overlap_never_deadlock_and_no_version_is_replaced_twice(
    cluster: Cluster,
) -> None:
    rooms, ids = [f"u{n}" for n in range(8)], [f"x{n}" for n in range(40)]
    rivals = [Rival(await join(cluster, f"n{n}"), random.Random(n), rooms, ids) for n in range(8)]

    async def run(rival: Rival) -> None:
        for _ in range(25):
            await rival.write()
            # What it costs, it does at the engine: the others have their turn here too.
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        for rival in rivals:
            nursery.start_soon(run, rival)
    replaced = [(room, old) for rival in rivals for room, old, _ in rival.won if old is not None]
    assert len(replaced) == len(set(replaced)) > 20
    made = {(room, new) for rival in rivals for room, _, new in rival.won if new is not None}
    assert set(replaced) <= made
    read, _ = await rivals[0].member.engine.read(rooms)
    assert {(room, found.version) for room, found in read.items()} == made - set(replaced)
    # Every number is there, once, and nothing else.
    assert await rivals[0].member.log() == [
        (rival.member.name, seq) for rival in rivals for seq in range(1, 26)
    ]


async def test_who_reads_the_log_sees_each_writer_without_a_gap(cluster: Cluster) -> None:
    writers, reader = [await join(cluster, name) for name in "abc"], await join(cluster, "r")
    seen: dict[str, int] = {}

    async def write(member: Member) -> None:
        for turn in range(15):
            await member.make(f"{member.name}{turn}")

    async def read() -> None:
        while sum(seen.values()) < 45:
            for entry in (await reader.engine.poll("a", seen, [])).entries:
                assert entry.seq == seen.get(entry.writer, 0) + 1
                seen[entry.writer] = entry.seq
                # What an entry tells of is there by then.
                found, _ = await reader.engine.read(list(entry.rooms))
                assert found.keys() == entry.rooms.keys()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        for member in writers:
            nursery.start_soon(write, member)
    assert seen == {"a": 15, "b": 15, "c": 15}


async def test_an_expulsion_and_a_renewal_at_once_have_one_outcome(cluster: Cluster) -> None:
    observer = await join(cluster, "o")
    for turn in range(8):
        member = await join(cluster, f"n{turn}")
        outcome: list[bool] = []

        async def expel(name: str = member.name, outcome: list[bool] = outcome) -> None:
            outcome.append(await observer.engine.expel(name, 0))

        async def renew(member: Member = member, outcome: list[bool] = outcome) -> None:
            outcome.append(await is_taken(member))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(renew)
            nursery.start_soon(expel)
        # Either it was expelled, or it has renewed.
        assert sorted(outcome) == [False, True]
        assert (member.name in dict(await observer.log())) != await observer.engine.expel(
            member.name, 0
        )


async def is_taken(member: Member) -> bool:
    try:
        await member.commit(renews=True)
    except Expelled:
        return False
    return True
