"""Requests to an ASGI application without any server, and what it sends in answer."""

from collections.abc import Awaitable, Callable
from typing import Any

from sse_trio.auth import LoggedIn, cookies
from sse_trio.auth.asgi import App, Message, RequestAuth, Scope, auth

from .world import World


def scope_of(world: World, login: LoggedIn | None = None, **more: Any) -> dict[str, Any]:
    headers = world.headers(login) if login else []
    return {"type": "http", "method": "POST", "path": "/", "headers": headers, **more}


async def ask(app: App, scope: dict[str, Any]) -> list[Message]:
    """What is sent in answer to a request."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        raise AssertionError("nobody reads")

    await app(scope, receive, send)
    return sent


def answering(
    *headers: tuple[bytes, bytes], act: Callable[[RequestAuth], Awaitable[object]] | None = None
) -> App:
    """An application that does something, and answers with these headers."""

    async def app(scope: Scope, _: object, send: Any) -> None:
        if act:
            await act(auth(scope))
        await send({"type": "http.response.start", "status": 200, "headers": list(headers)})
        await send({"type": "http.response.body", "body": b"done"})

    return app


def fields(sent: list[Message], name: bytes) -> list[bytes]:
    return [value for key, value in sent[0]["headers"] if key.lower() == name]


def deletes_cookies(sent: list[Message], world: World) -> bool:
    expected = cookies.delete(world.authority.settings)
    return [cookie.decode() for cookie in fields(sent, b"set-cookie")] == expected
