"""Random histories of logins, logouts and requests at several nodes: one verdict on all of them."""

import contextlib
from functools import partial
from typing import Any

import attrs
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from sse_trio.auth.authority import LoggedIn
from sse_trio.auth.verdict import Authenticated
from sse_trio.errors import LedgerError, LimitReached
from sse_trio.ledger.cluster.engine import Batch, Committed
from sse_trio.ledger.cluster.memory import MemoryEngine

from ..hub.cluster.world import World
from .nodes import App, forget, rows, standing, start
from .world import ADA, BOB

NODES = 3

nodes = st.integers(0, NODES - 1)
jars = st.integers(0, 3)
users = st.sampled_from([ADA, ADA, ADA, BOB])

Step = tuple[Any, ...]

ONE: SearchStrategy[Step] = st.one_of(
    st.tuples(st.just("login"), nodes, users, st.none() | jars),
    st.tuples(st.just("login"), nodes, users, st.none() | jars),
    st.tuples(st.just("request"), nodes, jars),
    st.tuples(st.just("request"), nodes, jars),
    st.tuples(st.just("logout"), nodes, jars),
    st.tuples(st.just("end"), nodes, jars),
    st.tuples(st.just("notify"), nodes, users),
    st.tuples(st.just("rotate"), nodes),
    st.tuples(st.just("cut"), nodes, st.sampled_from([0.0, 0.001, 1.0])),
)
# What is done at once; then something that is done alone.
STEPS = st.tuples(
    st.lists(ONE, min_size=1, max_size=4),
    st.sampled_from(["", "", "forget", "sweep", "lapse"]),
)


class Slow(MemoryEngine):
    """Takes as long as a seed says, so that answers overtake one another."""

    def __init__(self, world: World, delays: list[float]) -> None:
        super().__init__(world.database)
        self._delays = delays
        self._calls = 0

    async def _wait(self) -> None:
        self._calls += 1
        await trio.sleep(self._delays[self._calls % len(self._delays)])

    async def commit(self, batch: Batch) -> Committed:
        await self._wait()
        committed = await super().commit(batch)
        for room in (ADA.id, BOB.id):
            has_room = room in self.database.snapshot().rooms
            assert not has_room or rows(self.database, room).keys() >= standing(self.database, room)
        await self._wait()
        return committed

    async def read(self, rooms: Any) -> Any:
        await self._wait()
        found = await super().read(rooms)
        await self._wait()
        return found

    async def find_sessions(self, wanted: Any) -> Any:
        await self._wait()
        found = await super().find_sessions(wanted)
        await self._wait()
        return found


@attrs.define(eq=False)
class History:
    """What browsers have, and which logins had ended when somebody was answered."""

    world: World
    apps: list[App]
    logins: list[LoggedIn] = attrs.Factory(list)
    ended: set[str] = attrs.Factory(set)

    async def step(self, step: Step) -> None:
        action, node, *more = step
        # The hub refuses: the room is full, or cannot be known. Then nothing has happened.
        with contextlib.suppress(LedgerError, LimitReached):
            await getattr(self, action)(self.apps[node], *more)

    def jar(self, number: int) -> LoggedIn | None:
        return self.logins[-1 - number % len(self.logins)] if self.logins else None

    def note(self, outcome: Any) -> None:
        if outcome is not None:
            self.ended |= set(outcome.ended)

    async def login(self, app: App, user: Any, jar: int | None) -> None:
        old = None if jar is None else self.jar(jar)
        made = await app.login(user, headers=app.headers(old) if old else ())
        self.note(made.outcome)
        if old is not None:
            self.ended.add(old.claims.session)
        self.logins.append(made)

    async def request(self, app: App, jar: int) -> None:
        if (login := self.jar(jar)) is not None:
            await self.ask(app, login)

    async def ask(self, app: App, login: LoggedIn) -> bool:
        had_ended = login.claims.session in self.ended
        found = await app.request(login)
        is_yes = isinstance(found, Authenticated)
        assert not (had_ended and is_yes)
        return is_yes

    async def logout(self, app: App, jar: int) -> None:
        if (login := self.jar(jar)) is not None:
            self.note(await app.authority.logout(login.identity))
            self.ended.add(login.claims.session)

    async def end(self, app: App, jar: int) -> None:
        if (login := self.jar(jar)) is not None:
            user, session = login.claims.user, login.claims.session
            if await app.authority.end(user, session) is not None:
                self.ended.add(session)

    async def notify(self, app: App, user: Any) -> None:
        self.note(await app.node.hub.notify(user.id, sender=None))

    async def rotate(self, app: App) -> None:
        await app.authority.rotate_keys()

    async def cut(self, app: App, seconds: float) -> None:
        """Log in, and be gone before it is answered."""
        with trio.move_on_after(seconds):
            made = await app.login()
            self.note(made.outcome)
            self.logins.append(made)

    async def between(self, what: str) -> None:
        if what == "sweep":
            for app in self.apps:
                for follower in app.node.hub.followers:
                    await follower.sweep()
        elif what == "lapse":
            self.apps[0].node.ledger._context.keeper.suspend()  # noqa: SLF001
        elif what == "forget" and ADA.id in self.world.database.snapshot().rooms:
            await forget(self.apps[0])

    async def compare(self) -> None:
        """Once all is settled, all nodes say the same, and so does the engine."""
        for app in self.apps:
            await app.node.ledger.restored()
        await trio.sleep(0.5)
        for login in self.logins:
            verdicts = {await self.ask(app, login) for app in self.apps}
            room = login.claims.user.id
            assert verdicts == {login.claims.session in rows(self.world.database, room)}
        for room in (ADA.id, BOB.id):
            assert rows(self.world.database, room).keys() == standing(self.world.database, room)


async def live(
    limits: dict[str, Any], delays: list[float], steps: list[tuple[list[Step], str]]
) -> None:
    async with trio.open_nursery() as nursery:
        world = World(nursery)
        apps = [await start(world, Slow(world, delays), config=limits) for _ in range(NODES)]
        history = History(world, apps)
        for at_once, then in steps:
            async with trio.open_nursery() as several:
                for step in at_once:
                    several.start_soon(history.step, step)
            await history.between(then)
        await history.compare()
        nursery.cancel_scope.cancel()


@settings(max_examples=60)
@given(
    st.fixed_dictionaries(
        {
            "max_sessions": st.integers(1, 2),
            "at_limit": st.sampled_from(["end-oldest", "refuse-new"]),
        }
    ),
    st.lists(st.sampled_from([0.0, 0.001, 0.01, 0.3]), min_size=3, max_size=7),
    st.lists(STEPS, max_size=6),
)
def test_random_histories(
    limits: dict[str, Any], delays: list[float], steps: list[tuple[list[Step], str]]
) -> None:
    clock = trio.testing.MockClock(autojump_threshold=0)
    trio.run(partial(live, limits, delays, steps), clock=clock)
