"""A browser is in one login at a time: a new one ends the one that it was in, and nobody else's."""

from collections.abc import Callable

import pytest

from sse_trio.auth import cookies
from sse_trio.auth.authority import Authority, LoggedIn
from sse_trio.auth.cookies import User
from sse_trio.auth.settings import Settings
from sse_trio.auth.verdict import Anonymous, Reason
from sse_trio.errors import LimitReached

from .fixtures import cookie_header, pair
from .world import ADA, BOB, NewWorld, World


async def test_a_browser_is_in_one_login_at_a_time(new_world: NewWorld) -> None:
    """Whose cookies are overwritten has no way to log out any more."""
    config = {"max_sessions": 2, "at_limit": "refuse-new"}
    async with new_world(config=config) as world:
        bob, first, other = [await world.login(user) for user in (BOB, ADA, ADA)]
        headers = [(b"cookie", cookie_header(*pair(first.cookies)))]
        second = await world.login(headers=headers)
        assert [await world.authenticated(login) for login in (first, second, other)] == [
            False,
            True,
            True,
        ]
        headers = [(b"cookie", cookie_header(*pair(bob.cookies)))]
        with pytest.raises(LimitReached):
            await world.login(ADA, headers=headers)
        assert await world.authenticated(bob)
        await world.login(User("9", "Cy"), headers=headers)
        assert not await world.authenticated(bob)
        # A login that has been superseded is left alone, and so is one that was never ours.
        releases = world.hub.statistics().releases["accepted"]
        for number, wrong in enumerate([cookie_header(*pair(first.cookies)), b"", b"\xff"]):
            await world.login(User(f"1{number}", "Di"), headers=[(b"cookie", wrong)])
        assert world.hub.statistics().releases["accepted"] == releases
        assert await world.authenticated(second)


def cookie_of(world: World, *values: str, second: bool = False) -> list[tuple[bytes, bytes]]:
    """The first cookie so often, or the second."""
    name = cookies.names(world.authority.settings)[second]
    return [(b"cookie", "; ".join(f"{name}={value}" for value in values).encode())]


@pytest.mark.parametrize("at_limit", ["end-oldest", "refuse-new"])
async def test_a_browser_that_logs_in_again_takes_nobody_elses_place(
    new_world: NewWorld, at_limit: str
) -> None:
    """Also where a user becomes an administrator, and logs in once more for that."""
    async with new_world(config={"max_sessions": 2, "at_limit": at_limit}) as world:
        laptop, phone = await world.login(), await world.login()
        again = await world.login(headers=world.headers(phone))
        for _ in range(3):
            assert await world.authenticated(laptop)
            assert not await world.authenticated(phone)
            phone, again = again, await world.login(headers=world.headers(again))
        assert world.hub.view(ADA.id).sessions == {laptop.claims.session, again.claims.session}
        # No release: it is one step, and there is no moment at which both have ended.
        assert not world.hub.statistics().releases


async def test_a_login_that_finds_no_place_leaves_the_browser_in_the_one_it_was_in(
    new_world: NewWorld,
) -> None:
    async with new_world(config={"max_sessions": 1, "at_limit": "refuse-new"}) as world:
        ada, bob = await world.login(ADA), await world.login(BOB)
        with pytest.raises(LimitReached):
            await world.login(ADA, headers=world.headers(bob))
        assert await world.authenticated(ada)
        assert await world.authenticated(bob)


Sent = Callable[[World, LoggedIn], list[tuple[bytes, bytes]]]

LEFT: dict[str, Sent] = {
    "both cookies, and no CSRF header": lambda world, login: world.headers(login)[:1],
    "only the first": lambda world, login: cookie_of(world, pair(login.cookies)[0]),
    "a stray second one": lambda world, login: [
        *world.headers(login),
        *cookie_of(world, "crf=x&uid=7&unm=Ada", second=True),
    ],
    "another first one before it": lambda world, login: cookie_of(
        world, "stray", pair(login.cookies)[0]
    ),
    "the same twice": lambda world, login: cookie_of(world, *[pair(login.cookies)[0]] * 2),
}


@pytest.mark.parametrize("sent", LEFT.values(), ids=LEFT)
@pytest.mark.parametrize("user", [ADA, BOB])
async def test_an_authentic_first_cookie_is_enough_to_end_its_login(
    new_world: NewWorld, sent: Sent, user: User
) -> None:
    """For whatever reason its browser is anonymous; and never enough to be authenticated."""
    async with new_world(config={"max_sessions": 2}) as world:
        other, left = await world.login(user), await world.login(user)
        headers = sent(world, left)
        assert isinstance(await world.authority.authenticate("POST", headers), Anonymous)
        new = await world.login(ADA, headers=headers)
        assert [await world.authenticated(login) for login in (other, left, new)] == [
            True,
            False,
            True,
        ]


async def test_the_login_of_another_type_of_application_in_the_same_browser_ends(
    new_world: NewWorld,
) -> None:
    """Where there is no single sign-on: the cookies are overwritten all the same."""
    async with new_world() as world:
        mobile = await Authority.open(
            world.hub, Settings(app_type="mobile"), store=world.sessions, wall=lambda: world.now
        )
        grace = await mobile.login(User("9", "Grace"))
        await world.login(ADA, headers=world.headers(grace))
        assert not world.hub.view("9").sessions
        assert await mobile.authenticate("POST", world.headers(grace)) == Anonymous(
            Reason.SUPERSEDED
        )


async def test_several_first_cookies_are_several_logins_that_end(new_world: NewWorld) -> None:
    """Of this room, or of another; more than a notify may end at once, too."""
    async with new_world(config={"max_sessions": 40}) as world:
        left = [await world.login(user) for user in (ADA, BOB) * 18]
        stays = await world.login(ADA)
        headers = cookie_of(world, *(pair(login.cookies)[0] for login in left))
        new = await world.login(ADA, headers=headers)
        assert world.hub.view(ADA.id).sessions == {stays.claims.session, new.claims.session}
        assert not world.hub.view(BOB.id).sessions


async def test_what_is_not_authentic_ends_nobody(new_world: NewWorld) -> None:
    async with new_world() as world:
        bob = await world.login(BOB)
        nr1, nr2 = pair(bob.cookies)
        staff = await Authority.open(
            world.hub,
            Settings(user_provider="Staff"),
            store=world.sessions,
            wall=lambda: world.now,
        )
        other = await staff.login(User("12", "Di"))
        for wrong in (nr1[:-1], nr2, "", "\xff", pair(other.cookies)[0]):
            await world.login(User("9", "Cy"), headers=cookie_of(world, wrong))
        # Of another provider's cookies nothing is overwritten.
        await staff.login(ADA, headers=cookie_of(world, nr1))
        await world.authority.generate_new_keys()
        await world.login(ADA, headers=cookie_of(world, nr1))
        for login, room in ((bob, BOB.id), (other, "12")):
            assert world.hub.view(room).sessions == {login.claims.session}
