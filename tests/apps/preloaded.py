"""An application that asks the hub before gunicorn forks its workers."""

import os
from collections.abc import Iterable
from typing import Any

from sse_trio.apps import Client

hub = Client()


def ask() -> str:
    """Ask in the name of this process."""
    return str(hub.check(room="r", session=str(os.getpid())).known)


ask()  # the parent has a connection now, which its children inherit


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Answer with the process, which has asked the hub."""
    ask()
    start_response("200 OK", [("Content-Length", str(len(str(os.getpid()))))])
    return [str(os.getpid()).encode()]
