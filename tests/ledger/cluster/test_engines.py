"""What every engine of a cluster does, whatever it is: the same tests for each."""

from collections.abc import Sequence
from typing import Any

import attrs
import pytest

from sse_trio.core.logins import Login, Record, Termination
from sse_trio.core.notify import Answer
from sse_trio.ledger.cluster.engine import (
    MAX_ROOMS,
    Batch,
    Committed,
    Engine,
    Expelled,
    Told,
    Write,
)
from sse_trio.ledger.proposals import Lost, Repeated, Result, Version, Versioned, Won
from sse_trio.ledger.sessions import (
    OfRoom,
    OfUser,
    Older,
    Session,
    SessionChanges,
    SessionRow,
    SignedByOthers,
    Wanted,
)

from .engines import Cluster


def record(epoch: int = 1, touched: float = 5.0) -> Record:
    termination = Termination(epoch, "login", {"on": "Firefox"})
    logins = {
        "s0": Login(epoch - 1, 1.25, 2.5, ended=epoch, until=3.5),
        "s1": Login(epoch, 1.25, 2.5, about={"device": "Firefox \0"}),
    }
    return Record(epoch, epoch, logins, (termination,), touched, 4.0)


def answer(id: str, room: str = "u1", at: float = 1000.0) -> Answer:
    return Answer(id, room, "s1", "s1", 1, terminated=2, at=at, end=("s0",), ended=("s2",))


@attrs.define(eq=False)
class Member:
    """A node that is registered, and counts its batches."""

    engine: Engine
    name: str
    seq: int = 0

    async def write(self, *writes: Write, renews: bool = False) -> Sequence[Result]:
        return (await self.commit(*writes, renews=renews)).results

    async def commit(self, *writes: Write, renews: bool = False) -> Committed:
        self.seq += 1
        return await self.again(*writes, renews=renews)

    async def again(self, *writes: Write, renews: bool = False) -> Committed:
        return await self.engine.commit(Batch(self.name, self.seq, writes, renews))

    async def make(self, room: str, epoch: int = 1, touched: float = 5.0) -> Version:
        (result,) = await self.write(Write(room, None, record(epoch, touched)))
        return won(result)

    async def read(self, room: str) -> Versioned | None:
        found, _ = await self.engine.read([room])
        return found.get(room)

    async def log(self) -> list[tuple[str, int]]:
        poll = await self.engine.poll(self.name, {}, [])
        return [(entry.writer, entry.seq) for entry in poll.entries]


def won(result: Result) -> Version:
    assert isinstance(result, Won)
    assert result.version is not None
    return result.version


async def join(cluster: Cluster, name: str) -> Member:
    engine = await cluster.engine()
    await engine.register(name, address="10.0.0.1:8080", software="1.0")
    return Member(engine, name)


async def test_when_a_session_ended_is_kept(cluster: Cluster) -> None:
    a = await join(cluster, "a")
    await a.make("u1")
    found = await a.read("u1")
    assert found is not None
    assert {session: login.until for session, login in found.record.logins.items()} == {
        "s0": 3.5,
        "s1": None,
    }


# -- compare and swap -------------------------------------------------------------------


async def test_a_room_that_is_new_begins_with_the_engines_clock(cluster: Cluster) -> None:
    a = await join(cluster, "a")
    committed = await a.commit(Write("u1", None, record()))
    version = won(committed.results[0])
    assert (version.writer, version.seq) == ("a", 1)
    assert version.count / 1e6 == pytest.approx(committed.wall, abs=60)
    assert await a.read("u1") == Versioned(version, record())


async def test_a_swap_wins_where_the_version_is_the_expected_one(cluster: Cluster) -> None:
    a, b = await join(cluster, "a"), await join(cluster, "b")
    first = await a.make("u1")
    (result,) = await b.write(Write("u1", first, record(2)))
    assert result == Won(Version(first.count + 1, "b", 1))
    assert await a.read("u1") == Versioned(won(result), record(2))


@pytest.mark.parametrize(
    "change", [{"count": 1}, {"writer": "b"}, {"seq": 7}], ids=["count", "writer", "seq"]
)
async def test_a_swap_loses_where_any_part_of_the_version_differs(
    cluster: Cluster, change: dict[str, Any]
) -> None:
    a = await join(cluster, "a")
    first = await a.make("u1")
    current = Versioned(first, record())
    (result,) = await a.write(Write("u1", attrs.evolve(first, **change), record(2)))
    assert result == Lost(current)
    assert await a.read("u1") == current


