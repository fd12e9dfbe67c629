"""The keys of several nodes: a new one verifies everywhere before it signs anywhere."""

from collections.abc import Awaitable, Callable

import attrs
import pytest
import trio
from trio.testing import MockClock

from sse_trio.auth.authority import LoggedIn
from sse_trio.auth.keys import MAX_KEYS
from sse_trio.auth.shared import READ_AGAIN
from sse_trio.auth.verdict import Anonymous, Authenticated, Reason
from sse_trio.errors import LedgerError

from ..hub.cluster.world import World
from ..ledger.cluster.fakes import Faulty
from .nodes import App, rows, start
from .world import BOB

LEASE = 6.0

# Seconds after which a new key signs.
WAIT = 1.25 * LEASE + 5


@pytest.fixture
def world(nursery: trio.Nursery) -> World:
    return World(nursery)


def signing(app: App) -> str:
    assert app.authority.store.keys is not None
    return app.authority.store.keys.signing.kid


def verifying(app: App) -> set[str]:
    assert app.authority.store.keys is not None
    return set(app.authority.store.keys.verifying)


async def test_nodes_that_begin_at_once_have_one_key(
    autojump_clock: MockClock, world: World
) -> None:
    apps: list[App] = []

    async def begin() -> None:
        apps.append(await start(world))

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(begin)
    await trio.sleep(2)
    assert len(world.database.tables.keys) == 1
    assert len({signing(app) for app in apps}) == 1


async def test_a_new_key_verifies_everywhere_before_it_signs_anywhere(
    autojump_clock: MockClock, world: World
) -> None:
    a, b = await start(world), await start(world)
    await trio.sleep(WAIT)
    old = signing(a)
    await a.authority.rotate_keys()
    (new,) = verifying(a) - {old}
    await trio.sleep(LEASE)
    assert verifying(b) == {old, new}
    assert signing(a) == signing(b) == old
    await trio.sleep(WAIT - LEASE - 0.1)
    assert signing(a) == old
    await trio.sleep(0.1 + LEASE / 4 + 0.6)
    assert signing(a) == signing(b) == new
    login = await a.login()
    assert login.claims.kid == new
    assert await b.says_yes(login)


async def test_what_the_old_key_has_signed_is_valid_still(
    autojump_clock: MockClock, world: World
) -> None:
    a, b = await start(world), await start(world)
    await trio.sleep(WAIT)
    login = await a.login()
    await b.authority.rotate_keys()
    await trio.sleep(WAIT + LEASE)
    assert login.claims.kid not in (signing(a), signing(b))
    assert await a.says_yes(login)
    assert await b.says_yes(login)


async def test_nodes_that_rotate_at_once_make_one_key(
    autojump_clock: MockClock, world: World
) -> None:
    apps = [await start(world) for _ in range(3)]
    async with trio.open_nursery() as nursery:
        for app in apps:
            nursery.start_soon(app.authority.rotate_keys)
    assert len(world.database.tables.keys) == 2
    await trio.sleep(WAIT + LEASE)
    assert len({signing(app) for app in apps}) == 1


async def test_the_sweeps_of_all_nodes_rotate_once(autojump_clock: MockClock, world: World) -> None:
    apps = [await start(world, key_rotation_days=2) for _ in range(2)]
    store = apps[0].authority.store
    assert store.keys is not None
    # A day later, and nobody has to wait for it.
    old = world.database.tables.keys[0]
    world.database.tables.keys = [attrs.evolve(old, created=old.created - 86400 * 400)]
    await trio.sleep(LEASE)
    for app in apps * 2:
        for follower in app.node.hub.followers:
            await follower.sweep()
    assert len(world.database.tables.keys) == 2


async def test_when_there_are_new_keys_nobody_goes_by_the_old_ones(
    autojump_clock: MockClock, world: World
) -> None:
    engine = Faulty(world.database)
    a, b = await start(world), await start(world, engine)
    old = await a.login()
    assert await b.says_yes(old)
    # It does not hear of the new keys for the moment.
    engine.away.add("read_keys")
    await a.authority.generate_new_keys()
    with pytest.raises(LedgerError):
        await b.request(old)
    engine.away.clear()
    for app in (a, b):
        assert await app.request(old) == Anonymous(Reason.OTHER_KEYS)
    new = await a.login()
    assert await b.says_yes(new)


