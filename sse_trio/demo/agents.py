"""A browser's name for people: "Firefox on Windows", from its `User-Agent`.

For a list that its user reads. Nothing is decided by it, because a client can send any text.
"""

import re

# The first that is found. Each claims to be those below it too.
_BROWSERS = (
    ("Edg(?:e|A|iOS)?/", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("(?:Firefox|FxiOS)/", "Firefox"),
    ("(?:Chrome|CriOS|Chromium)/", "Chrome"),
    ("Safari/", "Safari"),
    ("curl/", "curl"),
)
_SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Mac OS X|Macintosh", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)


def describe(user_agent: str) -> str:
    """Return a few words for a browser."""
    browser = _find(_BROWSERS, user_agent) or "A browser"
    system = _find(_SYSTEMS, user_agent)
    return f"{browser} on {system}" if system else browser


def _find(names: tuple[tuple[str, str], ...], text: str) -> str | None:
    return next((name for pattern, name in names if re.search(pattern, text)), None)