async def test_a_room_that_is_there_is_not_new(cluster: Cluster) -> None:
    a = await join(cluster, "a")
    first = await a.make("u1")
    for forgetting in (None, record(2)):
        assert await a.write(Write("u1", None, forgetting)) == [Lost(Versioned(first, record()))]


async def test_a_room_that_is_absent_is_not_what_was_expected(cluster: Cluster) -> None:
    a = await join(cluster, "a")
    for forgetting in (None, record(2)):
        assert await a.write(Write("u1", Version(1, "a", 1), forgetting)) == [Lost(None)]
    assert await a.read("u1") is None


async def test_a_room_that_was_forgotten_is_absent(cluster: Cluster) -> None:
    a = await join(cluster, "a")
    first = await a.make("u1")
    assert await a.write(Write("u1", first, None)) == [Won(None)]
    assert await a.read("u1") is None
    assert await a.write(Write("u1", first, record(2))) == [Lost(None)]


async def test_to_forget_what_is_absent_wins(cluster: Cluster) -> None:
    a = await join(cluster, "a")
    assert await a.write(Write("u1", None, None)) == [Won(None)]
    assert await a.read("u1") is None


async def test_a_room_that_is_made_anew_is_newer_than_it_was(cluster: Cluster) -> None:
    a = await join(cluster, "a")
    newest = await a.make("u1")
    for _ in range(3):
        newest = won((await a.write(Write("u1", newest, record())))[0])
    await a.write(Write("u1", newest, None))
    assert (await a.make("u1")).count > newest.count


async def test_each_write_of_a_batch_is_judged_by_itself(cluster: Cluster) -> None:
    a = await join(cluster, "a")
    old = await a.make("u1"), await a.make("u3"), await a.make("u5")
    results = await a.write(
        Write("u5", old[2], None),
        Write("u4", Version(1, "x", 1), record()),
        Write("u3", old[0], record()),
        Write("u2", None, record()),
        Write("u1", old[0], record(2)),
    )
    assert [type(result) for result in results] == [Won, Lost, Lost, Won, Won]
    assert results[1:3] == [Lost(None), Lost(Versioned(old[1], record()))]
    read, identity = await a.engine.read(["u5", "u4", "u3", "u2", "u1"])
    assert identity == (await a.commit()).identity
    assert {room: found.record.epoch for room, found in read.items()} == {"u1": 2, "u2": 1, "u3": 1}


async def test_a_record_comes_back_as_it_was(cluster: Cluster) -> None:
    a = await join(cluster, "a")
    whole = attrs.evolve(record(2**53), forgotten=7, limit=3, touched=1e9 + 0.1)
    await a.write(Write("u1", None, whole))
    found = await a.read("u1")
    assert found is not None
    assert repr(attrs.asdict(found.record)) == repr(attrs.asdict(whole))


@pytest.mark.parametrize(
    "name", ["'; DROP TABLE rooms; --", '"', "\\", "\\u0000", "%s", "{,}", "🦊"]
)
async def test_names_are_taken_as_they_are(cluster: Cluster, name: str) -> None:
    a = await join(cluster, name)
    asked = attrs.evolve(answer(name, name), asked=name, sender=name)
    named = attrs.evolve(record(), logins={name: Login(1, 1.0, 1.0)})
    (result,) = await a.write(Write(name, None, named, asked))
    assert await a.read(name) == Versioned(won(result), named)
    assert await a.write(Write("u2", None, record(), asked)) == [Repeated(asked, name, 1)]
    poll = await a.engine.poll("a", {}, [])
    assert [dict(entry.rooms) for entry in poll.entries] == [{name: 1}, {}]


# -- ids --------------------------------------------------------------------------------


