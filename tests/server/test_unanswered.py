"""Notifies that wait for the ledger: one task waits for all of one commit."""

from functools import partial
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

import sse_trio
from sse_trio.core.notify import Notify
from sse_trio.errors import LedgerError
from sse_trio.hub.decisions import Accepted
from sse_trio.hub.hub import Hub
from sse_trio.server import connection
from sse_trio.server.routes.announcements import announced
from sse_trio.server.unanswered import Unanswered

from ..hub.fakes import Note
from ..support import KEY, Start, connect
from .test_connection import parts


class OneCommit(sse_trio.MemoryLedger):
    """Everything is one commit, and the test says when it ends."""

    def __init__(self) -> None:
        super().__init__()
        self.commit = Note("", None, None)

    def propose(self, swap: sse_trio.Swap) -> Any:
        super().propose(attrs.evolve(swap, won=None))
        swap.carry_out()
        return self.commit


@pytest.fixture
def ledger() -> OneCommit:
    return OneCommit()


def notify(room: str, sender: str = "s1") -> bytes:
    return b"".join(parts(room=room, sender=sender))


async def asked(hub: Hub, *rooms: str) -> list[trio.SocketStream]:
    """Send a notify for each room, on a connection of its own."""
    streams = []
    for room in rooms:
        streams.append(stream := await connect(hub))
        await stream.send_all(notify(room))
    await wait_all_tasks_blocked()
    return streams


async def answered(stream: trio.SocketStream) -> tuple[int, bytes]:
    """Return the status of the next answer, and the whole of it."""
    with trio.fail_after(60):
        data = bytes(await stream.receive_some(65536))
    return int(data.split()[1]), data


def tasks() -> int:
    return trio.lowlevel.current_statistics().tasks_living


async def test_one_task_waits_for_all_of_one_commit(start: Start, ledger: OneCommit) -> None:
    hub = await start(ledger=ledger)
    before = tasks()
    first = await asked(hub, "u1")
    with_one = tasks()
    others = await asked(hub, "u2", "u3")
    assert before < with_one == tasks()
    ledger.commit.settle()
    for room, stream in zip(("u1", "u2", "u3"), [*first, *others], strict=True):
        status, answer = await answered(stream)
        assert (status, b'"room":"%b"' % room.encode() in answer) == (200, True)
    assert tasks() == before
    assert hub.statistics().notifies["accepted"] == 3
    # They are parked, and their rooms are free.
    for stream in (*first, *others):
        await stream.send_all(notify("u1", sender="s2"))
        assert (await answered(stream))[0] == 200
        await stream.aclose()


async def test_what_is_asked_meanwhile_is_answered_afterwards(
    start: Start, ledger: OneCommit
) -> None:
    hub = await start(ledger=ledger)
    (stream,) = await asked(hub, "u1")
    for _ in range(2):
        await stream.send_all(b"GET /healthz HTTP/1.1\r\nHost: test\r\n\r\n")
        await wait_all_tasks_blocked()
    ledger.commit.settle()
    status, answer = await answered(stream)
    assert (status, b'"epoch":1' in answer) == (200, True)
    while answer.count(b"HTTP/1.1 200 OK") < 3:
        answer += (await answered(stream))[1]
    await stream.aclose()


async def test_who_hangs_up_meanwhile_is_in_nobodys_way(start: Start, ledger: OneCommit) -> None:
    hub = await start(ledger=ledger)
    gone, stays = await asked(hub, "u1", "u2")
    await gone.aclose()
    await wait_all_tasks_blocked()
    ledger.commit.settle()
    assert (await answered(stays))[0] == 200
    assert (await hub.notify("u1", sender="s2")).epoch == 2
    await stays.aclose()


