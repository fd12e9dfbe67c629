"""Random scenarios: browsers and applications at any node, and everything that can go wrong."""

from collections.abc import Callable
from functools import partial
from random import Random
from typing import Literal

import attrs
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from .cluster import CONFIG, LEASE, Cluster, Makers, Node, simulated
from .engine import Way, Weather
from .history import History
from .invariants import violations

ROOMS = ("u1", "u2")
SESSIONS = ("s1", "s2", "s3")

# In a run: the steps, and seconds between two of them at most.
STEPS = 25
PAUSE = 0.6

# Seconds until everything is at rest after the last fault.
REST = 4 * LEASE


@attrs.frozen
class Scenario:
    """What a run consists of; everything else comes from `seed`."""

    seed: int
    nodes: int = 3
    steps: int = STEPS
    faults: float = 0.2
    """How many of the steps are a fault."""
    max_sessions: int = 1
    at_limit: Literal["end-oldest", "refuse-new"] = "end-oldest"
    lossy: bool = False
    """Whether commits may be lost by a failover, and messages by the network."""
    slow: float = 0.02
    """How many of the messages are slow."""
    story: Callable[[Cluster], object] | None = None
    """What happens, in the place of random steps."""

    def run(self, makers: Makers = Makers()) -> History:  # noqa: B008
        """Run it, and return what was seen."""
        random = Random(self.seed)
        config = attrs.evolve(CONFIG, max_sessions=self.max_sessions, at_limit=self.at_limit)
        lost = random.choice([0.0, 0.02]) if self.lossy else 0.0
        weather = Weather(lost=lost, slow=self.slow, patience=0.9)
        with simulated(
            random, self.nodes, config=config, weather=weather, makers=makers
        ) as cluster:
            if self.story is None:
                self._improvise(cluster)
            else:
                self.story(cluster)
            cluster.settle(REST)
            return cluster.history

    def _improvise(self, cluster: Cluster) -> None:
        actor = _Actor(cluster, self)
        for _ in range(self.steps):
            actor.step()
            cluster.simulation.run(cluster.random.uniform(0, PAUSE) ** 2)
        cluster.simulation.run(LEASE)


_DEEDS = (*("join", "notify") * 2, "ticket", "release", "repeat", "leave", "ask")
_FAULTS = (
    "stop",
    "stop",
    "cut",
    "cut",
    "kill",
    "drain",
    "away",
    "restart",
    "trim",
    "failover",
    "lag",
)


def a_renewal_that_comes_back_late(cluster: Cluster) -> None:
    """A node hears late that its lease was renewed, and then nothing any more; nor do its pages."""
    random, wait = cluster.random, cluster.simulation.run
    there, here = cluster.nodes[:2]
    here.join("u1", "s1", None, holds=True)
    wait(random.uniform(1.0, 1.5))
    cluster.fault(2.0)
    here.engine.way = Way.THERE
    wait(random.uniform(0.4, 0.9))
    here.engine.way = Way.BOTH
    wait(random.uniform(0.1, 1.0))
    cluster.cut(here, Way.NONE, 2 * LEASE)
    there.notify("u1", "s2", None)
    wait(2 * LEASE)


def a_node_that_comes_meanwhile(cluster: Cluster) -> None:
    """A node registers, and a page joins there, while another node's commit is on its way."""
    random, wait = cluster.random, cluster.simulation.run
    (there,) = cluster.nodes
    there.join("u1", "s1", None, holds=True)
    wait(1.0)
    cluster.lag(there, Way.THERE, 1.0)
    there.notify("u1", "s2", None)
    here = cluster.add_node()
    for _ in range(5):
        wait(random.uniform(0.02, 0.08))
        here.join("u1", "s1", None, holds=True)
    wait(LEASE)


def a_room_that_is_free_again(cluster: Cluster) -> None:
    """A node is cut off, and does not hear that a full room is empty."""
    random, wait = cluster.random, cluster.simulation.run
    there, here = cluster.nodes[:2]
    there.notify("u1", "s1", None)
    wait(1.0)
    here.join("u1", "s1", None, holds=True)
    wait(random.uniform(0.5, 1.0))
    cluster.cut(here, Way.NONE, LEASE)
    there.notify("u1", None, None)
    wait(random.uniform(0.05, 0.5))
    here.notify("u1", "s2", None)
    wait(2 * LEASE)


def a_join_behind_a_lease(cluster: Cluster) -> None:
    """A page joins at a node that is cut off, where its room is cached, after it has ended."""
    random, wait = cluster.random, cluster.simulation.run
    there, here = cluster.nodes[:2]
    here.join("u1", "s1", None, holds=True)
    wait(1.0)
    cluster.cut(here, Way.NONE, 2 * LEASE)
    there.notify("u1", "s2", None)
    for _ in range(6):
        wait(random.uniform(0.2, 0.3) * LEASE)
        here.join("u1", "s1", None, holds=True)
    wait(2 * LEASE)


def a_batch_in_doubt(cluster: Cluster) -> None:
    """A node does not hear that its batch was written, and has more to write of the same room."""
    random, wait = cluster.random, cluster.simulation.run
    here = cluster.nodes[0]
    here.join("u1", "s1", None, holds=True)
    wait(1.0)
    cluster.cut(here, Way.THERE, 0.3)
    here.notify("u1", "s2", None)
    wait(random.uniform(0.01, 0.2))
    here.join("u1", "s3", None, holds=True)
    wait(2 * LEASE)


