"""The outbox over real sockets, whose buffers are as small as the kernel makes them."""

import socket
import tracemalloc
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

import attrs
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from sse_trio.hub.timers import Timers
from sse_trio.server.outbox import FRAME_COST, Outbox

from ..hub.fakes import keep, make_timers

if TYPE_CHECKING:
    from typing_extensions import Buffer

LIMIT = 10_000
TIMEOUT = 60
# More than the kernel takes at once, with the smallest send buffer it allows.
BIG = 50_000


class Noting(Outbox):
    """Notes when it gives a connection up."""

    __slots__ = ("stuck_at",)

    def __init__(
        self,
        sock: socket.socket,
        spawn: Callable[..., None],
        *,
        limit: int,
        timeout: float,
        timers: Timers,
    ) -> None:
        super().__init__(sock, spawn, limit=limit, timeout=timeout, timers=timers)
        self.stuck_at: list[float] = []

    def abort(self) -> None:
        super().abort()
        self.stuck_at.append(trio.current_time())


@attrs.define(eq=False)
class Line:
    """An outbox, and the peer's end of its socket."""

    outbox: Noting
    ours: socket.socket
    theirs: socket.socket
    timers: Timers

    @property
    def stuck_at(self) -> list[float]:
        return self.outbox.stuck_at

    def read(self, size: int) -> bytes:
        """Read what is there already, at most `size` bytes."""
        try:
            return self.theirs.recv(size)
        except BlockingIOError:
            return b""

    async def read_exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            await trio.lowlevel.wait_readable(self.theirs)
            data += self.read(size - len(data))
        return data

    async def read_to_the_end(self) -> bytes:
        data = b""
        while True:
            await trio.lowlevel.wait_readable(self.theirs)
            piece = self.theirs.recv(65536)
            if not piece:
                return data
            data += piece

    def fill(self) -> bytes:
        """Offer single bytes until one has to wait; return them all."""
        sent = b""
        while not self.outbox.waiting:
            assert self.outbox.send(b".")
            sent += b"."
        return sent

    def begin(self) -> bytes:
        """Offer a frame that the kernel takes only a part of."""
        frame = b"<" + b"=" * BIG + b">"
        assert self.outbox.send(frame)
        assert 0 < self.outbox.waiting < len(frame)
        return frame

    def close(self) -> None:
        self.outbox.abandon()
        self.ours.close()
        self.theirs.close()


def make_line(nursery: trio.Nursery, *, limit: int = LIMIT) -> Line:
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.setblocking(False)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    timers = make_timers()
    outbox = Noting(ours, nursery.start_soon, limit=limit, timeout=TIMEOUT, timers=timers)
    return Line(outbox, ours, theirs, timers)


@pytest.fixture
async def line(nursery: trio.Nursery) -> AsyncIterator[Line]:
    line = make_line(nursery)
    nursery.start_soon(keep, line.timers)
    yield line
    line.close()


async def test_a_frame_goes_straight_to_the_socket(line: Line) -> None:
    assert line.outbox.send(b"frame")
    assert line.read(100) == b"frame"
    assert line.outbox.waiting == 0


async def test_what_is_begun_is_finished_first(nursery: trio.Nursery) -> None:
    line = make_line(nursery, limit=2 * BIG)
    sent = line.begin()
    for frame in (b"second", b"third"):
        assert line.outbox.send(frame)
        sent += frame
    assert await line.read_exactly(len(sent)) == sent
    await wait_all_tasks_blocked()
    assert line.outbox.waiting == 0
    assert line.outbox.send(b"straight again")
    assert line.read(100) == b"straight again"
    line.close()


async def test_the_limit_is_exact(line: Line) -> None:
    sent = line.fill()
    room = LIMIT - line.outbox.waiting - FRAME_COST
    assert not line.outbox.send(b"x" * (room + 1))
    assert line.outbox.send(b"x" * room)
    assert line.outbox.waiting == LIMIT
    assert not line.outbox.send(b"x")
    expected = sent + b"x" * room
    assert await line.read_exactly(len(expected)) == expected
    await wait_all_tasks_blocked()
    assert line.outbox.send(b"there is room again")


async def test_what_waits_is_counted_by_the_memory_that_it_takes(line: Line) -> None:
    line.fill()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    count = 0
    while line.outbox.send(b"." + bytes([count % 256])):
        count += 1
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count > LIMIT / (FRAME_COST + 2) - 2
    assert after - before <= LIMIT
    # Nor is it counted for much more than it is.
    assert after - before > LIMIT / 2


