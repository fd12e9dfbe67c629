"""The audit log: what is decided is written, once, before it is answered."""

import contextlib
import errno
import hashlib
import json
import logging
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

import sse_trio
from sse_trio.core.notify import Notify
from sse_trio.core.questions import MAX_DECISIONS
from sse_trio.hub.audit import MAX_WRONG_KEYS, Audit, AuditFile, open_sink
from sse_trio.hub.hub import Hub
from sse_trio.hub.timers import SLICE
from sse_trio.roster import fingerprint

from ..support import KEY, open_files
from .fakes import FakePeer


@attrs.define(eq=False)
class Lines:
    """A sink that keeps what it is given, or has no place for it."""

    text: str = ""
    full: bool = False
    writes: int = 0

    def write(self, lines: bytes) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, "no space")
        self.writes += 1
        self.text += lines.decode()

    def reopen(self) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, "no space")

    def take(self) -> list[dict[str, Any]]:
        """Return what was written since, without the times."""
        lines = [json.loads(line) for line in self.text.splitlines()]
        self.text = ""
        assert all(line.pop("time").endswith("Z") for line in lines)
        return lines


START = 1.8e9


def opened(nursery: trio.Nursery, lines: Lines | None, **options: Any) -> Hub:
    return Hub(
        sse_trio.Config(authkey=KEY, **options),
        sse_trio.MemoryLedger(),
        nursery.start_soon,
        wall=lambda: START + trio.current_time(),
        audit=lines,
    )


@attrs.define
class Follows:
    """Keeps the rooms of which it was told that something was decided."""

    rooms: list[str]

    def decided(self, room: str, ended: Collection[str]) -> None:
        self.rooms.append(room)

    async def sweep(self) -> None:
        """Nothing is too old."""


def line(event: str, session: str | None, epoch: int, reason: str, **more: Any) -> dict[str, Any]:
    named = {} if session is None else {"session": fingerprint(session)}
    usual = {"event": event, "room": "u1", "epoch": epoch, "reason": reason, "by": "in-process"}
    return usual | named | more


def come(hub: Hub, **join: str) -> FakePeer:
    peer = FakePeer()
    member = hub.membership.arrive(peer, "192.0.2.7")
    hub.hearing.hear(member, [json.dumps({"type": "join", **join})])
    return peer


