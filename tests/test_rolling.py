"""A rolling deploy, in short: the whole of it is ``python -m tests.rolling``."""

from pathlib import Path

from .postgres import running
from .rolling import Options, Rolling


async def test_no_notify_fails_and_every_page_comes_back(tmp_path: Path, programs: Path) -> None:
    options = Options(nodes=2, pages=20, notifies=10, drain_rate=20, lease=30, calm=0.5)
    rolling = Rolling(options, tmp_path, print)
    with running(programs) as database:
        await rolling.run(database)
    assert rolling.violations == []
    _, *restarts = rolling.phases
    assert len(restarts) == 2
    assert sum(len(phase.unguarded) for phase in restarts) > 0
    assert sum(len(phase.answers) for phase in restarts) > 0
