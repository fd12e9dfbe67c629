"""What an answer carries, decided when it begins: requests that overlap, and answers that fail."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import attrs
import pytest
import trio
import trio.testing
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

import sse_trio
from sse_trio.auth import (
    Authenticated,
    Authority,
    LoggedIn,
    MemorySessions,
    Session,
    SessionSettings,
    Settings,
    cookies,
)
from sse_trio.auth.asgi import App, Authentication, Message, RequestAuth, Scope, auth
from sse_trio.auth.cookie_hint import HINT
from sse_trio.auth.responses import depending_on_cookies
from sse_trio.errors import ConfigError, LedgerError

from .asgi import answering, ask, deletes_cookies, fields, scope_of
from .world import ADA, BOB, World, open_world


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with open_world(sse_trio.MemoryLedger(), MemorySessions()) as world:
        yield world


Act = Callable[[RequestAuth], Awaitable[object]]


async def log_in(request: RequestAuth) -> object:
    return await request.login(ADA)


async def log_in_bob(request: RequestAuth) -> object:
    return await request.login(BOB)


async def log_out(request: RequestAuth) -> object:
    return await request.logout()


async def end(request: RequestAuth) -> object:
    assert isinstance(request.identity, Authenticated)
    return await request.end(request.identity.session)


async def nothing(request: RequestAuth) -> object:
    return request.user


async def meanwhile(world: World, act: Act, scope: Scope, others: Act) -> list[Message]:
    """The answer to a request whose view is busy, when it has acted, while `others` is run."""

    async def slow(request: RequestAuth) -> None:
        await act(request)
        await others(request)

    return await ask(Authentication(answering(act=slow), world.authority), dict(scope))


def requesting(world: World, scope: Scope, act: Act, answers: list[list[Message]]) -> Act:
    """Another request, which is answered at once."""

    async def request(_: RequestAuth) -> None:
        app = Authentication(answering(act=act), world.authority)
        answers.append(await ask(app, dict(scope)))

    return request


def headers_of(world: World, answer: list[Message]) -> list[tuple[bytes, bytes]]:
    """What a browser sends when it has got this answer."""
    return world.headers([cookie.decode() for cookie in fields(answer, b"set-cookie")])


Shown = Callable[[World, LoggedIn], list[tuple[bytes, bytes]]]

SHOWN: dict[str, Shown] = {
    "the first cookie alone": lambda world, login: [
        (b"cookie", world.headers(login)[0][1].rpartition(b"; ")[0])
    ],
    "a stray second one": lambda world, login: [
        *world.headers(login),
        (b"cookie", cookies.names(world.authority.settings)[1].encode() + b"=stray"),
    ],
}


# -- logins ---------------------------------------------------------------------------------


async def test_a_login_that_has_ended_before_its_answer_sends_no_cookies(world: World) -> None:
    answers: list[list[Message]] = []
    second = requesting(world, scope_of(world), log_in, answers)
    first = await meanwhile(world, log_in, scope_of(world), second)
    assert fields(first, b"set-cookie") == []
    assert len(fields(answers[0], b"set-cookie")) == 2
    assert len(await world.authority.sessions(ADA)) == 1


async def test_a_login_whose_keys_are_gone_before_its_answer_sends_no_cookies(world: World) -> None:
    async def new_keys(_: RequestAuth) -> None:
        await world.authority.generate_new_keys()

    sent = await meanwhile(world, log_in, scope_of(world), new_keys)
    assert fields(sent, b"set-cookie") == []
    assert await world.authority.sessions(ADA) == []


async def test_of_two_users_in_one_browser_the_one_who_came_last_is_logged_in(world: World) -> None:
    """And the other has no login that holds a place, with cookies that nobody has got."""
    before = await world.login()
    scope = scope_of(world, before)
    answers: list[list[Message]] = []
    sent = await meanwhile(world, log_in, scope, requesting(world, scope, log_in_bob, answers))
    assert fields(sent, b"set-cookie") == []
    assert len(fields(answers[0], b"set-cookie")) == 2
    assert await world.authority.sessions(ADA) == []
    assert len(await world.authority.sessions(BOB)) == 1


async def test_the_first_cookies_of_a_login_are_sent_whatever_the_clock_says(world: World) -> None:
    before = await world.login()
    world.now += 301
    scope = scope_of(world, before)
    renewed: list[list[Message]] = []

    async def log_in_earlier(_: RequestAuth) -> None:
        app = Authentication(answering(act=log_in_bob), world.authority)
        await requesting(world, scope, nothing, renewed)(_)
        world.now -= 10
        renewed.append(await ask(app, scope))

    await meanwhile(world, nothing, scope, log_in_earlier)
    assert [len(fields(sent, b"set-cookie")) for sent in renewed] == [2, 2]


# -- logouts --------------------------------------------------------------------------------


@pytest.mark.parametrize("act", [log_out, end])
@pytest.mark.parametrize("anew", [log_in, log_in_bob])
async def test_a_logout_deletes_nothing_of_the_login_that_the_browser_has_made_since(
    world: World, act: Act, anew: Act
) -> None:
    login = await world.login()
    scope = scope_of(world, login)
    # The login form has no CSRF header.
    form = scope_of(world, headers=world.headers(login)[:1])
    answers: list[list[Message]] = []
    sent = await meanwhile(world, act, scope, requesting(world, form, anew, answers))
    assert len(fields(answers[0], b"set-cookie")) == 2
    assert fields(sent, b"set-cookie") == []
    assert fields(sent, b"clear-site-data") == []


async def test_nor_does_the_logout_of_a_login_that_has_lapsed(world: World) -> None:
    scope = scope_of(world, await world.login())
    world.now += 3600
    answers: list[list[Message]] = []
    sent = await meanwhile(world, log_out, scope, requesting(world, scope, log_in, answers))
    assert len(fields(answers[0], b"set-cookie")) == 2
    assert fields(sent, b"set-cookie") == []


@pytest.mark.parametrize("users", [(log_in, log_in), (log_in_bob, log_in), (log_in, log_in_bob)])
async def test_nor_of_a_login_that_it_has_made_with_the_cookies_of_another_one_since(
    world: World, users: tuple[Act, Act]
) -> None:
    login = await world.login()
    answers: list[list[Message]] = []

    async def one_after_the_other(request: RequestAuth) -> None:
        newest = scope_of(world, headers=world.headers(login)[:1])
        for act in users:
            await requesting(world, newest, act, answers)(request)
            newest = scope_of(world, headers=headers_of(world, answers[-1])[:1])

    sent = await meanwhile(world, log_out, scope_of(world, login), one_after_the_other)
    assert [len(fields(answer, b"set-cookie")) for answer in answers] == [2, 2]
    assert fields(sent, b"set-cookie") == []


async def test_what_follows_a_login_is_known_for_as_long_as_it_is_answered_and_no_longer(
    world: World,
) -> None:
    known = world.sessions.browsers
    scope = scope_of(world, await world.login())
    answers: list[list[Message]] = []

    async def many(request: RequestAuth) -> None:
        newest = scope
        for number in range(1, 10):
            await requesting(world, newest, log_in, answers)(request)
            newest = scope_of(world, headers=headers_of(world, answers[-1]))
            assert len(known) == number + 1

    await meanwhile(world, nothing, scope, many)
    assert not known


@pytest.mark.parametrize("shown", SHOWN.values(), ids=SHOWN)
async def test_a_login_is_known_by_the_first_cookie_alone(world: World, shown: Shown) -> None:
    """Whatever makes its request anonymous: neither are its cookies deleted nor others sent."""
    login = await world.login()
    form = scope_of(world, headers=shown(world, login))
    answers: list[list[Message]] = []
    second = requesting(world, form, log_in_bob, answers)
    for act, scope in ((log_out, scope_of(world, login)), (log_in, form)):
        sent = await meanwhile(world, act, scope, second)
        assert len(fields(answers[-1], b"set-cookie")) == 2
        assert fields(sent, b"set-cookie") == []
    assert await world.authority.sessions(ADA) == []


async def test_so_is_the_login_of_another_type_of_application(world: World) -> None:
    """Where there is no single sign-on: the cookies have the same names."""
    mobile = await Authority.open(
        world.hub, Settings(app_type="mobile"), store=world.sessions, wall=lambda: world.now
    )
    scope = scope_of(world, await mobile.login(ADA))
    answers: list[list[Message]] = []

    async def slow(request: RequestAuth) -> None:
        await request.logout()
        await requesting(world, scope, log_in_bob, answers)(request)

    sent = await ask(Authentication(answering(act=slow), mobile), scope)
    assert len(fields(answers[0], b"set-cookie")) == 2
    assert fields(sent, b"set-cookie") == []


async def test_whether_it_stands_is_known_in_its_own_room(world: World) -> None:
    """Each type of application may name its users' rooms as it likes."""
    mobile = await Authority.open(
        world.hub,
        Settings(app_type="mobile"),
        room=lambda user: f"mobile-{user.id}",
        store=world.sessions,
        wall=lambda: world.now,
    )
    scope = scope_of(world, await mobile.login(ADA))

    async def slow(request: RequestAuth) -> None:
        await request.logout()
        await requesting(world, scope, log_in_bob, [])(request)
        await world.authority.end_all(BOB)

    assert deletes_cookies(await ask(Authentication(answering(act=slow), mobile), scope), world)