async def test_an_id_is_taken_once(cluster: Cluster) -> None:
    a, b = await join(cluster, "a"), await join(cluster, "b")
    (result,) = await a.write(Write("u1", None, record(), answer("x")))
    first = won(result)
    repeated = Repeated(answer("x"), "a", 1)
    for room, expected in (("u1", first), ("u2", None)):
        write = Write(room, expected, record(9), answer("x", room, 2000.0))
        assert await b.write(write) == [repeated]
    assert await a.read("u1") == Versioned(first, record())
    assert await a.read("u2") is None
    # Nothing has been written under the versions that they would have had.
    assert isinstance((await b.write(Write("u2", None, record(), answer("y"))))[0], Won)


async def test_a_repetition_is_told_so_though_the_room_has_changed(cluster: Cluster) -> None:
    a, b = await join(cluster, "a"), await join(cluster, "b")
    await a.write(Write("u1", None, record(), answer("x")))
    again = Write("u1", None, record(9), answer("x"))
    assert await b.write(again) == [Repeated(answer("x"), "a", 1)]


async def test_a_swap_that_loses_does_not_take_its_id(cluster: Cluster) -> None:
    a = await join(cluster, "a")
    first = await a.make("u1")
    lost = Write("u1", None, record(2), answer("x"))
    assert await a.write(lost) == [Lost(Versioned(first, record()))]
    assert isinstance((await a.write(attrs.evolve(lost, expected=first)))[0], Won)


async def test_an_id_that_comes_twice_in_a_batch_is_the_firsts(cluster: Cluster) -> None:
    a = await join(cluster, "a")
    old = await a.make("u1")
    lost = Write("u0", old, record(), answer("x", "u0"))
    first, second = (Write(room, None, record(), answer("x", room)) for room in ("u3", "u2"))
    results = await a.write(lost, first, second)
    repeated = Repeated(answer("x", "u3"), "a", 2)
    assert [results[0], results[2]] == [repeated, repeated]
    assert won(results[1]).seq == 2
    assert await a.read("u2") is None


# -- in doubt ---------------------------------------------------------------------------


async def test_the_same_batch_again_gives_its_results(cluster: Cluster) -> None:
    a, b = await join(cluster, "a"), await join(cluster, "b")
    old = await b.make("u1"), await b.make("u2"), await b.make("u5")
    await b.write(Write("u9", None, record(), answer("z")))
    writes = (
        Write("u1", old[0], record(2), answer("x")),
        Write("u2", old[0], record(2), answer("y")),
        Write("u3", None, record(2)),
        Write("u4", None, record(2), answer("z")),
        Write("u5", old[2], None),
    )
    first = await a.write(*writes, renews=True)
    assert [type(result) for result in first] == [Won, Lost, Won, Repeated, Won]
    again = await a.again(*writes, renews=True)
    assert again.results == first
    assert [node.beat for node in (await a.engine.poll("a", {}, [])).nodes] == [1, 0]
    assert (await a.log()).count(("a", 1)) == 1
    # What others have written since does not change who won; the others are told what is now.
    newest = won((await b.write(Write("u2", old[1], record(7))))[0])
    assert isinstance((await b.write(Write("u1", won(first[0]), record(7))))[0], Won)
    expected = [first[0], Lost(Versioned(newest, record(7))), *first[2:]]
    assert (await a.again(*writes)).results == expected


async def test_a_batch_of_nothing_is_an_entry_too(cluster: Cluster) -> None:
    a = await join(cluster, "a")
    committed = await a.commit(renews=True)
    assert committed.results == []
    poll = await a.engine.poll("a", {}, [])
    assert [(e.writer, e.seq, dict(e.rooms)) for e in poll.entries] == [("a", 1, {})]
    assert [node.beat for node in poll.nodes] == [1]


# -- nodes ------------------------------------------------------------------------------


async def test_a_node_learns_whether_it_is_alone_after_its_batch(cluster: Cluster) -> None:
    a = await join(cluster, "a")
    assert (await a.commit(Write("u1", None, record()))).is_alone
    assert (await a.again(Write("u1", None, record()))).is_alone
    b = await join(cluster, "b")
    assert not (await a.again(Write("u1", None, record()))).is_alone
    assert not (await a.commit()).is_alone
    await b.engine.deregister("b")
    assert (await a.commit()).is_alone


