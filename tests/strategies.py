"""Hypothesis strategies that the whole suite shares: what the protocol allows, and no more."""

from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

# Few and short, so that drawn sequences of joins and notifies meet in the same rooms.
rooms: SearchStrategy[str] = st.sampled_from(("u1", "u2", "u3"))
sessions: SearchStrategy[str] = st.sampled_from(("s1", "s2", "s3", "s4"))

# Cs are the lone surrogates, Cc the control characters.
texts: SearchStrategy[str] = st.text(st.characters(exclude_categories=["Cs"]))
names: SearchStrategy[str] = st.text(
    st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=256
)
printable: SearchStrategy[str] = st.text(
    st.characters(exclude_categories=["C", "Z"], include_characters=" "), max_size=64
)

epochs: SearchStrategy[int] = st.integers(0, 2**53)

_scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
)

json_values: SearchStrategy[Any] = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
json_objects: SearchStrategy[dict[str, Any]] = st.dictionaries(texts, json_values, max_size=4)

details: SearchStrategy[dict[str, Any]] = st.dictionaries(
    st.text("abcdé", max_size=6), st.none() | st.booleans() | st.integers() | printable, max_size=3
)

KEY_MARK = "~authkey~"
keys: SearchStrategy[str] = st.text(st.characters(exclude_categories=["C", "Z"]), max_size=32).map(
    lambda text: KEY_MARK + text
)
"""Authkeys, marked so that none occurs in a text by chance, or hides there by being escaped."""

notify_bodies: SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"room": names | st.integers(-(10**20), 10**20)},
    optional={
        "sender": names | st.integers() | st.none(),
        "reason": printable,
        "detail": details | st.none(),
        "id": st.none() | printable.filter(bool),
        "wait": st.integers(0, 10) | st.floats(0, 10),
    },
)
"""The members of a right `POST /notify`, but for the key."""

release_bodies: SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"room": names | st.integers(-(10**20), 10**20), "session": names | st.integers()},
    optional={
        "reason": printable,
        "wait": st.integers(0, 10) | st.floats(0, 10),
    },
)
"""The members of a right `POST /release`, but for the key."""