@pytest.mark.parametrize("which", [0, 1])
async def test_each_of_several_first_cookies_is_known(world: World, which: int) -> None:
    """A browser may have one of a parent domain too."""
    logins = [await world.login(ADA), await world.login(BOB)]
    form = scope_of(world, headers=[world.headers(login)[0] for login in logins])
    answers: list[list[Message]] = []
    anew = requesting(world, form, log_in, answers)
    sent = await meanwhile(world, log_out, scope_of(world, logins[which]), anew)
    assert len(fields(answers[0], b"set-cookie")) == 2
    assert fields(sent, b"set-cookie") == []


async def test_a_logout_deletes_the_cookies_when_another_browser_logs_in(world: World) -> None:
    login = await world.login()
    answers: list[list[Message]] = []
    other = requesting(world, scope_of(world), log_in, answers)
    sent = await meanwhile(world, log_out, scope_of(world, login), other)
    assert deletes_cookies(sent, world)


async def test_a_logout_deletes_the_cookies_when_the_new_login_has_ended_too(world: World) -> None:
    scope = scope_of(world, await world.login())
    answers: list[list[Message]] = []

    async def in_and_out(request: RequestAuth) -> None:
        await requesting(world, scope, log_in, answers)(request)
        await world.authority.end_all(ADA)

    assert deletes_cookies(await meanwhile(world, log_out, scope, in_and_out), world)