async def test_a_node_that_was_expelled_writes_nothing_any_more(cluster: Cluster) -> None:
    a, b = await join(cluster, "a"), await join(cluster, "b")
    first = await a.make("u1")
    assert await b.engine.expel("a", 0)
    for write in (Write("u1", first, record(2)), Write("u2", None, record(2), answer("x"))):
        with pytest.raises(Expelled):
            await a.write(write)
    a.seq = 2
    with pytest.raises(Expelled):
        await a.again()
    assert await b.log() == [("a", 1)]
    assert await b.read("u1") == Versioned(first, record())
    assert await b.read("u2") is None
    assert isinstance((await b.write(Write("u2", None, record(), answer("x"))))[0], Won)


async def test_a_batch_from_before_the_expulsion_has_its_results(cluster: Cluster) -> None:
    a, b = await join(cluster, "a"), await join(cluster, "b")
    first = await a.make("u1")
    assert await b.engine.expel("a", 0)
    assert (await a.again(Write("u1", None, record()))).results == [Won(first)]


async def test_a_node_whose_beat_has_changed_is_not_expelled(cluster: Cluster) -> None:
    a, b = await join(cluster, "a"), await join(cluster, "b")
    await a.commit()
    assert not await b.engine.expel("a", 1)
    await a.commit(renews=True)
    assert not await b.engine.expel("a", 0)
    await a.make("u1")
    assert await b.engine.expel("a", 1)
    assert await b.engine.expel("a", 1)


async def test_a_node_that_has_left_writes_nothing_any_more(cluster: Cluster) -> None:
    a, b = await join(cluster, "a"), await join(cluster, "b")
    await a.engine.deregister("a")
    with pytest.raises(Expelled):
        await a.make("u1")
    with pytest.raises(Expelled):
        await a.engine.report("a", {}, [])
    await a.engine.deregister("a")
    await a.engine.set_draining("a")
    assert [node.name for node in (await b.engine.poll("a", {}, [])).nodes] == ["b"]


async def test_the_name_of_a_node_is_used_once(cluster: Cluster) -> None:
    a = await join(cluster, "a")
    with pytest.raises(ValueError, match="used before"):
        await join(cluster, "a")
    await a.make("u1")
    await a.engine.deregister("a")
    with pytest.raises(ValueError, match="used before"):
        await join(cluster, "a")


async def test_a_node_is_seen_as_it_is(cluster: Cluster) -> None:
    a, b = await join(cluster, "a"), await join(cluster, "b")
    await b.engine.set_draining("b")
    await b.engine.report("b", {"a": 3, "gone": 2**53}, [])
    await b.commit(renews=True)
    first, second = (await a.engine.poll("a", {}, [])).nodes
    assert (first.name, first.beat, dict(first.applied), first.draining) == ("a", 0, {}, False)
    assert (second.name, second.beat, second.draining) == ("b", 1, True)
    assert dict(second.applied) == {"a": 3, "gone": 2**53}
    assert (second.address, second.software) == ("10.0.0.1:8080", "1.0")


# -- the log ----------------------------------------------------------------------------


async def test_a_node_reads_beyond_its_position_for_each_writer(cluster: Cluster) -> None:
    a, b = await join(cluster, "a"), await join(cluster, "b")
    first = await a.make("u1", 3)
    await b.make("u2", 4)
    await a.write(Write("u1", first, None), Write("u3", None, record(5)))
    entries = (await a.engine.poll("a", {"a": 1}, [])).entries
    assert [(e.writer, e.seq, dict(e.rooms)) for e in entries] == [
        ("a", 2, {"u1": -1, "u3": 5}),
        ("b", 1, {"u2": 4}),
    ]
    assert (await a.engine.poll("a", {"a": 2, "b": 1, "c": 9}, [])).entries == []


async def test_a_reading_brings_the_rooms_that_others_have_changed_as_they_are(
    cluster: Cluster,
) -> None:
    a, b = await join(cluster, "a"), await join(cluster, "b")
    first = await b.make("u1", 3)
    gone = await b.make("u2")
    assert (await a.engine.poll("a", {"b": 2}, [])).rooms == {}
    await a.make("own")
    await b.write(Write("u2", gone, None), Write("u1", first, record(4)), Write("x", None, None))
    poll = await a.engine.poll("a", {"b": 1}, [])
    assert [entry.writer for entry in poll.entries] == ["a", "b", "b"]
    changed = Versioned(Version(first.count + 1, "b", 3), record(4))
    assert poll.rooms == {"u1": changed, "u2": None, "x": None}
    assert (await b.engine.poll("b", {}, [])).rooms.keys() == {"own"}


