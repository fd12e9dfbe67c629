"""Those who wait, with one task for all and with a task each: the same to whoever waits."""

import json
import select
import socket
from collections.abc import Callable, Iterator
from functools import partial

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked
from trio_websocket import ConnectionClosed

import sse_trio
from sse_trio.server.parking import EpollParking, Parking, open_parking
from sse_trio.server.transport import Transport

from ..support import KEY, open_peer

MakeParking = Callable[[Callable[..., None]], Parking]

each_kind = pytest.mark.parametrize("make", [EpollParking, Parking])


@attrs.define(eq=False)
class Guest:
    """A parked end of a socket pair, and the other end."""

    parking: Parking
    transport: Transport
    other: socket.socket
    heard: list[bytes] = attrs.Factory(list)
    was_cut: bool = False
    then: Callable[[], object] = lambda: None
    when_cut: Callable[[], object] = lambda: None

    def ready(self) -> None:
        data = self.transport.socket.recv(100)
        self.heard.append(data)
        self.then()
        if not data:
            self.leave()

    def cut(self) -> None:
        self.was_cut = True
        self.leave()
        self.when_cut()

    def leave(self) -> None:
        self.parking.leave(self)
        self.transport.close()


@attrs.define
class Place:
    """A parking, and those who are in it."""

    parking: Parking
    running: trio.CancelScope
    guests: list[Guest] = attrs.Factory(list)

    def park(self, *, early: bytes = b"") -> Guest:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        if early:
            theirs.send(early)
        guest = Guest(self.parking, Transport(ours, "here"), theirs)
        self.guests.append(guest)
        self.parking.park(guest)
        return guest


@pytest.fixture(params=[EpollParking, Parking])
def place(request: pytest.FixtureRequest, nursery: trio.Nursery) -> Iterator[Place]:
    scope = trio.CancelScope()
    parking = request.param(nursery.start_soon)

    async def run() -> None:
        with scope:
            await parking.run()

    nursery.start_soon(run)
    place = Place(parking, scope)
    yield place
    for guest in place.guests:
        guest.other.close()
        if guest.transport.socket.fileno() >= 0:
            guest.leave()


async def test_who_waits_is_called_for_each_word_and_for_the_end(place: Place) -> None:
    guest, silent = place.park(), place.park()
    for word in (b"one", b"two"):
        guest.other.send(word)
        await wait_all_tasks_blocked()
    guest.other.close()
    await wait_all_tasks_blocked()
    assert guest.heard == [b"one", b"two", b""]
    assert silent.heard == []


async def test_what_was_there_before_is_heard_too(place: Place) -> None:
    guest = place.park(early=b"early")
    await wait_all_tasks_blocked()
    assert guest.heard == [b"early"]


async def test_who_has_left_is_not_called(place: Place) -> None:
    guest = place.park()
    await wait_all_tasks_blocked()
    guest.other.send(b"too late")
    guest.leave()
    await wait_all_tasks_blocked()
    assert guest.heard == []


async def test_whoever_is_ended_by_another_is_not_called(place: Place) -> None:
    """Also where both were ready at once."""
    one, two = place.park(), place.park()
    one.then, two.then = two.leave, one.leave
    await wait_all_tasks_blocked()
    one.other.send(b"!")
    two.other.send(b"!")
    await wait_all_tasks_blocked()
    assert sorted([one.heard, two.heard]) == [[], [b"!"]]


async def test_what_is_deferred_is_done_when_all_have_read(place: Place) -> None:
    """And what that defers after all of it; with a task each, all of it is done at once."""
    done: list[str] = []

    def reads(name: str) -> None:
        done.append(f"{name} reads")
        place.parking.defer(lambda: decides(name))

    def decides(name: str) -> None:
        done.append(f"{name} decides")
        place.parking.defer(lambda: done.append(f"{name} answers"))

    steps = ("reads", "decides", "answers")
    guests = {name: place.park() for name in ("a", "b")}
    for name, guest in guests.items():
        guest.then = partial(reads, name)
        guest.other.send(b"x")
    await wait_all_tasks_blocked()
    if isinstance(place.parking, EpollParking):
        assert done == [f"{name} {step}" for step in steps for name in guests]
    else:
        assert sorted(done) == sorted(f"{name} {step}" for step in steps for name in guests)
    # Between two such steps, nothing is deferred.
    done.clear()
    reads("c")
    assert done == [f"c {step}" for step in steps]