async def test_who_logs_in_and_out_in_one_request_has_no_cookies_left(world: World) -> None:
    scope = scope_of(world, await world.login())
    assert deletes_cookies(await meanwhile(world, log_in, scope, log_out), world)


# -- renewals -------------------------------------------------------------------------------


async def test_an_older_renewal_is_not_sent_over_a_newer_one(world: World) -> None:
    scope = scope_of(world, await world.login())
    world.now += 301
    answers: list[list[Message]] = []

    async def later(request: RequestAuth) -> None:
        world.now += 301
        await requesting(world, scope, nothing, answers)(request)

    sent = await meanwhile(world, nothing, scope, later)
    assert len(fields(answers[0], b"set-cookie")) == 2
    assert fields(sent, b"set-cookie") == []
    # The next one is sent again.
    world.now += 301
    sent = await ask(Authentication(answering(), world.authority), dict(scope))
    assert len(fields(sent, b"set-cookie")) == 2


async def test_a_renewal_that_did_not_come_is_sent_again(world: World) -> None:
    """Also while something is being answered for long, as a WebSocket."""
    scope = scope_of(world, await world.login())
    app = Authentication(answering(), world.authority)

    async def lost(_: RequestAuth) -> None:
        world.now += 301
        found = [len(fields(await ask(app, dict(scope)), b"set-cookie")) for _ in range(3)]
        # Whoever comes with the old cookies has not got the new ones.
        assert found == [2, 2, 2]

    await meanwhile(world, nothing, scope, lost)


