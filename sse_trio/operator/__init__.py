"""The operator's page: what the internal listener has at ``/``.

There is no build step, and the page uses nothing but the REST API. `docs/operating.md` says what it
is for.
"""

from importlib.resources import files
from typing import Final

_HERE: Final = files(__name__)

PAGE: Final = _HERE.joinpath("operator.html").read_bytes()
SCRIPT: Final = _HERE.joinpath("operator.js").read_bytes()
STYLE: Final = _HERE.joinpath("operator.css").read_bytes()
