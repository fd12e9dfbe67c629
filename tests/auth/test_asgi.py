"""The middleware: in front of real frameworks on a real server, and its own rules one by one."""

from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import hypercorn
import hypercorn.trio
import pytest
import trio
import trio.testing

import sse_trio
from sse_trio.auth import (
    Anonymous,
    Authenticated,
    Authority,
    MemorySessions,
    PersistentSettings,
    Reason,
    Settings,
    cookies,
)
from sse_trio.auth.asgi import App, Authentication, Message, RequestAuth, Scope, auth
from sse_trio.errors import LedgerError

from ..support import KEY
from .asgi import answering, ask, deletes_cookies, fields, scope_of
from .browser import Browser
from .fixtures import pair
from .frameworks import FRAMEWORKS
from .world import ADA, BOB, World, open_world


async def open_authority(nursery: trio.Nursery, **options: Any) -> Authority:
    config = sse_trio.Config(port=0, authkey=KEY)
    hub = await nursery.start(partial(sse_trio.serve, config))
    return await Authority.open(hub, Settings(**options))


async def serve(nursery: trio.Nursery, app: App) -> int:
    """Serve an application with Hypercorn, and return its port."""
    config = hypercorn.Config()
    config.bind = ["127.0.0.1:0"]
    binds = await nursery.start(partial(hypercorn.trio.serve, app, config))
    return int(binds[0].rpartition(":")[2])


# -- in front of frameworks -----------------------------------------------------------------


@pytest.fixture(params=FRAMEWORKS)
def framework(request: pytest.FixtureRequest) -> Callable[[Authority], App]:
    return FRAMEWORKS[request.param]


async def test_one_user_one_session(
    nursery: trio.Nursery, framework: Callable[[Authority], App]
) -> None:
    authority = await open_authority(nursery)
    port = await serve(nursery, framework(authority))
    first, second, bob = [Browser(port) for _ in range(3)]
    assert (await first.get("/me")).json == {"user": None, "ticket": False}

    answer = await first.post("/login", {"user": "7"})
    assert answer.json == {"user": "Ada", "ticket": True}
    assert first.jar.keys() == {"__Host-nr1Users", "__Host-nr2Users"}
    (session,) = await authority.sessions(ADA)
    assert (session.user_agent, session.address) == ("Test/1.0", "127.0.0.1")
    assert (await first.get("/me")).json == {"user": "Ada", "ticket": True}
    await bob.post("/login", {"user": "8"})

    await second.post("/login", {"user": "7", "remember": True})
    assert (await first.get("/me")).json["user"] is None
    assert (await second.get("/me")).json["user"] == "Ada"

    # The trap: the evicted browser runs its logout.
    for form in ({"session": session.id}, {}):
        answer = await first.post("/logout", form)
        assert answer.cookies == []
        assert (await second.get("/me")).json["user"] == "Ada"

    await second.post("/logout")
    assert second.jar == {}
    assert await authority.sessions(ADA) == []
    assert (await bob.get("/me")).json["user"] == "Bob"


async def test_the_answer_to_a_logout_has_what_the_browser_needs(
    nursery: trio.Nursery, framework: Callable[[Authority], App]
) -> None:
    authority = await open_authority(nursery)
    browser = Browser(await serve(nursery, framework(authority)))
    await browser.post("/login", {"user": "7"})
    answer = await browser.post("/logout")
    assert answer.cookies == cookies.delete(authority.settings)
    assert answer.headers["clear-site-data"] == '"storage"'
    assert answer.headers["cache-control"] == "no-store"


async def test_a_request_without_the_csrf_header_is_anonymous(
    nursery: trio.Nursery, framework: Callable[[Authority], App]
) -> None:
    authority = await open_authority(nursery)
    browser = Browser(await serve(nursery, framework(authority)))
    await browser.post("/login", {"user": "7"})
    answer = await browser.load("/me")
    assert answer.json["user"] is None
    assert "cache-control" not in answer.headers
    assert (await browser.get("/me", {"X-CSRF-Token": "wrong"})).json["user"] is None


async def test_a_websocket_of_another_site_is_anonymous(
    nursery: trio.Nursery, framework: Callable[[Authority], App]
) -> None:
    authority = await open_authority(nursery, navigations=True)
    port = await serve(nursery, framework(authority))
    browser = Browser(port)
    await browser.post("/login", {"user": "7"})
    own = await browser.websocket("/ws", origin=f"https://127.0.0.1:{port}")
    assert own["user"] == "Ada"
    for origin in (None, "https://evil.example", f"https://127.0.0.1:{port}.evil.example", "null"):
        assert (await browser.websocket("/ws", origin=origin))["user"] is None


