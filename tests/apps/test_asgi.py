"""The ASGI middleware, before FastAPI on Uvicorn, with a real hub."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import trio
import uvicorn
from fastapi import FastAPI, Form, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from sse_trio.apps import AsyncClient, Settings
from sse_trio.apps.asgi import SingleSession, login_of

from ..applications.examples import ticket_in, verdict
from ..proxies import ask
from ..support import KEY, Start, keep_cookies
from .support import (
    ACTIVE,
    LOOSELY,
    NOTIFIED,
    RELEASED,
    SHORT,
    UNKNOWN,
    answer,
    at_once,
    fake,
    in_thread,
    silent,
    urls,
)

PLAIN = Settings(https=False)


def application(url: str, settings: Settings = PLAIN, **options: Any) -> FastAPI:
    client = AsyncClient(url, KEY, **options)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await client.aclose()

    app = FastAPI(lifespan=lifespan)
    app.add_middleware(SingleSession, client=client, settings=settings)

    @app.get("/")
    async def home(request: Request) -> Response:
        login = login_of(request.scope)
        if login.user is None:
            return RedirectResponse("/login", 303)
        return HTMLResponse(f"{login.user} {login.guard()}")

    @app.post("/login")
    async def log_in(request: Request, user: str = Form()) -> Response:
        await login_of(request.scope).log_in(user, max_sessions=2)
        return RedirectResponse("/", 303)

    @app.post("/logout")
    async def log_out(request: Request) -> Response:
        await login_of(request.scope).log_out()
        return RedirectResponse("/login", 303)

    @app.post("/devices")
    async def devices(request: Request, end: str = Form("")) -> Any:
        login = login_of(request.scope)
        if end:
            await login.sign_out(end)
        roster = await login.devices()
        return [] if roster is None else [each.session for each in roster.sessions]

    return app


@contextlib.contextmanager
def served(app: Any) -> Iterator[int]:
    """Serve an application with Uvicorn, in a thread of this process."""
    settings = uvicorn.Config(app, log_config=None, ws="wsproto", lifespan="on")
    server = uvicorn.Server(settings)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()


class Browser:
    def __init__(self, port: int) -> None:
        self.port = port
        self.cookies: dict[str, str] = {}

    async def send(self, path: str, **form: str) -> Any:
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items()) or None
        if path == "/":
            found = await ask(self.port, cookie=cookie)
        else:
            body = "&".join(f"{name}={value}" for name, value in form.items()).encode()
            head = (("Content-Type", "application/x-www-form-urlencoded"),)
            found = await ask(self.port, "POST", path, cookie=cookie, body=body, headers=head)
        keep_cookies(self.cookies, found.cookies)
        return found

    async def is_in(self) -> bool:
        found = await self.send("/")
        assert found.status in (200, 303)
        return bool(found.status == 200)


def test_a_path_that_is_left_out_has_no_login() -> None:
    with pytest.raises(LookupError, match=r"asgi\.SingleSession, or its path is in leave_out$"):
        login_of({"type": "http", "path": "/static/x"})


async def test_fastapi_on_uvicorn(start: Start) -> None:
    hub = await start(join="ticket")
    with served(application(urls(hub.port))) as port:
        laptop, phone, tablet = (Browser(port) for _ in range(3))
        assert not await laptop.is_in()
        done = await laptop.send("/login", user="ada")
        assert done.cookies[0].endswith("; Path=/; HttpOnly; SameSite=Lax")
        assert (done.headers["cache-control"], done.headers["vary"]) == ("no-store", "Cookie")
        page = await laptop.send("/")
        assert page.body.startswith(b"ada <script")
        await phone.send("/login", user="ada")
        await phone.send("/login", user="ada")  # it takes its own place again
        assert await laptop.is_in()
        await tablet.send("/login", user="ada")
        assert not await laptop.is_in()
        assert await verdict(hub, ticket_in(page.body.decode())) == "terminate"
        newest, older = (await tablet.send("/devices")).json
        assert (await tablet.send("/devices", end=older)).json == [newest]
        assert not await phone.is_in()
        await tablet.send("/login", user="grace")  # another user in the same browser
        assert (await tablet.send("/")).body.startswith(b"grace")
        assert [each.session for each in (hub.sessions("ada")).sessions] == []
        await tablet.send("/logout")
        assert tablet.cookies == {}
        assert not await tablet.is_in()


async def test_a_hub_that_is_away() -> None:
    with fake(silent) as hub, served(application(urls(hub.port), timeout=SHORT)) as port:
        browser = Browser(port)
        assert not await browser.is_in()
        browser.cookies["sse_trio"] = "a token"
        found = await browser.send("/")
        assert (found.status, found.headers["retry-after"]) == (503, "1")


@pytest.mark.parametrize(("hub_says", "expected"), [(silent, 1013), (answer(200, UNKNOWN), None)])
def test_a_websocket_and_the_lifespan(hub_says: Any, expected: int | None) -> None:
    seen: list[str] = []
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])
        if scope["type"] == "websocket":
            assert login_of(scope).user is None
            await send({"type": "websocket.accept", "headers": []})

    async def send(message: Any) -> None:
        sent.append(message)

    with fake(hub_says) as hub, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSE_TRIO_URL", urls(hub.port))
        patch.setenv("SSE_TRIO_KEY", KEY)
        client = AsyncClient(timeout=SHORT)

        async def main() -> None:
            for middleware in (SingleSession(app, client=client), SingleSession(app)):
                await middleware({"type": "lifespan"}, None, send)
            headers = [(b"cookie", b"__Host-sse_trio=a token")]
            scope = {"type": "websocket", "path": "/", "headers": headers}
            await SingleSession(app, client=client)(scope, None, send)
            static = {"type": "http", "path": "/static/x", "headers": headers}
            await SingleSession(app, client=client)(static, None, send)
            await client.aclose()

        asyncio.run(main())
    assert len(hub.asked) == 1
    if expected is None:
        assert seen == ["lifespan", "lifespan", "websocket", "http"]
        assert sent == [{"type": "websocket.accept", "headers": []}]
    else:
        assert seen == ["lifespan", "lifespan", "http"]
        assert sent == [{"type": "websocket.close", "code": expected}]


async def test_a_login_whose_answer_comes_last(start: Start) -> None:
    """Two clicks on the button: the cookie of the login that has ended must not win."""
    hub = await start(join="ticket")
    app = application(urls(hub.port))
    begun, go_on = threading.Event(), threading.Event()

    @app.post("/slow")
    async def slow(request: Request) -> Response:
        await login_of(request.scope).log_in("ada")
        begun.set()
        await asyncio.to_thread(go_on.wait, LOOSELY)
        return Response()

    with served(app) as port:
        browser = Browser(port)

        async def slowly() -> None:
            found = await browser.send("/slow")
            assert (found.status, found.cookies) == (200, [])

        async with trio.open_nursery() as nursery:
            nursery.start_soon(slowly)
            await in_thread(begun.wait, LOOSELY)
            assert (await hub.notify("ada", sender="another")).epoch == 2
            go_on.set()


async def test_a_view_that_fails_after_the_login() -> None:
    """No answer has the cookie, so the login ends again."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await login_of(scope).log_in("ada")
        raise RuntimeError("after the login")

    def steps() -> None:
        async def main() -> None:
            async with AsyncClient(urls(hub.port), KEY) as client:
                scope = {"type": "http", "path": "/", "headers": []}
                with pytest.raises(RuntimeError):
                    await SingleSession(app, client=client)(scope, None, None)

        asyncio.run(main())

    with fake(answer(200, NOTIFIED)) as hub:
        await in_thread(steps)
    assert [path for path, _ in hub.asked] == ["/notify", "/release"]