async def test_of_many_rooms_a_reading_brings_none(cluster: Cluster) -> None:
    a, b = await join(cluster, "a"), await join(cluster, "b")
    for number in range(MAX_ROOMS):
        await b.make(f"u{number}")
    assert len((await a.engine.poll("a", {}, [])).rooms) == MAX_ROOMS
    await b.make("one more")
    poll = await a.engine.poll("a", {}, [])
    assert len(poll.entries) == MAX_ROOMS + 1
    assert poll.rooms == {}
    assert (await a.engine.poll("a", {"b": 1}, [])).rooms.keys() >= {"one more"}


async def test_who_registers_begins_behind_the_last_entries(cluster: Cluster) -> None:
    a = await join(cluster, "a")
    await a.make("u1")
    await a.make("u2")
    registered = await (await cluster.engine()).register("b", address="", software="")
    assert dict(registered.position) == {"a": 2}
    assert registered.identity == (await a.engine.poll("a", {}, [])).identity


async def test_of_a_writer_that_is_registered_the_last_entry_stays(cluster: Cluster) -> None:
    a, b = await join(cluster, "a"), await join(cluster, "b")
    for room in ("u1", "u2", "u3"):
        await a.make(room)
        await b.make(f"{room}b")
    await b.engine.deregister("b")
    wall = (await a.commit()).wall
    await a.engine.trim(wall - 3600)
    assert len(await a.log()) == 7
    await a.engine.trim(wall + 3600)
    assert await a.log() == [("a", 4)]
    # Who was at 1 sees the gap.
    assert not await a.engine.anchored({"a": 1})
    assert await a.engine.anchored({"a": 4, "b": 0})
    assert (await a.again()).results == []


async def test_answers_are_forgotten_by_their_own_time(cluster: Cluster) -> None:
    a = await join(cluster, "a")
    await a.write(Write("u1", None, record(), answer("old", "u1", 999.9)))
    await a.write(Write("u2", None, record(), answer("new", "u2", 1000.0)))
    await a.engine.trim(1000.0)
    again = [Write(f"v{old}", None, record(), answer(old)) for old in ("old", "new")]
    assert [type(result) for result in await a.write(*again)] == [Won, Repeated]


async def test_an_entry_that_the_engine_does_not_have_is_noticed(cluster: Cluster) -> None:
    a = await join(cluster, "a")
    await a.make("u1")
    assert await a.engine.anchored({})
    assert await a.engine.anchored({"a": 1, "b": 0})
    assert not await a.engine.anchored({"a": 2})
    assert not await a.engine.anchored({"a": 1, "b": 1})


# -- what others were told --------------------------------------------------------------


async def test_counts_are_told_to_who_asks(cluster: Cluster) -> None:
    a, b, c = [await join(cluster, name) for name in "abc"]
    told = Told("a", 1, "u1", "b", terminated=3, acked=1, settled=False)
    await b.engine.report(
        "b", {"a": 1}, [told, attrs.evolve(told, seq=2), attrs.evolve(told, room="u2")]
    )
    await c.engine.report(
        "c", {"a": 1}, [attrs.evolve(told, node="c"), Told("b", 1, "u1", "c", 1, 1, True)]
    )
    settled = attrs.evolve(told, acked=3, settled=True)
    await b.engine.report("b", {"a": 2}, [settled])
    assert (await a.engine.poll("a", {}, [("a", 1)])).told == [
        settled,
        attrs.evolve(told, node="c"),
        attrs.evolve(told, room="u2"),
    ]
    assert (await a.engine.poll("a", {}, [("a", 2)])).told == [attrs.evolve(told, seq=2)]
    assert (await a.engine.poll("a", {}, [])).told == []
    both = [("b", 1), ("a", 2), ("b", 1)]
    assert [(each.writer, each.seq) for each in (await a.engine.poll("a", {}, both)).told] == [
        ("a", 2),
        ("b", 1),
    ]
    wall = (await a.commit()).wall
    await a.engine.trim(wall - 3600)
    assert len((await a.engine.poll("a", {}, [("a", 1), ("a", 2)])).told) == 4
    await a.engine.trim(wall + 3600)
    assert (await a.engine.poll("a", {}, [("a", 1), ("a", 2)])).told == []