# -- its rules ------------------------------------------------------------------------------


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with open_world(sse_trio.MemoryLedger(), MemorySessions()) as world:
        yield world


async def test_cookies_that_were_checked_are_renewed_and_in_no_cache(world: World) -> None:
    login = await world.login()
    app = Authentication(answering((b"Cache-Control", b"public, max-age=60")), world.authority)
    sent = await ask(app, scope_of(world, login))
    assert fields(sent, b"set-cookie") == []
    assert fields(sent, b"cache-control") == [b"public, max-age=60"]
    world.now += 301
    sent = await ask(app, scope_of(world, login))
    assert len(fields(sent, b"set-cookie")) == 2
    assert fields(sent, b"cache-control") == [b"no-store"]


@pytest.mark.parametrize(
    ("no_store", "is_authenticated", "said", "expected"),
    [
        (True, True, [], [b"no-store"]),
        (True, True, [b"private"], [b"private"]),
        (True, False, [b"public"], [b"public"]),
        (True, False, [], []),
        (False, True, [], []),
    ],
)
async def test_what_is_stored(
    world: World,
    no_store: bool,
    is_authenticated: bool,
    said: list[bytes],
    expected: list[bytes],
) -> None:
    login = await world.login()
    inner = answering(*((b"cache-control", value) for value in said))
    app = Authentication(inner, world.authority, no_store=no_store)
    sent = await ask(app, scope_of(world, login if is_authenticated else None))
    assert fields(sent, b"cache-control") == expected


async def test_who_logs_in_is_authenticated_in_the_same_request(world: World) -> None:
    users = []

    async def act(request: RequestAuth) -> None:
        users.append(request.user)
        await request.login(ADA)
        users.append(request.user)
        await request.logout()
        await request.login(BOB, remember_login=True)
        users.append(request.user)
        assert request.ticket is not None

    sent = await ask(Authentication(answering(act=act), world.authority), scope_of(world))
    assert users == [None, ADA, BOB]
    # The last word counts.
    assert all(b"Max-Age=2592000" in cookie for cookie in fields(sent, b"set-cookie"))
    assert len(fields(sent, b"set-cookie")) == 2
    assert fields(sent, b"clear-site-data") == []
    assert await world.authority.sessions(ADA) == []


async def test_a_login_takes_the_place_of_the_browsers_last_one(world: World) -> None:
    bob = await world.login(BOB)

    async def act(request: RequestAuth) -> None:
        await request.login(ADA)

    # The login form has no CSRF header.
    scope = scope_of(world, headers=world.headers(bob)[:1])
    await ask(Authentication(answering(act=act), world.authority), scope)
    assert not await world.authenticated(bob)


async def test_ending_another_session_deletes_no_cookies(world: World) -> None:
    login = await world.login()

    async def act(request: RequestAuth) -> None:
        assert await request.end("no such session") is None

    sent = await ask(Authentication(answering(act=act), world.authority), scope_of(world, login))
    assert fields(sent, b"set-cookie") == []
    assert await world.authenticated(login)

    async def end(request: RequestAuth) -> None:
        assert await request.end(login.claims.session) is not None

    sent = await ask(Authentication(answering(act=end), world.authority), scope_of(world, login))
    assert deletes_cookies(sent, world)
    assert fields(sent, b"clear-site-data") == [b'"storage"']


async def test_only_a_page_of_the_application_has_cookies_deleted(world: World) -> None:
    """Or any site could log users out, by a form that it POSTs."""
    login = await world.login()
    world.now += 3600

    async def act(request: RequestAuth) -> None:
        assert await request.logout() is None

    app = Authentication(answering(act=act), world.authority)
    sent = await ask(app, scope_of(world, login))
    assert len(fields(sent, b"set-cookie")) == 2
    assert fields(sent, b"clear-site-data") == [b'"storage"']
    for headers in ([], world.headers(login)[:1]):
        sent = await ask(app, scope_of(world, headers=headers))
        assert sent[0]["headers"] == [(b"vary", b"Cookie")]


