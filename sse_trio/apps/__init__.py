"""Single sessions in an application on any stack, in ten lines, without Trio.

`Client` and `AsyncClient` ask the hub. `sse_trio.apps.wsgi`, `sse_trio.apps.asgi` and
`sse_trio.apps.django` are middleware: they find the login of a request, set and delete its cookie,
and give pages their ``<session-guard>``. ``SSE_TRIO_URL`` and ``SSE_TRIO_KEY`` in the environment
are enough for all of them. docs/applications.md has an application for each.

Nothing here imports Trio, nor the server. Each name is imported when it is first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..errors import Conflict, HubAway, HubRefused, LimitReached, SseTrioError
    from ..roster import Roster, SessionInfo
    from .aio import AsyncClient
    from .answers import Checked, Notified
    from .calls import New
    from .client import Client
    from .settings import Settings

__all__ = [
    "AsyncClient",
    "Checked",
    "Client",
    "Conflict",
    "HubAway",
    "HubRefused",
    "LimitReached",
    "New",
    "Notified",
    "Roster",
    "SessionInfo",
    "Settings",
    "SseTrioError",
]

# All others are errors.
_HOMES = {
    "AsyncClient": ".aio",
    "Client": ".client",
    "Checked": ".answers",
    "New": ".calls",
    "Settings": ".settings",
    "Notified": ".answers",
    "Roster": "..roster",
    "SessionInfo": "..roster",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = importlib.import_module(_HOMES.get(name, "..errors"), __name__)
    value = globals()[name] = getattr(home, name)
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]