async def test_a_key_that_is_not_known_yet_is_looked_for(
    autojump_clock: MockClock, world: World
) -> None:
    engine = Faulty(world.database)
    a, b = await start(world), await start(world, engine)
    await trio.sleep(1)
    with trio.move_on_after(0.01):
        await a.authority.generate_new_keys()
    login = await a.login()
    assert await b.says_yes(login)
    assert rows(world.database).keys() == {login.claims.session}


async def test_whoever_comes_with_keys_of_their_own_cannot_have_them_looked_for_often(
    autojump_clock: MockClock, world: World, nursery: trio.Nursery
) -> None:
    foreign = await (await start(World(nursery))).login()
    engine = Faulty(world.database)
    b = await start(world, engine)
    before, began = len(engine.of("read_keys")), trio.current_time()

    async def ask() -> None:
        for _ in range(5):
            assert await b.request(foreign) == Anonymous(Reason.OTHER_KEYS)

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(ask)
    most = (trio.current_time() - began) / READ_AGAIN + 2
    assert len(engine.of("read_keys")) - before <= most < 10


async def test_no_session_is_swept_because_its_key_is_newer_than_what_is_known(
    autojump_clock: MockClock, world: World
) -> None:
    a, b = await start(world), await start(world)
    with trio.move_on_after(0.01):
        await a.authority.generate_new_keys()
    login = await a.login()
    for follower in b.node.hub.followers:
        await follower.sweep()
    await b.login(BOB)
    (listed,) = await b.authority.sessions(login.claims.user)
    assert listed.id == login.claims.session
    assert isinstance(await a.request(login), Authenticated)


async def test_sessions_of_keys_that_are_gone_are_swept(
    autojump_clock: MockClock, world: World
) -> None:
    a, b = await start(world), await start(world)
    login = await a.login()
    await b.authority.generate_new_keys()
    for follower in b.node.hub.followers:
        await follower.sweep()
    assert rows(world.database) == {}
    assert not await a.says_yes(login)


async def test_keys_are_no_more_than_are_kept(autojump_clock: MockClock, world: World) -> None:
    a = await start(world)
    for _ in range(MAX_KEYS + 2):
        await a.authority.rotate_keys()
    assert len(world.database.tables.keys) == MAX_KEYS


async def test_if_the_database_has_lost_the_keys_there_are_new_ones(
    autojump_clock: MockClock, world: World
) -> None:
    a, b = await start(world), await start(world)
    login = await a.login()
    world.database.tables.keys = []
    await trio.sleep(LEASE)
    for app in (a, b):
        assert await app.request(login) == Anonymous(Reason.OTHER_KEYS)
    (key,) = world.database.tables.keys
    assert signing(a) == signing(b) == key.kid
    assert await b.says_yes(await a.login())


async def log_in(app: App, login: LoggedIn) -> None:
    await app.login(BOB)


async def sweep(app: App, login: LoggedIn) -> None:
    for follower in app.node.hub.followers:
        await follower.sweep()


async def list_sessions(app: App, login: LoggedIn) -> None:
    await app.authority.sessions(login.claims.user)


async def end_one(app: App, login: LoggedIn) -> None:
    await app.authority.end(login.claims.user, login.claims.session)


async def end_all(app: App, login: LoggedIn) -> None:
    await app.authority.end_all(login.claims.user)


async def rotate(app: App, login: LoggedIn) -> None:
    await app.authority.rotate_keys()


async def renew(app: App, login: LoggedIn) -> None:
    app.authority.renew(login.identity)


@pytest.mark.parametrize("has_heard", [False, True])
@pytest.mark.parametrize(
    "comes_first", [log_in, sweep, list_sessions, end_one, end_all, rotate, renew]
)
async def test_if_the_database_has_lost_the_keys_nothing_fails(
    autojump_clock: MockClock,
    world: World,
    comes_first: Callable[..., Awaitable[object]],
    has_heard: bool,
) -> None:
    """Whatever comes first after that, and whether its node has heard of the loss or not."""
    app = await start(world)
    login = await app.login()
    world.database.tables.keys = []
    if has_heard:
        await trio.sleep(LEASE)
    await comes_first(app, login)
    await trio.sleep(LEASE)
    keys = {key.kid for key in world.database.tables.keys}
    assert signing(app) in keys == verifying(app)
    await sweep(app, login)
    assert login.claims.session not in rows(world.database)
    assert not await app.says_yes(login)