async def test_what_was_superseded_in_the_middle_of_a_request_ends_nobody(world: World) -> None:
    """Nor does it delete cookies, which may be the new login's of the same browser."""

    async def too_late(request: RequestAuth) -> None:
        mine = request.identity.session if isinstance(request.identity, Authenticated) else ""
        second = await world.login()
        assert await request.end(second.claims.session) is None
        assert await request.end(mine) is None
        assert await request.logout() is None
        assert await world.authenticated(second)

    login = await world.login()
    app = Authentication(answering(act=too_late), world.authority)
    sent = await ask(app, scope_of(world, login))
    assert fields(sent, b"set-cookie") == []
    assert fields(sent, b"clear-site-data") == []


async def test_who_logs_out_is_anonymous_in_the_same_request(world: World) -> None:
    login = await world.login()

    async def act(request: RequestAuth) -> None:
        assert await request.logout() is not None
        assert request.user is None

    await ask(Authentication(answering(act=act), world.authority), scope_of(world, login))


async def test_a_second_login_of_one_request_takes_the_firsts_place(world: World) -> None:
    async def act(request: RequestAuth) -> None:
        await request.login(BOB)
        await request.login(ADA)

    await ask(Authentication(answering(act=act), world.authority), scope_of(world))
    assert not world.hub.view(BOB.id).sessions
    assert world.hub.view(ADA.id).sessions


async def test_a_login_that_comes_after_the_answer_is_taken_back(world: World) -> None:
    async def app(scope: Scope, _: object, send: Any) -> None:
        async with trio.open_nursery() as nursery:

            async def log_in() -> None:
                with pytest.raises(RuntimeError, match="the response has begun"):
                    await auth(scope).login(ADA)

            nursery.start_soon(log_in)
            await trio.testing.wait_all_tasks_blocked()
            await send({"type": "http.response.start", "status": 200})
            world.sessions.go_on.set()  # type: ignore[attr-defined]

    class SlowSessions(MemorySessions):
        go_on = trio.Event()

        async def of_user(self, provider: str, user: str) -> Any:
            await self.go_on.wait()
            return await super().of_user(provider, user)

    async with open_world(sse_trio.MemoryLedger(), SlowSessions()) as world:
        await ask(Authentication(app, world.authority), scope_of(world))
        assert not world.hub.view(ADA.id).sessions


async def test_a_websocket_logs_nobody_in(world: World) -> None:
    async def app(scope: Scope, _: object, __: object) -> None:
        with pytest.raises(RuntimeError, match="a WebSocket cannot log in"):
            await auth(scope).login(ADA)

    await ask(
        Authentication(app, world.authority), {"type": "websocket", "path": "/", "headers": []}
    )


async def test_a_websocket_ends_with_a_login_that_its_room_has_forgotten() -> None:
    options: dict[str, Any] = {
        "config": {"ticket_lifetime": 3600},
        "persistent": PersistentSettings(max_idle_days=30),
    }
    async with open_world(sse_trio.MemoryLedger(), MemorySessions(), **options) as world:
        login = await world.login(remember_login=True)
        with world.authority.while_standing(Authenticated(login.claims, checked=False)) as scope:
            world.now += 7200
            for _ in world.hub.recognition.sweep():
                pass
            await world.hub.notify(ADA.id, sender=None)
            with trio.move_on_after(10):
                await trio.sleep_forever()
        assert scope.cancelled_caught


async def test_a_login_whose_answer_fails_takes_nobodys_place(world: World) -> None:
    async def fail(request: RequestAuth) -> None:
        await request.login(ADA)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await ask(Authentication(answering(act=fail), world.authority), scope_of(world))
    assert not world.hub.view(ADA.id).sessions


async def test_no_header_tells_a_cache_to_keep_cookies(world: World) -> None:
    said = [b"CDN-Cache-Control", b"surrogate-control", b"Expires", b"cache-control"]
    app = Authentication(
        answering(*((name, b"public") for name in said), (b"x-other", b"1")), world.authority
    )
    login = await world.login()
    world.now += 301
    sent = await ask(app, scope_of(world, login))
    names = [name for name, _ in sent[0]["headers"]]
    assert names == [b"x-other", b"cache-control", b"set-cookie", b"set-cookie"]


async def test_a_websocket_ends_with_its_login(world: World) -> None:
    login = await world.login()
    begun = trio.Event()

    async def app(_: Scope, __: object, send: Any) -> None:
        await send({"type": "websocket.accept"})
        begun.set()
        await trio.sleep_forever()

    scope = scope_of(world, login, type="websocket")
    sent: list[Message] = []

    async def open_websocket() -> None:
        sent.extend(await ask(Authentication(app, world.authority), scope))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(open_websocket)
        await begun.wait()
        await world.login(BOB)
        await trio.testing.wait_all_tasks_blocked()
        assert nursery.child_tasks
        await world.login()
    assert [message["type"] for message in sent] == ["websocket.accept", "websocket.close"]
    assert sent[-1]["code"] == 4001