def an_answer_that_comes_late(cluster: Cluster) -> None:
    """A node hears of what it has written when others have already written more."""
    random, wait = cluster.random, cluster.simulation.run
    here, there = cluster.nodes[:2]
    for room in ("u1", "u2"):
        there.notify(room, "s0", None)
        here.join(room, "s0", None, holds=True)
    wait(1.0)
    cluster.lag(here, Way.BACK, 1.0)
    here.notify("u1", "s1", None)
    here.join("u2", "s1", None, holds=True)
    wait(random.uniform(0.02, 0.1))
    for room in ("u1", "u2"):
        there.notify(room, "s2", None)
    wait(random.uniform(0.02, 0.1))
    here.join("u1", "s2", None, holds=True)
    for _ in range(10):
        wait(0.1)
        here.ask("u1", "s1")
    wait(LEASE)


def a_join_during_a_notify(cluster: Cluster) -> None:
    """A page joins at a node that does not know its room, while another login is announced."""
    random, wait = cluster.random, cluster.simulation.run
    there, here = cluster.nodes[:2]
    there.join("u1", "s1", None, holds=True)
    wait(1.0)
    here.join("u1", "s1", None, holds=True)
    wait(random.uniform(0.0, 0.03))
    there.notify("u1", "s2", None)
    wait(LEASE)


def a_log_that_is_trimmed(cluster: Cluster) -> None:
    """Entries of the log are deleted before a node has read them."""
    wait = cluster.simulation.run
    there, here = cluster.nodes[:2]
    here.join("u1", "s1", None, holds=True)
    wait(1.5)
    cluster.cut(here, Way.NONE, 1.0)
    there.notify("u1", "s2", None)
    wait(0.1)
    there.notify("u2", "s2", None)
    wait(0.8)
    cluster.trim()
    wait(2 * LEASE)


class _Actor:
    """Takes random steps."""

    def __init__(self, cluster: Cluster, scenario: Scenario) -> None:
        self._cluster = cluster
        self._random = cluster.random
        self._scenario = scenario
        self._ids: list[tuple[str, str | None, str]] = []

    def step(self) -> None:
        draw = self._random
        if draw.random() < self._scenario.faults:
            self._fault()
            return
        node, room = self._node(), draw.choice(ROOMS)
        match draw.choice(_DEEDS):
            case "join":
                node.join(room, draw.choice(SESSIONS), None, holds=draw.random() < 0.8)
            case "ticket" if self._cluster.tickets:
                ticket = draw.choice(self._cluster.tickets)
                node.join("", "", ticket, holds=draw.random() < 0.8)
            case "notify":
                self._notify(node, room)
            case "repeat" if self._ids:
                node.notify(*draw.choice(self._ids))
            case "release":
                node.release(room, draw.choice(SESSIONS))
            case "leave" if node.pages:
                draw.choice(node.pages).hang_up()
            case _:
                node.ask(room, draw.choice(SESSIONS))

    def _notify(self, node: Node, room: str) -> None:
        draw = self._random
        sender = draw.choice([*SESSIONS, *SESSIONS, None])
        name = f"i{len(self._ids)}" if draw.random() < 0.5 else None
        node.notify(room, sender, name)
        if name is not None:
            self._ids.append((room, sender, name))
        if draw.random() < 0.4:
            # A rival, at once.
            self._node().notify(room, draw.choice(SESSIONS), None)

    def _node(self) -> Node:
        return self._random.choice(self._cluster.alive)

    def _fault(self) -> None:
        draw, cluster = self._random, self._cluster
        node = self._node()
        match draw.choice(_FAULTS):
            case "stop":
                seconds = draw.uniform(0.1, 2 * LEASE)
                cluster.fault(seconds, node)
                node.stop(seconds)
            case "kill" if len(cluster.alive) > 1:
                node.kill()
                cluster.add_node()
            case "drain" if len(cluster.alive) > 1:
                node.drain()
                cluster.add_node()
            case "cut":
                cluster.cut(node, draw.choice([Way.NONE, Way.THERE, Way.BACK]), self._seconds())
            case "lag":
                cluster.lag(node, draw.choice([Way.THERE, Way.BACK]), self._seconds())
            case "away":
                cluster.be_away(self._seconds())
            case "restart":
                cluster.fault(0.0)
                cluster.sea.restart()
            case "trim":
                cluster.trim()
            case "failover":
                cluster.fail_over(draw.randrange(4) if self._scenario.lossy else 0)
            case _:
                pass

    def _seconds(self) -> float:
        return self._random.uniform(0.1, 2 * LEASE)


KINDS: tuple[Callable[[int], Scenario], ...] = (
    Scenario,
    partial(Scenario, faults=0.3, nodes=2),
    partial(Scenario, max_sessions=2),
    partial(Scenario, max_sessions=2, at_limit="refuse-new"),
    partial(Scenario, lossy=True),
)
"""By seed."""

ONCE = settings(max_examples=1, phases=[Phase.generate], database=None, deadline=None)


def wrong_in(scenario: Scenario, makers: Makers = Makers()) -> list[str]:  # noqa: B008
    """Run a scenario, and return what was wrong.

    Hypothesis sees to it that Trio takes its tasks in the same order each time. Sets have one
    order in all processes only where `PYTHONHASHSEED` is set.
    """
    wrong: list[str] = []

    @ONCE
    @given(st.none())
    def run(_: None) -> None:
        wrong.extend(violations(scenario.run(makers)))

    run()
    return wrong


def reseeded(scenario: Scenario, seed: int) -> Scenario:
    """Return the scenario with another seed."""
    return attrs.evolve(scenario, seed=seed)
