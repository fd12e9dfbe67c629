"""JSON as RFC 8259 defines it, for text that comes from outside.

This uses the standard library's decoder, and refuses what that accepts in excess: duplicate names,
NaN and infinities (also those that overflow, ``1e999``), endless integers, lone surrogates and deep
nesting. Every refusal is a ``ValueError`` whose text can be shown to the sender: it never quotes
the document, which may contain a key.
"""

import json
import math
import re
from collections.abc import Iterable
from json.encoder import encode_basestring
from typing import Any, NoReturn

# RFC 8259, section 9 lets a parser set limits. No notify is nested this deep (PHP 512, Go 10,000,
# .NET 64), and re-encoding must never reach Python's own limit.
MAX_DEPTH = 32

# Members and elements in all. Without this limit, 16 KiB of empty objects would take 5 ms in
# one step. No valid request has so many, because a `detail` has at most 1 KiB.
MAX_VALUES = 1000

# What Python converts in any setting of its own limit (sys.int_info), and far beyond what
# other languages' numbers hold.
MAX_DIGITS = 640

# A string need not end. Otherwise the next attempt would begin at its next quote, and the time
# would be quadratic. Character by character, 64 KiB would take 10 ms.
_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)

_BRACKET = re.compile(r"[\[{\]}]")

# Half of a character: Python's strings can hold it, and nothing else can.
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def has_lone_surrogates(text: str) -> bool:
    """Whether `text` cannot be written as UTF-8, nor as JSON (RFC 8259, section 8.2)."""
    return _SURROGATE.search(text) is not None


def loads_untrusted(document: bytes | str, *, max_values: int | None = MAX_VALUES) -> Any:
    """Decode one JSON document, of no more than so many members and elements; None is any number.

    Raises:
        ValueError: it is not JSON, not UTF-8, or one of the things this module refuses.
    """
    try:
        if isinstance(document, bytes):
            document = document.decode("utf-8")
        else:
            document.encode("utf-8")
    except UnicodeError:
        raise ValueError("not UTF-8") from None
    if document.startswith("\ufeff"):
        raise ValueError("not JSON: it begins with a byte order mark")
    if document.count("[") + document.count("{") + document.count(",") > MAX_DEPTH:
        _check_size(_STRING.sub("", document), max_values)
    try:
        value = _DECODER.decode(document)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} at character {error.pos}") from None
    if "\\u" in document:
        try:
            dumps(value).encode("utf-8")
        except UnicodeEncodeError:
            raise ValueError("a lone surrogate is not text") from None
    return value


def dumps(value: object) -> str:
    """Encode `value` compactly; the result is ready for UTF-8."""
    # The encoder does the same for strings. For all else it makes another encoder, and takes three
    # times as long or more.
    if type(value) is str:
        return encode_basestring(value)
    if type(value) is int or (type(value) is float and math.isfinite(value)):
        return repr(value)
    return _ENCODER.encode(value)


def dumps_texts(texts: Iterable[str]) -> str:
    """Encode a list of strings compactly, without the encoder that `dumps` would make for it."""
    return f"[{','.join(map(encode_basestring, texts))}]"


def _check_size(structure: str, max_values: int | None) -> None:
    """Refuse a document with too much nesting or too many values; `structure` has no strings."""
    brackets = structure.count("[") + structure.count("{")
    if max_values is not None and brackets + structure.count(",") > max_values:
        raise ValueError(f"more than {max_values} values")
    if brackets > MAX_DEPTH:
        _check_depth(structure)


def _check_depth(structure: str) -> None:
    depth = 0
    for bracket in _BRACKET.findall(structure):
        depth += 1 if bracket in "[{" else -1
        if depth > MAX_DEPTH:
            raise ValueError(f"nested more than {MAX_DEPTH} deep")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("an object names a member twice")
    return members


def _refuse_constant(_: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError("a number is out of range")
    return number


def _whole(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError("a number is out of range")
    return int(digits)


# Made once: to make one takes as long as to read a notify with it.
_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique,
    parse_constant=_refuse_constant,
    parse_float=_finite,
    parse_int=_whole,
)
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