async def test_a_login_begins_and_another_one_ends(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    lines = Lines()
    hub = opened(nursery, lines)
    await hub.notify("u1", sender="s1", about={"device": "Firefox"}, id="once")
    assert lines.take() == [line("began", "s1", 1, "login", about={"device": "Firefox"})]
    await hub.notify("u1", sender="s1", about={"device": "Firefox"}, id="once")
    assert lines.take() == []
    await hub.notify("u1", sender="s2", reason="new", detail={"not": "written"})
    assert lines.take() == [line("ended", "s1", 2, "new"), line("began", "s2", 2, "new")]
    await hub.release("u1", "s1")
    await hub.release("u1", "nobody")
    assert lines.take() == []
    await hub.release("u1", "s2", reason="lapsed")
    assert lines.take() == [line("released", "s2", 2, "lapsed")]


async def test_the_lines_of_one_decision_are_written_together(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    lines = Lines()
    hub = opened(nursery, lines, max_sessions=3)
    for number in range(3):
        await hub.notify("u1", sender=f"s{number}")
    lines.take()
    await hub.notify("u1", sender="new", max_sessions=1)
    assert [each["event"] for each in lines.take()] == ["ended"] * 3 + ["began"]
    assert lines.writes == 4


async def test_everybody_ends(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    lines = Lines()
    hub = opened(nursery, lines)
    await hub.notify("u1", sender=None)
    # Those too whom the room does not know.
    assert lines.take() == [line("ended", None, 1, "login")]
    await hub.notify("u1", sender="s1")
    lines.take()
    await hub.log_out("u1", "s1")
    assert lines.take() == [line("ended", "s1", 3, "logout"), line("ended", None, 3, "logout")]
    await hub.log_out("u1", "s1")
    assert lines.take() == []


async def test_nobody_waits_for_what_is_abandoned(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    lines = Lines()
    hub = opened(nursery, lines)
    await hub.notify("u1", sender="s1")
    lines.take()
    hub.abandon("u1", "s1")
    assert lines.take() == [line("released", "s1", 1, "logout")]


async def test_a_login_is_refused(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    lines = Lines()
    hub = opened(nursery, lines, at_limit="refuse-new")
    await hub.notify("u1", sender="s1")
    lines.take()
    with pytest.raises(sse_trio.LimitReached):
        await hub.notify("u1", sender="s2", about={"device": "TV"})
    assert lines.take() == [line("refused", "s2", 1, "login", about={"device": "TV"})]
    come(hub, room="u1", session="s3")
    with pytest.raises(sse_trio.LimitReached):
        await hub.notify("u1")
    assert lines.take() == [line("refused", None, 1, "login")]


async def test_a_login_comes_with_its_own_proof(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    lines = Lines()
    lost, hub = opened(nursery, None), opened(nursery, lines)
    old = (await lost.notify("u1", sender="s1")).ticket
    new = (await lost.notify("u1", sender="s2")).ticket
    assert old
    assert new
    come(hub, ticket=old)
    by = {"by": "192.0.2.7"}
    assert lines.take() == [line("began", "s1", 1, "ticket", **by)]
    come(hub, ticket=old)
    assert lines.take() == []
    come(hub, ticket=new)
    expected = [line("ended", "s1", 2, "login", **by), line("began", "s2", 2, "ticket", **by)]
    assert lines.take() == expected
    assert hub.recall("u1", "s3", epoch=5, issued=hub.view("u1").now)
    assert lines.take() == [line("ended", "s2", 5, "login"), line("began", "s3", 5, "ticket")]


async def test_a_session_that_merely_joins_is_no_login(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """Or strangers could fill the disk."""
    lines = Lines()
    hub = opened(nursery, lines)
    come(hub, room="u1", session="s1")
    assert lines.take() == []
    followed: list[str] = []
    hub.follow(Follows(followed))
    assert hub.ticket("u1", "s1")
    assert lines.take() == [line("began", "s1", 0, "ticket")]
    assert hub.ticket("u1", "s1")
    assert lines.take() == []
    assert followed == []


async def test_without_one_nothing_is_written(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    hub = opened(nursery, None, at_limit="refuse-new")
    await hub.notify("u1", sender="s1")
    with pytest.raises(sse_trio.LimitReached):
        await hub.notify("u1", sender="s2")
    hub.audit.wrong_key("192.0.2.1")
    assert hub.statistics().audit_failures == 0


async def test_a_decision_is_written_in_the_step_that_makes_it(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """And so before its answer, however long the fan-out is."""
    lines = Lines()
    hub = opened(nursery, lines, max_connections_per_room=1000)
    for number in range(2 * SLICE):
        come(hub, room="u1", session=f"s{number}")
    outcome = hub.decisions.begin(Notify(room="u1", sender="new")).outcome
    assert outcome is not None
    assert not outcome.told
    assert lines.writes == 1
    assert len(lines.take()) == 2 * SLICE + 1
    await outcome.wait_until_told()


async def test_what_cannot_be_written_is_counted_and_decided_all_the_same(
    nursery: trio.Nursery, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    lines = Lines(full=True)
    hub = opened(nursery, lines)
    for number in range(20):
        assert (await hub.notify("u1", sender=f"s{number}")).epoch == number + 1
    assert hub.statistics().audit_failures == 20
    assert caplog.text.count("the audit log cannot be written: no space") == 10
    lines.full = False
    await hub.release("u1", "s19")
    assert [each["event"] for each in lines.take()] == ["released"]
    assert hub.statistics().audit_failures == 20


async def test_a_reload_goes_on_with_the_file_that_has_the_name_now(
    nursery: trio.Nursery, autojump_clock: MockClock, tmp_path: Path
) -> None:
    path, moved = tmp_path / "audit", tmp_path / "audit.1"
    config = sse_trio.Config(authkey=KEY)
    with open_sink(str(path)) as sink:
        hub = Hub(config, sse_trio.MemoryLedger(), nursery.start_soon, audit=sink)
        await hub.notify("u1", sender="s1")
        path.rename(moved)
        await hub.notify("u1", sender="s2")
        hub.reload(config)
        await hub.notify("u1", sender="s3")
        assert [len(each.read_text().splitlines()) for each in (moved, path)] == [3, 2]
        # Where it cannot be opened, the old one is better than none.
        path.rename(tmp_path / "audit.2")
        path.mkdir()
        hub.reload(config)
        assert hub.statistics().audit_failures == 1
        await hub.notify("u1", sender="s4")
        assert len((tmp_path / "audit.2").read_text().splitlines()) == 4
    # A hub without one has nothing to open.
    Hub(config, sse_trio.MemoryLedger(), nursery.start_soon).reload(config)


def test_the_file_is_for_its_owner_alone_and_only_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "audit"
    files = open_files()
    for text in (b"one\n", b"two\n"):
        with open_sink(str(path)) as sink:
            assert sink
            sink.write(text)
            sink.reopen()
    assert open_files() <= files
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_text() == "one\ntwo\n"
    with open_sink(str(path)) as sink:
        assert sink
        os.truncate(path, 0)  # as `copytruncate` does
        sink.write(b"three\n")
    assert path.read_text() == "three\n"


def test_a_full_disk() -> None:
    with open_sink("/dev/full") as sink:
        assert sink
        with pytest.raises(OSError, match="No space left"):
            sink.write(b"one\n")


def test_a_line_that_is_cut_short_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(OSError, match="No such device"):
        AuditFile(str(path))  # nobody reads it
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    file = AuditFile(str(path))
    try:
        room = 0
        with pytest.raises(OSError, match="No space left"):
            file.write(b"a" * 1_000_000 + b"\n")
        while data := _read(reader):
            room += len(data)
        assert 0 < room < 1_000_000
        file.write(b"whole\n")
        assert _read(reader) == b"\nwhole\n"
        file.write(b"again\n")
        assert _read(reader) == b"again\n"
        # Cut between two lines, nothing is torn.
        with pytest.raises(OSError, match="No space left"):
            file.write(b"\n" * 1_000_000)
        while _read(reader):
            pass
        file.write(b"whole\n")
        assert _read(reader) == b"whole\n"
        # And what is full already is not torn by what does not fit in.
        with pytest.raises(OSError, match="No space left"):
            file.write(b"\n" * 1_000_000)
        with pytest.raises(BlockingIOError):
            file.write(b"lost\n")
        while _read(reader):
            pass
        file.write(b"whole\n")
        assert _read(reader) == b"whole\n"
    finally:
        file.close()
        os.close(reader)


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except BlockingIOError:
        return b""


def test_the_servers_own_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "sse_trio.audit")
    with open_sink("log") as sink:
        audit = Audit(sink, wall=lambda: 0.0625, failed=lambda _: None)
        audit.wrong_key("192.0.2.1")
        audit.reopen()
    (record,) = caplog.records
    expected = {"time": "1970-01-01T00:00:00.062Z", "event": "wrong key", "by": "192.0.2.1"}
    assert json.loads(record.getMessage()) == expected
    with open_sink(None) as sink:
        assert sink is None


def test_what_others_take_for_the_end_of_a_line_ends_none(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "sse_trio.audit")
    about = {"browser": "a\x85b\u2028c\u2029d\ne\rf\x1cg"}
    with open_sink("log") as sink:
        audit = Audit(sink, wall=lambda: 0.0, failed=lambda _: None)
        audit.refused(Notify(room="u\u20281", sender="s1", about=about), 1, "192.0.2.1")
    (record,) = caplog.records
    written = json.loads(record.getMessage())
    assert (written["room"], written["about"]) == ("u\u20281", about)
    assert record.getMessage().isascii()


def test_an_operator_finds_a_session() -> None:
    """As `printf %s SESSION | sha256sum | cut -c1-16` does."""
    assert fingerprint("s1") == hashlib.sha256(b"s1").hexdigest()[:16]
    assert fingerprint("ü") == hashlib.sha256("ü".encode()).hexdigest()[:16]


SESSIONS = ("s1", "s2", "s3", "s4")
rooms = st.sampled_from(["u1", "u2"])
sessions = st.sampled_from(SESSIONS)
steps = st.lists(
    st.one_of(
        st.tuples(
            st.just("notify"),
            rooms,
            st.none() | sessions,
            st.sets(sessions, max_size=2),
            st.sampled_from([None, 1, 2]),
            st.sampled_from(["end-oldest", "refuse-new"]),
        ),
        st.tuples(st.sampled_from(["release", "join", "ticket", "abandon"]), rooms, sessions),
        st.tuples(st.sampled_from(["log_out", "lost"]), rooms, sessions),
        st.tuples(st.just("recall"), rooms, sessions, st.integers(0, 30)),
        st.tuples(st.just("come back"), st.integers(0, 5)),
    ),
    max_size=25,
)


def replayed(text: str) -> dict[str, set[str]]:
    """Return who stands in each room, as the log tells."""
    found: dict[str, set[str]] = {}
    for each in map(json.loads, text.splitlines()):
        standing = found.setdefault(each["room"], set())
        match each["event"]:
            case "began":
                standing.add(each["session"])
            case "released" | "ended" if "session" in each:
                standing.discard(each["session"])
            case "ended":
                standing.clear()
            case other:
                assert other == "refused"
    return found


@settings(max_examples=150)
@given(steps, st.sampled_from(["end-oldest", "refuse-new"]))
def test_the_log_replays_to_who_stands(history: list[Any], at_limit: Any) -> None:
    lines = Lines()

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            hub = opened(nursery, lines, max_sessions=2, at_limit=at_limit)
            other = opened(nursery, None, max_sessions=3)
            tickets: list[str] = []
            for step in history:
                await trio.sleep(1)
                await _do(hub, other, step, tickets)
                held = {room: set(map(fingerprint, hub.view(room).logins)) for room in ("u1", "u2")}
                empty: dict[str, set[str]] = {"u1": set(), "u2": set()}
                assert empty | replayed(lines.text) == held

    trio.run(main, clock=MockClock(autojump_threshold=0))


async def _do(hub: Hub, other: Hub, step: Any, tickets: list[str]) -> None:
    match step:
        case ("notify", room, sender, end, places, policy):
            with contextlib.suppress(sse_trio.LimitReached):
                outcome = await hub.notify(
                    room,
                    sender=sender,
                    end=end - {sender},
                    max_sessions=places or 3,
                    at_limit=policy,
                )
                tickets += [outcome.ticket] if outcome.ticket else []
        case ("lost", room, session):
            # What another hub, which has counted on its own, has signed.
            outcome = await other.notify(room, sender=session)
            assert outcome.ticket
            tickets.append(outcome.ticket)
        case ("release" | "log_out" as kind, room, session):
            await getattr(hub, kind)(room, session)
        case ("abandon" | "ticket" as kind, room, session):
            getattr(hub, kind)(room, session)
        case ("join", room, session):
            come(hub, room=room, session=session)
        case ("recall", room, session, epoch):
            hub.recall(room, session, epoch=epoch, issued=START + trio.current_time())
        case ("come back", number) if tickets:
            come(hub, ticket=tickets[-1 - number % len(tickets)])


# -- the last records, in memory ------------------------------------------------------------


@pytest.mark.parametrize("sink", [None, Lines(), Lines(full=True)], ids=["none", "sink", "full"])
async def test_the_last_records_are_kept_whatever_becomes_of_the_lines(
    nursery: trio.Nursery, autojump_clock: MockClock, sink: Lines | None
) -> None:
    hub = opened(nursery, sink, at_limit="refuse-new")
    assert hub.audit.last() == []
    await hub.notify("u1", sender="s1", about={"device": "Firefox"})
    with pytest.raises(sse_trio.LimitReached):
        await hub.notify("u1", sender="s2", about={"device": "Chrome"})
    await trio.sleep(1)
    await hub.release("u1", "s1")
    await hub.release("u1", "s1")  # decides nothing
    await hub.notify("u1", sender=None, reason="stolen")
    hub.audit.wrong_key("192.0.2.7")
    kept = hub.audit.last()
    assert hub.audit.last(1) == kept[:1]
    assert [each.pop("time") for each in kept] == [
        *["2027-01-15T08:00:01.000Z"] * 3,
        *["2027-01-15T08:00:00.000Z"] * 2,
    ]
    assert kept == [
        {"event": "wrong key", "by": "192.0.2.7"},
        line("ended", None, 2, "stolen"),
        line("released", "s1", 1, "logout"),
        line("refused", "s2", 1, "login", about={"device": "Chrome"}),
        line("began", "s1", 1, "login", about={"device": "Firefox"}),
    ]


async def test_so_many_of_the_last_records_are_kept(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    hub = opened(nursery, None, max_sessions=9)
    for number in range(MAX_DECISIONS + 1):
        await hub.notify(f"u{number}", sender="s1")
    assert [each["room"] for each in hub.audit.last()] == [
        f"u{number}" for number in range(MAX_DECISIONS, 0, -1)
    ]
    for number in range(2, 5):
        await hub.notify("u1", sender=f"s{number}")
    # One decision of several records.
    await hub.notify("u1", sender="s5", max_sessions=1)
    kept = hub.audit.last()
    assert len(kept) == MAX_DECISIONS
    assert [each["event"] for each in kept[:5]] == ["began", *["ended"] * 4]


async def test_strangers_can_empty_no_list_of_decisions(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    hub = opened(nursery, None)
    await hub.notify("u1", sender="s1")
    for number in range(MAX_WRONG_KEYS + 1):
        await trio.sleep(1)
        hub.audit.wrong_key(str(number))
    await hub.notify("u2", sender="s1")
    events = [(each["event"], each.get("room", each["by"])) for each in hub.audit.last()]
    assert events == [
        ("began", "u2"),
        *(("wrong key", str(number)) for number in range(MAX_WRONG_KEYS, 0, -1)),
        ("began", "u1"),
    ]
