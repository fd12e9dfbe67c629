"""Values that nothing changes once they are made: the type checker enforces it.

attrs can enforce it at run time too, but then it sets each attribute by a call. That makes a
notify, which creates about twelve such values, a tenth slower. Use this for values that the hub
makes for each request or change and keeps to itself, and `attrs.frozen` elsewhere.
"""

from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from attrs import frozen
else:

    def frozen(cls: type | None = None, *, eq: bool = True, **options: Any) -> Any:
        """Do what `attrs.frozen` does, and leave out the checks at run time."""
        # Without these options, a value that has an `eq` would have no hash, and validators would
        # run when an attribute is set.
        options |= {"eq": eq, "unsafe_hash": eq, "on_setattr": attrs.setters.NO_OP}
        return attrs.define(cls, **options)


__all__ = ["frozen"]
