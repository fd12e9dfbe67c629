"""Authorities of several nodes: one verdict about a login on all of them."""

import contextlib
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from sse_trio.auth.asgi import Authentication
from sse_trio.auth.authority import LoggedIn
from sse_trio.auth.verdict import Anonymous, Authenticated, Reason
from sse_trio.errors import LedgerError
from sse_trio.ledger.cluster.engine import Batch, Committed
from sse_trio.ledger.cluster.memory import MemoryEngine

from ..hub.cluster.world import World
from ..ledger.cluster.fakes import ALL, Faulty
from .asgi import ask
from .nodes import App, forget, rows, standing, start
from .world import ADA, BOB


@pytest.fixture
def world(nursery: trio.Nursery) -> World:
    return World(nursery)


# -- a login, and its end -------------------------------------------------------------------


async def test_a_login_at_one_node_is_one_at_the_others(
    autojump_clock: MockClock, world: World
) -> None:
    a, b = await start(world), await start(world)
    login = await a.login(headers=[(b"user-agent", b"Firefox")])
    found = await b.identity(login)
    assert (found.user, found.session) == (ADA, login.claims.session)
    assert not found.checked
    (known,) = await b.authority.sessions(ADA)
    assert (known.id, known.user_agent) == (login.claims.session, "Firefox")
    assert known.epoch == login.claims.epoch
    assert known.created <= login.claims.issued


async def test_a_login_ends_the_others_wherever_they_are_looked_at(
    autojump_clock: MockClock, world: World
) -> None:
    a, b = await start(world), await start(world)
    bob = await a.login(BOB)
    first = await a.login()
    assert await b.says_yes(first)
    second = await b.login()
    for app in (a, b):
        assert await app.request(first) == Anonymous(Reason.SUPERSEDED)
        assert await app.says_yes(second)
        assert await app.says_yes(bob)
    assert rows(world.database).keys() == {second.claims.session}
    assert rows(world.database, BOB.id).keys() == {bob.claims.session}


async def test_a_logout_at_one_node_is_one_at_the_others(
    autojump_clock: MockClock, world: World
) -> None:
    a, b = await start(world), await start(world)
    login = await a.login()
    assert await b.authority.logout(await b.identity(login)) is not None
    for app in (a, b):
        assert not await app.says_yes(login)
    assert rows(world.database) == {}
    assert await a.authority.logout(login.identity) is None


async def test_one_session_of_several_is_ended_at_another_node(
    autojump_clock: MockClock, world: World
) -> None:
    config = {"max_sessions": 3}
    a, b = await start(world, config=config), await start(world, config=config)
    first, second = await a.login(), await b.login()
    assert rows(world.database).keys() == {first.claims.session, second.claims.session}
    assert await b.authority.end(ADA, first.claims.session) is not None
    assert await a.request(first) == Anonymous(Reason.SUPERSEDED)
    assert await a.says_yes(second)
    assert rows(world.database).keys() == {second.claims.session}


async def test_whoever_is_ended_by_a_node_without_an_authority_has_no_row(
    autojump_clock: MockClock, world: World
) -> None:
    a, b = await start(world), await world.start()
    login = await a.login()
    await b.hub.notify(ADA.id, sender=None)
    assert rows(world.database) == {}
    assert not await a.says_yes(login)


async def test_a_browser_that_logs_in_again_elsewhere_takes_nobody_elses_place(
    autojump_clock: MockClock, world: World
) -> None:
    config = {"max_sessions": 2}
    a, b = await start(world, config=config), await start(world, config=config)
    other, first = await a.login(), await a.login()
    second = await b.login(headers=b.headers(first))
    assert await a.says_yes(other)
    assert not await a.says_yes(first)
    assert rows(world.database).keys() == {other.claims.session, second.claims.session}


async def test_a_room_that_was_forgotten_is_told_by_the_store(
    autojump_clock: MockClock, world: World
) -> None:
    config = {"max_sessions": 2}
    a, b = await start(world, config=config), await start(world, config=config)
    first = await a.login()
    await forget(a)
    assert standing(world.database) == set()
    assert rows(world.database).keys() == {first.claims.session}
    assert isinstance(found := await b.request(first), Authenticated)
    assert found.checked
    # It was taken up again, before the answer.
    assert standing(world.database) == {first.claims.session}
    await forget(a)
    assert standing(world.database) == set()
    second = await a.login()
    assert standing(world.database) == {first.claims.session, second.claims.session}
    third = await b.login()
    assert rows(world.database).keys() == {second.claims.session, third.claims.session}


async def test_all_logins_that_a_room_has_forgotten_count_at_the_next(
    autojump_clock: MockClock, world: World
) -> None:
    config = {"max_sessions": 4}
    a, b = await start(world, config=config), await start(world, config=config)
    logins = [await a.login() for _ in range(3)]
    await forget(a)
    logins.append(await b.login())
    stand = {login.claims.session for login in logins}
    assert standing(world.database) == rows(world.database).keys() == stand
    newest = await a.login()
    assert logins[0].claims.session not in standing(world.database)
    assert standing(world.database) == rows(world.database).keys()
    assert newest.claims.session in rows(world.database)


