"""Django's session store: where the session of each login is, so that both end together."""

import importlib
from typing import Any

from django import conf

from .stores import LIFETIME, place


def is_in_cookie(session: Any) -> bool:
    """Whether sessions have no store: all data of such a session is in its cookie."""
    from django.contrib.sessions.backends import signed_cookies  # once Django is configured

    return isinstance(session, signed_cookies.SessionStore)


def store(key: str | None = None) -> Any:
    """Return the session of a key, or a new one."""
    return importlib.import_module(conf.settings.SESSION_ENGINE).SessionStore(key)


def note(session: str, key: str) -> None:
    """Store that the session of a login is in Django's session of this key."""
    where = place(conf.settings.SECRET_KEY, session)
    store().delete(where)
    pointer = store(where)
    pointer.clear()  # it is new: to read it would give it another key
    pointer["key"] = key
    pointer.set_expiry(LIFETIME)
    pointer.save(must_create=True)


def delete(ended: tuple[str, ...], but: str | None) -> None:
    """Delete the sessions of logins that have ended, except the one of a key."""
    if is_in_cookie(store()):
        return
    for session in ended:
        where = place(conf.settings.SECRET_KEY, session)
        key = store(where).get("key")
        store().delete(where)
        if key is not None and key != but:
            store().delete(key)