def test_a_request_that_is_cancelled_after_the_login() -> None:
    """No answer has the cookie, so the login ends again: in the background."""
    released = threading.Event()

    def release(sock: Any, request: bytes) -> None:
        answer(200, RELEASED)(sock, request)
        released.set()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await login_of(scope).log_in("ada")
        raise asyncio.CancelledError

    async def main() -> None:
        async with AsyncClient(urls(hub.port), KEY, pauses=at_once) as client:
            scope = {"type": "http", "path": "/", "headers": []}
            with pytest.raises(asyncio.CancelledError):
                await SingleSession(app, client=client)(scope, None, None)
            assert await asyncio.to_thread(released.wait, LOOSELY)

    with fake(answer(200, NOTIFIED), release) as hub:
        asyncio.run(main())
    assert [path for path, _ in hub.asked] == ["/notify", "/release"]


@pytest.mark.parametrize("status", [400, 503])
async def test_an_error_after_the_login(status: int) -> None:
    """FastAPI makes an answer of an HTTPException: it logs nobody in."""
    with fake(answer(200, NOTIFIED)) as hub:
        app = application(urls(hub.port))

        @app.post("/fail")
        async def fail(request: Request) -> Response:
            await login_of(request.scope).log_in("ada")
            raise HTTPException(status)

        with served(app) as port:
            found = await Browser(port).send("/fail")
            assert found.status == status
            assert found.cookies[0].startswith("sse_trio=; ")
        assert [path for path, _ in hub.asked] == ["/notify", "/release"]


def test_a_head_that_cannot_be_sent() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await login_of(scope).log_in("ada")
        await send({"type": "http.response.start", "status": 200})

    async def send(message: Any) -> None:
        raise OSError

    async def main() -> None:
        async with AsyncClient(urls(hub.port), KEY) as client:
            scope = {"type": "http", "path": "/", "headers": []}
            with pytest.raises(OSError):
                await SingleSession(app, client=client)(scope, None, send)

    with fake(answer(200, NOTIFIED), answer(200, ACTIVE), answer(200, RELEASED)) as hub:
        asyncio.run(main())
    assert [path for path, _ in hub.asked] == ["/notify", "/check", "/release"]