async def test_a_websocket_that_is_closed_is_not_closed_again(world: World) -> None:
    login = await world.login()

    async def app(_: Scope, __: object, send: Any) -> None:
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": 1000})
        await world.login()
        await trio.sleep_forever()

    scope = scope_of(world, login, type="websocket")
    sent = await ask(Authentication(app, world.authority), scope)
    assert [message.get("code") for message in sent] == [None, 1000]


async def test_an_answer_that_goes_on_can_end_with_its_login(world: World) -> None:
    login = await world.login()
    seen: list[bool] = []

    async def act(request: RequestAuth) -> None:
        with request.while_standing() as standing:
            await request.end(login.claims.session)
            await trio.sleep_forever()
        seen.append(standing.cancelled_caught)

    app = Authentication(answering(act=act), world.authority)
    await ask(app, scope_of(world, login))
    # It has ended by now; and who is nobody has no login that could stand.
    with world.authority.while_standing(Authenticated(login.claims, checked=False)) as standing:
        await trio.sleep_forever()
    assert standing.cancelled_caught

    async def anonymous(request: RequestAuth) -> None:
        with request.while_standing() as standing:
            await trio.sleep_forever()
        seen.append(standing.cancelled_caught)

    await ask(Authentication(answering(act=anonymous), world.authority), scope_of(world))
    assert seen == [True, True]