async def test_a_forgotten_room_does_not_bring_back_who_has_ended(
    autojump_clock: MockClock, world: World
) -> None:
    a, b = await start(world), await start(world)
    first = await a.login()
    await b.authority.end_all(ADA)
    await forget(a)
    assert world.database.snapshot().rooms == {}
    for app in (a, b):
        assert await app.request(first) == Anonymous(Reason.ENDED)
    assert world.database.snapshot().rooms == {}


@pytest.mark.parametrize("joins", [True, False])
async def test_a_proof_that_lifts_a_room_ends_whoever_is_older(
    autojump_clock: MockClock, world: World, joins: bool
) -> None:
    """The room had lost its memory, and so its epochs."""
    a, b = await start(world), await start(world)
    login = await a.login()
    hub = b.node.hub
    assert not hub.knows(ADA.id)
    if joins:
        tab = b.node.come(ticket=hub.ticket(ADA.id, "newer", epoch=5))
        await trio.sleep(1)
        assert tab.is_joined
    else:
        assert await hub.take_up(ADA.id, "newer", epoch=5, issued=b.node.ledger.wall())
        await trio.sleep(1)
    assert rows(world.database) == {}
    for app in (a, b):
        assert not await app.says_yes(login)


# -- what goes on when it ends --------------------------------------------------------------


async def test_what_runs_at_another_node_ends_before_the_logout_is_answered(
    autojump_clock: MockClock, world: World
) -> None:
    a, b = await start(world), await start(world)
    first, other = await a.login(), await a.login(BOB)
    stopped, ended_first = trio.Event(), False

    async def run(login: LoggedIn) -> None:
        nonlocal ended_first
        with b.authority.while_standing(await b.identity(login)):
            await trio.sleep_forever()
        stopped.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run, first)
        nursery.start_soon(run, other)
        await trio.sleep(1)
        await a.login()
        assert stopped.is_set()
        assert not b.node.hub.knows(BOB.id) or await b.says_yes(other)
        nursery.cancel_scope.cancel()


async def test_what_is_begun_when_its_room_is_not_known_ends_soon(
    autojump_clock: MockClock, world: World
) -> None:
    a, b = await start(world), await start(world)
    login = await a.login()
    identity = await b.identity(login)
    await a.authority.logout(login.identity)
    assert not b.node.hub.knows(ADA.id)
    with trio.fail_after(2), b.authority.while_standing(identity) as scope:
        await trio.sleep_forever()
    assert scope.cancelled_caught


@pytest.mark.parametrize("takes", [0, 5])
@pytest.mark.parametrize("begins_late", [False, True])
async def test_what_runs_as_long_as_a_login_stands_ends_where_that_cannot_be_known(
    autojump_clock: MockClock, world: World, begins_late: bool, takes: float
) -> None:
    """Before others may expel the node, and count on it; and the login itself has not ended.

    However long the engine takes to say that it is away.
    """
    engine = Faulty(world.database)
    a = await start(world, engine)
    identity = await a.identity(await a.login())
    engine.away, engine.delays = ALL, dict.fromkeys(ALL, takes)
    began = trio.current_time()
    if begins_late:
        await trio.sleep(5.6)  # others may expel it soon
    with trio.fail_after(2.5 if begins_late else 6), a.authority.while_standing(identity) as scope:
        await trio.sleep_forever()
    assert scope.cancelled_caught
    assert begins_late or trio.current_time() - began < 6 * 11 / 12
    assert not a.authority.has_ended(identity)


async def test_with_carry_on_it_goes_on(autojump_clock: MockClock, world: World) -> None:
    engine = Faulty(world.database)
    a = await start(world, engine, config={"on_lost_engine": "carry-on"})
    identity = await a.identity(await a.login())
    engine.away = ALL
    with trio.move_on_after(20) as patience, a.authority.while_standing(identity) as scope:
        await trio.sleep_forever()
    assert patience.cancelled_caught
    assert not scope.cancelled_caught


async def test_only_a_websocket_whose_login_has_ended_is_told_never_to_come_back(
    autojump_clock: MockClock, world: World
) -> None:
    engine = Faulty(world.database)
    a, b = await start(world, engine), await start(world)
    login = await a.login()
    codes: list[int] = []

    async def stay(_: object, __: object, send: Any) -> None:
        await send({"type": "websocket.accept"})
        await trio.sleep_forever()

    async def visit(app: App) -> None:
        scope = {"type": "websocket", "path": "/", "headers": app.headers(login)}
        codes.append((await ask(Authentication(stay, app.authority), scope))[-1]["code"])

    async with trio.open_nursery() as visits:
        for app in (a, b):
            visits.start_soon(visit, app)
        await trio.sleep(1)
        engine.away = ALL
        await trio.sleep(6)
        assert codes == [1013]
        await b.authority.end_all(ADA)
    assert codes == [1013, 4001]


# -- the store ------------------------------------------------------------------------------


