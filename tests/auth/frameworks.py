"""The same application in each framework: who am I, log in, log out, end a session."""

from collections.abc import Callable
from typing import Any

import fastapi
import quart
import quart_trio
from fastapi import Depends, FastAPI, Request, WebSocket
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket as StarletteWebSocket

from sse_trio.auth import Authority, User
from sse_trio.auth.asgi import App, Authentication, RequestAuth, auth

USERS = {"7": User("7", "Ada"), "8": User("8", "Bob")}


def described(request: RequestAuth) -> dict[str, Any]:
    return {"user": request.user and request.user.name, "ticket": request.ticket is not None}


async def logged_in(request: RequestAuth, form: dict[str, Any]) -> dict[str, Any]:
    await request.login(USERS[form["user"]], remember_login=form.get("remember", False))
    return described(request)


async def ended(request: RequestAuth, form: dict[str, Any]) -> dict[str, Any]:
    if "session" in form:
        await request.end(form["session"])
    else:
        await request.logout()
    return {}


def starlette(authority: Authority) -> App:
    async def me(request: Request) -> JSONResponse:
        return JSONResponse(described(auth(request.scope)))

    async def login(request: Request) -> JSONResponse:
        return JSONResponse(await logged_in(auth(request.scope), await request.json()))

    async def logout(request: Request) -> JSONResponse:
        return JSONResponse(await ended(auth(request.scope), await request.json()))

    async def websocket(socket: StarletteWebSocket) -> None:
        await socket.accept()
        await socket.send_json(described(auth(socket.scope)))
        await socket.close()

    return Starlette(
        routes=[
            Route("/me", me),
            Route("/login", login, methods=["POST"]),
            Route("/logout", logout, methods=["POST"]),
            WebSocketRoute("/ws", websocket),
        ],
        middleware=[Middleware(Authentication, authority=authority)],
    )


def fast_api(authority: Authority) -> App:
    app = FastAPI()
    app.add_middleware(Authentication, authority=authority)

    def of(request: fastapi.Request) -> RequestAuth:
        return auth(request.scope)

    @app.get("/me")
    async def me(request: RequestAuth = Depends(of)) -> dict[str, Any]:  # noqa: B008
        return described(request)

    @app.post("/login")
    async def login(
        form: dict[str, Any],
        request: RequestAuth = Depends(of),  # noqa: B008
    ) -> dict[str, Any]:
        return await logged_in(request, form)

    @app.post("/logout")
    async def logout(
        form: dict[str, Any],
        request: RequestAuth = Depends(of),  # noqa: B008
    ) -> dict[str, Any]:
        return await ended(request, form)

    @app.websocket("/ws")
    async def websocket(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_json(described(auth(socket.scope)))
        await socket.close()

    return app


def quart_on_trio(authority: Authority) -> App:
    app = quart_trio.QuartTrio(__name__)

    @app.get("/me")
    async def me() -> dict[str, Any]:
        return described(auth(quart.request.scope))

    @app.post("/login")
    async def login() -> dict[str, Any]:
        return await logged_in(auth(quart.request.scope), await quart.request.get_json())

    @app.post("/logout")
    async def logout() -> dict[str, Any]:
        return await ended(auth(quart.request.scope), await quart.request.get_json())

    @app.websocket("/ws")
    async def websocket() -> None:
        await quart.websocket.send_json(described(auth(quart.websocket.scope)))

    app.asgi_app = Authentication(app.asgi_app, authority)  # type: ignore[method-assign]
    return app


FRAMEWORKS: dict[str, Callable[[Authority], App]] = {
    "starlette": starlette,
    "fastapi": fast_api,
    "quart": quart_on_trio,
}
