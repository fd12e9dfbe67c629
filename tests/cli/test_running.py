"""Signals, and what comes of them, with a server that does nothing."""

import os
import pty
import signal
from collections.abc import Iterator
from functools import partial

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from sse_trio.cli import running


@attrs.define(eq=False)
class Fake:
    """A server that is ready when it is told to be, and counts how often it was reloaded."""

    ready: trio.Event = attrs.Factory(trio.Event)
    leaving: trio.Event = attrs.Factory(trio.Event)
    started: list["Fake"] = attrs.Factory(list)
    reloaded: list["Fake"] = attrs.Factory(list)
    may_reload: trio.Event = attrs.Factory(trio.Event)
    told: list[str] = attrs.Factory(list)
    """The states that systemd was told, each without its details."""

    def drain(self) -> None:
        self.leaving.set()

    async def serve(self, *, task_status: trio.TaskStatus["Fake"]) -> None:
        await self.ready.wait()
        task_status.started(self)
        await self.leaving.wait()

    async def reload(self, server: "Fake") -> None:
        self.reloaded.append(server)
        await self.may_reload.wait()

    async def run(self, *, reloads: bool = True, terminal: int = -1) -> int:
        reload = self.reload if reloads else None
        return await running.run(
            self.serve, self.started.append, reload, terminal=terminal, tell=self.tell
        )

    def tell(self, state: str) -> None:
        self.told.append(state.partition("\n")[0])


async def send(number: signal.Signals) -> None:
    signal.raise_signal(number)
    await wait_all_tasks_blocked()


@pytest.fixture(autouse=True)
def hangups() -> Iterator[None]:
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


async def test_a_hangup_reloads_and_no_more() -> None:
    server = Fake()
    server.ready.set()
    server.may_reload.set()
    statuses: list[int] = []

    async def run() -> None:
        statuses.append(await server.run())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        await wait_all_tasks_blocked()
        for count in (1, 2):
            await send(signal.SIGHUP)
            assert server.reloaded == [server] * count
            assert not server.leaving.is_set()
        await send(signal.SIGTERM)
    assert statuses == [0]


async def test_a_hangup_before_it_is_ready_is_kept_for_then() -> None:
    server = Fake()
    server.may_reload.set()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.run)
        await wait_all_tasks_blocked()
        await send(signal.SIGHUP)
        assert server.reloaded == []
        server.ready.set()
        await wait_all_tasks_blocked()
        assert server.reloaded == server.started == [server]
        server.drain()


async def test_one_reload_comes_after_the_other_and_holds_up_no_other_signal() -> None:
    server = Fake()
    server.ready.set()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.run)
        await wait_all_tasks_blocked()
        for _ in range(2):
            await send(signal.SIGHUP)
        assert len(server.reloaded) == 1
        await send(signal.SIGTERM)
        assert server.leaving.is_set()
    assert len(server.reloaded) == 1


async def test_without_anything_to_reload_a_hangup_drains() -> None:
    server = Fake()
    server.ready.set()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(server.run, reloads=False))
        await wait_all_tasks_blocked()
        await send(signal.SIGHUP)
        assert server.leaving.is_set()


async def test_a_terminal_that_closes_drains() -> None:
    master, slave = pty.openpty()
    server = Fake()
    server.ready.set()
    server.may_reload.set()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(server.run, terminal=slave))
        await wait_all_tasks_blocked()
        await send(signal.SIGHUP)
        assert (len(server.reloaded), server.leaving.is_set()) == (1, False)
        os.close(master)
        await send(signal.SIGHUP)
        assert (len(server.reloaded), server.leaving.is_set()) == (1, True)
    os.close(slave)


async def test_systemd_is_told_when_it_is_ready_reloads_and_stops() -> None:
    server = Fake()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.run)
        await wait_all_tasks_blocked()
        assert server.told == []
        server.ready.set()
        await wait_all_tasks_blocked()
        assert server.told == ["READY=1"]
        await send(signal.SIGHUP)
        assert server.told[1:] == ["RELOADING=1"]
        server.may_reload.set()
        await wait_all_tasks_blocked()
        assert server.told[2:] == ["READY=1"]
        await send(signal.SIGTERM)
    assert server.told[3:] == ["STOPPING=1"]