async def test_nothing_is_done_when_the_answer_has_begun(world: World) -> None:
    login = await world.login()

    async def app(scope: Scope, _: object, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        for act in (auth(scope).login(ADA), auth(scope).logout(), auth(scope).end("s1")):
            with pytest.raises(RuntimeError, match="the response has begun"):
                await act

    await ask(Authentication(app, world.authority), scope_of(world, login))
    assert await world.authenticated(login)


async def test_what_a_page_asks_by_itself_is_no_activity(world: World) -> None:
    login = await world.login()
    app = Authentication(
        answering(), world.authority, is_activity=lambda scope: scope["path"] != "/poll"
    )
    for _ in range(3):
        world.now += 301
        assert fields(await ask(app, scope_of(world, login, path="/poll")), b"set-cookie") == []
    (kept,) = await world.authority.sessions(ADA)
    assert kept.seen == login.claims.issued
    await ask(app, scope_of(world, login))
    (kept,) = await world.authority.sessions(ADA)
    assert kept.seen == world.now


class BrokenSessions(MemorySessions):
    async def get(self, id: str) -> Any:
        raise LedgerError("cannot read")


async def test_a_store_that_cannot_be_read_is_answered_503(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with open_world(sse_trio.MemoryLedger(), BrokenSessions()) as world:
        login = await world.login()
        app = Authentication(answering(), world.authority)
        assert (await ask(app, scope_of(world, login)))[0]["status"] == 200
        world.now += 301
        sent = await ask(app, scope_of(world, login))
        assert sent[0]["status"] == 503
        assert fields(sent, b"retry-after") == [b"2"]
        assert fields(sent, b"cache-control") == [b"no-store"]
        # What somebody else adds to one answer is in no other.
        sent[0]["headers"].append((b"set-cookie", b"a=1"))
        assert fields(await ask(app, scope_of(world, login)), b"set-cookie") == []
        headers = [*world.headers(login), (b"host", b"a"), (b"origin", b"https://a")]
        assert await ask(app, {"type": "websocket", "path": "/", "headers": headers}) == [
            {"type": "websocket.close", "code": 1013}
        ]
        # An anonymous request needs no store.
        assert (await ask(app, scope_of(world)))[0]["status"] == 200
        # However many requests there are.
        for _ in range(20):
            await ask(app, scope_of(world, login))
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == [
        "a request could not be authenticated: cannot read"
    ] * 10


async def test_what_is_no_request_goes_through(world: World) -> None:
    seen = []

    async def app(scope: Scope, _: object, __: object) -> None:
        seen.append(scope)

    lifespan = {"type": "lifespan"}
    await ask(Authentication(app, world.authority), lifespan)
    assert seen == [lifespan]
    with pytest.raises(LookupError, match=r"Authentication, or its path is in leave_out$"):
        auth(lifespan)


async def test_the_authority_may_come_later(world: World) -> None:
    authorities = [world.authority]
    app = Authentication(answering(), lambda: authorities[0])
    assert (await ask(app, scope_of(world)))[0]["status"] == 200


async def test_the_scope_of_the_server_is_left_alone(world: World) -> None:
    scope = scope_of(world)
    before = dict(scope)
    await ask(Authentication(answering(), world.authority), scope)
    assert scope == before


@pytest.mark.parametrize(
    ("headers", "is_own"),
    [
        ([(b"host", b"a"), (b"origin", b"https://a")], True),
        ([(b"host", b"a"), (b"origin", b"http://a")], False),
        ([(b"host", b"a"), (b"origin", b"https://b"), (b"origin", b"https://a")], False),
        ([(b"host", b"b"), (b"host", b"a"), (b"origin", b"https://a")], False),
        # As origins are compared: default ports, the case of letters, the spelling of addresses.
        ([(b"host", b"a:443"), (b"origin", b"https://a")], True),
        ([(b"host", b"A.Example:0443"), (b"origin", b"https://a.example")], True),
        ([(b"host", b"a:8443"), (b"origin", b"https://a:8443")], True),
        ([(b"host", b"[::1]:443"), (b"origin", b"https://[::1]")], True),
        ([(b"host", b"[0:0::1]"), (b"origin", b"https://[::1]")], True),
        ([(b"host", b"a"), (b"origin", b"https://a:443")], True),
        ([(b"host", b"a:80"), (b"origin", b"https://a")], False),
        ([(b"host", b"a"), (b"origin", b"https://a:8443")], False),
        ([(b"host", b"a:8443"), (b"origin", b"https://a")], False),
        ([(b"host", b"::1"), (b"origin", b"https://[::1]")], False),
        ([(b"host", b"a."), (b"origin", b"https://a")], False),
        ([(b"host", b"a/"), (b"origin", b"https://a")], False),
        ([(b"host", b"u@a"), (b"origin", b"https://a")], False),
        ([(b"host", b"a"), (b"origin", b"null")], False),
        ([(b"host", b"null"), (b"origin", b"null")], False),
        ([(b"host", b"a\xff"), (b"origin", b"https://a\xff")], False),
        ([(b"host", b"a"), (b"origin", b"https://[::1")], False),
        ([(b"host", b"a"), (b"origin", b"a")], False),
        ([(b"host", b""), (b"origin", b"")], False),
        ([], False),
    ],
)
async def test_whose_page_opens_a_websocket(
    headers: list[tuple[bytes, bytes]], is_own: bool
) -> None:
    found = await of_websocket(headers, navigations=True)
    if is_own:
        assert isinstance(found, Authenticated)
    else:
        assert found == Anonymous(Reason.OTHER_ORIGIN)


async def of_websocket(headers: list[tuple[bytes, bytes]], **options: Any) -> object:
    """Whose a WebSocket is that comes with a login's cookies and these headers."""
    seen = []

    async def app(scope: Scope, _: object, __: object) -> None:
        seen.append(auth(scope).identity)

    async with open_world(sse_trio.MemoryLedger(), MemorySessions(), **options) as world:
        cookie, _ = world.headers(await world.login())
        scope = {"type": "websocket", "path": "/", "headers": [cookie, *headers]}
        await ask(Authentication(app, world.authority), scope)
    return seen.pop()


@pytest.mark.parametrize("origin", [b"https://a", b"http://a:80", b"http://A", b"https://a:443"])
async def test_without_https_a_page_may_come_either_way(origin: bytes) -> None:
    """As from behind a proxy; the ports that are left out are each scheme's own."""
    headers = [(b"host", b"a"), (b"origin", origin)]
    found = await of_websocket(headers, navigations=True, https=False)
    assert isinstance(found, Authenticated)


@pytest.mark.parametrize("host", [b"a", b"b"])
async def test_without_navigations_a_websocket_lacks_the_csrf_header(host: bytes) -> None:
    found = await of_websocket([(b"host", host), (b"origin", b"https://a")])
    assert found == Anonymous(Reason.NO_CSRF)


async def test_why_a_request_is_anonymous_is_in_the_log_and_nothing_else(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "sse_trio")
    login = await world.login()
    await world.login()
    await ask(Authentication(answering(), world.authority), scope_of(world, login))
    assert caplog.messages[-1] == (
        "an anonymous request: the login has been superseded or logged out"
    )
    nr1, nr2 = pair(login.cookies)
    for secret in (nr1, nr2, login.claims.session, login.claims.csrf):
        assert secret not in caplog.text
