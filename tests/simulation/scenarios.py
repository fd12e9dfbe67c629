"""Random scenarios: browsers and applications at any node, and everything that can go wrong."""

from random import Random

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
    lossy: bool = False
    """Whether commits may be lost by a failover, and messages by the network."""

    def run(self, makers: Makers = Makers()) -> History:  # noqa: B008
        """Run it, and return what was seen."""
        random = Random(self.seed)
        config = attrs.evolve(CONFIG, max_sessions=self.max_sessions)
        if self.max_sessions > 1 and random.random() < 0.5:
            config = attrs.evolve(config, at_limit="refuse-new")
        weather = Weather(lost=random.choice([0.0, 0.02]) if self.lossy else 0.0, patience=0.9)
        with simulated(random, self.nodes, config=config, weather=weather, makers=makers) as cluster:
            actor = _Actor(cluster, self)
            for _ in range(self.steps):
                actor.step()
                cluster.simulation.run(random.uniform(0, PAUSE) ** 2)
            cluster.simulation.run(LEASE)
            cluster.settle(REST)
            return cluster.history


_DEEDS = (*("join", "notify") * 2, "ticket", "release", "repeat", "leave", "ask")
_FAULTS = ("stop", "stop", "cut", "cut", "kill", "drain", "away", "restart", "trim", "failover")


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
                room, sender, id = draw.choice(self._ids)
                node.notify(room, sender, id)
            case "release":
                node.release(room, draw.choice(SESSIONS))
            case "leave" if node.pages:
                draw.choice(node.pages).hang_up()
            case _:
                node.ask(room, draw.choice(SESSIONS))

    def _notify(self, node: Node, room: str) -> None:
        draw = self._random
        sender = draw.choice([*SESSIONS, *SESSIONS, None])
        id = f"i{len(self._ids)}" if draw.random() < 0.5 else None
        node.notify(room, sender, id)
        if id is not None:
            self._ids.append((room, sender, id))
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
