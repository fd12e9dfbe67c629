"""kill -9, in short: the whole of it is ``python -m tests.soak``."""

from pathlib import Path

from . import cluster_soak
from .postgres import running
from .soak import Options, Soak


async def test_what_was_answered_outlives_a_kill(tmp_path: Path) -> None:
    options = Options(kills=3, seed=3, rooms=4, clients=8, deadline=30)
    tally = await Soak(options, tmp_path, print).run()
    assert tally.violations == []
    assert tally.kills == 3
    assert tally.honoured > 0
    assert tally.standing > 0


async def test_a_server_that_forgets_is_found_out(tmp_path: Path) -> None:
    options = Options(kills=1, seed=3, rooms=8, deadline=30, ledger="memory:")
    tally = await Soak(options, tmp_path, print).run()
    assert tally.violations


async def test_what_one_node_answered_outlives_kills_on_all(tmp_path: Path, programs: Path) -> None:
    options = cluster_soak.Options(kills=4, seed=3, rooms=3, notifies=20, deadline=120)
    with running(programs) as database:
        tally = await cluster_soak.Soak(options, tmp_path, print).run(database)
    assert tally.violations == []
    assert tally.kills == 4
    assert tally.doors["terminate who were ended"] > 0
    assert tally.doors["joined who were not known to be ended"] > 0
    # Pages are told before the answer to the notify has come.
    assert tally.doors["terminate who were not known to be ended"] > 0
