"""A message to members, and its encodings, each made once and not before a peer asks for it.

So a message goes to any number of members, connected in different ways, and is encoded once
for each way. The hub writes messages, and knows none of the encodings.
"""

from collections.abc import Callable

from ..core.messages import ServerMessage

Encode = Callable[[ServerMessage], bytes]
"""Writes a message as one kind of peer sends it."""


class Letter:
    """A message that is to be sent, to one member or to many."""

    __slots__ = ("_encodings", "message")

    def __init__(self, message: ServerMessage) -> None:
        self.message = message
        self._encodings: dict[Encode, bytes] = {}

    def encoded(self, encode: Encode) -> bytes:
        """Return what `encode` makes of the message; it is asked once."""
        found = self._encodings.get(encode)
        if found is None:
            found = self._encodings[encode] = encode(self.message)
        return found
