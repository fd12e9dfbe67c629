"""The keys that sign logins: several at a time, so that they can change while people work.

The newest key signs. The others verify the cookies that they have signed; without them, users with
such a cookie must log in again.
"""

import secrets
from collections.abc import Mapping
from functools import cached_property

import attrs

from ..ledger.checks import KEY_BYTES

# A key verifies nothing any more when so many newer ones have replaced it.
MAX_KEYS = 16


@attrs.frozen
class Key:
    """A secret of 32 bytes, by its `kid`; `created` is Unix seconds."""

    kid: str
    secret: bytes = attrs.field(repr=False)
    created: float

    @classmethod
    def new(cls, created: float) -> "Key":
        """Make a new one."""
        return cls(secrets.token_hex(8), secrets.token_bytes(KEY_BYTES), created)


@attrs.frozen(slots=False)
class Keys:
    """The newest first; never empty."""

    keys: tuple[Key, ...] = attrs.field()
    coming: tuple[Key, ...] = ()
    """Newer ones, which verify already, and do not sign yet: other nodes may not have them."""

    @keys.validator
    def _check(self, _: object, keys: tuple[Key, ...]) -> None:
        if not keys:
            raise ValueError("there must be a key")

    @property
    def signing(self) -> Key:
        """The key that signs."""
        return self.keys[0]

    @property
    def newest(self) -> Key:
        """The key that signs last of all."""
        return (*self.coming, *self.keys)[0]

    @cached_property
    def verifying(self) -> Mapping[str, bytes]:
        """The secrets of all keys, by `kid`."""
        return {key.kid: key.secret for key in (*self.coming, *self.keys)}

    def rotated(self, key: Key) -> "Keys":
        """Return these keys with a new one that signs from now on.

        They are in order by `created`, even if the clock was set: a key that claims to be newer
        than the new one becomes older.
        """
        keys = [key]
        for each in self.keys[: MAX_KEYS - 1]:
            created = min(each.created, keys[-1].created - 0.001)
            keys.append(attrs.evolve(each, created=created))
        return Keys(tuple(keys))
