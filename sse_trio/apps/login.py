"""The login of a request: the part that is the same in every middleware.

The middleware asks the hub about it before it calls the application, and again before an answer
sets a token's cookie. An ended login counts as none. All of this is written as flows of calls, so
that threads and asyncio do the same.
"""

import html
import logging
import os
import time
from collections.abc import Sequence
from typing import Any, Final

import attrs

from ..errors import HubAway
from . import calls, flows
from .address import PUBLIC_URL
from .answers import Checked, Notified
from .base import BaseClient
from .calls import Call, New
from .flows import Flow
from .settings import Settings

# How many answers are remembered.
MAX_REMEMBERED: Final = 10_000

logger = logging.getLogger("sse_trio")


class Markup(str):
    """HTML that is safe as it is, for the templates of Jinja and Django."""

    __slots__ = ()

    def __html__(self) -> str:
        return self


@attrs.frozen
class Who:
    """An active login."""

    room: str = attrs.field(repr=False)
    session: str = attrs.field(repr=False)
    epoch: int
    ticket: str | None = attrs.field(repr=False)


class Shared:
    """What is common to the requests of one middleware."""

    def __init__(self, settings: Settings, client: BaseClient) -> None:
        self.settings = settings
        self.client = client
        hub = settings.hub if settings.hub is not None else os.environ.get(PUBLIC_URL)
        self.hub = (client.public_url if hub is None else hub).rstrip("/")
        self._remembered: dict[str, tuple[float, Checked]] = {}
        self._is_away = False

    def note_away(self, away: HubAway | None) -> None:
        """Log once that the hub is unreachable, or answers again."""
        if away is not None and not self._is_away:
            is_open = self.settings.while_hub_away == "open"
            what = "sessions stay as they were" if is_open else "requests are answered 503"
            logger.warning("the hub is unreachable, and %s: %s", what, away)
        elif away is None and self._is_away:
            logger.warning("the hub answers again")
        self._is_away = away is not None

    def remembered(self, key: str) -> Checked | None:
        """Return a remembered "yes" that is still valid."""
        until, found = self._remembered.get(key, (0.0, None))
        return found if time.monotonic() < until else None

    def remember(self, key: str, found: Checked) -> None:
        """Remember a "yes", if the settings say so."""
        if self.settings.remember:
            if len(self._remembered) >= MAX_REMEMBERED:
                self._remembered.clear()
            self._remembered[key] = time.monotonic() + self.settings.remember, found

    def forget(self, key: str | None) -> None:
        """Ask about this login again."""
        if key is not None:
            self._remembered.pop(key, None)