async def test_of_some_only_the_newest_waits(nursery: trio.Nursery) -> None:
    line = make_line(nursery, limit=2 * BIG)
    sent = line.begin()
    waiting = line.outbox.waiting
    for frame in (b"first", b"second", b"third"):
        line.outbox.send_newest(frame)
        assert line.outbox.waiting == waiting + len(frame) + FRAME_COST
    assert line.outbox.send(b"behind it")
    line.outbox.send_newest(b"newest")
    expected = sent + b"newest" + b"behind it"
    assert await line.read_exactly(len(expected)) == expected
    await wait_all_tasks_blocked()
    assert line.outbox.waiting == 0
    line.outbox.send_newest(b"straight")
    line.outbox.send_newest(b" again")
    assert line.read(100) == b"straight again"
    line.close()


async def test_the_newest_needs_no_room_and_has_the_time_of_the_one_before(
    line: Line, autojump_clock: MockClock
) -> None:
    start = trio.current_time()
    line.fill()
    while line.outbox.send(b"."):
        pass
    line.outbox.send_newest(b"first")
    await trio.sleep(TIMEOUT - 1)
    line.outbox.send_newest(b"second")
    await trio.sleep(2 * TIMEOUT)
    assert line.stuck_at == [start + TIMEOUT]
    line.outbox.send_newest(b"too late")
    assert line.outbox.waiting == 0


async def test_the_newest_that_is_begun_is_finished(nursery: trio.Nursery) -> None:
    line = make_line(nursery, limit=2 * BIG)
    begun = b"<" + b"=" * BIG + b">"
    line.outbox.send_newest(begun)
    assert 0 < line.outbox.waiting < len(begun)
    line.outbox.send_newest(begun)
    line.outbox.send_newest(b"newest")
    received = await line.read_exactly(len(begun))
    while len(received) < len(begun) + 6:
        received += await line.read_exactly(1)
    assert received == begun + b"newest"
    # One that waited, and is begun by now, is finished too.
    sent = line.begin()
    line.outbox.send_newest(begun)
    assert await line.read_exactly(len(sent)) == sent
    await wait_all_tasks_blocked()
    line.outbox.send_newest(b"newest")
    expected = begun + b"newest"
    assert await line.read_exactly(len(expected)) == expected
    line.close()


async def test_the_last_takes_the_place_of_the_newest(line: Line) -> None:
    sent = line.begin()
    line.outbox.send_newest(b"not worth it")
    waiting = line.outbox.waiting
    assert line.outbox.send_last(b"last")
    assert line.outbox.waiting == waiting - len(b"not worth it") + len(b"last")
    line.outbox.send_newest(b"newest")
    expected = sent + b"last" + b"newest"
    assert await line.read_exactly(len(expected)) == expected


async def test_the_last_goes_before_what_waits(nursery: trio.Nursery) -> None:
    line = make_line(nursery, limit=2 * BIG)
    sent = line.begin()
    waiting = line.outbox.waiting
    assert line.outbox.send(b"not worth it")
    assert line.outbox.send(b"neither")
    assert line.outbox.send_last(b"last")
    assert line.outbox.waiting == waiting + len(b"last") + FRAME_COST
    line.outbox.finish()
    assert await line.read_to_the_end() == sent + b"last"
    line.close()


@pytest.mark.parametrize("is_begun", [False, True])
async def test_what_is_to_be_kept_is_sent_before_the_last(
    nursery: trio.Nursery, is_begun: bool
) -> None:
    line = make_line(nursery, limit=2 * BIG)
    sent = line.begin() if is_begun else line.fill()
    for frame in (b"before", b"kept"):
        assert line.outbox.send(frame, keep=frame == b"kept")
    waiting = line.outbox.waiting
    assert line.outbox.send(b"not worth it")
    line.outbox.send_newest(b"neither")
    assert line.outbox.send_last(b"last")
    assert line.outbox.waiting == waiting + len(b"last") + FRAME_COST
    expected = sent + b"beforekept" + b"last"
    assert await line.read_exactly(len(expected)) == expected
    # What is kept is kept once: afterwards it is as it was.
    await wait_all_tasks_blocked()
    line.fill()
    assert line.outbox.send(b"not worth it")
    assert line.outbox.send_last(b"last")
    assert line.outbox.waiting == len(b"last") + FRAME_COST
    line.close()