async def test_an_idle_time_that_passes_meanwhile_does_not_count(
    start: Start, ledger: OneCommit, autojump_clock: MockClock
) -> None:
    hub = await start(ledger=ledger, keep_alive=1, ledger_timeout=10)
    (stream,) = await asked(hub, "u1")
    ledger.commit.settle()
    assert (await answered(stream))[0] == 200
    ledger.commit = Note("", None, None)
    await stream.send_all(notify("u1", sender="s2"))
    await trio.sleep(5)
    ledger.commit.settle()
    assert (await answered(stream))[0] == 200
    answered_at = trio.current_time()
    assert await stream.receive_some() == b""
    assert 1 <= trio.current_time() - answered_at <= 1 + 1 / 16
    await stream.aclose()


async def test_a_commit_that_fails_is_a_503_for_each(start: Start, ledger: OneCommit) -> None:
    hub = await start(ledger=ledger)
    streams = await asked(hub, "u1", "u2")
    failed, ledger.commit = ledger.commit, Note("", None, None)
    failed.settle(failed=True)
    for stream in streams:
        assert (await answered(stream))[0] == 503
    ledger.commit.settle()
    for stream in streams:
        await stream.send_all(notify("u1", sender="s2"))
        assert (await answered(stream))[0] == 200
        await stream.aclose()
    assert hub.statistics().notifies == {"failed": 2, "accepted": 2}


async def test_each_has_its_own_time(
    start: Start, ledger: OneCommit, autojump_clock: MockClock
) -> None:
    hub = await start(ledger=ledger, ledger_timeout=8)
    (first,) = await asked(hub, "u1")
    await trio.sleep(5)
    second, third = await asked(hub, "u2", "u3")
    assert (await answered(first))[0] == 503
    assert 8 <= trio.current_time() <= 8.5
    assert (await answered(second))[0] == 503
    assert (await answered(third))[0] == 503
    assert 13 <= trio.current_time() <= 13.5
    for stream in (first, second, third):
        await stream.aclose()


async def test_the_last_answers_say_so(start: Start, ledger: OneCommit) -> None:
    hub = await start(ledger=ledger)
    streams = await asked(hub, "u1", "u2")
    hub.drain()
    await wait_all_tasks_blocked()
    ledger.commit.settle()
    for stream in streams:
        status, answer = await answered(stream)
        assert (status, b"\r\nConnection: close\r\n" in answer) == (200, True)
        assert await stream.receive_some() == b""
        await stream.aclose()


