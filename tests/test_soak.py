"""kill -9, in short: the whole of it is ``python -m tests.soak``."""

from pathlib import Path

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
