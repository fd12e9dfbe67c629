"""Contacts with sessions, where nodes share a store: noted together, and some seconds later."""

import pytest
import trio
from trio.testing import MockClock

from sse_trio.auth.sessions import SOME
from sse_trio.auth.settings import SessionSettings
from sse_trio.auth.shared import COLLECTED, LATE
from sse_trio.auth.verdict import Authenticated

from ..hub.cluster.world import World
from ..ledger.cluster.fakes import Faulty
from .nodes import App, rows, start
from .world import BOB

IDLE = 30.0


@pytest.fixture
def world(nursery: trio.Nursery) -> World:
    return World(nursery)


async def start_forgetful(world: World, engine: Faulty | None = None) -> App:
    """Start a node where sessions lapse soon, and each request asks the store."""
    idle = SessionSettings(max_idle_minutes=IDLE / 60)
    return await start(world, engine, cache_time_minutes=0, session=idle)


async def sweep(app: App) -> None:
    for follower in app.node.hub.followers:
        await follower.sweep()


async def test_contacts_are_noted_together_and_later(
    autojump_clock: MockClock, world: World
) -> None:
    engine = Faulty(world.database)
    a, b = await start_forgetful(world, engine), await start_forgetful(world)
    logins = [await a.login(), await a.login(BOB)]
    created = {login.claims.session: login.claims.issued for login in logins}
    await trio.sleep(3)
    for login in [*logins, *logins]:
        assert await a.says_yes(login)
    # It knows by itself what it has not noted yet.
    (mine,) = await a.authority.sessions(logins[0].claims.user)
    assert mine.seen == pytest.approx(mine.created + 3, abs=0.5)
    await trio.sleep(COLLECTED + 1)
    (noted,) = engine.of("see_sessions")
    assert noted.keys() == created.keys()
    (elsewhere,) = await b.authority.sessions(logins[0].claims.user)
    assert elsewhere.seen == mine.seen


async def test_contacts_of_a_few_seconds_are_noted_together(
    autojump_clock: MockClock, world: World
) -> None:
    engine = Faulty(world.database)
    a = await start_forgetful(world, engine)
    for login in (await a.login(), await a.login(BOB)):
        await trio.sleep(1)
        assert await a.says_yes(login)
    await trio.sleep(COLLECTED + 1)
    assert [len(noted) for noted in engine.of("see_sessions")] == [2]


async def test_contacts_that_could_not_be_noted_are_noted_the_next_time(
    autojump_clock: MockClock, world: World
) -> None:
    engine = Faulty(world.database)
    a = await start_forgetful(world, engine)
    login = await a.login()
    await trio.sleep(2)
    engine.away.add("see_sessions")
    assert await a.says_yes(login)
    await trio.sleep(2 * COLLECTED)
    (row,) = rows(world.database).values()
    assert row.seen == row.created
    engine.away.clear()
    await trio.sleep(COLLECTED + 1)
    (row,) = rows(world.database).values()
    assert row.seen == pytest.approx(row.created + 2, abs=0.5)


async def test_a_session_that_is_used_at_one_node_is_not_swept_at_another(
    autojump_clock: MockClock, world: World
) -> None:
    a, b = await start_forgetful(world), await start_forgetful(world)
    login = await a.login()
    cookies = login.cookies
    for _ in range(4):
        await trio.sleep(IDLE - 1)
        found = await a.request(cookies)
        assert isinstance(found, Authenticated)
        cookies = a.authority.renew(found)
        await sweep(b)
    assert await b.says_yes(cookies)


async def test_a_session_that_nobody_uses_is_swept_by_any_node(
    autojump_clock: MockClock, world: World
) -> None:
    a, b = await start_forgetful(world), await start_forgetful(world)
    login = await a.login()
    await trio.sleep(IDLE + LATE - 1)
    assert not await a.says_yes(login)
    await sweep(b)
    assert len(rows(world.database)) == 1
    tab = a.node.come(ticket=login.outcome.ticket)
    await trio.sleep(2)
    assert tab.is_joined
    await sweep(b)
    assert rows(world.database) == {}
    assert tab.is_terminated


async def test_contacts_are_noted_some_at_a_time(autojump_clock: MockClock, world: World) -> None:
    engine = Faulty(world.database)
    a = await start_forgetful(world, engine)
    for number in range(2 * SOME + 1):
        a.authority.store.touch(f"s{number}", 1.0, "kid")
    await trio.sleep(COLLECTED + 1)
    assert [len(some) for some in engine.of("see_sessions")] == [SOME, SOME, 1]
