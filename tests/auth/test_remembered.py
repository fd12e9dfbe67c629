"""Cookies that were read before: every verdict on them is that of who reads them anew."""

import gc
import weakref
from functools import partial
from typing import Any

import attrs
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

import sse_trio
from sse_trio.auth import cookies
from sse_trio.auth.authority import Authority
from sse_trio.auth.cookies import remembering
from sse_trio.auth.keys import Key, Keys
from sse_trio.auth.sessions import MemorySessions
from sse_trio.auth.settings import PersistentSettings, SessionSettings
from sse_trio.auth.verdict import Anonymous, Authenticated
from sse_trio.core.tickets import REMEMBERED_TOKENS

from ..support import KEY
from .fixtures import CLAIMS, KEYS, NOW, SETTINGS, changed, cookies_of
from .world import ADA, BOB, World, open_world

# -- what is remembered -----------------------------------------------------------------------


def test_a_pair_is_read_once() -> None:
    read = remembering(SETTINGS, KEYS)
    pair = cookies_of(CLAIMS)
    assert read(*pair) == CLAIMS
    assert read(*pair) is read(*pair)


def test_each_cookie_of_a_pair_counts() -> None:
    read = remembering(SETTINGS, KEYS)
    nr1, nr2 = cookies_of(CLAIMS)
    other1, other2 = cookies_of(changed(session="s2", csrf="another-token"))
    assert read(nr1, nr2) == CLAIMS
    assert read(other1, other2) != CLAIMS
    for mixed in ((nr1, other2), (other1, nr2), (nr1, nr2 + "x"), (nr1[:-1], nr2)):
        for _ in range(2):
            with pytest.raises(ValueError, match=r"cookies|token"):
                read(*mixed)


def test_only_so_many_pairs_are_remembered_and_those_used_last() -> None:
    read = remembering(SETTINGS, KEYS)
    pairs = [cookies_of(changed(epoch=epoch)) for epoch in range(REMEMBERED_TOKENS + 1)]
    known = [read(*pair) for pair in pairs[:-1]]
    assert read(*pairs[0]) is known[0]
    # A forgery takes no place.
    for number in range(3):
        with pytest.raises(ValueError, match="token"):
            read(f"forged {number}", pairs[0][1])
    assert read(*pairs[1]) is known[1]
    read(*pairs[-1])
    assert read(*pairs[0]) is known[0]
    again = read(*pairs[2])
    assert again == known[2]
    assert again is not known[2]


def test_what_was_read_with_some_keys_goes_with_them_at_once() -> None:
    read = remembering(SETTINGS, KEYS)
    known = weakref.ref(read(*cookies_of(CLAIMS)))
    gc.disable()
    try:
        assert known() is not None
        del read
        assert known() is None
    finally:
        gc.enable()


def test_no_secret_is_in_the_repr_of_what_is_remembered() -> None:
    read = remembering(SETTINGS, KEYS)
    read(*cookies_of(CLAIMS))
    assert repr(KEYS.signing.secret) not in repr(read)
    assert CLAIMS.csrf not in repr(read)


async def test_each_new_set_of_keys_reads_anew() -> None:
    async with open_world(sse_trio.MemoryLedger(), MemorySessions()) as world:
        login = await world.login()
        first = await world.identity(login)
        assert (await world.identity(login)).claims is first.claims
        await world.authority.rotate_keys()
        second = await world.identity(login)
        assert second == first
        assert second.claims is not first.claims
        # This key has signed nothing, and verifies nothing.
        world.sessions.keys = Keys((Key("k9", b"9" * 32, NOW),))
        assert isinstance(await world.request(login), Anonymous)


# -- random histories ---------------------------------------------------------------------------

OPTIONS: dict[str, Any] = {
    "cache_time_minutes": 5,
    "session": SessionSettings(max_idle_minutes=20),
    "persistent": PersistentSettings(max_idle_days=2, cookie_expiration_days=3),
    "absolute_lifetime_hours": 24 * 5,
}