async def test_who_was_under_way_when_it_was_sent_is_not_sent_it_again(world: World) -> None:
    scope = scope_of(world, await world.login())
    world.now += 301
    answers: list[list[Message]] = []
    others = requesting(world, scope, nothing, answers)

    async def twice(request: RequestAuth) -> None:
        await others(request)
        await others(request)

    # It had arrived before either of them.
    sent = await meanwhile(world, nothing, scope, twice)
    assert [len(fields(answer, b"set-cookie")) for answer in (*answers, sent)] == [2, 2, 0]


async def test_a_renewal_that_did_not_come_is_sent_once_to_all_who_show_it(world: World) -> None:
    scope = scope_of(world, await world.login())
    world.now += 301
    answers: list[list[Message]] = []

    async def at_once(request: RequestAuth) -> None:
        await requesting(world, scope, nothing, answers)(request)
        anew = requesting(world, scope, nothing, answers)
        answers.append(await meanwhile(world, nothing, scope, anew))

    await meanwhile(world, nothing, scope, at_once)
    assert [len(fields(answer, b"set-cookie")) for answer in answers] == [2, 2, 0]


@attrs.define(eq=False)
class CountedSessions(MemorySessions):
    """A store that counts what it is asked, and answers when it is told to."""

    looks: int = 0
    notes: int = 0
    error: LedgerError | None = None
    go_on: trio.Event = attrs.Factory(trio.Event)

    def __attrs_pre_init__(self) -> None:
        super().__init__()

    async def get(self, id: str) -> Session | None:
        self.looks += 1
        await self.go_on.wait()
        if self.error:
            raise self.error
        return await super().get(id)

    def touch(self, id: str, seen: float, kid: str) -> Any:
        self.notes += 1
        return super().touch(id, seen, kid)


@attrs.frozen
class Page:
    """Requests of one page at once."""

    world: World
    store: CountedSessions
    app: App
    answers: list[list[Message]] = attrs.field(factory=list)

    async def request(self, scope: dict[str, Any]) -> None:
        self.answers.append(await ask(self.app, scope))

    def cookies(self) -> list[int]:
        return [len(fields(sent, b"set-cookie")) for sent in self.answers]


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    store = CountedSessions()
    async with open_world(sse_trio.MemoryLedger(), store) as world:
        app = Authentication(
            answering(act=nothing),
            world.authority,
            is_activity=lambda scope: scope["path"] != "/poll",
        )
        yield Page(world, store, app)


async def test_requests_at_once_ask_the_store_once_and_renew_once(page: Page) -> None:
    scope = scope_of(page.world, await page.world.login())
    page.world.now += 301
    async with trio.open_nursery() as nursery:
        for _ in range(50):
            nursery.start_soon(page.request, scope)
        await trio.testing.wait_all_tasks_blocked()
        page.store.go_on.set()
    assert (page.store.looks, page.store.notes) == (1, 1)
    assert sorted(page.cookies()) == [0] * 49 + [2]


async def test_who_comes_a_little_later_asks_no_more(page: Page) -> None:
    """As with HTTP/2: while the first is still being answered, with the cookies from before."""
    scope = scope_of(page.world, await page.world.login())
    page.world.now += 301
    page.store.go_on.set()

    async def later(_: RequestAuth) -> None:
        for age in (0, 299):
            page.world.now += age
            await page.request(scope)
            assert page.store.looks == 1
        page.world.now += 1
        await page.request(scope)

    await meanwhile(page.world, nothing, scope, later)
    assert page.store.looks == 2
    # Nor is its answer lost: who comes with the old cookies when they were sent gets them again.
    assert page.cookies() == [2, 2, 2]


async def test_who_comes_when_the_room_has_forgotten_the_login_asks_anew() -> None:
    store, day = CountedSessions(), 24 * 60
    options: dict[str, Any] = {"config": {"ticket_lifetime": 3600}, "cache_time_minutes": day}
    options["session"] = SessionSettings(max_idle_minutes=3 * day)
    async with open_world(sse_trio.MemoryLedger(), store, **options) as world:
        page = Page(world, store, Authentication(answering(), world.authority))
        login = await world.login()
        scope = scope_of(world, login)
        world.now += 60 * day + 1
        store.go_on.set()

        async def later(_: RequestAuth) -> None:
            # So has the store: what it said before is worth nothing.
            store.revoke(login.claims.session)
            world.now += 7200
            for _room in world.hub.recognition.sweep():
                pass
            await page.request(scope)

        await meanwhile(world, nothing, scope, later)
        assert store.looks == 2
        assert page.cookies() == [0]


