"""Random histories of browsers, users and clocks: the verdict equals a naive model's."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

import sse_trio
from sse_trio.auth.authority import Authority
from sse_trio.auth.cookies import User
from sse_trio.auth.sessions import MemorySessions, Sessions, SqliteSessions
from sse_trio.auth.settings import Kind, PersistentSettings, SessionSettings, Settings
from sse_trio.auth.verdict import Authenticated
from sse_trio.errors import LimitReached
from sse_trio.ledger import Ledger, SqliteLedger

from .fixtures import NOW
from .world import ADA, BOB, World, open_world

APPS = ("web", "mobile")

OPTIONS: dict[str, Any] = {
    "cache_time_minutes": 5,
    "session": SessionSettings(max_idle_minutes=20),
    "persistent": PersistentSettings(max_idle_days=2, cookie_expiration_days=3),
    "absolute_lifetime_hours": 24 * 5,
}

# Shorter than logins last, so that rooms forget them.
LIFETIME = 3600


@attrs.frozen
class Rules:
    """What the hub and the authorities of a history are told."""

    max_sessions: int
    at_limit: str
    single_sign_on: bool

    @property
    def config(self) -> dict[str, Any]:
        return {
            "max_sessions": self.max_sessions,
            "at_limit": self.at_limit,
            "ticket_lifetime": LIFETIME,
        }


rules = st.builds(
    Rules,
    max_sessions=st.integers(1, 2),
    at_limit=st.sampled_from(["end-oldest", "refuse-new"]),
    single_sign_on=st.booleans(),
)

users = st.sampled_from([ADA, ADA, ADA, BOB])
apps = st.sampled_from(APPS)
jars = st.integers(0, 3)

# In a browser that has cookies of an earlier login, of these or older ones; or in a new one.
in_browsers = st.none() | st.tuples(jars, st.integers(0, 2))
logins = st.tuples(st.just("login"), users, st.sampled_from(Kind), apps, in_browsers)
requests = st.tuples(st.just("request"), jars, st.integers(0, 2), apps)

Step = tuple[Any, ...]

STEPS: SearchStrategy[Step] = st.one_of(
    logins,
    logins,
    requests,
    requests,
    st.tuples(st.just("wait"), st.sampled_from([1, 299, 600, 1199, 1201, 2 * 86400])),
    st.tuples(st.just("logout"), jars, apps),
    st.tuples(st.just("leave"), jars, apps),
    st.tuples(st.just("list"), users, apps),
    st.tuples(st.just("notify"), users),
    st.tuples(st.just("sweep")),
    st.tuples(st.just("forget")),
    st.tuples(st.just("rotate")),
    st.tuples(st.just("generate")),
    st.tuples(st.just("restart")),
)


@attrs.define(eq=False)
class Naive:
    """A browser: every pair of cookies it ever had, and what should become of them."""

    user: User
    kind: Kind
    app: str
    session: str
    identity: Authenticated
    issued: float
    seen: float
    alive: bool = True
    cookies: list[tuple[list[str], float, int]] = attrs.Factory(list)
    """The newest last: what was set, when it was checked, and in which generation of keys."""


@attrs.define(eq=False)
class History:
    """The real world beside the naive one, which looks at everything each time."""

    rules: Rules
    world: World = attrs.field(init=False)
    authorities: dict[str, Authority] = attrs.field(init=False)
    browsers: list[Naive] = attrs.Factory(list)
    generation: int = 0

    # -- what should be -----------------------------------------------------------------

    def expect(self, browser: Naive, app: str, checked: float, generation: int) -> bool:
        now, options = self.world.now, self.world.authority.settings
        return (
            generation == self.generation
            and browser.alive
            and self.is_served(browser, app)
            and not self.is_expired(browser, checked)
            and now - checked <= options.max_idle(browser.kind)
        )

    def is_served(self, browser: Naive, app: str) -> bool:
        return browser.app == app or self.rules.single_sign_on

    def is_expired(self, browser: Naive, checked: float) -> bool:
        now, options = self.world.now, self.world.authority.settings
        persistent = browser.kind is Kind.PERSISTENT
        return now - browser.issued > options.absolute_lifetime or (
            persistent and now - checked > options.cookie_lifetime
        )

    def has_lapsed(self, browser: Naive) -> bool:
        idle = self.world.now - browser.seen
        return (
            idle > self.world.authority.settings.max_idle(browser.kind)
            or self.is_expired(browser, browser.seen)
            or browser.cookies[-1][2] != self.generation
        )

    def alive(self, user: User) -> list[Naive]:
        return [browser for browser in self.browsers if browser.alive and browser.user == user]

    def bury(self, user: User, app: str) -> None:
        """What an authority does with its own before it decides."""
        for browser in self.alive(user):
            if self.is_served(browser, app) and self.has_lapsed(browser):
                browser.alive = False

    # -- what is ------------------------------------------------------------------------

    async def step(self, step: Step) -> None:
        """Carry out one step; those of a browser pass where there is none yet."""
        action, *more = step
        if action in ("request", "logout", "leave"):
            if not self.browsers:
                return
            number, *more = more
            more = [self.browsers[-1 - number % len(self.browsers)], *more]
        await getattr(self, action)(*more)

    async def wait(self, seconds: float) -> None:
        self.world.now += seconds

    async def logout(self, browser: Naive, app: str) -> None:
        await self.authorities[app].logout(browser.identity)
        self.bury(browser.user, app)
        if browser.alive:
            self.end(browser.user)

    async def leave(self, browser: Naive, app: str) -> None:
        await self.authorities[app].end(browser.user, browser.session)
        browser.alive = False

    async def notify(self, user: User) -> None:
        """As another application does, at a logout everywhere."""
        await self.world.hub.notify(user.id, sender=None)
        self.end(user)

    async def sweep(self) -> None:
        await self.world.sweep()
        for app in APPS:
            for user in (ADA, BOB):
                self.bury(user, app)

    async def forget(self) -> None:
        for _ in self.world.hub.recognition.sweep():
            pass

    async def rotate(self) -> None:
        await self.world.authority.rotate_keys()

    async def generate(self) -> None:
        await self.world.authority.generate_new_keys()
        self.generation += 1

    def end(self, user: User) -> None:
        for browser in self.alive(user):
            browser.alive = False

    def leaves(self, where: tuple[int, int] | None) -> tuple[Naive | None, list[Any]]:
        """Whom a login in a browser ends, if anybody, and what that browser sends."""
        if where is None or not self.browsers:
            return None, []
        number, age = where
        browser = self.browsers[-1 - number % len(self.browsers)]
        sent, _, generation = browser.cookies[-1 - age % len(browser.cookies)]
        is_authentic = generation == self.generation
        return browser if is_authentic else None, self.world.headers(sent)

    async def login(self, user: User, kind: Kind, app: str, where: tuple[int, int] | None) -> None:
        left, headers = self.leaves(where)
        self.bury(user, app)
        others = [browser for browser in self.alive(user) if browser is not left]
        places = self.rules.max_sessions - len(others)
        login = partial(
            self.authorities[app].login,
            user,
            remember_login=kind is Kind.PERSISTENT,
            headers=headers,
        )
        if places <= 0 and self.rules.at_limit == "refuse-new":
            with pytest.raises(LimitReached):
                await login()
            return
        made = await login()
        if left is not None:
            left.alive = False
        if places <= 0:
            others[0].alive = False
        now = self.world.now
        identity = Authenticated(made.claims, checked=False)
        browser = Naive(user, kind, app, made.claims.session, identity, now, now)
        browser.cookies.append((made.cookies, now, self.generation))
        self.browsers.append(browser)

    async def request(self, browser: Naive, age: int, app: str) -> None:
        """Send the newest cookies, or some that have been replaced since."""
        sent, checked, generation = browser.cookies[-1 - age % len(browser.cookies)]
        expected = self.expect(browser, app, checked, generation)
        authority = self.authorities[app]
        found = await authority.authenticate("POST", self.world.headers(sent))
        assert isinstance(found, Authenticated) is expected, (found, browser)
        if isinstance(found, Authenticated):
            assert (found.user, found.session) == (browser.user, browser.session)
            assert found.checked is (self.world.now - checked >= 300)
            if found.checked:
                browser.seen = self.world.now
                renewed = authority.renew(found)
                browser.cookies.append((renewed, self.world.now, self.generation))
                await self.settle()

    async def list(self, user: User, app: str) -> None:
        """The list of one's sessions has those that would be authenticated, and no others."""
        listed = {kept.id for kept in await self.authorities[app].sessions(user)}
        expected = {
            browser.session
            for browser in self.alive(user)
            if not (self.is_served(browser, app) and self.has_lapsed(browser))
        }
        assert listed == expected

    def compare_with_the_hub(self) -> None:
        """Whoever asks the hub is told what a request would be, where the room still knows."""
        hub = self.world.hub
        for browser in self.browsers:
            verdict = hub.check(browser.user.id, browser.session)
            assert verdict.active is (verdict.known and browser.alive), (verdict, browser)
            listed = {one.session for one in hub.sessions(browser.user.id).sessions}
            assert (browser.session in listed) is verdict.active

    async def settle(self) -> None:
        """Let the store have what it was told."""
        await self.world.sessions.touch("none", 0, "").durable()


