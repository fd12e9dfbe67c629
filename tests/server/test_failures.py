"""What fails for one client is logged, quotes nothing, and goes no further."""

import pytest
import trio

from sse_trio.hub.limited_log import LimitedLog
from sse_trio.server.failures import run_contained


async def fail(why: str) -> None:
    await trio.lowlevel.checkpoint()
    raise RuntimeError(why)


async def test_it_is_logged_and_contained(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    nursery.start_soon(run_contained, LimitedLog(trio.current_time).failed, fail, "secret")
    await trio.testing.wait_all_tasks_blocked()
    assert "RuntimeError" in caplog.text
    assert "in fail" in caplog.text
    assert "secret" not in caplog.text


async def test_to_be_cancelled_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    with trio.CancelScope() as scope:
        scope.cancel()
        await run_contained(LimitedLog(trio.current_time).failed, trio.sleep, 1)
    assert scope.cancelled_caught
    assert not caplog.text
