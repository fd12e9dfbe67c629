"""What a repr shows can get into a log: no object of ours shows whose room it is, nor a secret."""

import importlib
import re

import attrs
import pytest

from .test_imports import modules

HIDDEN = {
    *("authkey", "secret", "ticket", "token", "cookie", "cookies"),
    # An application may take its session's id for a notify's too.
    *("room", "session", "sessions", "sender", "asked", "detail", "id"),
    *("about", "end", "ended", "standing", "subject"),
}

# Our own words.
OURS = {"Problem.detail"}


def shown(kind: type) -> set[str]:
    """Return what of `HIDDEN` the repr of an attrs class shows, if there is text in it."""
    fields = [f for f in attrs.fields(kind) if f.repr and f.name.lstrip("_") in HIDDEN]
    return {
        f"{kind.__name__}.{f.name}"
        for f in fields
        if re.match(r"<class 'str'|str|dict|Sender|list|tuple|frozenset", str(f.type))
    }


@pytest.mark.parametrize("module", [name for name, _ in modules() if name != "sse_trio.__main__"])
def test_no_repr_shows_what_is_nobody_elses(module: str) -> None:
    found = vars(importlib.import_module(module)).values()
    kinds = [kind for kind in found if isinstance(kind, type) and kind.__module__ == module]
    assert set().union(*(shown(kind) for kind in kinds if attrs.has(kind))) <= OURS


def test_what_a_repr_shows_is_found() -> None:
    @attrs.frozen
    class Wrong:
        epoch: int
        _room: str
        detail: dict[str, str] | None
        rooms: int
        session: str = attrs.field(repr=False)

    assert shown(Wrong) == {"Wrong._room", "Wrong.detail"}