async def test_a_frame_that_is_begun_takes_no_keeping_away(nursery: trio.Nursery) -> None:
    line = make_line(nursery, limit=4 * BIG)
    sent = line.begin()
    assert line.outbox.send(b"-" * BIG)
    assert line.outbox.send(b"kept", keep=True)
    assert await line.read_exactly(len(sent) + 10) == sent + b"-" * 10
    await wait_all_tasks_blocked()
    assert line.outbox.send(b"not worth it")
    assert line.outbox.send_last(b"last")
    rest = b"-" * (BIG - 10) + b"keptlast"
    assert await line.read_exactly(len(rest)) == rest
    line.close()


async def test_to_keep_what_need_not_wait_keeps_nothing(line: Line) -> None:
    assert line.outbox.send(b"kept", keep=True)
    assert line.read(100) == b"kept"
    sent = line.fill()
    assert line.outbox.send_last(b"last")
    assert await line.read_exactly(len(sent) + 3) == sent[:-1] + b"last"


class Moody(socket.socket):
    """Says that it is writable, and takes no more than `patience` bytes."""

    patience = 0

    def send(self, data: "Buffer", flags: int = 0) -> int:
        if not self.patience:
            raise BlockingIOError
        sent = super().send(memoryview(data)[: self.patience])
        self.patience -= sent
        return sent


async def test_what_is_begun_stays_begun_when_the_socket_takes_nothing(
    nursery: trio.Nursery,
) -> None:
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    with Moody(fileno=ours.detach()) as moody, theirs:
        outbox = Outbox(
            moody, nursery.start_soon, limit=LIMIT, timeout=TIMEOUT, timers=make_timers()
        )
        moody.patience = 3
        assert outbox.send(b"begun")
        for _ in range(10):
            await trio.lowlevel.checkpoint()
        assert outbox.send(b"not worth it")
        assert outbox.send_last(b"last")
        moody.patience = 100
        outbox.finish()
        await wait_all_tasks_blocked()
        assert theirs.recv(100) == b"begunlast"
        assert theirs.recv(100) == b""


async def test_the_last_has_no_limit(line: Line) -> None:
    sent = line.begin()
    assert not line.outbox.send(b"one too many")
    assert line.outbox.send_last(b"last")
    assert await line.read_exactly(len(sent) + len(b"last")) == sent + b"last"


async def test_the_last_goes_before_what_the_kernel_has_not_begun(line: Line) -> None:
    sent = line.fill()
    assert line.outbox.send_last(b"last")
    assert line.outbox.waiting == len(b"last") + FRAME_COST
    # The byte that waited is not sent.
    assert await line.read_exactly(len(sent) + 3) == sent[:-1] + b"last"


async def test_a_reader_in_time_is_not_stuck(line: Line, autojump_clock: MockClock) -> None:
    sent = line.begin()
    await trio.sleep(TIMEOUT - 1)
    assert await line.read_exactly(len(sent)) == sent
    await trio.sleep(2 * TIMEOUT)
    assert not line.stuck_at


async def test_no_reader_is_stuck(line: Line, autojump_clock: MockClock) -> None:
    line.begin()
    start = trio.current_time()
    await trio.sleep(2 * TIMEOUT)
    assert line.stuck_at == [start + TIMEOUT]
    assert line.outbox.aborted
    # Whoever reads from it reads its end.
    assert line.ours.recv(100) == b""


