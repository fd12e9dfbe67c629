"""The demo's pages, and the requests of its script. Starlette, behind `Authentication`.

Every change is a POST of JSON with the CSRF token in a header, which no other site can send.
Without the header the request is anonymous. An anonymous request gets the login page, or 401.
"""

from collections.abc import Mapping
from importlib.resources import files
from mimetypes import guess_type
from typing import Any, Final
from urllib.parse import parse_qs

import attrs
import jinja2
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.templating import Jinja2Templates

from ..auth import Anonymous, Authenticated, Authority, Kind, Reason, Session
from ..auth.asgi import Authentication, auth
from ..browser import INTEGRITY
from ..errors import Draining, LedgerError, LimitReached
from ..hub.hub import Hub
from ..strict_json import loads_untrusted
from .agents import describe
from .hardening import Hardening, hub_at
from .users import Users

# Bytes of a request's body. The longest useful one is a login.
MAX_BODY = 4096

# A page's own automatic request says so, and does not extend a login.
POLL: Final = b"poll"

NOBODY: Final = "Please log in."

OTHERS: Final = "others"

_ENDED = {
    Reason.SUPERSEDED: "You have been logged out: your account was used to log in again, or this "
    "session was ended.",
    Reason.IDLE: "You have been logged out, because you were away for a while.",
    Reason.ENDED: "Your session has ended. Please log in again.",
    Reason.EXPIRED: "Your session has ended. Please log in again.",
    Reason.OTHER_KEYS: "You have been logged out: there are new keys. Please log in again.",
}

