"""The keys in use: who makes new ones, when, and what a disk that fails does to that."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from trio.testing import MockClock

import sse_trio
from sse_trio.auth import MemorySessions, SqliteSessions
from sse_trio.auth.authority import Authority
from sse_trio.auth.keys import Keys
from sse_trio.auth.settings import PersistentSettings, Settings
from sse_trio.auth.verdict import Anonymous, Reason
from sse_trio.errors import LedgerError
from sse_trio.hub.hub import SWEEP
from sse_trio.ledger import SqliteLedger

from ..ledger.fakes import propose
from ..support import KEY
from .fixtures import NOW
from .world import BOB, NewWorld, World, open_world

DAY = 86400

LASTING: dict[str, Any] = {
    "persistent": PersistentSettings(max_idle_days=400, cookie_expiration_days=400)
}


def kids(world: World) -> list[str]:
    """The newest first."""
    assert world.sessions.keys is not None
    return [key.kid for key in world.sessions.keys.keys]


async def test_keys_are_rotated_when_the_newest_is_old_enough(new_world: NewWorld) -> None:
    async with new_world(**LASTING) as world:
        login = await world.login(remember_login=True)
        world.now += 30 * DAY - 1
        await world.sweep()
        assert kids(world) == [login.claims.kid]
        world.now += 1
        await world.sweep()
        new, old = kids(world)
        assert old == login.claims.kid
        assert await world.authenticated(login)
        assert (await world.login(BOB)).claims.kid == new
        await world.sweep()
        assert kids(world) == [new, old]


async def test_who_restarts_every_week_has_new_keys_too(new_world: NewWorld) -> None:
    now, seen = NOW, set()
    for _ in range(10):
        async with new_world(now=now) as world:
            await world.sweep()
            seen.add(kids(world)[0])
            now += 7 * DAY
    assert len(seen) == 2
    async with new_world(now=now) as world:
        assert set(kids(world)) == seen


async def test_keys_that_are_rotated_by_nobody(new_world: NewWorld) -> None:
    async with new_world(key_rotation_days=None) as world:
        before = kids(world)
        world.now += 4000 * DAY
        await world.sweep()
        assert kids(world) == before
        await world.authority.rotate_keys()
        assert kids(world)[1:] == before


async def test_of_authorities_that_share_keys_the_more_careful_one_rotates(
    new_world: NewWorld,
) -> None:
    async with new_world(key_rotation_days=None) as world:
        before = kids(world)
        careful = Settings(user_provider="Staff", key_rotation_days=10)
        store = world.sessions
        await Authority.open(world.hub, careful, store=store, wall=lambda: world.now)
        world.now += 10 * DAY
        await world.sweep()
        assert kids(world)[1:] == before


async def test_those_that_share_keys_keep_them_for_as_long_as_any_of_their_logins_lasts(
    new_world: NewWorld,
) -> None:
    short = PersistentSettings(max_idle_days=1, cookie_expiration_days=1)
    async with new_world(key_rotation_days=1, persistent=short) as world:
        patient = Settings(
            user_provider="Staff",
            persistent=PersistentSettings(max_idle_days=90, cookie_expiration_days=90),
        )
        other = await Authority.open(
            world.hub, patient, store=world.sessions, wall=lambda: world.now
        )
        before = kids(world)
        await other.login(BOB, remember_login=True)
        world.now += 6 * DAY - 1
        await world.sweep()
        assert kids(world) == before
        for day in range(6, 91):
            world.now = NOW + day * DAY
            await world.sweep()
        assert len(kids(world)) == 16
        assert len(await other.sessions(BOB)) == 1


async def test_a_key_of_a_clock_that_was_ahead_is_replaced_and_still_verifies(
    new_world: NewWorld,
) -> None:
    async with new_world(now=NOW + 4000 * DAY) as world:
        ahead = kids(world)
    async with new_world(now=NOW) as world:
        login = await world.login()
        assert login.claims.kid == ahead[0]
        await world.sweep()
        first = kids(world)
        assert first[1:] == ahead
        assert await world.authenticated(login)
        world.now += 30 * DAY
        await world.sweep()
        assert kids(world)[1:] == first
        rotated = kids(world)
    async with new_world(now=NOW + 30 * DAY) as world:
        await world.sweep()
        assert kids(world) == rotated


async def test_a_clock_that_was_a_little_ahead_is_no_reason_to_rotate(
    new_world: NewWorld,
) -> None:
    async with new_world(now=NOW) as world:
        before = kids(world)
        world.now -= 30 * DAY - 1
        await world.sweep()
        assert kids(world) == before
        world.now -= 1
        await world.sweep()
        assert kids(world)[1:] == before


async def test_a_key_signs_only_when_it_is_durable(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Or a crash would end the logins that it has signed; so a disk that fails puts it off."""
    async with (
        SqliteLedger.open(tmp_path / "test.db") as ledger,
        open_world(ledger, SqliteSessions(ledger)) as world,
    ):
        before = kids(world)
        world.now += 30 * DAY
        ledger.change("broken", "INSERT INTO nowhere VALUES (1)")
        for _ in range(2):
            for follower in world.hub.followers:
                await follower.sweep()
            assert kids(world) == before
        said = "the keys of logins could not be rotated: "
        assert [message.startswith(said) for message in caplog.messages].count(True) == 2
        with pytest.raises(LedgerError):
            await world.authority.rotate_keys()
        assert kids(world) == before
        ledger.change("broken", "SELECT 1")
        await propose(ledger, "other", None).durable()
        await world.sweep()
        after = kids(world)
        assert after[1:] == before
    async with (
        SqliteLedger.open(tmp_path / "test.db") as ledger,
        open_world(ledger, SqliteSessions(ledger)) as world,
    ):
        assert kids(world) == after