async def test_one_answer_that_fails_is_the_only_one(
    start: Start,
    ledger: OneCommit,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fails(hub: Hub, outcome: Any) -> Any:
        if outcome.room == "u1":
            raise RuntimeError("a fault")
        return announced(hub, outcome)

    hub = await start(ledger=ledger)
    bad, good = await asked(hub, "u1", "u2")
    monkeypatch.setattr(connection, "announced", fails)
    ledger.commit.settle()
    assert (await answered(good))[0] == 200
    assert (await answered(bad))[0] == 500
    assert "the answer to a notify or release failed" in caplog.text
    caplog.clear()
    assert (await hub.notify("u1", sender="s2")).epoch == 2
    for stream in (bad, good):
        await stream.aclose()


@pytest.mark.parametrize("moment", ["before the commit", "between two answers"])
async def test_a_cancelled_server_lets_the_rooms_go_on(
    moment: str, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An embedder's own notify of the same room may wait for its turn."""
    hub = await start()
    monkeypatch.setattr("sse_trio.hub.timers.SLICE", 1)
    commit = Note("", None, None)
    given_up: list[Accepted] = []
    cut: list[object] = []
    answers: list[Accepted] = []
    accepted = [Accepted(Notify(room=room, sender="s1"), "test", proposal=commit) for room in "abc"]
    monkeypatch.setattr(hub.decisions, "end_turn", given_up.append)

    class Asker:
        def answer(self, accepted: Accepted) -> None:
            answers.append(accepted)
            nursery.cancel_scope.cancel()

        def cut(self) -> None:
            cut.append(self)

    async with trio.open_nursery() as nursery:
        unanswered = Unanswered(hub.decisions, nursery.start_soon)
        askers = [Asker() for _ in accepted]
        for each, asker in zip(accepted, askers, strict=True):
            unanswered.add(each, asker)
        await wait_all_tasks_blocked()
        if moment == "before the commit":
            nursery.cancel_scope.cancel()
        else:
            commit.settle()
    done = len(answers)
    assert done == (moment == "between two answers")
    assert given_up == accepted[done:]
    assert cut == askers[done:]


async def test_a_commit_that_ends_after_the_time_is_no_error(
    start: Start, ledger: OneCommit, autojump_clock: MockClock
) -> None:
    """The next notify of the room waits for a commit of its own."""
    hub = await start(ledger=ledger, ledger_timeout=1)
    (late,) = await asked(hub, "u1")
    assert (await answered(late))[0] == 503
    ledger.commit.settle()
    await late.send_all(notify("u1", sender="s2"))
    assert (await answered(late))[0] == 200
    ledger.commit = Note("", None, None)
    with pytest.raises(LedgerError):
        await hub.notify("u1", sender="s3")
    await late.aclose()


async def test_a_shorter_time_by_a_reload_counts_at_once(
    start: Start, ledger: OneCommit, autojump_clock: MockClock
) -> None:
    hub = await start(ledger=ledger, ledger_timeout=16)
    (before,) = await asked(hub, "u1")
    hub.reload(attrs.evolve(hub.config, ledger_timeout=4))
    after, last = await asked(hub, "u2", "u3")
    for stream in (after, last):
        assert (await answered(stream))[0] == 503
    assert 4 <= trio.current_time() <= 5
    ledger.commit.settle()
    assert (await answered(before))[0] == 200
    for stream in (before, after, last):
        await stream.aclose()


@pytest.mark.parametrize("step", ["finish_at_once", "spawn"])
async def test_a_fault_before_the_answer_lets_the_room_go_on(
    step: str,
    start: Start,
    ledger: OneCommit,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As when a ledger's own `done` raises."""
    hub = await start(ledger=ledger)
    (stream,) = await asked(hub, "u1")

    def fail(*_: object) -> None:
        raise RuntimeError("a fault")

    with monkeypatch.context() as patched:
        if step == "spawn":
            patched.setattr(hub.decisions, "finish_at_once", lambda _: None)
            patched.setattr(connection.Connection, "_answer_in_task", fail)
        else:
            patched.setattr(hub.decisions, step, fail)
        ledger.commit.settle()
        assert await stream.receive_some() == b""
    assert "a connection failed" in caplog.text
    caplog.clear()
    assert (await hub.notify("u1", sender="s2")).epoch == 2
    await stream.aclose()


async def test_a_logout_waits_with_the_others(start: Start, ledger: OneCommit) -> None:
    hub = await start(ledger=ledger)
    (login,) = await asked(hub, "u1")
    logout = await connect(hub)
    release = b"".join(parts(room="u2", session="s1")).replace(b"/notify", b"/release")
    await logout.send_all(release)
    await wait_all_tasks_blocked()
    ledger.commit.settle()
    for stream in (login, logout):
        assert (await answered(stream))[0] == 200
        await stream.aclose()
    assert hub.statistics().releases == {"accepted": 1}


async def test_a_server_that_is_cancelled_leaves_no_room_busy(ledger: OneCommit) -> None:
    config = sse_trio.Config(port=0, authkey=KEY)
    async with trio.open_nursery() as nursery:
        serve = partial(sse_trio.serve, config, ledger=ledger)
        hub: Hub = await nursery.start(serve)
        streams = await asked(hub, "u1", "u2")
        nursery.cancel_scope.cancel()
    with trio.fail_after(60):
        await hub.decisions.finished()
    for stream in streams:
        await stream.aclose()
