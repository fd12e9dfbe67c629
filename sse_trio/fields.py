"""Fields of a configuration: each checks its value, and carries what the documents say of it.

What is wrong is a `ConfigError` that names the field. It quotes no value, which may be a key,
but numbers.
"""

from typing import Any

import attrs

from .errors import ConfigError


def number(
    default: float | None,
    about: str,
    *,
    low: float,
    high: float,
    unit: str = "s",
    whole: bool = False,
    optional: bool = False,
) -> Any:
    """Declare a number from `low` to `high`; with `optional`, or null."""

    def check(_: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
        if value is None and optional:
            return
        kind = ("a whole number" if whole else "a number") + (" or null" if optional else "")
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
            raise ConfigError(f"{attribute.name} must be {kind}, not {kind_of(value)}")
        if not low <= value <= high:
            of = f" {unit}" if unit else ""
            raise ConfigError(f"{attribute.name} must be from {low:g} to {high:g}{of}, not {value}")

    return attrs.field(default=default, validator=check, metadata={"unit": unit, "about": about})


def count(default: int, about: str, *, low: int = 1, high: int = 10**9, unit: str = "") -> Any:
    """Declare a whole number."""
    return number(default, about, low=low, high=high, unit=unit, whole=True)


def choice(*choices: str, about: str) -> Any:
    """Declare a key that is one of `choices`; the first is the default."""

    def check(_: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
        if value not in choices:
            quoted = " or ".join(f'"{choice}"' for choice in choices)
            raise ConfigError(f"{attribute.name} must be {quoted}")

    return attrs.field(default=choices[0], validator=check, metadata={"about": about})


def flag(about: str, *, default: bool) -> Any:
    """Declare something that is true or false."""

    def check(_: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
        if not isinstance(value, bool):
            raise ConfigError(f"{attribute.name} must be true or false, not {kind_of(value)}")

    return attrs.field(default=default, validator=check, metadata={"about": about})


def kind_of(value: object) -> str:
    """Say what `value` is, in JSON's words; never the value itself, which may be a key."""
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a string"}
    names |= {list: "a list", tuple: "a list", dict: "an object", type(None): "null"}
    return names.get(type(value), type(value).__name__)
