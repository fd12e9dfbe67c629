"""The users of the demo, and whether a password is right.

Passwords are hashed by argon2-cffi, in threads, because that takes long on purpose. Only a few are
hashed at a time, so that many attempts do not take all of the memory. The time of an answer does
not show whether the user exists.

A real application adds what a demo does not need: a limit to the attempts on one account and from
one address, a second factor, and stored hashes.
"""

import secrets
from collections.abc import Iterable
from functools import partial

import attrs
import trio
from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from ..auth import User


@attrs.frozen
class Person:
    """A user who can log in. The login page shows the password, because this is a demo."""

    user: User
    password: str = attrs.field(repr=False)
    is_admin: bool = False


PEOPLE = (
    Person(User("ada", "Ada Lovelace"), "analytical engine"),
    Person(User("grace", "Grace Hopper"), "first compiler"),
    Person(User("radia", "Radia Perlman"), "spanning tree", is_admin=True),
)

# OWASP's Password Storage Cheat Sheet: 19 MiB, 2 rounds, one lane.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
_AT_ONCE = 2


@attrs.frozen(eq=False)
class Users:
    """Made by :meth:`of`."""

    people: dict[str, Person]
    """By the user's id."""
    _hashes: dict[str, str] = attrs.field(repr=False)
    _nobodys: str = attrs.field(repr=False)
    _hasher: PasswordHasher
    _limiter: trio.CapacityLimiter = attrs.Factory(partial(trio.CapacityLimiter, _AT_ONCE))

    @classmethod
    async def of(
        cls, people: Iterable[Person] = PEOPLE, hasher: PasswordHasher = _HASHER
    ) -> "Users":
        """Hash the passwords of these people."""
        known = {person.user.id: person for person in people}

        def hash_all() -> dict[str, str]:
            return {name: hasher.hash(person.password) for name, person in known.items()}

        return cls(
            known,
            await trio.to_thread.run_sync(hash_all),
            await trio.to_thread.run_sync(hasher.hash, secrets.token_urlsafe()),
            hasher,
        )

    async def verify(self, id: str, password: str) -> Person | None:
        """Return the user; None if the password is wrong, or if there is no such user."""

        def is_right() -> bool:
            try:
                return self._hasher.verify(self._hashes.get(id, self._nobodys), password)
            except VerifyMismatchError:
                return False

        matches = await trio.to_thread.run_sync(is_right, limiter=self._limiter)
        return self.people.get(id) if matches else None
