"""ASGI middleware: headers that tell browsers what not to do with any answer.

The pages run no script except their own and the hub's client, send nothing to other sites, and
cannot be in a frame.
"""

import re

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..hub.hub import Hub

_HOST = re.compile(r"[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]")


def hub_at(scope: Scope, hub: Hub) -> str:
    """Return the hub's host and port, under the name that the browser knows this host by."""
    header = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
    # It goes into a header and a page, so only the characters of a name are accepted.
    found = _HOST.match(header)
    return f"{found[0] if found else 'localhost'}:{hub.port}"


class Hardening:
    """The middleware, for pages that join `hub`."""

    def __init__(self, app: ASGIApp, hub: Hub) -> None:
        self._app = app
        self._hub = hub

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                hub = hub_at(scope, self._hub)
                if hub.startswith("["):
                    # A policy cannot name an address of IPv6 (CSP3, section 2.3.1).
                    hub = f"*:{self._hub.port}"
                MutableHeaders(scope=message).update(
                    {
                        "Content-Security-Policy": "default-src 'none'; base-uri 'none'; "
                        "form-action 'none'; frame-ancestors 'none'; img-src 'self'; "
                        f"connect-src 'self' ws://{hub} http://{hub}/events; style-src 'self'; "
                        f"script-src 'self' http://{hub}/client.js; "
                        "require-trusted-types-for 'script'; trusted-types 'none'",
                        "Referrer-Policy": "no-referrer",
                        "X-Content-Type-Options": "nosniff",
                    }
                )
            await send(message)

        await self._app(scope, receive, answer)