class RequestLogin:
    """The login of a request; the application can read and change it."""

    def __init__(self, shared: Shared, path: str) -> None:
        self._shared = shared
        self._path = path
        self._key: str | None = None
        """The key under which the hub's answer is remembered."""
        self._who: Who | None = None
        self._ended: Checked | None = None
        self._is_asked = False
        self._is_hub_away = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {'nobody' if self._who is None else 'somebody'}>"

    @property
    def user(self) -> str | None:
        """The room of the login, which is the user; None if there is no active login."""
        self._is_asked = True
        return None if self._who is None else self._who.room

    @property
    def session(self) -> str | None:
        """The session of the login."""
        self._is_asked = True
        return None if self._who is None else self._who.session

    @property
    def ticket(self) -> str | None:
        """The proof with which the pages of the session join."""
        self._is_asked = True
        return None if self._who is None else self._who.ticket

    @property
    def ended(self) -> Checked | None:
        """The hub's `reason` why the browser's login has ended."""
        self._is_asked = True
        return self._ended

    @property
    def is_hub_away(self) -> bool:
        """Whether the hub did not answer. `user` is the one confirmed before, or None."""
        return self._is_hub_away

    def guard(self, **attributes: str | bool) -> Markup:
        """Return the ``<session-guard>`` of a page, with its script; nothing without a login.

        `attributes` are those of docs/browser.md, such as ``logout="/logout"``. `share`, `notice`
        and the `redirect` of the settings are there unless they are False.
        """
        if self.ticket is None:
            return Markup()
        hub, redirect = self._shared.hub, self._shared.settings.redirect
        told: dict[str, str | bool] = {"src": f"{hub}/ws", "ticket": self.ticket}
        told |= {"share": True, "notice": True, "redirect": redirect or False, **attributes}
        words = [
            name.replace("_", "-") + ("" if value is True else f'="{html.escape(str(value))}"')
            for name, value in told.items()
            if value is not False
        ]
        script = f'<script type="module" src="{html.escape(hub)}/client.js"></script>'
        return Markup(f"{script}\n<session-guard {' '.join(words)}></session-guard>")

    # -- what each middleware does in its own way -----------------------------------------

    def _keep(self, notified: Notified) -> None:
        """Have the browser keep the new login."""
        raise NotImplementedError

    def _drop(self) -> None:
        """Have the browser keep no login."""
        raise NotImplementedError

    def _without_hub(self) -> Who | None:
        """Return the user that the hub has confirmed before."""
        raise NotImplementedError

    def _unconfirmed_session(self) -> str | None:
        """Return the session that the browser's login names. Use it only to end that login."""
        who = self._without_hub()
        return None if who is None else who.session

    def _ending(self) -> Flow[None]:
        """End the login in the background, because the hub has not said whose it is."""
        raise NotImplementedError

    # -- flows --------------------------------------------------------------------------

    def _asking(self, key: str, question: Call[Checked]) -> Flow[Checked | None]:
        """Ask whose login it is; return the answer, or None if there is none.

        Raises:
            HubAway: the hub did not answer, and `while_hub_away` is "closed".
        """
        self._key = key
        found = self._shared.remembered(key)
        if found is None:
            try:
                found = yield question
            except HubAway as away:
                self._shared.note_away(away)
                settings = self._shared.settings
                if settings.while_hub_away == "open":
                    self._who = self._without_hub()
                elif self._path not in settings.logout:
                    raise
                self._is_hub_away = True
                return None
            self._shared.note_away(None)
        if not found.active:
            self._ended = found
            return found
        self._shared.remember(key, found)
        assert found.room is not None
        assert found.session is not None
        assert found.epoch is not None
        self._who = Who(found.room, found.session, found.epoch, found.ticket)
        return found

    def logging_in(
        self,
        room: str | int,
        session: str | int | New = New.SESSION,
        *,
        end: Sequence[str | int] = (),
        **more: Any,
    ) -> Flow[Notified]:
        """Log the browser in. The login that it had until now ends too.

        If that login is the same user's, it ends in the step of the notify, so that its place is
        free. If it is another user's, it is in another room, and is released after the notify.
        Values of `end` that are not valid names, or are beyond the sixteen of a notify, are left
        out. For `more` see `calls.notify`.
        """
        before = self._who
        ends = [each for each in end if calls.is_name(each)]
        is_same_user = before is not None and before.room == str(room)
        if before is not None and is_same_user and before.session != str(session):
            ends.insert(0, before.session)
        call = calls.notify(
            room,
            session,
            self._shared.client.notify_timeout,
            0,
            end=list(dict.fromkeys(ends))[: calls.MAX_END] or None,
            **more,
        )
        notified = yield from flows.announcing(call, self._shared.client.timeout)
        assert notified.session is not None
        self._shared.forget(self._key)
        self._who = Who(notified.room, notified.session, notified.epoch, notified.ticket)
        self._ended = None
        self._keep(notified)  # from now on it is undone if there is no answer
        if before is not None and not is_same_user:
            released = yield from self._releasing(before)
            if released is not None:
                notified = attrs.evolve(notified, ended=notified.ended + released.ended)
        return notified

    def logging_out(self, session: str | None = None) -> Flow[Notified | None]:
        """Log the browser out: its login ends, and no other one.

        `session` is what the guard of a page sends. If the browser has logged in again since, its
        login is another one, and nothing is done.
        """
        known = [each.session for each in (self._who, self._ended) if each is not None]
        if self._is_hub_away:
            known.append(self._unconfirmed_session())
        if session is not None and session not in known:
            return None
        before, self._who = self._who, None
        self._shared.forget(self._key)
        self._drop()
        if before is None and self._is_hub_away:
            yield from self._ending()
        return None if before is None else (yield from self._releasing(before))

    def _releasing(self, before: Who) -> Flow[Notified | None]:
        call = calls.release(
            before.room, before.session, self._shared.client.timeout, epoch=before.epoch
        )
        return flows.releasing(call)