users = st.sampled_from([ADA, ADA, BOB])
logins = st.integers(0, 5)

STEPS = st.one_of(
    st.tuples(st.just("log_in"), users, st.booleans()),
    st.tuples(st.just("log_out"), logins),
    st.tuples(st.just("end"), logins),
    st.tuples(st.just("renew"), logins),
    # The wall clock may be set, forwards and backwards.
    st.tuples(
        st.just("pass_time"),
        st.sampled_from([-2 * 86400, -1201, -299, -31, -30, 1, 299, 300, 1199, 1201, 2 * 86400]),
    ),
    st.tuples(st.just("notify"), users),
    st.tuples(st.just("rotate")),
    st.tuples(st.just("generate")),
    st.tuples(st.just("reload"), st.integers(1, 3), st.sampled_from([60, 3600, 86400])),
    st.tuples(st.just("sweep")),
    st.tuples(st.just("forget")),
)


@attrs.define(eq=False)
class History:
    """Logins, and every pair of cookies that each of them ever had."""

    world: World
    identities: list[Authenticated] = attrs.Factory(list)
    pairs: list[list[str]] = attrs.Factory(list)

    async def step(self, action: str, *more: Any) -> None:
        if action in ("log_out", "end", "renew"):
            if not self.identities:
                return
            more = (self.identities[-1 - more[0] % len(self.identities)],)
        await getattr(self, action)(*more)

    async def log_in(self, user: cookies.User, remember_login: bool) -> None:
        made = await self.world.login(user, remember_login=remember_login)
        self.identities.append(made.identity)
        self.pairs.append(made.cookies)

    async def log_out(self, identity: Authenticated) -> None:
        await self.world.authority.logout(identity)

    async def end(self, identity: Authenticated) -> None:
        await self.world.authority.end(identity.user, identity.session)

    async def renew(self, identity: Authenticated) -> None:
        headers = self.world.headers(self.pairs[self.identities.index(identity)])
        found = await self.world.authority.authenticate("POST", headers)
        if isinstance(found, Authenticated) and (written := self.world.authority.renew(found)):
            self.identities.append(found)
            self.pairs.append(written)

    async def pass_time(self, seconds: float) -> None:
        self.world.now += seconds

    async def notify(self, user: cookies.User) -> None:
        await self.world.hub.notify(user.id, sender=None)

    async def rotate(self) -> None:
        await self.world.authority.rotate_keys()

    async def generate(self) -> None:
        await self.world.authority.generate_new_keys()

    async def reload(self, max_sessions: int, lifetime: float) -> None:
        self.world.hub.reload(
            sse_trio.Config(authkey=KEY, max_sessions=max_sessions, ticket_lifetime=lifetime)
        )

    async def sweep(self) -> None:
        await self.world.sweep()

    async def forget(self) -> None:
        for _ in self.world.hub.recognition.sweep():
            pass

    async def compare(self) -> None:
        """Judge every pair, by who remembers what it has read, and by who does not."""
        world = self.world
        for pair in self.pairs:
            headers = world.headers(pair)
            remembers = partial(world.authority.authenticate, "POST", headers, activity=False)
            anew = partial(_without_memory(world).authenticate, "POST", headers, activity=False)
            assert await remembers() == await anew() == await remembers()


def _without_memory(world: World) -> Authority:
    return Authority(
        world.hub,
        world.sessions,
        world.authority.settings,
        room=lambda user: user.id,
        wall=lambda: world.now,
    )


async def live(steps: list[tuple[Any, ...]]) -> None:
    async with open_world(sse_trio.MemoryLedger(), MemorySessions(), **OPTIONS) as world:
        history = History(world)
        for step in steps:
            await history.step(*step)
            await history.compare()


@settings(max_examples=300)
@given(st.lists(STEPS, max_size=20))
def test_remembered_verdicts_are_those_judged_anew(steps: list[tuple[Any, ...]]) -> None:
    trio.run(live, steps)