async def live(rules: Rules, steps: list[Step], open_ledger: Callable[[], Any]) -> None:
    history, now = History(rules), NOW
    options = {**OPTIONS, "single_sign_on_between_app_types": rules.single_sign_on}
    while steps:
        async with (
            open_ledger() as (ledger, store),
            open_world(ledger, store, rules.config, now=now, **options) as world,
        ):
            history.world = world
            mobile = await Authority.open(
                world.hub,
                Settings(app_type="mobile", **options),
                store=store,
                wall=lambda: history.world.now,
            )
            history.authorities = {"web": world.authority, "mobile": mobile}
            while steps and (step := steps.pop(0)) != ("restart",):
                await history.step(step)
                history.compare_with_the_hub()
            await history.settle()
            now = world.now


@settings(max_examples=1000)
@given(rules, st.lists(STEPS, max_size=30))
def test_random_histories(rules: Rules, steps: list[Step]) -> None:
    ledger, sessions = sse_trio.MemoryLedger(), MemorySessions()

    @asynccontextmanager
    async def opened() -> AsyncIterator[tuple[Ledger, Sessions]]:
        yield ledger, sessions

    trio.run(live, rules, list(steps), opened)


def test_random_histories_in_a_file(tmp_path_factory: pytest.TempPathFactory) -> None:
    @asynccontextmanager
    async def opened(path: Path) -> AsyncIterator[tuple[Ledger, Sessions]]:
        async with SqliteLedger.open(path) as ledger:
            yield ledger, SqliteSessions(ledger)

    @settings(max_examples=60)
    @given(rules, st.lists(STEPS, max_size=20))
    def run(rules: Rules, steps: list[Step]) -> None:
        path = tmp_path_factory.mktemp("ledger") / "test.db"
        trio.run(live, rules, list(steps), partial(opened, path))

    run()