async def test_each_frame_has_its_own_deadline(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    line = make_line(nursery, limit=10 * BIG)
    nursery.start_soon(keep, line.timers)
    start = trio.current_time()
    first = line.begin()
    for _ in range(3):
        assert line.outbox.send(b"-" * BIG)
    await trio.sleep(TIMEOUT - 1)
    # The first one leaves in time, and that does not help the others.
    assert await line.read_exactly(len(first)) == first
    await trio.sleep(TIMEOUT)
    assert line.stuck_at == [start + TIMEOUT]
    line.close()


async def test_the_last_has_a_deadline_of_its_own(line: Line, autojump_clock: MockClock) -> None:
    start = trio.current_time()
    line.fill()
    await trio.sleep(TIMEOUT - 1)
    assert line.outbox.send_last(b"last")
    await trio.sleep(2 * TIMEOUT)
    assert line.stuck_at == [start + TIMEOUT - 1 + TIMEOUT]


async def test_nothing_is_dropped_once_it_is_finished(line: Line) -> None:
    sent = line.fill()
    line.outbox.finish()
    assert not line.outbox.send_last(b"too late")
    assert await line.read_to_the_end() == sent


def the_peer_resets(line: Line) -> None:
    line.theirs.close()


def our_side_is_closed(line: Line) -> None:
    trio.lowlevel.notify_closing(line.ours)
    line.ours.close()


@pytest.mark.parametrize("end", [the_peer_resets, our_side_is_closed])
@pytest.mark.parametrize("begun", [False, True])
async def test_a_lost_connection_is_broken_and_nothing_else(
    line: Line, begun: bool, end: Callable[[Line], None], autojump_clock: MockClock
) -> None:
    if begun:
        line.begin()
        await wait_all_tasks_blocked()
    end(line)
    await wait_all_tasks_blocked()
    assert not line.outbox.send(b"frame")
    assert not line.outbox.send_last(b"frame")
    assert line.outbox.broken
    assert line.outbox.waiting == 0
    line.outbox.finish()
    await trio.sleep(2 * TIMEOUT)
    assert not line.stuck_at


async def test_the_abandoned_has_no_deadline_left(line: Line, autojump_clock: MockClock) -> None:
    line.fill()
    assert line.outbox in line.timers
    while line.outbox.waiting:
        line.read(100_000)
        await wait_all_tasks_blocked()
    line.outbox.abandon()
    assert line.outbox not in line.timers


async def test_the_abandoned_sends_nothing_more(line: Line, autojump_clock: MockClock) -> None:
    sent = line.begin()
    await wait_all_tasks_blocked()
    tasks = trio.lowlevel.current_statistics().tasks_living
    line.outbox.abandon()
    await wait_all_tasks_blocked()
    assert trio.lowlevel.current_statistics().tasks_living == tasks - 1
    assert not line.outbox.send(b"frame")
    assert len(line.read(2 * BIG)) < len(sent)
    await trio.sleep(2 * TIMEOUT)
    assert line.read(2 * BIG) == b""
    assert not line.stuck_at


@pytest.mark.parametrize("begun", [False, True])
async def test_to_finish_is_to_send_everything_and_close_this_side(line: Line, begun: bool) -> None:
    sent = line.begin() if begun else b""
    line.outbox.finish()
    assert not line.outbox.send(b"frame")
    assert not line.outbox.send_last(b"frame")
    assert await line.read_to_the_end() == sent
    # The other side is open still.
    line.theirs.send(b"heard")
    assert line.ours.recv(100) == b"heard"
    line.outbox.finish()


@attrs.frozen
class Offer:
    size: int
    kind: str


@attrs.frozen
class Read:
    size: int


class Flush:
    """Let the flush task run."""


steps = st.lists(
    st.builds(Offer, st.integers(1, 9000), st.sampled_from(["usual", "usual", "last", "newest"]))
    | st.builds(Read, st.integers(1, 9000))
    | st.builds(Flush),
    max_size=40,
)


def numbered(number: int, size: int) -> bytes:
    """Make a frame that tells its own length and number."""
    return size.to_bytes(2, "big") + bytes([number]) * size


def split(stream: bytes) -> list[int]:
    """Return the numbers of the frames in `stream`, which must be whole."""
    numbers = []
    while stream:
        size = int.from_bytes(stream[:2], "big")
        frame, stream = stream[: 2 + size], stream[2 + size :]
        number = frame[2]
        assert frame == numbered(number, size)
        numbers.append(number)
    return numbers


@given(steps=steps)
async def test_whole_frames_in_order_whatever_happens(steps: list[Offer | Read | Flush]) -> None:
    async with trio.open_nursery() as nursery:
        line = make_line(nursery)
        accepted: list[int] = []
        newest: list[int] = []
        last = -1
        received = b""
        for number, step in enumerate(steps):
            match step:
                case Offer():
                    frame = numbered(number, step.size)
                    if step.kind == "newest":
                        line.outbox.send_newest(frame)
                        newest.append(number)
                    elif step.kind == "last":
                        assert line.outbox.send_last(frame)
                        accepted.append(number)
                        last = number
                    elif line.outbox.send(frame):
                        accepted.append(number)
                case Read():
                    received += line.read(step.size)
                case Flush():
                    await wait_all_tasks_blocked()
            assert 0 <= line.outbox.waiting <= LIMIT + 2 * (9002 + FRAME_COST)
        line.outbox.finish()
        received += await line.read_to_the_end()
        line.close()
    everything = split(received)
    # Nothing is lost but what waited when a last one came, or a newer one of its kind.
    if newest and newest[-1] > last:
        assert newest[-1] in everything
    assert len(set(everything)) == len(everything)
    numbers = [number for number in everything if number not in newest]
    assert numbers == sorted(numbers)
    assert set(numbers) <= set(accepted)
    assert [n for n in numbers if n >= last] == [n for n in accepted if n >= last]