_TEMPLATES = Jinja2Templates(
    env=jinja2.Environment(
        loader=jinja2.PackageLoader("sse_trio.demo"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
)


# Whole and in memory. Starlette sends a file in a task that is cancelled when Hypercorn says that
# the answer is complete: in the step that lets the connection time out, and end with the server.
_STATIC = {
    file.name: (file.read_bytes(), media_type)
    for file in (files("sse_trio.demo") / "static").iterdir()
    if (media_type := guess_type(file.name)[0])
}


def make_app(authority: Authority, users: Users, hub: Hub) -> Authentication:
    """Return the application, whose pages join the hub."""
    pages = Pages(authority, users, hub)
    return Authentication(
        pages.routed(), authority, is_activity=_is_activity, leave_out=["/static/"]
    )


def _is_activity(scope: Mapping[str, Any]) -> bool:
    return bool(scope["query_string"] != POLL)


@attrs.frozen(eq=False)
class Pages:
    """The answers to all requests."""

    authority: Authority
    users: Users
    hub: Hub

    def routed(self) -> Starlette:
        """Return them by their paths."""
        return Starlette(
            routes=[
                Route("/", self.home),
                Route("/login", self.login_form, methods=["GET"]),
                Route("/login", self.login, methods=["POST"]),
                Route("/logout", self.logout, methods=["POST"]),
                Route("/api/me", self.me),
                Route("/api/sessions", self.sessions),
                Route("/api/sessions/end", self.end, methods=["POST"]),
                Route("/api/keys", self.generate_new_keys, methods=["POST"]),
                Route("/static/{name}", self.static),
            ],
            middleware=[Middleware(Hardening, hub=self.hub)],
            exception_handlers={
                HTTPException: _refuse,
                LimitReached: _refuse,
                LedgerError: _refuse,
                Draining: _refuse,
                ClientDisconnect: _refuse,  # the client is gone, which is not our error
            },
        )

    # -- pages --------------------------------------------------------------------------

    async def home(self, request: Request) -> Response:
        """Show who is logged in."""
        identity = auth(request.scope).identity
        if isinstance(identity, Anonymous):
            return RedirectResponse("/login", 303)
        person = self.users.people.get(identity.user.id)
        return _TEMPLATES.TemplateResponse(
            request,
            "home.html",
            {
                "hub": hub_at(request.scope, self.hub),
                "integrity": INTEGRITY,
                "identity": identity,
                "ticket": auth(request.scope).ticket,
                "is_admin": person is not None and person.is_admin,
                "max_sessions": self.hub.config.max_sessions,
                "settings": self.authority.settings,
                "state": {"me": _me(identity), "sessions": await self._sessions(identity)},
            },
        )

    async def login_form(self, request: Request) -> Response:
        """Show the form, and why there is no login any more."""
        identity = auth(request.scope).identity
        if isinstance(identity, Authenticated):
            return RedirectResponse("/", 303)
        return _TEMPLATES.TemplateResponse(
            request,
            "login.html",
            {
                "ended": _ENDED.get(identity.reason),
                "people": self.users.people.values(),
                "settings": self.authority.settings,
                "max_sessions": self.hub.config.max_sessions,
            },
        )

    async def static(self, request: Request) -> Response:
        """Return a file that a page uses."""
        body, media_type = _STATIC.get(request.path_params["name"], (None, None))
        if body is None:
            raise HTTPException(404)
        return Response(body, media_type=media_type)

    # -- in and out ---------------------------------------------------------------------

    async def login(self, request: Request) -> Response:
        """Log in; the old login of this browser ends."""
        # Otherwise another site could log its visitors in here as another user.
        if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
            raise HTTPException(403, "Another site cannot sign you in.")
        match await _json(request):
            case {"user": str(user), "password": str(password), "remember": bool(remember)}:
                person = await self.users.verify(user, password)
            case _:
                raise HTTPException(400, "There must be user, password and remember.")
        if person is None:
            raise HTTPException(401, "There is no such user, or the password is wrong.")
        browser = describe(request.headers.get("user-agent", ""))
        await auth(request.scope).login(
            person.user, remember_login=remember, detail={"browser": browser}
        )
        return Response(status_code=204)

    async def logout(self, request: Request) -> Response:
        """Log out everywhere; or, if a terminated page asks, end only its login."""
        if _media_type(request) == "application/x-www-form-urlencoded":
            asked = parse_qs((await _body(request)).decode(errors="replace"))
            # The browser may have logged in again since, and then this ends nothing.
            await auth(request.scope).end(asked.get("session", [""])[0])
        elif await auth(request.scope).logout() is None:
            raise HTTPException(401, NOBODY)
        return Response(status_code=204)

    # -- what the script asks -----------------------------------------------------------

    async def me(self, request: Request) -> Response:
        """Return the user of the request."""
        return JSONResponse(_me(_identity(request)))

    async def sessions(self, request: Request) -> Response:
        """List the user's sessions."""
        return JSONResponse(await self._sessions(_identity(request)))

    async def _sessions(self, identity: Authenticated) -> list[dict[str, Any]]:
        found = await self.authority.sessions(identity.user)
        return [_shown(session, identity) for session in found]

    async def end(self, request: Request) -> Response:
        """End one of the user's sessions, or all others."""
        identity = _identity(request)
        match await _json(request):
            case {"session": str(wanted)}:
                pass
            case _:
                raise HTTPException(400, "There must be a session.")
        if wanted == OTHERS:
            for session in await self.authority.sessions(identity.user):
                if session.id != identity.session:
                    await auth(request.scope).end(session.id)
        elif await auth(request.scope).end(wanted) is None:
            raise HTTPException(404, "You have no such session.")
        return Response(status_code=204)

    async def generate_new_keys(self, request: Request) -> Response:
        """Make all users log in again."""
        person = self.users.people.get(_identity(request).user.id)
        if person is None or not person.is_admin:
            raise HTTPException(403, "Only an administrator may do that.")
        await self.authority.generate_new_keys()
        return Response(status_code=204)


def _identity(request: Request) -> Authenticated:
    identity = auth(request.scope).identity
    if isinstance(identity, Anonymous):
        raise HTTPException(401, NOBODY)
    return identity


def _me(identity: Authenticated) -> dict[str, Any]:
    """Return the user of the request; times are Unix milliseconds, here and below."""
    claims = identity.claims
    return {
        "user": claims.user.id,
        "name": claims.user.name,
        "session": claims.session,
        "remembered": claims.kind is Kind.PERSISTENT,
        "created": round(1000 * claims.issued),
        "checked": round(1000 * claims.checked),
        "asked": identity.checked,
    }


def _shown(session: Session, identity: Authenticated) -> dict[str, Any]:
    return {
        "session": session.id,
        "browser": describe(session.user_agent),
        "address": session.address,
        "remembered": session.kind is Kind.PERSISTENT,
        "created": round(1000 * session.created),
        "seen": round(1000 * session.seen),
        "this": session.id == identity.session,
    }


async def _refuse(_: Request, error: Exception) -> Response:
    """Return an error in JSON, for the script."""
    if isinstance(error, HTTPException):
        return JSONResponse({"detail": error.detail}, error.status_code, error.headers)
    if isinstance(error, LimitReached):
        return JSONResponse(
            {"detail": "You are logged in on the largest number of devices allowed."}, 409
        )
    detail = "That cannot be done now. Please try again."
    return JSONResponse({"detail": detail}, 503, {"Retry-After": "2"})


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def _body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise HTTPException(413, "That is too long.")
    return body


async def _json(request: Request) -> Any:
    if _media_type(request) != "application/json":
        raise HTTPException(415, "That must be JSON.")
    try:
        return loads_untrusted(await _body(request))
    except ValueError:
        raise HTTPException(400, "That is not JSON.") from None
