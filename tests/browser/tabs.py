"""Tabs that the browser may hide and freeze.

Playwright keeps all its pages visible, and a visible page does not freeze. So these are opened
beside Playwright, by the DevTools protocol alone.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import attrs
from playwright.sync_api import Browser, CDPSession, Page

from .processes import DEADLINE


@attrs.define(eq=False, slots=False)  # Playwright sets an attribute of its own
class Tab:
    """One page. `pump` is a page of Playwright's, to wait with."""

    target: str
    _session: str
    _browser: CDPSession
    _pump: Page
    _answers: dict[int, dict[str, Any]] = attrs.Factory(dict)
    _ids: Iterator[int] = attrs.Factory(count)

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the DevTools protocol."""
        number = next(self._ids)
        message = json.dumps({"id": number, "method": method, "params": params})
        self._browser.send(
            "Target.sendMessageToTarget", {"sessionId": self._session, "message": message}
        )
        for _ in range(DEADLINE * 100):
            if number in self._answers:
                answer: dict[str, Any] = self._answers.pop(number)["result"]
                return answer
            self._pump.wait_for_timeout(10)
        raise AssertionError(f"{method} was not answered")

    def take(self, event: dict[str, Any]) -> None:
        """Keep the answer that the browser has sent."""
        if event["sessionId"] == self._session:
            message = json.loads(event["message"])
            if "id" in message:
                self._answers[message["id"]] = message

    def evaluate(self, expression: str) -> Any:
        answer = self.send("Runtime.evaluate", expression=expression, returnByValue=True)
        return answer["result"].get("value")

    def wait_for(self, expression: str) -> None:
        """Wait until this is true in the page."""
        for _ in range(DEADLINE * 20):
            if self.evaluate(expression) is True:
                return
            self._pump.wait_for_timeout(50)
        raise AssertionError(f"{expression} did not come true: {self.evaluate('log')}")


@contextmanager
def open_tabs(browser: Browser, pump: Page, *urls: str) -> Iterator[list[Tab]]:
    """Open tabs of one window; the last one is in front, and the others are hidden."""
    session = browser.new_browser_cdp_session()
    context = session.send("Target.createBrowserContext")["browserContextId"]
    tabs = []
    for url in urls:
        target = session.send("Target.createTarget", {"url": url, "browserContextId": context})
        attached = session.send("Target.attachToTarget", {**target, "flatten": False})
        tab = Tab(target["targetId"], attached["sessionId"], session, pump)
        session.on("Target.receivedMessageFromTarget", tab.take)
        tabs.append(tab)
    try:
        yield tabs
    finally:
        session.send("Target.disposeBrowserContext", {"browserContextId": context})
        session.detach()
