"""The keys in use: made, rotated, replaced, and kept in the store that authorities share.

A new key signs only once it is durable, or a crash would end the logins that it has signed.
"""

import abc
import logging
from collections.abc import Callable
from typing import Generic, TypeVar

import attrs
import trio

from ..errors import LedgerError
from .keys import Key, Keys
from .sessions import AnySessions, Sessions

# Seconds that new keys may take to be durable.
KEYS_SECONDS = 5.0

logger = logging.getLogger("sse_trio")


S = TypeVar("S", bound=AnySessions)


@attrs.frozen(eq=False)
class Keyring(abc.ABC, Generic[S]):
    """The keys of one store; `wall` is Unix time in seconds."""

    store: S
    wall: Callable[[], float]

    @property
    def is_current(self) -> bool:
        """Whether the known keys are new enough to judge requests."""
        return True

    async def update(self) -> None:
        """See that it is."""

    async def look_again(self) -> bool:
        """Whether there may be more keys than were known until now."""
        return False

    @property
    def keys(self) -> Keys:
        """Those in use."""
        assert self.store.keys is not None
        return self.store.keys

    @abc.abstractmethod
    async def load(self) -> None:
        """Use the stored keys, or make the first one.

        Raises:
            LedgerError: the store cannot be read, or not be written.
        """

    @abc.abstractmethod
    async def rotate(self) -> None:
        """Make a new key, which signs soon; cookies signed by the others stay valid.

        Raises:
            LedgerError: the key could not be made durable, as far as is known.
        """

    @abc.abstractmethod
    async def replace(self) -> None:
        """Use a new key, and no other: cookies signed by the old keys are invalid.

        Raises:
            LedgerError: the key could not be made durable, as far as is known.
        """

    async def rotate_if_due(self, interval: float) -> None:
        """Rotate if the newest key is `interval` seconds old; the next call retries a failure.

        A key from so far in the future was made when the clock was wrong, and is replaced too.
        """
        if abs(self.wall() - self.keys.newest.created) < interval:
            return
        try:
            await self.rotate()
        except LedgerError as error:
            logger.error("the keys of logins could not be rotated: %s", error)  # noqa: TRY400
        else:
            logger.info("the keys of logins have been rotated")

    def new_key(self) -> Key:
        """Make a new key, which is not in use yet."""
        return Key.new(self.wall())


class OwnKeyring(Keyring[Sessions]):
    """The keys of a store that one process writes."""

    async def load(self) -> None:
        """Use the stored keys, or make the first one."""
        if self.store.keys is None:
            stored = await self.store.load_keys()
            # Another authority may have made one meanwhile.
            if self.store.keys is None and stored is not None:
                self.store.keys = stored
            elif self.store.keys is None:
                await self.replace()

    async def rotate(self) -> None:
        """Sign with a new key from now on; cookies signed by the others stay valid.

        Raises:
            LedgerError: the key could not be made durable, and so does not sign.
        """
        while True:
            before = self.keys
            after = before.rotated(self.new_key())
            await self._keep(after)
            # If the keys have changed meanwhile, the new ones lack this key: try again.
            if self.store.keys is before:
                self.store.keys = after
                return

    async def replace(self) -> None:
        """Use a new key at once, and no other: cookies signed by the old keys are invalid.

        Raises:
            LedgerError: the key could not be made durable, but is in use.
        """
        self.store.keys = Keys((self.new_key(),))
        await self._keep(self.store.keys)

    async def _keep(self, keys: Keys) -> None:
        commit = self.store.store_keys(keys)
        try:
            with trio.fail_after(KEYS_SECONDS):
                await commit.durable()
        except trio.TooSlowError:
            raise LedgerError("the ledger takes too long") from None
