"""Which origins' pages may connect to the hub and read its answers (Fetch, section 3.3: CORS)."""

from ..config import Config
from ..origins import normalise

CorsHeaders = tuple[tuple[bytes, bytes], ...]


def may_come_from(origin: bytes | None, config: Config) -> bool:
    """Whether a page with this ``Origin`` may connect.

    Browsers send an ``Origin`` with every WebSocket handshake and every POST. A client that sends
    none is not a page in a browser.
    """
    if origin is None or config.origins is None:
        return True
    try:
        return normalise(origin.decode("ascii")) in config.origins
    except ValueError:
        return False


def readable_by(origin: bytes | None) -> CorsHeaders:
    """Return the headers that let a page of this origin read the answer."""
    if origin is None:
        return ()
    return (b"Access-Control-Allow-Origin", origin), (b"Vary", b"Origin")
