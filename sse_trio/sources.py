"""Where the values of a configuration come from: a file, the environment, arguments.

Each overrides the ones before it, key by key. An error names the place of the value, and quotes
no value, which may be a key.
"""

import codecs
import difflib
import os
import re
import stat
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import attrs

from . import strict_json
from .errors import ConfigError
from .fields import kind_of, read_text

PREFIX: Final = "SSE_TRIO_"
KEY_FILE: Final = f"{PREFIX}AUTHKEY_FILE"
"""Names a file with the authkeys, one a line."""
TICKET: Final = f"{PREFIX}TICKET"
"""For `sse-trio watch`, and no part of a configuration."""
_OF_CLIENTS: Final = {TICKET, f"{PREFIX}URL", f"{PREFIX}KEY", f"{PREFIX}PUBLIC_URL"}
"""For clients of a server: an application may run in the same environment."""

FILE: Final = "file"
ENVIRONMENT: Final = "environment"
ARGUMENT: Final = "argument"
DEFAULT: Final = "default"

_WORDS: Final = re.compile(r"[A-Za-z_-]+")

# Kubernetes describes each Service of the namespace in the environment of every container, by the
# Service's name: one that is called `sse-trio`, or `sse-trio-...`, sets all of these. So did
# Docker's links. Only SSE_TRIO_PORT looks like a key of this configuration, and its value is a URL
# then.
_SERVICE_URL: Final = re.compile(r"(?:tcp|udp|sctp)://", re.IGNORECASE)
_SERVICE: Final = re.compile(
    r"(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)"
)


Danger = tuple[str, tuple[object, ...]]
"""A warning about what is allowed but dangerous: a message and its arguments, for `logging`."""


@attrs.frozen
class Value:
    """A value, and where it comes from."""

    value: Any = attrs.field(repr=False)
    place: str
    """A file's path, a variable's name, an option's name, or `DEFAULT`."""
    source: str
    """`FILE`, `ENVIRONMENT`, `ARGUMENT` or `DEFAULT`."""


@attrs.frozen
class Found:
    """The values that were found, by key."""

    values: dict[str, Value]
    dangers: tuple[Danger, ...] = ()


def gather(
    keys: Sequence["attrs.Attribute[Any]"],
    path: str | Path | None,
    environ: Mapping[str, str],
    arguments: Mapping[str, Any],
    defaults: Mapping[str, Any],
) -> Found:
    """Collect the values of these fields, unchecked.

    Raises:
        ConfigError: a place cannot be read, or has an unknown key.
    """
    values = {key: Value(value, DEFAULT, DEFAULT) for key, value in defaults.items()}
    names = [key.name for key in keys]
    keyed, mode = _read_file(path, names) if path is not None else ({}, 0)
    values |= {key: Value(value, str(path), FILE) for key, value in keyed.items()}
    modes = {str(path): mode}
    for name, text in _our_variables(environ):
        if name == KEY_FILE:
            if environ.get(f"{PREFIX}AUTHKEY"):
                raise ConfigError(f"{PREFIX}AUTHKEY and {KEY_FILE} exclude one another")
            authkeys, modes[text] = _read_keys(text)
            values["authkey"] = Value(authkeys, text, ENVIRONMENT)
        else:
            key = _field_of(name, keys)
            values[key.name] = Value(_read_variable(name, key, text), name, ENVIRONMENT)
    for argument, value in arguments.items():
        values[argument] = Value(value, f"--{argument.replace('_', '-')}", ARGUMENT)
    return Found(values, tuple(_dangers(values.get("authkey"), modes)))


def _dangers(authkey: Value | None, modes: Mapping[str, int]) -> Iterable[Danger]:
    if authkey is None or not authkey.value:
        return
    mode = modes.get(authkey.place, 0)
    if mode & (stat.S_IROTH | stat.S_IWOTH):
        shown = f"{stat.S_IMODE(mode):04o}"
        yield "%s holds the authkey, and is open to all users (mode %s)", (authkey.place, shown)


# -- the file ---------------------------------------------------------------------------


def _read(path: str | Path) -> tuple[bytes, int]:
    """Return a file's content and its mode."""
    with Path(path).open("rb") as file:
        # Some editors write a byte order mark; it may be ignored (RFC 8259, section 8.1).
        text = file.read().removeprefix(codecs.BOM_UTF8)
        return text, os.fstat(file.fileno()).st_mode


def _read_file(path: str | Path, names: Sequence[str]) -> tuple[dict[str, Any], int]:
    try:
        text, mode = _read(path)
        values = strict_json.loads_untrusted(text, max_values=None)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: must be a JSON object, not {kind_of(values)}")
    for place, key in enumerate(values, 1):
        if key not in names:
            raise ConfigError(f"{path}: {_unknown(key, place, names)}")
    return values, mode


def _unknown(key: str, place: int, names: Sequence[str]) -> str:
    """Return which key is unknown. Quote it only if it looks mistyped: it may be a secret."""
    near = _nearest(key, names)
    shown = repr(key) if near and _WORDS.fullmatch(key) else f"(member {place} of the object)"
    return f"unknown key {shown}" + (f"; did you mean {near!r}?" if near else "")


def _nearest(key: str, names: Sequence[str]) -> str | None:
    return next(iter(difflib.get_close_matches(key.lower(), names, n=1)), None)


def _read_keys(path: str) -> tuple[list[str], int]:
    """Read a file that has one authkey on each line."""
    try:
        text, mode = _read(path)
    except (OSError, ValueError) as error:
        # The path is not quoted: it may be a key that was put into the wrong variable.
        why = getattr(error, "strerror", None) or "it is not the path of a file"
        raise ConfigError(f"{KEY_FILE}: {why}") from None
    try:
        lines = text.decode().split("\n")
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: must be UTF-8") from None
    keys = [line for line in (line.removesuffix("\r") for line in lines) if line.strip()]
    if not keys:
        raise ConfigError(f"{path}: has no key")
    return keys, mode


# -- the environment --------------------------------------------------------------------


def _our_variables(environ: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    """Yield the variables that are for the configuration. An empty one counts as not set."""
    for name, text in sorted(environ.items()):
        rest = name.removeprefix(PREFIX)
        of_a_service = _SERVICE.fullmatch(rest) or (
            rest.endswith("PORT") and _SERVICE_URL.match(text)
        )
        if rest != name and text and name not in _OF_CLIENTS and not of_a_service:
            yield name, text


def _field_of(name: str, keys: Sequence["attrs.Attribute[Any]"]) -> "attrs.Attribute[Any]":
    """Return the field that a variable sets."""
    rest = name.removeprefix(PREFIX)
    for key in keys:
        if key.name.upper() == rest:
            return key
    near = _nearest(rest, [*(key.name for key in keys), "authkey_file"])
    hint = f"; did you mean {PREFIX}{near.upper()}?" if near else ""
    raise ConfigError(f"the environment has an unknown {name}{hint}")


def _read_variable(name: str, key: "attrs.Attribute[Any]", text: str) -> Any:
    if strict_json.has_lone_surrogates(text):  # bytes that are not UTF-8 become these (PEP 383)
        raise ConfigError(f"{name}: {key.name} must be UTF-8")
    try:
        return read_text(key, text)
    except ValueError as error:
        raise ConfigError(f"{name}: {error}") from None
