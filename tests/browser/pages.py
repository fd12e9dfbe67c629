"""Pages with a guard, and what tests ask of them."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from playwright.sync_api import BrowserContext, Page, WebSocketRoute

from .processes import DEADLINE, HubProcess

SLEEP = 8 * 3600
"""Seconds that a machine sleeps."""

EVENTS = ("joined", "heartbeat", "offline", "error", "terminated")

_HEAD = '<!doctype html><html lang="en"><title>a page</title><link rel="icon" href="data:,">'

# Every page keeps `log`: [type, detail] of everything that its guard or element has said.
_LOG = f"""
  window.log = [];
  window.listen = (target) => {{
    for (const type of {json.dumps(EVENTS)}) {{
      target.addEventListener(type, (event) => log.push([type, event.detail]));
    }}
    return target;
  }};
"""


def guarded(hub: HubProcess, options: str, body: str = "") -> str:
    """A page whose script starts ``guard``; `options` is the inside of a JavaScript object."""
    return f"""{_HEAD}
{body}
<script type="module">
  import {{SessionGuard}} from "{hub.client}";
  {_LOG}
  window.SessionGuard = SessionGuard;
  window.guard = listen(new SessionGuard({{url: "{hub.url}", {options}}}));
  guard.start();
</script>"""


def marked_up(hub: HubProcess, element: str, body: str = "") -> str:
    """A page whose ``guard`` is a `<session-guard>`; `element` is its markup."""
    return f"""{_HEAD}
<body>{element}
{body}
<script type="module">
  {_LOG}
  const element = window.element = listen(document.querySelector("session-guard"));
  Object.defineProperty(window, "guard", {{get: () => element.guard ?? {{}}}});
  element.addEventListener("session-expired", (event) => log.push([event.type, event.detail]));
  await import("{hub.client}");
</script>"""


def wait_for(page: Page, state: str, timeout: float = 20_000) -> None:
    """Wait until the page's guard is in this state; for so many ms."""
    page.wait_for_function("state => window.guard?.state === state", arg=state, timeout=timeout)


def stop_the_clock(page: Page) -> None:
    """Let the pages' time go by only where a test says so."""
    page.clock.install(time=datetime(2030, 1, 1, tzinfo=UTC))
    page.clock.pause_at(datetime(2030, 1, 1, 0, 0, 1, tzinfo=UTC))


def clock_ahead(seconds: int) -> str:
    """Return a script: from now on, the page's time of day is so much later, or earlier."""
    return f"Date.now = ((now) => () => now() + {1000 * seconds})(Date.now)"


def wait_for_members(page: Page, hub: HubProcess, number: int) -> None:
    """Wait until the hub has so many members."""
    for _ in range(100 * DEADLINE):
        if hub.members() == number:
            return
        page.wait_for_timeout(10)
    raise AssertionError(f"the hub has {hub.members()} members, not {number}")


def state(page: Page) -> Any:
    return page.evaluate("guard.state")


def said(page: Page, *types: str) -> list[tuple[str, Any]]:
    """What the guard has said, in order; of these types, or else all but heartbeats."""
    log = page.evaluate("log")
    wanted = types or [name for name in (*EVENTS, "session-expired") if name != "heartbeat"]
    return [(kind, detail) for kind, detail in log if kind in wanted]


def kinds(page: Page) -> list[str]:
    """The types of what the guard has said, without the heartbeats."""
    return [kind for kind, _ in said(page)]


def play_older_hub(
    where: Page | BrowserContext, *, heartbeat: int, says: Sequence[str] = (), closes: bool
) -> list[str]:
    """Play a hub that does not know a client's heartbeat; return the types of what it is sent.

    To that it `says` something, and closes with 4400 or is silent.
    """
    messages: list[str] = []
    joined = {"type": "joined", "room": "u1", "session": "s1", "epoch": 0, "heartbeat": heartbeat}

    def play(socket: WebSocketRoute) -> None:
        def hear(message: str | bytes) -> None:
            messages.append(json.loads(message)["type"])
            if messages[-1] == "join":
                socket.send(json.dumps(joined))
                return
            for text in says:
                socket.send(text)
            if closes:
                socket.close(code=4400, reason="malformed")

        socket.on_message(hear)

    where.route_web_socket("**", play)
    return messages