async def test_a_store_that_cannot_be_read_fails_all_who_wait_and_nobody_else(page: Page) -> None:
    scope = scope_of(page.world, await page.world.login())
    page.world.now += 301
    page.store.error = LedgerError("cannot read")
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(page.request, scope)
        await trio.testing.wait_all_tasks_blocked()
        page.store.go_on.set()
    assert [sent[0]["status"] for sent in page.answers] == [503] * 3
    assert page.store.looks == 1
    page.store.error = None
    await page.request(scope)
    assert page.answers[-1][0]["status"] == 200


async def test_who_waits_asks_itself_when_the_one_who_asks_is_cancelled(page: Page) -> None:
    scope = scope_of(page.world, await page.world.login())
    page.world.now += 301
    first = trio.CancelScope()

    async def hang_up() -> None:
        with first:
            await page.request(scope)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(hang_up)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(page.request, scope)
        await trio.testing.wait_all_tasks_blocked()
        assert page.store.looks == 1
        first.cancel()
        await trio.testing.wait_all_tasks_blocked()
        assert page.store.looks == 2
        page.store.go_on.set()
    assert page.cookies() == [2]


async def test_what_a_page_asks_by_itself_shares_the_look_and_is_no_contact(page: Page) -> None:
    login = await page.world.login()
    page.world.now += 301
    poll, click = scope_of(page.world, login, path="/poll"), scope_of(page.world, login)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(page.request, poll)
        await trio.testing.wait_all_tasks_blocked()
        for scope in (poll, click):
            nursery.start_soon(page.request, scope)
        await trio.testing.wait_all_tasks_blocked()
        assert page.store.notes == 0
        page.store.go_on.set()
    assert (page.store.looks, page.store.notes) == (1, 1)
    assert sorted(page.cookies()) == [0, 0, 2]


async def test_without_a_cache_time_each_request_asks() -> None:
    store = CountedSessions()
    async with open_world(sse_trio.MemoryLedger(), store, cache_time_minutes=0) as world:
        page = Page(world, store, Authentication(answering(), world.authority))
        scope = scope_of(world, await world.login())
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(page.request, scope)
            await trio.testing.wait_all_tasks_blocked()
            assert store.looks == 3
            store.go_on.set()


# -- answers that fail ----------------------------------------------------------------------


@attrs.define
class Refusing:
    """A server that refuses an answer with this header."""

    sent: list[Message] = attrs.Factory(list)

    async def __call__(self, message: Message) -> None:
        if (b"x-bad", b"\n") in message.get("headers", ()):
            raise ValueError("an invalid header")
        self.sent.append(message)


@pytest.mark.parametrize("act", [log_in, log_out])
async def test_an_answer_that_the_server_refuses_has_had_no_effect(world: World, act: Act) -> None:
    login = await world.login(BOB)
    refused = answering((b"x-bad", b"\n"), act=act)

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        with pytest.raises(ValueError, match="an invalid header"):
            await refused(scope, receive, send)
        # The framework answers that something has gone wrong.
        await answering()(scope, receive, send)

    send = Refusing()
    await Authentication(app, world.authority)(scope_of(world, login), None, send)
    assert await world.authority.sessions(ADA) == []
    assert deletes_cookies(send.sent, world) == (act is log_out)
    assert fields(send.sent, b"set-cookie") == [] or act is log_out


async def test_a_login_is_not_taken_back_when_its_cookies_were_sent(world: World) -> None:
    async def app(scope: Scope, receive: Any, send: Any) -> None:
        await answering(act=log_in)(scope, receive, send)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await ask(Authentication(app, world.authority), scope_of(world))
    assert len(await world.authority.sessions(ADA)) == 1


async def fail(request: RequestAuth) -> None:
    raise ZeroDivisionError


def failing(world: World, *, is_around: bool) -> App:
    """Starlette, whose own page for errors is beyond its middlewares."""

    async def view(request: Request) -> Response:
        await auth(request.scope).logout()
        raise ZeroDivisionError

    async def sorry(_: Request, __: Exception) -> Response:
        return PlainTextResponse("Sorry", 500)

    middleware = [] if is_around else [Middleware(Authentication, authority=world.authority)]
    app = Starlette(
        routes=[Route("/", view, methods=["POST"])],
        middleware=middleware,
        exception_handlers={Exception: sorry},
    )
    return Authentication(app, world.authority) if is_around else app


