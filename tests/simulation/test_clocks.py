"""Simulated processes: each keeps its own time, and a stopped one does nothing."""

from collections.abc import Awaitable, Callable, Iterator
from functools import partial

import pytest
import trio

from .clocks import EPOCH, SimulatedClock, Simulation


@pytest.fixture
def simulation() -> Iterator[Simulation]:
    simulation = Simulation()
    yield simulation
    simulation.close()


def ticking(seconds: float, ticked: Callable[[], object]) -> Callable[[], Awaitable[object]]:
    async def tick() -> None:
        while True:
            await trio.sleep(seconds)
            ticked()

    return tick


def clock(simulation: Simulation, rate: float, offset: float = 0.0) -> SimulatedClock:
    return SimulatedClock(lambda: simulation.now, rate=rate, offset=offset)


def test_each_sleeps_by_its_own_clock(simulation: Simulation) -> None:
    times: list[tuple[str, float]] = []

    def note(name: str) -> None:
        times.append((name, simulation.now))

    for name, rate in (("fast", 2.0), ("slow", 0.5)):
        tick = ticking(1.0, partial(note, name))
        simulation.start(tick, clock(simulation, rate))
    simulation.run(2.0)
    assert times == [
        ("fast", 0.5),
        ("fast", 1.0),
        ("fast", 1.5),
        ("fast", 2.0),
        ("slow", 2.0),
    ]


def test_a_machine_may_be_wrong_about_the_time(simulation: Simulation) -> None:
    wrong = clock(simulation, 1.0, offset=-20.0)
    simulation.run(3.0)
    assert (wrong.unix(), simulation.unix()) == (EPOCH - 17, EPOCH + 3)


def test_a_stopped_process_does_nothing_and_finds_what_came_when_it_goes_on(
    simulation: Simulation,
) -> None:
    seen: list[float] = []
    process = simulation.start(ticking(1.0, lambda: seen.append(simulation.now)))
    simulation.after(1.5, lambda: setattr(process, "stopped", True))
    simulation.after(2.0, lambda: process.send(lambda: seen.append(-simulation.now)))
    simulation.after(4.25, lambda: setattr(process, "stopped", False))
    simulation.run(6.0)
    # What came first of two things at once is not said.
    assert sorted(seen, key=abs) in ([1.0, -4.25, 4.25, 5.25], [1.0, 4.25, -4.25, 5.25])


def test_what_is_sent_is_done_in_the_process_at_once(simulation: Simulation) -> None:
    woken: list[float] = []

    async def wait() -> None:
        event = trio.Event()
        simulation.after(1.25, lambda: process.send(event.set))
        await event.wait()
        woken.append(trio.current_time())

    process = simulation.start(wait, clock(simulation, 2.0))
    simulation.run(2.0)
    assert woken == [2.5]
    assert process.ended


def test_what_a_process_raises_is_raised(simulation: Simulation) -> None:
    async def fail() -> None:
        await trio.sleep(1)
        raise ValueError("wrong")

    simulation.start(fail)
    with pytest.raises(ValueError, match="wrong"):
        simulation.run(2.0)


def test_what_is_to_happen_happens_in_order(simulation: Simulation) -> None:
    seen: list[str] = []
    simulation.after(2.0, lambda: seen.append("c"))
    simulation.after(1.0, lambda: seen.append("a"))
    simulation.after(1.0, lambda: seen.append("b"))
    simulation.run(1.0)
    assert seen == ["a", "b"]
    simulation.run(1.0)
    assert seen == ["a", "b", "c"]
