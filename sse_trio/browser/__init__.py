"""The browser client: `sse-trio.js`, one ES module that any page can include.

It is written to be read, and is served as it stands: there is no build step. Its types
are beside it, in `sse-trio.d.ts`. `docs/browser.md` says how a page uses it.
"""

import base64
import hashlib
from importlib.resources import files
from typing import Final

SOURCE: Final = files(__name__).joinpath("sse-trio.js").read_bytes()

# What a page may demand of it (Subresource Integrity, section 3.1).
INTEGRITY: Final = "sha384-" + base64.b64encode(hashlib.sha384(SOURCE).digest()).decode()
