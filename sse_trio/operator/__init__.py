"""The operator's page, which the internal listener serves at ``/``.

There is no build step, and the page uses only the REST API. `docs/operating.md` describes it.
"""

from importlib.resources import files
from typing import Final

_HERE: Final = files(__name__)

PAGE: Final = _HERE.joinpath("operator.html").read_bytes()
SCRIPT: Final = _HERE.joinpath("operator.js").read_bytes()
STYLE: Final = _HERE.joinpath("operator.css").read_bytes()