async def test_a_descriptor_that_is_used_again_is_somebody_else(place: Place) -> None:
    guest = place.park()
    number = guest.transport.socket.fileno()
    await wait_all_tasks_blocked()
    guest.leave()
    while (successor := place.park()).transport.socket.fileno() != number:
        pass
    successor.other.send(b"hello")
    await wait_all_tasks_blocked()
    assert (guest.heard, successor.heard) == ([], [b"hello"])


async def test_whoever_is_left_is_cut(place: Place) -> None:
    guests = [place.park() for _ in range(3)]
    guests[1].leave()
    await wait_all_tasks_blocked()
    place.running.cancel()
    await wait_all_tasks_blocked()
    assert [guest.was_cut for guest in guests] == [True, False, True]
    await place.parking.emptied()


async def test_whoever_comes_after_the_end_is_cut(place: Place) -> None:
    """A task that was about to be cancelled too may still have something to park."""
    await wait_all_tasks_blocked()
    place.running.cancel()
    await wait_all_tasks_blocked()
    assert place.park().was_cut


async def test_whoever_comes_during_the_end_is_cut(place: Place) -> None:
    """One that ends may answer another request, whose connection then waits for its next one."""
    guests = [place.park() for _ in range(2)]
    guests[0].when_cut = place.park
    await wait_all_tasks_blocked()
    place.running.cancel()
    await wait_all_tasks_blocked()
    assert [guest.was_cut for guest in place.guests] == [True] * 3


async def test_whoever_is_ended_by_one_that_is_cut_is_not_cut_again(place: Place) -> None:
    one, two = place.park(), place.park()
    one.when_cut = two.leave
    await wait_all_tasks_blocked()
    place.running.cancel()
    await wait_all_tasks_blocked()
    assert (one.was_cut, two.was_cut) == (True, False)


async def test_it_is_empty_when_the_last_has_left(place: Place, nursery: trio.Nursery) -> None:
    first, last = place.park(), place.park()
    empty = trio.Event()

    async def wait() -> None:
        await place.parking.emptied()
        empty.set()

    nursery.start_soon(wait)
    await wait_all_tasks_blocked()
    first.leave()
    # One who comes after it is waited for is waited for too.
    late = place.park()
    last.leave()
    await wait_all_tasks_blocked()
    assert not empty.is_set()
    late.leave()
    await wait_all_tasks_blocked()
    assert empty.is_set()


async def test_many_who_speak_at_once_let_others_have_their_turn(nursery: trio.Nursery) -> None:
    turns: list[str] = []
    parking = EpollParking(nursery.start_soon)
    place = Place(parking, nursery.cancel_scope)
    for _ in range(150):
        guest = place.park()
        guest.then = lambda: turns.append("guest")
        guest.other.send(b"!")

    async def somebody_else() -> None:
        while turns.count("guest") < 150:
            turns.append("else")
            await trio.lowlevel.checkpoint()

    nursery.start_soon(somebody_else)
    nursery.start_soon(parking.run)
    await wait_all_tasks_blocked()
    together = max(len(run) for run in "".join(turn[0] for turn in turns).split("e"))
    # Two passes can meet, because the order of two tasks is drawn anew each time.
    assert 64 <= together <= 128
    for guest in place.guests:
        guest.leave()
        guest.other.close()


def test_the_best_of_the_platform_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    with open_parking(lambda: None)._epoll as epoll:  # type: ignore[attr-defined]  # noqa: SLF001
        assert epoll.fileno() >= 0
    monkeypatch.delattr(select, "epoll")
    assert type(open_parking(lambda: None)) is Parking


@each_kind
async def test_a_whole_life_in_it(
    make: MakeParking, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Join, be told, acknowledge, hang up; and be closed by the drain."""
    monkeypatch.setattr("sse_trio.server.server.open_parking", make)
    hub: sse_trio.Hub = await nursery.start(sse_trio.serve, sse_trio.Config(port=0, authkey=KEY))
    async with open_peer(hub) as old, open_peer(hub) as new, open_peer(hub) as gone:
        for peer, session in ((old, "s1"), (new, "s2"), (gone, "s3")):
            await peer.send_message(json.dumps({"type": "join", "room": "u", "session": session}))
            assert json.loads(await peer.get_message())["type"] == "joined"
        await gone.aclose()
        outcome = await hub.notify("u", sender="s2")
        message = json.loads(await old.get_message())
        assert message["type"] == "terminate"
        await old.send_message(json.dumps({"type": "terminated", "epoch": message["epoch"]}))
        with pytest.raises(ConnectionClosed) as closed:
            await old.get_message()
        assert closed.value.reason is not None
        assert closed.value.reason.code == 4001
        assert await outcome.acknowledged(5)
        assert hub.statistics().members == 1
        hub.drain()
        with pytest.raises(ConnectionClosed):
            await new.get_message()
