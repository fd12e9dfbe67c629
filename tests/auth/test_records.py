"""Sessions that no authority of the process has any more, and how they come to their end."""

from typing import Any

import pytest

from sse_trio.auth.authority import Authority
from sse_trio.auth.sessions import MemorySessions
from sse_trio.auth.settings import PersistentSettings, SessionSettings, Settings
from sse_trio.errors import LimitReached

from .fixtures import NOW
from .world import ADA, NewWorld, World

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
    async with new_world(now=NOW + 20 * MINUTE + 1) as world:
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


async def test_another_store_is_nobodys_here(new_world: NewWorld) -> None:
    async with new_world(app_type="mobile") as world:
        await world.login()
    async with new_world(now=NOW + 20 * MINUTE + 1) as world:
        await Authority.open(
            world.hub, Settings(app_type="mobile"), store=MemorySessions(), wall=lambda: world.now
        )
        await world.sweep()
        assert not world.hub.view(ADA.id).sessions