async def test_the_store_knows_whose_sessions_there_are(
    autojump_clock: MockClock, world: World
) -> None:
    a, b = await start(world), await start(world, user_provider="Others")
    await a.login()
    await b.login(BOB)
    assert sorted(await a.authority.store.issuers()) == [("Others", "web"), ("Users", "web")]


# -- tickets --------------------------------------------------------------------------------


async def test_a_page_joins_at_any_node_with_a_ticket_of_another(
    autojump_clock: MockClock, world: World
) -> None:
    a, b = await start(world), await start(world)
    login = await a.login()
    tab = b.node.come(ticket=login.outcome.ticket)
    identity = await b.identity(login)
    # As if another node had changed the room meanwhile.
    assert b.node.hub.recognition.cache is not None
    b.node.hub.recognition.cache.drop(ADA.id)
    ticket = b.authority.ticket(identity)
    assert ticket is not None
    proved = b.node.hub.recognition.verify_untrusted(ticket)
    assert (proved.session, proved.epoch) == (login.claims.session, login.claims.epoch)
    late = a.node.come(ticket=ticket)
    await trio.sleep(1)
    assert tab.is_joined
    assert late.is_joined
    await b.login()
    assert tab.is_terminated
    assert late.is_terminated
    ended = a.node.come(ticket=b.authority.ticket(identity))
    await trio.sleep(1)
    assert ended.is_terminated


# -- what cannot be known -------------------------------------------------------------------


@pytest.mark.parametrize("away", [ALL, {"commit"}], ids=["cut off", "it can still read"])
async def test_a_node_that_is_cut_off_says_yes_to_nobody(
    autojump_clock: MockClock, world: World, away: set[str]
) -> None:
    engine = Faulty(world.database)
    a, b = await start(world), await start(world, engine)
    login = await a.login()
    assert await b.says_yes(login)
    engine.away = set(away)
    await trio.sleep(5)
    for asks in (b.request(login), b.login(BOB), b.authority.sessions(ADA)):
        with pytest.raises(LedgerError):
            await asks
    await a.authority.logout(login.identity)
    engine.away = set()
    await b.node.ledger.restored()
    await trio.sleep(1)
    assert not await b.says_yes(login)


async def test_what_the_store_has_said_is_not_believed_when_the_room_has_changed_since(
    autojump_clock: MockClock, world: World
) -> None:
    engine = Faulty(world.database)
    a, b = await start(world), await start(world, engine, cache_time_minutes=0)
    login = await a.login()
    engine.replies["find_sessions"] = 2.0
    found: list[Anonymous | Authenticated] = []

    async def ask() -> None:
        found.append(await b.request(login))

    for forgets in (False, True):
        async with trio.open_nursery() as nursery:
            if forgets:
                login = await a.login()
                await forget(a)
            nursery.start_soon(ask)
            await trio.sleep(1)
            await a.authority.end_all(ADA)
    assert found == [Anonymous(Reason.SUPERSEDED), Anonymous(Reason.SUPERSEDED)]


# -- a login that comes to nothing ----------------------------------------------------------


async def test_a_login_whose_caller_has_gone_takes_nobodys_place(
    autojump_clock: MockClock, world: World
) -> None:
    engine = Faulty(world.database)
    a = await start(world, engine)
    engine.replies["commit"] = 1.0
    with trio.move_on_after(0.7) as scope:
        await a.login()
    assert scope.cancelled_caught
    assert len(rows(world.database)) == 1
    await trio.sleep(5)
    assert rows(world.database) == {}
    assert standing(world.database) == set()


class Invariant(MemoryEngine):
    """Looks at each commit, whoever made it, and counts what its node does to the engine."""

    async def commit(self, batch: Batch) -> Committed:
        committed = await super().commit(batch)
        for room in (ADA.id, BOB.id):
            assert rows(self.database, room).keys() == standing(self.database, room)
        return committed


@attrs.define(eq=False)
class StopsAt(trio.abc.Instrument):
    """Cancels a scope before some step of some task."""

    step: int
    scope: trio.CancelScope

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.step -= 1
        if self.step == 0:
            self.scope.cancel()


@pytest.mark.parametrize("whole_node", [False, True], ids=["its caller is gone", "its node dies"])
async def test_a_login_that_is_cut_off_anywhere_has_a_row_if_its_room_knows_it(
    autojump_clock: MockClock, world: World, whole_node: bool
) -> None:
    a, b = [await start(world, Invariant(world.database)) for _ in range(2)]
    step, is_over = 0, False
    while not is_over:
        step += 1
        old = await b.login()
        with trio.CancelScope() as scope:
            stops = StopsAt(step, a.node.scope if whole_node else scope)
            trio.lowlevel.add_instrument(stops)
            with contextlib.suppress(LedgerError):
                await a.login()
                is_over = stops.step > 0
        with contextlib.suppress(KeyError):
            trio.lowlevel.remove_instrument(stops)
        await trio.sleep(0.3)
        if whole_node:
            a = await start(world, Invariant(world.database))
        left = rows(world.database).keys()
        assert left == standing(world.database)
        assert await b.says_yes(old) is (old.claims.session in left)
    assert step > 10
