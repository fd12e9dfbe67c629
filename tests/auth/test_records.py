"""Sessions that no authority of the process has any more, and how they come to their end."""

import contextlib
from pathlib import Path
from typing import Any

import pytest
import trio

import sse_trio
from sse_trio.auth.authority import Authority
from sse_trio.auth.sessions import MemorySessions, SqliteSessions
from sse_trio.auth.settings import PersistentSettings, SessionSettings, Settings
from sse_trio.errors import LimitReached
from sse_trio.hub.hub import Hub
from sse_trio.ledger import SqliteLedger

from ..support import KEY
from .fixtures import NOW
from .world import ADA, BOB, NewWorld, World, open_world

MINUTE, DAY = 60, 86400

REFUSE: dict[str, Any] = {"config": {"at_limit": "refuse-new"}}

# As what is not there any more after the restart.
OTHERS: dict[str, dict[str, Any]] = {
    "app type": {"app_type": "admin"},
    "provider": {"user_provider": "Staff"},
    "both, with single sign-on": {
        "app_type": "admin",
        "user_provider": "Staff",
        "single_sign_on_between_app_types": True,
    },
}


async def is_refused(world: World) -> bool:
    try:
        await world.login()
    except LimitReached:
        return True
    return False


@pytest.mark.parametrize("other", OTHERS.values(), ids=list(OTHERS))
@pytest.mark.parametrize(("remember", "lasts"), [(False, 20 * MINUTE), (True, 2 * DAY)])
async def test_what_nobody_has_any_more_lapses_by_the_settings_that_there_are(
    new_world: NewWorld, other: dict[str, Any], remember: bool, lasts: float
) -> None:
    """However often its place is asked for meanwhile."""
    short = {"persistent": PersistentSettings(max_idle_days=3, cookie_expiration_days=2)}
    # While it was there it could be more patient.
    async with new_world(session=SessionSettings(max_idle_minutes=60), **other, **REFUSE) as world:
        await world.login(remember_login=remember)
    async with new_world(now=NOW, **short, **REFUSE) as world:
        while world.now < NOW + lasts:
            assert await is_refused(world)
            await world.sweep()
            world.now += lasts / 4
        assert await is_refused(world)
        world.now += 1
        await world.sweep()
        assert not await is_refused(world)


async def test_where_single_sign_on_has_been_switched_off(new_world: NewWorld) -> None:
    settings = {"single_sign_on_between_app_types": True}
    async with new_world(app_type="mobile", **settings) as world:
        login = await world.login()
    async with new_world(now=NOW, **settings) as world:
        assert await world.authenticated(login)
        world.now += 20 * MINUTE
        await world.sweep()
        assert world.hub.view(ADA.id).sessions
    async with new_world(now=NOW) as world:
        await world.sweep()
        world.now += 20 * MINUTE + 1
        await world.sweep()
        assert not world.hub.view(ADA.id).sessions


async def test_the_most_careful_of_those_that_there_are_decides(new_world: NewWorld) -> None:
    patient = {"session": SessionSettings(max_idle_minutes=600)}
    async with new_world(app_type="gone", **patient) as world:
        await world.login()
    async with new_world(now=NOW, **patient) as world:
        for app_type, idle in [("mobile", 60), ("admin", 90)]:
            settings = Settings(app_type=app_type, session=SessionSettings(max_idle_minutes=idle))
            await Authority.open(world.hub, settings, store=world.sessions, wall=lambda: world.now)
        await world.sweep()
        world.now += 60 * MINUTE
        await world.sweep()
        assert world.hub.view(ADA.id).sessions
        world.now += 1
        await world.sweep()
        assert not world.hub.view(ADA.id).sessions
        assert await world.sessions.of_room(ADA.id) == []


async def test_to_look_for_what_nobody_has_is_not_to_see_it(new_world: NewWorld) -> None:
    """So the hub's own limit holds too: who was away for `ticket_lifetime` has no place."""
    a_year = {
        "persistent": PersistentSettings(max_idle_days=366, cookie_expiration_days=366),
        "config": {"at_limit": "refuse-new", "ticket_lifetime": DAY},
    }
    async with new_world(app_type="gone", **a_year) as world:
        await world.login(remember_login=True)
    async with new_world(now=NOW, **a_year) as world:
        for _ in range(24):
            world.now += DAY / 24
            assert await is_refused(world)
        world.now += 1
        assert not await is_refused(world)


async def test_who_comes_back_in_time_has_its_sessions_again(new_world: NewWorld) -> None:
    patient: dict[str, Any] = {"session": SessionSettings(max_idle_minutes=60)}
    async with new_world(app_type="mobile", **patient) as world:
        login = await world.login()
    async with new_world(now=NOW) as world:
        world.now += 20 * MINUTE
        await world.sweep()
        mobile = Settings(app_type="mobile", **patient)
        opened = await Authority.open(
            world.hub, mobile, store=world.sessions, wall=lambda: world.now
        )
        world.now += 40 * MINUTE
        await world.sweep()
        assert [known.id for known in await opened.sessions(ADA)] == [login.claims.session]