@pytest.mark.parametrize(
    ("is_around", "body"), [(True, b"Sorry"), (False, b"Internal Server Error\n")]
)
async def test_the_answer_to_a_logout_that_fails_deletes_the_cookies(
    world: World, is_around: bool, body: bytes
) -> None:
    send = Refusing()
    scope = scope_of(world, await world.login(), query_string=b"", root_path="")
    with pytest.raises(ZeroDivisionError):
        await failing(world, is_around=is_around)(scope, None, send)
    assert deletes_cookies(send.sent, world)
    assert fields(send.sent, b"clear-site-data") == [b'"storage"']
    start, *rest = send.sent
    assert start["status"] == 500
    assert b"".join(message["body"] for message in rest) == body


async def test_the_applications_error_is_raised_though_the_connection_is_gone(
    world: World,
) -> None:
    async def app(scope: Scope, receive: Any, send: Any) -> None:
        await auth(scope).logout()
        raise ZeroDivisionError

    tried: list[Message] = []

    async def send(message: Message) -> None:
        tried.append(message)
        raise OSError("the client has gone")

    scope = scope_of(world, await world.login())
    with pytest.raises(ZeroDivisionError):
        await Authentication(app, world.authority)(scope, None, send)
    assert [message["type"] for message in tried] == ["http.response.start"]


async def test_who_is_cancelled_in_that_answer_is_cancelled(world: World) -> None:
    async def app(scope: Scope, receive: Any, send: Any) -> None:
        await auth(scope).logout()
        raise ZeroDivisionError

    async def send(message: Message) -> None:
        await trio.sleep_forever()

    scope = scope_of(world, await world.login())
    with trio.move_on_after(0) as cancelled:
        await Authentication(app, world.authority)(scope, None, send)
    assert cancelled.cancelled_caught


async def test_other_errors_are_the_frameworks(world: World) -> None:
    send = Refusing()
    scope = scope_of(world, await world.login())
    with pytest.raises(ZeroDivisionError):
        await Authentication(answering(act=fail), world.authority)(scope, None, send)
    assert send.sent == []


# -- caches ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ([], [b"Cookie"]),
        ([b"Accept-Encoding"], [b"Accept-Encoding, Cookie"]),
        ([b"Accept-Encoding", b"Accept , Origin"], [b"Accept-Encoding, Accept , Origin, Cookie"]),
        ([b""], [b"Cookie"]),
        ([b"cookie"], [b"cookie"]),
        ([b"Accept", b"origin,COOKIE"], [b"Accept", b"origin,COOKIE"]),
        ([b"*"], [b"*"]),
        ([b"X-Cookie"], [b"X-Cookie, Cookie"]),
    ],
)
def test_vary(said: list[bytes], expected: list[bytes]) -> None:
    headers = [(b"x-other", b"1"), *((b"Vary", value) for value in said)]
    found = depending_on_cookies(headers)
    assert [value for key, value in found if key.lower() == b"vary"] == expected
    assert found[0] == (b"x-other", b"1")


async def test_an_answer_varies_with_the_cookies_if_an_identity_was_asked_for(world: World) -> None:
    for login in (None, await world.login()):
        app = Authentication(answering(act=nothing), world.authority)
        assert fields(await ask(app, scope_of(world, login)), b"vary") == [b"Cookie"]
        app = Authentication(answering(), world.authority)
        assert fields(await ask(app, scope_of(world, login)), b"vary") == []


@pytest.mark.parametrize(
    ("path", "is_left_out"),
    [
        ("/static/app.css", True),
        ("/static/", True),
        ("/static", False),
        ("/statics/app.css", False),
        ("/favicon.ico", True),
        ("/favicon.ico/x", False),
        ("/", False),
        ("/a/static/app.css", False),
    ],
)
async def test_paths_that_are_left_out(world: World, path: str, is_left_out: bool) -> None:
    async def app(scope: Scope, receive: Any, send: Any) -> None:
        assert ("sse_trio" not in scope) == is_left_out
        await answering()(scope, receive, send)

    paths = ["/static/", "/favicon.ico"]
    middleware = Authentication(app, world.authority, leave_out=paths)
    login = await world.login()
    world.now += 301
    sent = await ask(middleware, scope_of(world, login, path=path))
    assert (fields(sent, b"set-cookie") == []) == is_left_out
    assert (fields(sent, b"cache-control") == []) == is_left_out