class Gate:
    """Durable when it is open."""

    def __init__(self) -> None:
        self._event = trio.Event()

    def set(self) -> None:
        self._event.set()

    async def durable(self) -> None:
        await self._event.wait()


class Slow(MemorySessions):
    """What is kept becomes durable only when the gate is open."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = Gate()
        self.gate.set()

    def store_keys(self, keys: Keys) -> Any:
        super().store_keys(keys)
        return self.gate


async def test_rotation_ends_with_the_hub(autojump_clock: MockClock) -> None:
    store, now = Slow(), NOW
    async with trio.open_nursery() as nursery:
        config = sse_trio.Config(port=0, authkey=KEY)
        hub = await nursery.start(partial(sse_trio.serve, config))
        await Authority.open(hub, store=store, wall=lambda: now)
        now += 30 * DAY
        store.gate = Gate()
        await trio.sleep(SWEEP + 1)
        draining = trio.current_time()
        hub.drain()
    assert await store.load_keys() != store.keys
    assert trio.current_time() - draining < 1


async def test_a_rotation_in_flight_does_not_bring_back_keys_that_are_gone() -> None:
    store = Slow()
    async with open_world(sse_trio.MemoryLedger(), store) as world:
        login = await world.login()
        store.gate = Gate()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(world.authority.rotate_keys)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(world.authority.generate_new_keys)
            await trio.testing.wait_all_tasks_blocked()
            assert await world.request(login) == Anonymous(Reason.OTHER_KEYS)
            store.gate.set()
        assert await world.request(login) == Anonymous(Reason.OTHER_KEYS)
        assert len(kids(world)) == 2
        assert await store.load_keys() == store.keys


async def test_two_rotations_at_once_lose_no_key() -> None:
    store = Slow()
    async with open_world(sse_trio.MemoryLedger(), store) as world:
        (first,) = kids(world)
        store.gate = Gate()
        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(world.authority.rotate_keys)
            await trio.testing.wait_all_tasks_blocked()
            store.gate.set()
        assert len(kids(world)) == 3
        assert kids(world)[-1] == first
        assert await store.load_keys() == store.keys