@pytest.mark.parametrize(("remember", "lasts"), [(False, 20 * MINUTE), (True, 30 * DAY)])
async def test_an_authority_that_is_late_finds_its_logins_for_as_long_as_they_could_last(
    new_world: NewWorld, remember: bool, lasts: float
) -> None:
    """However long they have been idle by the settings of those that were there."""
    long: dict[str, Any] = {
        "app_type": "mobile",
        "session": SessionSettings(max_idle_minutes=7 * 24 * 60),
        "persistent": PersistentSettings(max_idle_days=90, cookie_expiration_days=90),
    }
    async with new_world(**long) as world:
        await world.login(remember_login=remember)
    later = NOW + 2 * lasts
    async with new_world(now=later) as world:
        await world.sweep()
        world.now += lasts - 1
        await world.sweep()
        late = await Authority.open(
            world.hub, Settings(**long), store=world.sessions, wall=lambda: world.now
        )
        assert len(await late.sessions(ADA)) == 1
        world.now += 1
        await world.sweep()
        assert len(await late.sessions(ADA)) == 1
    async with new_world(now=later) as world:
        await world.sweep()
        world.now += lasts
        await world.sweep()
        assert not world.hub.view(ADA.id).sessions
        assert await world.sessions.of_room(ADA.id) == []


@pytest.mark.parametrize("kind", [sse_trio.MemoryLedger, SqliteLedger])
async def test_the_authorities_of_a_hub_share_a_store_without_being_told(
    kind: type[Any], tmp_path: Path
) -> None:
    """Or each rotated keys of its own, and dropped the other's."""
    now, opened = NOW, dict[str, Authority]()

    async def open_one(hub: Hub, provider: str) -> None:
        opened[provider] = await Authority.open(
            hub,
            Settings(user_provider=provider),
            room=lambda user: f"{provider} {user.id}",
            wall=lambda: now,
        )

    async with contextlib.AsyncExitStack() as stack:
        ledger: Any = (
            await stack.enter_async_context(SqliteLedger.open(tmp_path / "test.db"))
            if kind is SqliteLedger
            else kind()
        )
        nursery = await stack.enter_async_context(trio.open_nursery())
        hub = Hub(sse_trio.Config(authkey=KEY), ledger, nursery.start_soon, wall=lambda: now)
        async with trio.open_nursery() as opening:
            for provider in ("Users", "Staff"):
                opening.start_soon(open_one, hub, provider)
        one, other = opened.values()
        assert one.store is other.store
        assert isinstance(one.store, SqliteSessions) == (kind is SqliteLedger)
        for _ in range(3):
            now += 30 * DAY
            for follower in hub.followers:
                await follower.sweep()
        logins = [await each.login(ADA, remember_login=True) for each in (one, other)]
        for follower in hub.followers:
            await follower.sweep()
        assert [len(await each.sessions(ADA)) for each in (one, other)] == [1, 1]
        assert len({login.claims.kid for login in logins}) == 1


@pytest.mark.parametrize("remember_login", [True, False])
async def test_a_damaged_session_keeps_no_other_and_is_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, remember_login: bool
) -> None:
    async with SqliteLedger.open(tmp_path / "test.db") as ledger:
        sessions = SqliteSessions(ledger)
        async with open_world(ledger, sessions) as world:
            damaged = (await world.login(remember_login=remember_login)).claims.session
            await world.login(BOB, remember_login=not remember_login)
            change = "UPDATE sessions SET room = 'u' || char(1), seen = 0 WHERE id = ?"
            await ledger.change(("damage", damaged), change, damaged).durable()
            world.now += 60 * DAY
            await world.sweep()
            assert not world.hub.view(BOB.id).sessions
            said = "expired sessions cannot be ended: the stored sessions are damaged"
            assert caplog.text.count(said) == 1
            for _ in range(20):
                await world.sweep()
            assert caplog.text.count(said) == 10


async def test_what_the_first_is_given_the_others_share(new_world: NewWorld) -> None:
    async with new_world() as world:
        other = await Authority.open(world.hub, Settings(app_type="mobile"))
        assert other.store is world.sessions


async def test_another_store_is_nobodys_here(new_world: NewWorld) -> None:
    async with new_world(app_type="mobile") as world:
        await world.login()
    async with new_world(now=NOW) as world:
        await Authority.open(
            world.hub, Settings(app_type="mobile"), store=MemorySessions(), wall=lambda: world.now
        )
        await world.sweep()
        world.now += 20 * MINUTE + 1
        await world.sweep()
        assert not world.hub.view(ADA.id).sessions
