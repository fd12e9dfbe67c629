"""``python -m sse_trio``."""

import sys

from .cli import main

sys.exit(main())