@pytest.mark.parametrize("wrong", ["/static/", ["static/"], [""], [b"/static/"]])
async def test_what_is_left_out_is_checked(world: World, wrong: Any) -> None:
    with pytest.raises(ConfigError, match="leave_out must be a list of paths"):
        Authentication(answering(), world.authority, leave_out=wrong)


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [([], []), (["cache", "storage"], [b'"cache", "storage"']), (("*",), [b'"*"'])],
)
async def test_what_a_browser_is_told_to_clear(
    world: World, kinds: list[str], expected: list[bytes]
) -> None:
    app = Authentication(answering(act=log_out), world.authority, clear_site_data=kinds)
    sent = await ask(app, scope_of(world, await world.login()))
    assert fields(sent, b"clear-site-data") == expected
    assert deletes_cookies(sent, world)


@pytest.mark.parametrize("wrong", ["storage", ["Storage"], ['"cache"'], [1], None])
async def test_what_is_to_be_cleared_is_checked(world: World, wrong: Any) -> None:
    with pytest.raises(ConfigError, match="clear_site_data must be a list"):
        Authentication(answering(), world.authority, clear_site_data=wrong)


# -- the hint -------------------------------------------------------------------------------


@pytest.fixture
def hints(caplog: pytest.LogCaptureFixture) -> Callable[[], int]:
    caplog.set_level("WARNING", "sse_trio")
    return lambda: caplog.messages.count(HINT)


def client(world: World, path: str, agent: bytes, port: int) -> dict[str, Any]:
    headers = [(b"user-agent", agent)]
    return scope_of(world, path=path, headers=headers, client=("testclient", port))


async def test_who_never_sends_the_cookies_back_is_hinted_at_once(
    world: World, hints: Callable[[], int]
) -> None:
    async def app(scope: Scope, receive: Any, send: Any) -> None:
        act = log_in if scope["path"] == "/login" else nothing
        await answering(act=act)(scope, receive, send)

    middleware = Authentication(app, world.authority)
    steps = [
        ("/", b"a", 0),
        ("/login", b"a", 0),
        ("/", b"another", 0),
        ("/", b"a", 1),
        ("/login", b"a", 1),
        ("/", b"a", 1),
    ]
    # Each on a connection of its own, and so from another port.
    for port, (path, agent, expected) in enumerate(steps, 50000):
        await ask(middleware, client(world, path, agent, port))
        assert hints() == expected


async def test_there_is_no_hint_where_cookies_come_back(
    world: World, hints: Callable[[], int]
) -> None:
    # Also those of an old login, and without the CSRF header.
    cookie, csrf = world.headers(await world.login())
    for headers in ([cookie, csrf], [cookie]):
        app = Authentication(answering(act=log_in), world.authority)
        for sent in (headers, [], []):
            await ask(app, scope_of(world, headers=sent))
    assert hints() == 0


async def test_there_is_no_hint_where_the_login_was_taken_back(
    world: World, hints: Callable[[], int]
) -> None:
    async def in_vain(request: RequestAuth) -> None:
        await request.login(ADA)
        await world.login()

    app = Authentication(answering(act=in_vain), world.authority)
    for _ in range(3):
        await ask(app, scope_of(world))
    assert hints() == 0


@pytest.mark.parametrize("act", [log_out, end])
async def test_there_is_no_hint_where_the_login_was_logged_out_in_the_same_request(
    world: World, hints: Callable[[], int], act: Act
) -> None:
    async def in_and_out(request: RequestAuth) -> None:
        await request.login(ADA)
        await act(request)

    app = Authentication(answering(act=in_and_out), world.authority)
    for _ in range(3):
        assert deletes_cookies(await ask(app, scope_of(world)), world)
    assert hints() == 0