# -- rooms that nobody has touched ------------------------------------------------------


async def test_the_longest_untouched_are_overdue_first(cluster: Cluster) -> None:
    a = await join(cluster, "a")
    versions = {
        room: await a.make(room, 1, at) for room, at in zip("abcd", (4, 3, 5, 3), strict=True)
    }
    assert await a.engine.overdue(3, 9) == {}
    assert [*(await a.engine.overdue(5, 9)).items()] == [(r, versions[r]) for r in "bda"]
    assert list(await a.engine.overdue(5, 1)) == ["b"]
    await a.write(Write("b", versions["b"], record(1, 9)))
    assert list(await a.engine.overdue(5, 9)) == ["d", "a"]


# -- sessions of the authentication -----------------------------------------------------


def session(id: str, room: str = "u1", **more: Any) -> SessionRow:
    usual: dict[str, Any] = {
        "user": "7",
        "name": "Ada \\ é",
        "provider": "Users",
        "kind": "session",
        "app_type": "web",
        "epoch": 1,
        "created": 10.0,
        "seen": 10.0,
        "kid": "k1",
        "user_agent": "Firefox",
        "address": "192.0.2.1",
    }
    return SessionRow(id=id, room=room, **usual | more)


def changes(created: SessionRow | None = None, **more: Any) -> SessionChanges:
    usual: dict[str, Any] = {
        "kept": (),
        "epoch": 1,
        "ended_below": 0,
        "notified": 0.0,
        "latest": 1e9,
    }
    return SessionChanges(created=created, **usual | more)


async def login(member: Member, row: SessionRow) -> Version:
    """Make a room, and its only session with it."""
    (result,) = await member.write(Write(row.room, None, record(), sessions=changes(row)))
    return won(result)


async def found(member: Member, wanted: Wanted) -> list[SessionRow]:
    rows, _ = await member.engine.find_sessions(wanted)
    return sorted(rows, key=lambda row: row.id)


async def test_a_session_comes_and_goes_with_its_rooms_swap(cluster: Cluster) -> None:
    a, b = await join(cluster, "a"), await join(cluster, "b")
    version = await login(a, session("s1"))
    assert await found(b, Session("s1")) == [session("s1")]
    second = session("s2", epoch=2)
    swap = changes(second, ended=["s1"], kept=["s2"])
    await b.write(Write("u1", version, record(2), sessions=swap))
    assert await found(a, OfRoom("u1")) == [second]


async def test_what_has_not_won_changes_no_session(cluster: Cluster) -> None:
    a = await join(cluster, "a")
    version = await login(a, session("s1"))
    wrong = attrs.evolve(version, count=1)
    await a.write(
        Write("u1", wrong, record(2), sessions=changes(session("s2"), ended=["s1"])),
        Write("u2", None, record(), answer("x"), changes(session("s3", "u2"))),
        Write("u3", None, record(), answer("x", "u3"), changes(session("s4", "u3"))),
    )
    assert await found(a, OfRoom("u1")) == [session("s1")]
    assert await found(a, OfRoom("u2")) == [session("s3", "u2")]
    assert await found(a, OfRoom("u3")) == []


async def test_a_batch_that_is_written_again_changes_no_session_again(cluster: Cluster) -> None:
    a, b = await join(cluster, "a"), await join(cluster, "b")
    write = Write("u1", None, record(), sessions=changes(session("s1")))
    version = won((await a.write(write))[0])
    ends = changes(ended=["s1"])
    await b.write(Write("u1", version, record(2), sessions=ends))
    assert (await a.again(write)).results == [Won(version)]
    assert await found(a, OfRoom("u1")) == []


async def test_who_is_not_kept_and_of_too_old_an_epoch_goes(cluster: Cluster) -> None:
    a = await join(cluster, "a")
    rows = [
        session("kept", epoch=1),
        session("below", epoch=2),
        session("level", epoch=3),
        session("older", epoch=4, created=49.0),
        session("level with the notify", epoch=3, created=50.0),
        session("ahead", epoch=4, created=100.5),
        session("ended", epoch=5, created=60.0),
        session("elsewhere", "u2", epoch=1),
    ]
    version = await a.make("u1")
    for row in rows:
        if row.room == "u1":
            version = won((await a.write(Write("u1", version, record(), sessions=changes(row))))[0])
    await login(a, rows[-1])
    ends = changes(
        ended=["ended", "elsewhere"],
        kept=["kept"],
        epoch=3,
        ended_below=3,
        notified=50.0,
        latest=100.0,
    )
    await a.write(Write("u1", version, record(3), sessions=ends))
    left = ["kept", "level with the notify"]
    assert [row.id for row in await found(a, OfRoom("u1"))] == left
    assert [row.id for row in await found(a, OfRoom("u2"))] == ["elsewhere"]


