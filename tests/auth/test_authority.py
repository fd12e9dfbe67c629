"""The authority on a real hub: what logins, logouts and requests come to, against a naive model."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from trio.testing import MockClock

import sse_trio
from sse_trio.auth import cookies
from sse_trio.auth.authority import MAX_USER_AGENT, Authority, LoggedIn
from sse_trio.auth.cookies import User
from sse_trio.auth.keys import Keys
from sse_trio.auth.sessions import MemorySessions, SqliteSessions
from sse_trio.auth.settings import PersistentSettings, SessionSettings, Settings
from sse_trio.auth.verdict import Anonymous, Authenticated, Reason
from sse_trio.errors import LedgerError, LimitReached, LocalProtocolError
from sse_trio.ledger import SqliteLedger

from ..ledger.fakes import propose
from .fixtures import NOW, cookie_header, pair
from .world import ADA, BOB, NewWorld, World, open_world

# -- logging in -----------------------------------------------------------------------------


async def test_a_login_is_authenticated(new_world: NewWorld) -> None:
    async with new_world() as world:
        login = await world.login(headers=[(b"user-agent", b"x" * 1000)], address="192.0.2.1")
        found = await world.identity(login)
        assert (found.user, found.session) == (ADA, login.claims.session)
        assert world.authority.renew(found) == []
        (kept,) = await world.authority.sessions(ADA)
        assert (kept.id, kept.user, kept.epoch) == (login.claims.session, ADA, 1)
        assert (kept.user_agent, kept.address) == ("x" * MAX_USER_AGENT, "192.0.2.1")
        assert login.outcome.ticket is not None


async def test_a_new_login_ends_the_others_at_once(new_world: NewWorld) -> None:
    """Also within the cache time, where nobody asks the store."""
    async with new_world() as world:
        bob = await world.login(BOB)
        first = await world.login()
        assert await world.authenticated(first)
        second = await world.login(remember_login=True)
        assert second.outcome.epoch == 2
        assert await world.request(first) == Anonymous(Reason.SUPERSEDED)
        assert await world.authenticated(second)
        assert await world.authenticated(bob)
        assert [kept.id for kept in await world.authority.sessions(ADA)] == [second.claims.session]
        # Nor does the store know it any more.
        assert await world.sessions.get(first.claims.session) is None


async def test_what_the_hub_is_told_elsewhere_counts_too(new_world: NewWorld) -> None:
    async with new_world() as world:
        login = await world.login()
        await world.hub.notify(ADA.id, sender="of another application")
        assert await world.request(login) == Anonymous(Reason.SUPERSEDED)


async def test_several_logins_where_the_hub_allows_them(new_world: NewWorld) -> None:
    async with new_world(config={"max_sessions": 2}) as world:
        first, second, third = [await world.login() for _ in range(3)]
        assert [await world.authenticated(login) for login in (first, second, third)] == [
            False,
            True,
            True,
        ]
        await world.authority.logout(await world.identity(third))
        assert not await world.authenticated(second)


async def test_a_login_that_is_refused_changes_nothing(new_world: NewWorld) -> None:
    async with new_world(config={"at_limit": "refuse-new"}) as world:
        first = await world.login()
        with pytest.raises(LimitReached):
            await world.login()
        assert await world.authenticated(first)
        assert len(await world.authority.sessions(ADA)) == 1
        assert not world.hub.statistics().releases


async def test_a_user_who_does_not_fit_into_a_cookie_ends_nobody(new_world: NewWorld) -> None:
    async with new_world() as world:
        first = await world.login(User("\U0001f600" * 100, "Ada"))
        with pytest.raises(LocalProtocolError):
            await world.login(User("\U0001f600" * 100, "\U0001f600" * 256))
        assert await world.authenticated(first)


async def test_rooms_may_be_named_by_user_name() -> None:
    async with open_world(sse_trio.MemoryLedger(), MemorySessions()) as world:
        authority = await Authority.open(
            world.hub, room=lambda user: user.name, store=MemorySessions(), wall=lambda: NOW
        )
        await authority.login(ADA)
        assert world.hub.view("Ada").sessions
        assert not world.hub.view("7").sessions


async def test_an_integer_names_a_room_as_everywhere(new_world: NewWorld) -> None:
    async with new_world() as world:
        by_number = await Authority.open(
            world.hub, room=lambda user: int(user.id), store=world.sessions, wall=lambda: world.now
        )
        first = await by_number.login(ADA)
        assert by_number.room(ADA) == "7"
        found = await by_number.authenticate("POST", world.headers(first))
        assert isinstance(found, Authenticated)
        assert by_number.ticket(found) is not None
        # So it is the room that another application notifies, and this one, too.
        second = await world.login()
        found = await by_number.authenticate("POST", world.headers(first))
        assert found == Anonymous(Reason.SUPERSEDED)
        assert await world.authenticated(second)


@pytest.mark.parametrize("wrong", [None, "", b"7", 7.0, True, "a\x00b", "x" * 257, ADA])
async def test_what_names_no_room_is_refused_before_anything_is_done(
    new_world: NewWorld, wrong: Any
) -> None:
    async with new_world() as world:
        wrongly = await Authority.open(
            world.hub, room=lambda _: wrong, store=world.sessions, wall=lambda: world.now
        )
        login = await world.login()
        for refused in (
            partial(wrongly.login, ADA),
            partial(wrongly.authenticate, "POST", world.headers(login)),
            partial(wrongly.end_all, ADA),
            partial(wrongly.sessions, ADA),
        ):
            with pytest.raises(LocalProtocolError, match=r"^room must"):
                await refused()
        assert await world.authenticated(login)


# -- logging out ----------------------------------------------------------------------------


async def test_a_logout_ends_all_sessions_of_the_user(new_world: NewWorld) -> None:
    async with new_world(config={"max_sessions": 3}) as world:
        logins = [await world.login(remember_login=remember) for remember in (True, False, True)]
        bob = await world.login(BOB)
        await world.authority.logout(await world.identity(logins[0]))
        for login in logins:
            assert await world.request(login) == Anonymous(Reason.SUPERSEDED)
        assert await world.sessions.of_user("Users", ADA.id) == []
        assert await world.authenticated(bob)


async def test_the_logout_of_a_superseded_session_ends_nobody(new_world: NewWorld) -> None:
    """The trap: the evicted browser runs its logout, and must not end its successor."""
    async with new_world() as world:
        first = await world.login(remember_login=True)
        identity = await world.identity(first)
        second = await world.login()
        assert await world.authority.logout(identity) is None
        assert await world.authenticated(second)
        me = first.claims.session
        assert await world.authority.end(ADA, second.claims.session, by=me) is None
        assert await world.authenticated(second)
        assert not await world.authenticated(first)
        await world.authority.end(ADA, first.claims.session)
        assert await world.authenticated(second)


async def test_the_trap_where_a_users_room_has_another_name_now(new_world: NewWorld) -> None:
    async with new_world() as world:
        by_name = await Authority.open(
            world.hub, room=lambda user: user.name, store=world.sessions, wall=lambda: world.now
        )
        renamed = User(ADA.id, "Ada Byron")
        first = await by_name.login(ADA)
        identity = Authenticated(first.claims, checked=False)
        second = await by_name.login(renamed)
        await by_name.logout(identity)
        assert isinstance(await by_name.authenticate("POST", world.headers(second)), Authenticated)


async def test_ending_all_sessions_of_a_user(new_world: NewWorld) -> None:
    async with new_world(config={"max_sessions": 2}) as world:
        logins = [await world.login() for _ in range(2)]
        bob = await world.login(BOB)
        await world.authority.end_all(ADA)
        assert [await world.authenticated(login) for login in (*logins, bob)] == [
            False,
            False,
            True,
        ]
        (*_, told) = world.hub.recognition.draft(ADA.id).terminations
        assert told.reason == "logout"


async def test_ending_one_session_ends_no_other(new_world: NewWorld) -> None:
    async with new_world(config={"max_sessions": 2}) as world:
        first, second = await world.login(), await world.login()
        await world.authority.end(ADA, first.claims.session)
        assert await world.request(first) == Anonymous(Reason.SUPERSEDED)
        assert await world.authenticated(second)
        assert [kept.id for kept in await world.authority.sessions(ADA)] == [second.claims.session]


async def test_what_has_ended_stays_so_over_a_restart(new_world: NewWorld) -> None:
    async with new_world() as world:
        first = await world.login(remember_login=True)
        second = await world.login(remember_login=True)
        bob = await world.login(BOB)
        await world.authority.logout(await world.identity(bob))
    async with new_world() as world:
        assert not await world.authenticated(first)
        assert await world.authenticated(second)
        assert not await world.authenticated(bob)


async def test_room_and_session_are_one_commit(tmp_path: Path) -> None:
    """Before it there is neither, after it both: whatever is on the disk belongs together."""
    async with SqliteLedger.open(tmp_path / "test.db") as ledger:
        store = SqliteSessions(ledger)
        async with open_world(ledger, store) as world, trio.open_nursery() as nursery:
            nursery.start_soon(world.login)
            # The login has been decided when the store has been read and the task waits.
            while not world.hub.view(ADA.id).sessions:
                await trio.lowlevel.checkpoint()
            (session,) = world.hub.view(ADA.id).sessions
            assert ledger.pending(ADA.id) is not None
            assert ledger.waiting()(("session", session)) is not None
            nursery.cancel_scope.cancel()


# -- requests -------------------------------------------------------------------------------


async def test_the_store_is_asked_after_the_cache_time_and_the_cookies_renewed(
    new_world: NewWorld,
) -> None:
    async with new_world(cache_time_minutes=5) as world:
        login = await world.login(remember_login=True)
        world.now += 299
        assert world.authority.renew(await world.identity(login)) == []
        world.now += 1
        found = await world.identity(login)
        renewed = world.authority.renew(found)
        assert len(renewed) == 2
        assert all("Max-Age=2592000" in header for header in renewed)
        # The CSRF token stays, for the requests that are under way in other tabs.
        assert pair(renewed)[1] == pair(login.cookies)[1]
        world.now += 299
        assert isinstance(await world.request(renewed), Authenticated)


async def test_idle_time_counts_from_the_last_checked_contact(new_world: NewWorld) -> None:
    async with new_world(
        cache_time_minutes=5, session=SessionSettings(max_idle_minutes=20)
    ) as world:
        login = await world.login()
        world.now += 299
        assert await world.authenticated(login)  # taken at its word: no contact in the store
        world.now += 20 * 60 - 299 + 1
        assert await world.request(login) == Anonymous(Reason.IDLE)


async def test_a_contact_that_is_checked_keeps_the_login_alive(new_world: NewWorld) -> None:
    async with new_world(cache_time_minutes=5) as world:
        login: LoggedIn | list[str] = await world.login()
        for _ in range(3):
            world.now += 19 * 60
            found = await world.request(login)
            assert isinstance(found, Authenticated)
            login = world.authority.renew(found)
            await world.sessions.touch("none", 0, "").durable()


async def test_older_cookies_of_a_login_that_goes_on_are_idle(new_world: NewWorld) -> None:
    """Nobody but a thief has them."""
    async with new_world(cache_time_minutes=5) as world:
        login = await world.login()
        cookies = login.cookies
        for _ in range(3):
            world.now += 10 * 60
            found = await world.request(cookies)
            assert isinstance(found, Authenticated)
            cookies = world.authority.renew(found)
        assert await world.request(login) == Anonymous(Reason.IDLE)


async def test_what_a_page_asks_by_itself_is_no_activity(new_world: NewWorld) -> None:
    async with new_world(cache_time_minutes=0) as world:
        login = await world.login()
        for _ in range(4):
            world.now += 5 * 60
            found = await world.request(login, activity=False)
            assert isinstance(found, Authenticated)
            assert world.authority.renew(found) == []
        world.now += 1
        assert await world.request(login, activity=False) == Anonymous(Reason.IDLE)


async def test_a_login_that_is_superseded_while_the_store_is_asked() -> None:
    class SlowSessions(MemorySessions):
        async def get(self, id: str) -> Any:
            found = await super().get(id)
            await world.login()
            return found

    async with open_world(sse_trio.MemoryLedger(), SlowSessions(), cache_time_minutes=0) as world:
        login = await world.login()
        assert await world.request(login) == Anonymous(Reason.SUPERSEDED)


async def test_a_store_that_cannot_be_read_is_no_verdict() -> None:
    class BrokenSessions(MemorySessions):
        async def get(self, id: str) -> Any:
            raise LedgerError("cannot read")

    async with open_world(sse_trio.MemoryLedger(), BrokenSessions(), cache_time_minutes=0) as world:
        login = await world.login()
        with pytest.raises(LedgerError):
            await world.request(login)


async def test_a_room_that_has_forgotten_leaves_it_to_the_store(new_world: NewWorld) -> None:
    async with new_world(**FOR_LONG) as world:
        first = await world.login(remember_login=True)
        world.now += 7200
        for _ in world.hub.recognition.sweep():
            pass
        assert stands(world, first) is None
        assert await world.authenticated(first)
        # Then the room knows it, and a new login ends it.
        assert stands(world, first) is True
        second = await world.login(remember_login=True)
        assert await world.request(first) == Anonymous(Reason.SUPERSEDED)
        assert await world.authenticated(second)


LASTS = {"ticket_lifetime": 3600}

FOR_LONG: dict[str, Any] = {
    "config": LASTS,
    "persistent": PersistentSettings(max_idle_days=400, cookie_expiration_days=400),
}


def stands(world: World, login: LoggedIn) -> bool | None:
    claims = login.claims
    return world.hub.stands(
        claims.user.id, claims.session, epoch=claims.epoch, issued=claims.issued
    )


def forget(world: World) -> None:
    """Let so much time go by that the rooms remember nothing."""
    world.now += 7200
    for _ in world.hub.recognition.sweep():
        pass
    assert not world.hub.view(ADA.id).sessions


async def test_the_trap_in_a_room_that_has_forgotten(new_world: NewWorld) -> None:
    async with new_world(**FOR_LONG) as world:
        first = await world.login(remember_login=True)
        identity = await world.identity(first)
        second = await world.login(remember_login=True)
        forget(world)
        await world.authority.logout(identity)
        assert await world.authenticated(second)
        forget(world)
        assert await world.authority.end(ADA, first.claims.session) is None
        assert await world.authenticated(second)
        assert not await world.authenticated(first)


async def test_what_was_ended_elsewhere_does_not_come_back_when_it_is_forgotten(
    new_world: NewWorld,
) -> None:
    async with new_world(**FOR_LONG) as world:
        for released in (False, True):
            login = await world.login(remember_login=True)
            if released:
                await world.hub.release(ADA.id, login.claims.session)
            else:
                await world.hub.notify(ADA.id, sender=None)
            assert await world.request(login) == Anonymous(Reason.SUPERSEDED)
            forget(world)
            assert await world.request(login) == Anonymous(Reason.ENDED)


async def test_a_notify_in_a_room_that_has_forgotten_ends_what_it_does_not_know(
    new_world: NewWorld,
) -> None:
    async with new_world(**FOR_LONG) as world:
        login = await world.login(remember_login=True)
        forget(world)
        await world.hub.notify(ADA.id, sender=None)
        assert not await world.authenticated(login)
        forget(world)
        assert not await world.authenticated(login)


async def test_ending_one_session_of_a_room_that_has_forgotten_ends_no_other(
    new_world: NewWorld,
) -> None:
    options = {**FOR_LONG, "config": {"ticket_lifetime": 3600, "max_sessions": 2}}
    async with new_world(**options) as world:
        first = await world.login(remember_login=True)
        second = await world.login(remember_login=True)
        forget(world)
        assert await world.authority.end(ADA, "no such session") is None
        await world.authority.end(ADA, first.claims.session)
        assert not await world.authenticated(first)
        assert await world.authenticated(second)
        # And a login leaves as many as there may be, the forgotten ones among them.
        forget(world)
        third = await world.login(remember_login=True)
        assert await world.authenticated(second)
        await world.authority.logout(await world.identity(third))
        assert not await world.authenticated(second)


async def test_what_a_room_has_forgotten_counts_when_it_decides(new_world: NewWorld) -> None:
    options = {**FOR_LONG, "config": {"ticket_lifetime": 3600, "max_sessions": 2}}
    async with new_world(**options) as world:
        first, second = [await world.login(remember_login=True) for _ in range(2)]
        forget(world)
        third = await world.login(remember_login=True)
        assert [await world.authenticated(login) for login in (first, second, third)] == [
            False,
            True,
            True,
        ]
        identity = await world.identity(second)
        forget(world)
        await world.authority.logout(identity)
        assert not await world.authenticated(second)
        assert not await world.authenticated(third)


async def test_a_session_of_a_room_that_is_not_its_users_is_none(new_world: NewWorld) -> None:
    """As after a change of what rooms are named by."""
    async with new_world(cache_time_minutes=0) as world:
        login = await world.login()
        by_name = await Authority.open(
            world.hub,
            world.authority.settings,
            room=lambda user: user.name,
            store=world.sessions,
            wall=lambda: world.now,
        )
        asked = await by_name.authenticate("POST", world.headers(login))
        assert asked == Anonymous(Reason.ENDED)
        assert await by_name.end(ADA, login.claims.session) is None
        assert await world.authenticated(login)


async def test_a_name_that_somebody_joined_under_is_no_login(new_world: NewWorld) -> None:
    """Not within the cache time either."""
    cached = {"cache_time_minutes": 1440, "session": SessionSettings(max_idle_minutes=2880)}
    async with new_world(**FOR_LONG, **cached) as world:
        login = await world.login(remember_login=True)
        await world.authority.logout(await world.identity(login))
        forget(world)
        draft = world.hub.recognition.draft(ADA.id)
        draft.admit(login.claims.session, draft.login(login.claims.session))
        world.hub.recognition.propose(ADA.id, draft, lambda _: None)
        assert await world.request(login) == Anonymous(Reason.ENDED)


async def test_providers_do_not_mix(new_world: NewWorld) -> None:
    async with new_world() as world:
        staff = await Authority.open(
            world.hub,
            Settings(user_provider="Staff"),
            room=lambda user: f"staff {user.id}",
            store=world.sessions,
            wall=lambda: world.now,
        )
        login = await world.login()
        nr1, nr2 = pair(login.cookies)
        headers = [
            (b"cookie", cookie_header(nr1, nr2, staff.settings)),
            (b"x-csrf-token", login.claims.csrf.encode()),
        ]
        assert await staff.authenticate("POST", headers) == Anonymous(Reason.FORGED)
        assert await staff.sessions(ADA) == []
        assert await world.authenticated(login)


async def test_authorities_of_one_store_have_the_same_keys(new_world: NewWorld) -> None:
    async with new_world() as world:
        other = await Authority.open(world.hub, store=world.sessions, wall=lambda: world.now)
        login = await world.login()
        await other.generate_new_keys()
        assert await world.request(login) == Anonymous(Reason.OTHER_KEYS)
        await world.authority.rotate_keys()
        assert await world.request(login) == Anonymous(Reason.OTHER_KEYS)


async def test_a_request_in_flight_does_not_survive_new_keys_or_a_logout(
    new_world: NewWorld,
) -> None:
    async with new_world(cache_time_minutes=0) as world:
        login = await world.login()
        identity = await world.identity(login)
        assert world.authority.renew(identity)
        world.now += 1
        identity = await world.identity(login)
        await world.authority.generate_new_keys()
        assert world.authority.renew(identity) == []
        login = await world.login()
        identity = await world.identity(login)
        await world.login()
        assert world.authority.renew(identity) == []


async def test_a_user_whose_room_is_named_otherwise_now(new_world: NewWorld) -> None:
    async with new_world() as world:
        by_name = await Authority.open(
            world.hub, room=lambda user: user.name, store=world.sessions, wall=lambda: world.now
        )
        old = await by_name.login(ADA)
        await by_name.login(User(ADA.id, "Ada Byron"))
        assert not world.hub.view("Ada").sessions
        assert await world.sessions.get(old.claims.session) is None


@pytest.mark.parametrize("wrong", [b"", b"\x00\n\x9fFirefox"])
async def test_what_a_client_says_of_itself_is_cleaned(new_world: NewWorld, wrong: bytes) -> None:
    async with new_world() as world:
        await world.login(headers=[(b"user-agent", wrong)], address="\udcff\x00" * bool(wrong))
        (kept,) = await world.authority.sessions(ADA)
        assert kept.user_agent == ("Firefox" if wrong else "")
        assert kept.address == ""


async def test_a_login_that_a_full_room_has_forgotten_has_ended(new_world: NewWorld) -> None:
    async with new_world(config={"max_remembered_sessions": 2}) as world:
        first = await world.login()
        await world.login()
        await world.login()
        assert stands(world, first) is False
        assert await world.request(first) == Anonymous(Reason.SUPERSEDED)


# -- what nobody has logged out ---------------------------------------------------------------


async def test_what_has_lapsed_is_swept_and_its_room_is_told(new_world: NewWorld) -> None:
    async with new_world() as world:
        idle = await world.login(ADA)
        kept = await world.login(BOB, remember_login=True)
        world.now += 20 * 60
        await world.sweep()
        assert stands(world, idle) is True
        world.now += 1
        await world.sweep()
        assert stands(world, idle) is False
        assert await world.sessions.of_user("Users", ADA.id) == []
        assert await world.authenticated(kept)


async def test_whose_keys_or_cookies_are_gone_is_swept_too(new_world: NewWorld) -> None:
    short = PersistentSettings(max_idle_days=3, cookie_expiration_days=2)
    async with new_world(persistent=short, absolute_lifetime_hours=72) as world:
        login = await world.login(remember_login=True)
        await world.authority.rotate_keys()
        world.now += 2 * 86400
        await world.sweep()
        assert stands(world, login) is True
        world.now += 1
        await world.sweep()
        assert stands(world, login) is False
        login = await world.login(remember_login=True)
        await world.authority.generate_new_keys()
        kept = await world.login(BOB, remember_login=True)
        await world.sweep()
        assert stands(world, login) is False
        # Too old, though there was a contact yesterday.
        cookies = kept.cookies
        for _ in range(2):
            world.now += 30 * 3600
            found = await world.request(cookies)
            assert isinstance(found, Authenticated)
            cookies = world.authority.renew(found)
        # And they are for as long as it can last.
        assert "; Max-Age=43200; " in cookies[0]
        world.now += 12 * 3600 + 1
        await world.sweep()
        assert stands(world, kept) is False


async def test_each_authority_sweeps_its_own(new_world: NewWorld) -> None:
    """The settings of another one may be more patient."""
    async with new_world(session=SessionSettings(max_idle_minutes=60)) as world:
        await Authority.open(
            world.hub,
            Settings(app_type="mobile", session=SessionSettings(max_idle_minutes=6)),
            store=world.sessions,
            wall=lambda: world.now,
        )
        login = await world.login()
        world.now += 3000
        await world.sweep()
        assert await world.authenticated(login)


async def test_what_has_ended_stays_so_while_the_disk_fails(tmp_path: Path) -> None:
    """A room is not forgotten before the file knows what it knows."""
    async with (
        SqliteLedger.open(tmp_path / "test.db") as ledger,
        open_world(ledger, SqliteSessions(ledger), **FOR_LONG) as world,
    ):
        login = await world.login(remember_login=True)
        identity = await world.identity(login)
        ledger.change("broken", "INSERT INTO nowhere VALUES (1)")
        with pytest.raises(LedgerError):
            await world.authority.logout(identity)
        world.now += 7200
        for _ in world.hub.recognition.sweep():
            pass
        assert await world.request(login) == Anonymous(Reason.SUPERSEDED)
        ledger.change("broken", "SELECT 1")


async def test_an_authority_that_could_not_be_opened_follows_nothing() -> None:
    class BrokenSessions(MemorySessions):
        async def load_keys(self) -> Any:
            raise LedgerError("cannot read")

    async with open_world(sse_trio.MemoryLedger(), MemorySessions()) as world:
        with pytest.raises(LedgerError):
            await Authority.open(world.hub, store=BrokenSessions(), wall=lambda: NOW)
        await world.sweep()


async def test_a_login_is_as_new_as_its_notify(new_world: NewWorld) -> None:
    """However long it waited for its turn; or a room that forgets it takes it for an older one."""
    config = {"max_remembered_sessions": 2}
    async with new_world(config=config) as world:
        first = await world.login()
        world.now += 1
        ledger_is_asked = world.sessions.of_room

        async def slowly(room: str) -> Any:
            found = await ledger_is_asked(room)
            world.now += 1
            return found

        world.sessions.of_room = slowly  # type: ignore[method-assign]
        login = await world.login()
        assert login.claims.issued == world.hub.view(ADA.id).notified
        assert login.claims.issued > first.claims.issued + 1


async def test_a_login_that_is_wrong_ends_nobody(new_world: NewWorld) -> None:
    async with new_world() as world:
        first = await world.login()
        headers = [(b"cookie", cookie_header(*pair(first.cookies)))]
        with pytest.raises(LocalProtocolError):
            await world.login(headers=headers, detail={"long": "x" * 2000})
        assert await world.authenticated(first)


async def test_a_logout_ends_no_later_login_of_a_user_with_another_name(
    new_world: NewWorld,
) -> None:
    async with new_world() as world:
        by_name = await Authority.open(
            world.hub, room=lambda user: user.name, store=world.sessions, wall=lambda: world.now
        )
        login = await by_name.login(ADA)
        asked, later = world.sessions.of_user, []

        async def overtaken(provider: str, user: str) -> Any:
            world.sessions.of_user = asked  # type: ignore[method-assign]
            world.now += 1
            later.append(await by_name.login(User(ADA.id, "Ada Byron")))
            return await asked(provider, user)

        world.sessions.of_user = overtaken  # type: ignore[method-assign]
        await by_name.logout(Authenticated(login.claims, checked=False))
        found = await by_name.authenticate("POST", world.headers(later[0]))
        assert isinstance(found, Authenticated)


async def test_what_a_recall_ends_is_dropped_too(new_world: NewWorld) -> None:
    """As where `max_sessions` was more before a restart."""
    async with new_world(**{**FOR_LONG, "config": {"max_sessions": 2, **LASTS}}) as world:
        first, second = [await world.login(remember_login=True) for _ in range(2)]
    async with new_world(now=NOW, **{**FOR_LONG, "config": LASTS}) as world:
        forget(world)
        assert await world.authenticated(first)
        assert await world.authenticated(second)
        assert not await world.authenticated(first)
        await world.sessions.touch("none", 0, "").durable()
        forget(world)
        assert not await world.authenticated(first)


async def test_new_keys_do_not_wait_for_ever(autojump_clock: MockClock) -> None:
    class Never:
        async def durable(self) -> None:
            await trio.sleep_forever()

    class Hanging(MemorySessions):
        def store_keys(self, keys: Keys) -> Any:
            return Never()

    async with open_world(sse_trio.MemoryLedger(), MemorySessions()) as world:
        with pytest.raises(LedgerError, match="too long"):
            await Authority.open(world.hub, store=Hanging(), wall=lambda: NOW)


async def test_what_has_ended_is_not_listed_whatever_the_disk_does(tmp_path: Path) -> None:
    async with (
        SqliteLedger.open(tmp_path / "test.db") as ledger,
        open_world(ledger, SqliteSessions(ledger)) as world,
    ):
        login = await world.login()
        ledger.change("broken", "INSERT INTO nowhere VALUES (1)")
        with pytest.raises(LedgerError):
            await world.authority.end(ADA, login.claims.session)
        assert await world.sessions.get(login.claims.session) is not None
        assert await world.authority.sessions(ADA) == []
        assert await world.request(login) == Anonymous(Reason.SUPERSEDED)
        ledger.change("broken", "SELECT 1")


async def test_a_sweep_that_cannot_be_done_is_put_off() -> None:
    class BrokenSessions(MemorySessions):
        async def older(self, *_: Any, **__: Any) -> Any:
            raise LedgerError("cannot read")

    async with open_world(sse_trio.MemoryLedger(), BrokenSessions()) as world:
        await world.sweep()


REFUSE: dict[str, Any] = {"config": {"at_limit": "refuse-new"}}


async def test_a_login_that_has_lapsed_takes_nobodys_place(new_world: NewWorld) -> None:
    async with new_world(**REFUSE) as world:
        await world.login()
        with pytest.raises(LimitReached):
            await world.login()
        world.now += 20 * 60 + 1
        await world.login()
        await world.authority.generate_new_keys()
        last = await world.login()
        assert await world.authenticated(last)
        assert [kept.id for kept in await world.authority.sessions(ADA)] == [last.claims.session]


async def test_a_login_that_is_cancelled_takes_nobodys_place(tmp_path: Path) -> None:
    async with (
        SqliteLedger.open(tmp_path / "test.db") as ledger,
        open_world(ledger, SqliteSessions(ledger), **REFUSE) as world,
    ):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(world.login)
            while not world.hub.view(ADA.id).sessions:
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        while world.hub.view(ADA.id).sessions:
            await trio.lowlevel.checkpoint()
        assert await world.authenticated(await world.login())


class CutShort(trio.abc.Instrument):
    """Cancels a scope when its task has been scheduled so many times."""

    def __init__(self, scope: trio.CancelScope, task: trio.lowlevel.Task, steps: int) -> None:
        self._scope, self._task, self._steps = scope, task, steps

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self._steps -= task is self._task
        if self._steps == 0:
            self._scope.cancel()


@pytest.mark.parametrize("act", ["login", "logout", "end"])
async def test_whatever_is_cancelled_leaves_nothing_half_done(
    new_world: NewWorld, act: str
) -> None:
    """At each of its steps; it is as if it had not been, or others have ended and nobody came."""
    steps, is_cut = 0, True
    while is_cut:
        steps += 1
        async with new_world(**REFUSE) as world:
            for user in (ADA, BOB):
                await world.authority.end_all(user)
            staying = await world.login(BOB)
            mine = None if act == "login" else await world.login()
            with trio.CancelScope() as scope:
                instrument = CutShort(scope, trio.lowlevel.current_task(), steps)
                trio.lowlevel.add_instrument(instrument)
                try:
                    if mine is None:
                        await world.login()
                    elif act == "logout":
                        await world.authority.logout(Authenticated(mine.claims, checked=False))
                    else:
                        await world.authority.end(ADA, mine.claims.session)
                finally:
                    trio.lowlevel.remove_instrument(instrument)
            is_cut = scope.cancelled_caught
            await trio.testing.wait_all_tasks_blocked()
            await world.sessions.touch("none", 0, "").durable()
            standing = world.hub.view(ADA.id).sessions
            assert {kept.id for kept in await world.sessions.of_user("Users", ADA.id)} == standing
            if mine is None:
                assert len(standing) == (not is_cut)
            else:
                assert await world.authenticated(mine) is bool(standing)
            assert await world.authenticated(staying)
            # Nobody's place is taken.
            if not standing:
                assert await world.authenticated(await world.login())
    assert steps > 3


async def test_a_login_that_is_not_durable_takes_nobodys_place(tmp_path: Path) -> None:
    async with (
        SqliteLedger.open(tmp_path / "test.db") as ledger,
        open_world(ledger, SqliteSessions(ledger), **REFUSE) as world,
    ):
        ledger.change("broken", "INSERT INTO nowhere VALUES (1)")
        with pytest.raises(LedgerError):
            await world.login()
        ledger.change("broken", "SELECT 1")
        while world.hub.view(ADA.id).sessions:
            await trio.lowlevel.checkpoint()
        await propose(ledger, "other", None).durable()
        assert await world.sessions.of_user("Users", ADA.id) == []


async def test_an_active_user_outlives_a_clock_that_is_put_back(new_world: NewWorld) -> None:
    async with new_world() as world:
        world.now += 3600
        login = await world.login()
        world.now -= 3600
        found = await world.request(login)
        assert isinstance(found, Authenticated)
        # What is renewed is of now: its word is taken again.
        assert found.checked
        assert found.claims.checked == world.now
        again = await world.request(world.authority.renew(found))
        assert isinstance(again, Authenticated)
        assert not again.checked
        newer = await world.login()
        assert await world.request(login) == Anonymous(Reason.SUPERSEDED)
        assert await world.authenticated(newer)


async def test_a_clock_that_is_put_back_ends_nobody(new_world: NewWorld) -> None:
    async with new_world() as world:
        world.now += 3600
        await world.authority.rotate_keys()
        await world.authority.generate_new_keys()
        world.now -= 3600
        login = await world.login()
        await world.sweep()
        assert await world.authenticated(login)
        assert len(await world.authority.sessions(ADA)) == 1


# -- keys -----------------------------------------------------------------------------------


async def test_keys_outlive_a_restart(new_world: NewWorld) -> None:
    async with new_world() as world:
        login = await world.login()
    async with new_world() as world:
        assert await world.authenticated(login)
        await world.authority.rotate_keys()
        assert await world.authenticated(login)
        later = await world.login(BOB)
    async with new_world() as world:
        assert await world.authenticated(login)
        assert await world.authenticated(later)
        await world.authority.generate_new_keys()
        assert await world.request(login) == Anonymous(Reason.OTHER_KEYS)
    async with new_world() as world:
        assert await world.request(later) == Anonymous(Reason.OTHER_KEYS)
        assert await world.authenticated(await world.login())


async def test_the_newest_key_signs_whichever_way_the_clock_was_put(new_world: NewWorld) -> None:
    async with new_world() as world:
        await world.authority.rotate_keys()
        world.now -= 3600
        await world.authority.rotate_keys()
        login = await world.login()
        kids = [key.kid for key in world.sessions.keys.keys] if world.sessions.keys else []
        assert login.claims.kid == kids[0]
    async with new_world() as world:
        assert world.sessions.keys is not None
        assert [key.kid for key in world.sessions.keys.keys] == kids


async def test_new_keys_in_the_middle_of_a_login_are_none_of_its_own() -> None:
    class SlowSessions(MemorySessions):
        async def of_user(self, provider: str, user: str) -> Any:
            await world.authority.generate_new_keys()
            return await super().of_user(provider, user)

    async with open_world(sse_trio.MemoryLedger(), SlowSessions()) as world:
        login = await world.login()
        assert await world.request(login) == Anonymous(Reason.OTHER_KEYS)
        await world.sweep()
        assert stands(world, login) is False


async def test_the_cookies_are_deleted_with_their_own_attributes(new_world: NewWorld) -> None:
    async with new_world() as world:
        identity = await world.identity(await world.login())
        await world.authority.logout(identity)
        assert world.authority.forget(identity) == cookies.delete(world.authority.settings)
