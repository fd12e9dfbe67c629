"""A cluster keeps its promise in random scenarios; and built wrongly, it is found to break it."""

import pytest

from . import scenarios
from .breakages import BREAKAGES
from .cluster import Makers
from .scenarios import KINDS, Scenario, wrong_in

# Of a second of CPU each: `python -m tests.simulation` runs as many as there is time for.
RUNS = 10

# What cannot lose commits. What can is run by hand, until nothing is found.
SAFE = KINDS[:4]

STORIES = {
    "a cached join without the lease check": Scenario(0, story=scenarios.a_join_behind_a_lease),
    "the lease counted from the reply": Scenario(0, story=scenarios.a_renewal_that_comes_back_late),
    "a number reused when in doubt": Scenario(0, story=scenarios.a_batch_in_doubt),
    "measure before register": Scenario(0, story=scenarios.a_join_during_a_notify),
    "nodes read before the commit": Scenario(
        0, nodes=1, story=scenarios.a_node_that_comes_meanwhile
    ),
    "no gap check": Scenario(0, story=scenarios.a_log_that_is_trimmed),
    "a late answer taken for the newest": Scenario(0, story=scenarios.an_answer_that_comes_late),
    "a join admitted by a late answer": Scenario(0, story=scenarios.an_answer_that_comes_late),
    "a 409 from the cache": Scenario(
        0, at_limit="refuse-new", story=scenarios.a_room_that_is_free_again
    ),
}

# Where the search begins: the seed that has found it. The others are for the day when the code has
# changed so much that this one does not.
FOUND_BY = {
    "report before apply": 10,
    "a swap without the fencing line": 5,
    "hold for clients that do not understand it": 1,
    "no gap check": 3,
    "told before the decision": 1,
    "a late answer taken for the newest": 1,
    "a join admitted by a late answer": 1,
}


@pytest.mark.parametrize("seed", range(RUNS))
def test_nothing_is_wrong(seed: int) -> None:
    assert wrong_in(SAFE[seed % len(SAFE)](seed)) == []


@pytest.mark.parametrize("name", STORIES)
def test_nothing_is_wrong_in_a_story(name: str) -> None:
    assert wrong_in(STORIES[name]) == []


def is_found(name: str, makers: Makers, within: int) -> bool:
    for seed in (FOUND_BY.get(name, 0), *range(within)):
        kind = STORIES.get(name) or Scenario(0, faults=0.3)
        if wrong_in(scenarios.reseeded(kind, seed), makers):
            return True
    return False


@pytest.mark.parametrize("name", BREAKAGES)
def test_what_is_built_wrongly_is_found(name: str) -> None:
    assert is_found(name, BREAKAGES[name], within=20)