async def test_sessions_are_found_by_whatever_is_asked_of_them(cluster: Cluster) -> None:
    a = await join(cluster, "a")
    await a.engine.replace_keys("k1", b"1" * 32)
    rows = [
        session("s1", "u1", user="1", created=4000.0, seen=8000.0),
        session("s2", "u2", user="1", created=4000.0, seen=8001.0, app_type="app"),
        session("s3", "u3", user="2", created=3000.0, seen=9000.0, kid="k0"),
        session("s4", "u4", user="1", created=1.0, seen=1.0, provider="Others"),
        session("s5", "u5", user="2", created=1.0, seen=1.0, kind="persistent"),
    ]
    for row in rows:
        await login(a, row)

    async def ids(wanted: Wanted) -> list[str]:
        return [row.id for row in await found(a, wanted)]

    def older(**more: Any) -> Older:
        usual = {"provider": "Users", "app_type": None, "kind": "session"}
        return Older(**{**usual, "seen": 0.0, "created": 0.0, "most": 9, **more})

    assert await ids(OfUser("Users", "1")) == ["s1", "s2"]
    assert await ids(OfUser("Others", "1")) == ["s4"]
    assert await ids(older(seen=8001.0)) == ["s1"]
    assert await ids(older(seen=8001.5)) == ["s1", "s2"]
    assert await ids(older(seen=8001.5, app_type="app")) == ["s2"]
    assert await ids(older(created=3000.5)) == ["s3"]
    assert await ids(older(created=3000.0)) == []
    assert await ids(older(seen=2.0, kind="persistent")) == ["s5"]
    assert len(await ids(older(seen=9000.0, most=1))) == 1
    assert await ids(SignedByOthers(9)) == ["s3"]
    assert await ids(SignedByOthers(0)) == []
    issuers = {("Users", "web"), ("Users", "app"), ("Others", "web")}
    assert set(await a.engine.issuers()) == issuers


async def test_a_contact_is_noted_if_it_is_later(cluster: Cluster) -> None:
    a = await join(cluster, "a")
    await login(a, session("s1", "u1"))
    await login(a, session("s2", "u2"))
    await a.engine.see_sessions({"s1": (20.0, "k2"), "s2": (9.0, "k2"), "s3": (20.0, "k2")})
    assert await found(a, Session("s1")) == [session("s1", "u1", seen=20.0, kid="k2")]
    assert await found(a, Session("s2")) == [session("s2", "u2")]
    assert await found(a, Session("s3")) == []


async def test_keys_come_one_after_the_other(cluster: Cluster) -> None:
    a, b = await join(cluster, "a"), await join(cluster, "b")

    async def kids() -> list[str]:
        return [key.kid for key in (await a.engine.read_keys())[0]]

    assert await kids() == []
    assert not await a.engine.rotate_keys("k1", b"1" * 32, newest="k0", most=2)
    assert await a.engine.rotate_keys("k1", b"1" * 32, newest=None, most=2)
    assert not await b.engine.rotate_keys("k2", b"2" * 32, newest=None, most=2)
    assert await b.engine.rotate_keys("k2", b"2" * 32, newest="k1", most=2)
    assert not await a.engine.rotate_keys("k3", b"3" * 32, newest="k1", most=2)
    keys, _ = await b.engine.read_keys()
    assert [(key.kid, key.secret) for key in keys] == [("k2", b"2" * 32), ("k1", b"1" * 32)]
    assert keys[0].created > keys[1].created
    assert await a.engine.rotate_keys("k3", b"3" * 32, newest="k2", most=2)
    assert await kids() == ["k3", "k2"]
    await b.engine.replace_keys("k4", b"4" * 32)
    assert await kids() == ["k4"]
