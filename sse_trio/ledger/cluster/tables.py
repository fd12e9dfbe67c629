"""The rows of `sse_trio.auth`, as one node reads and writes them.

A row of a session is made and removed by swaps of its room (`Swap.sessions`). Here it is read, and
contacts are written. As with rooms, a reading is valid only if it comes from the same engine as the
node's log.
"""

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TypeVar

import trio

from ...errors import LedgerError
from ..sessions import KeyRow, SessionRow, Wanted
from .context import Context
from .engine import EngineError, Identity
from .reader import PATIENCE

T = TypeVar("T")


class Tables:
    """Those of one node. `identity` returns which engine the node's log is of.

    Every method raises `LedgerError`: it could not be done, or what was read does not count.
    """

    def __init__(self, context: Context, identity: Callable[[], Identity]) -> None:
        self.clock = context.clock
        """Monotonic, in seconds; it runs on while the machine sleeps."""
        self.lease = context.settings.lease
        """Seconds."""
        self._engine = context.engine
        self._hint = context.hint
        self._identity = identity

    async def find(self, wanted: Wanted) -> Sequence[SessionRow]:
        """Return the sessions that are asked for, in no order."""
        with _patiently("the sessions cannot be read"):
            return self._checked(*await self._engine.find_sessions(wanted))

    async def issuers(self) -> Collection[tuple[str, str]]:
        """Return the providers and types of application of all sessions."""
        with _patiently("the sessions cannot be read"):
            return await self._engine.issuers()

    async def see(self, contacts: Mapping[str, tuple[float, str]]) -> None:
        """Note when sessions were last seen, in Unix seconds, and by which `kid`; never earlier."""
        with _patiently("contacts cannot be noted"):
            await self._engine.see_sessions(contacts)

    async def keys(self) -> Sequence[KeyRow]:
        """Return the keys, the newest first."""
        with _patiently("the keys cannot be read"):
            return self._checked(*await self._engine.read_keys())

    async def rotate(self, kid: str, secret: bytes, *, newest: str | None, most: int) -> bool:
        """Add a key if the newest is the one of that `kid`; see `Engine.rotate_keys`."""
        with _patiently("it is not known whether a key was written"):
            return await self._engine.rotate_keys(kid, secret, newest=newest, most=most)

    async def replace(self, kid: str, secret: bytes) -> None:
        """Put one key in the place of all others."""
        with _patiently("it is not known whether a key was written"):
            await self._engine.replace_keys(kid, secret)

    def _checked(self, found: T, identity: Identity) -> T:
        if identity != self._identity():
            self._hint.give()
            raise LedgerError("the engine has changed")
        return found


@contextlib.contextmanager
def _patiently(what: str) -> Iterator[None]:
    try:
        with trio.fail_after(PATIENCE):
            yield
    except EngineError as error:
        raise LedgerError(f"{what}: {error}") from None
    except trio.TooSlowError:
        raise LedgerError(f"{what}: the engine takes too long") from None
