"""Fakes for what the hub talks to: a browser's connection, and a ledger that waits."""

import json
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import attrs
import trio

from sse_trio import Config, LedgerError, LocalProposal, MemoryLedger, Swap
from sse_trio.core.logins import Record
from sse_trio.core.messages import ServerMessage, Terminate, encode
from sse_trio.core.notify import Answer, Notify, Release
from sse_trio.core.standing import Standing
from sse_trio.hub.hearing import Hearing
from sse_trio.hub.letters import Letter
from sse_trio.hub.limited_log import LimitedLog
from sse_trio.hub.measuring import Measuring
from sse_trio.hub.member import Ending
from sse_trio.hub.membership import Membership
from sse_trio.hub.timers import HasDeadline, Timers, slot_width

from ..ledger.fakes import propose


def _encode(message: ServerMessage) -> bytes:
    return encode(message).encode()


def make_timers() -> Timers:
    """Return some that keep time to a second, by Trio's clock."""
    return Timers(clock=trio.lowlevel.current_clock().current_time, width=1)


async def keep(timers: Timers) -> None:
    """Have done what is due."""

    def turn(now: float) -> Iterator[int]:
        for item in timers.due(now):
            assert isinstance(item, HasDeadline)
            item.expire(now)
            yield 1

    await timers.run(tuple, turn)


class FakePeer:
    """A connection that takes everything, or is full, or is lost; it never closes by itself."""

    def __init__(self) -> None:
        self.full = False
        self.lost = False
        self.aborted = False
        self.told: Callable[[], object] = lambda: None
        """Called when it is sent a termination."""
        self._messages: list[dict[str, Any]] = []
        self._closes: list[int] = []

    def offer(self, message: Letter) -> bool:
        return not self.full and self.offer_last(message)

    offer_beat = offer

    def offer_last(self, message: Letter) -> bool:
        if self.lost:
            return False
        self._messages.append(json.loads(message.encoded(_encode)))
        if isinstance(message.message, Terminate):
            self.told()
        return True

    def close(self, code: int, reason: str) -> None:
        self._closes.append(code)

    def abort(self) -> None:
        self.aborted = True

    def got(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self._messages if message["type"] == kind]

    def closes(self) -> list[int]:
        return list(self._closes)


class Parts:
    """A hub's parts that never wait, with a ledger in memory and both its clocks `now`."""

    def __init__(
        self, now: Callable[[], float], config: Config, *, slice: int, jitter: float = 0.5
    ) -> None:
        self.timers = Timers(clock=now, width=slot_width(config))
        self.membership = Membership(
            config,
            MemoryLedger(),
            self.timers,
            wall=now,
            jitter=lambda: jitter,
            failed=LimitedLog(now).failed,
            slice=slice,
        )
        self.measuring = Measuring(
            config, self.membership, self.timers, began_by_ticket=lambda *_: None
        )
        self.hearing = Hearing(config, self.membership, self.measuring, self.timers)

    def decide(self, wanted: Notify | Release) -> Ending:
        """Carry out what is wanted; who ends by it is not told yet."""
        endings: list[Ending] = []
        draft = self.measuring.draft(wanted)

        def decided(_: Standing) -> None:
            endings.append(self.measuring.carry_out(draft))

        self.membership.recognition.propose(wanted.room, draft.standing, decided)
        return endings[0]


@attrs.define(eq=False)
class Note(LocalProposal):
    """What a ledger was told, and the promise to keep it."""

    room: str
    record: Record | None
    answer: Answer | None
    done: bool = False
    failed: bool = False
    _settled: trio.Event = attrs.Factory(trio.Event)

    async def durable(self) -> None:
        await self._settled.wait()
        if self.failed:
            raise LedgerError("the disk is full")

    def settle(self, *, failed: bool = False) -> None:
        if not self._settled.is_set():
            self.done, self.failed = not failed, failed
            self._settled.set()


class HeldLedger:
    """Commits when it is told to, in the order of the notes; a crash takes what is pending."""

    ready = True

    def __init__(self) -> None:
        self.held: list[Note] = []
        self._disk = MemoryLedger()

    def propose(self, swap: Swap) -> Note:
        record = None if swap.standing is None else swap.standing.record()
        note = Note(swap.room, record, swap.answer)
        self.held.append(note)
        swap.carry_out()
        return note

    def pending(self, room: str) -> Note | None:
        return next((note for note in reversed(self.held) if note.room == room), None)

    async def load(self) -> tuple[Iterable[tuple[str, Record]], Iterable[Answer]]:
        return await self._disk.load()

    def write(self, count: int) -> list[Note]:
        """Bring so many notes to the disk, without telling anybody."""
        written, self.held = self.held[:count], self.held[count:]
        for note in written:
            propose(self._disk, note.room, note.record, note.answer)
        return written

    def commit(self, count: int) -> None:
        for note in self.write(count):
            note.settle()

    def fail(self) -> None:
        """Fail to write anything; it is tried again with the next commit."""
        for note in self.held:
            note.settle(failed=True)

    def crash(self) -> None:
        self.held.clear()

    def burn(self) -> None:
        """Lose everything."""
        self.crash()
        self._disk = MemoryLedger()


class SlowLedger(MemoryLedger):
    """Commits after a second, and can be broken; writes down what it is asked, and when."""

    def __init__(self) -> None:
        super().__init__()
        self.broken = False
        self.seconds = 1.0
        self.writing: list[str] = []
        self.most_at_once = 0
        self.rooms_at_once = 0
        self.commits: dict[str, SlowCommit] = {}

    def propose(self, swap: Swap) -> Any:
        kept = attrs.evolve(swap, won=None)
        self.commits[swap.room] = SlowCommit(self, swap.room, partial(super().propose, kept))
        swap.carry_out()
        return self.commits[swap.room]

    def pending(self, room: str) -> Any:
        commit = self.commits.get(room)
        return None if commit is None or commit.done else commit


@attrs.define
class SlowCommit(LocalProposal):
    ledger: SlowLedger
    room: str
    keep: Callable[[], object]
    done: bool = False

    async def durable(self) -> None:
        ledger = self.ledger
        ledger.writing.append(self.room)
        ledger.most_at_once = max(ledger.most_at_once, ledger.writing.count(self.room))
        ledger.rooms_at_once = max(ledger.rooms_at_once, len(set(ledger.writing)))
        try:
            await trio.sleep(ledger.seconds)
            if ledger.broken:
                raise LedgerError("the disk is full")
            self.keep()
            self.done = True
        finally:
            ledger.writing.remove(self.room)


MakeLedger = Callable[[], MemoryLedger]
