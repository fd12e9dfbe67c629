"""Values that nothing changes once they are made: the type checker enforces it.

attrs can enforce it at run time too. Then each attribute is set by a call of its own, and a notify,
which makes a dozen values, takes a tenth longer. So only values that embedders get are
`attrs.frozen`.
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
