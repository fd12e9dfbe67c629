"""Whether a session stands, asked by an application: ``POST /check`` with its key and a token.

What is asked of whom, and how: `asking`.
"""

import json

import attrs

from .asking import CONTENDERS as CONTENDERS
from .asking import ROOM, SESSION, ask, log_in
from .figures import Sample
from .load import KEY, PLAIN
from .scale import Scale
from .servers import Contender, running

ABOUT = "POST /check: requests a second and p99, one connection and 64"


def measure(contender: Contender, scale: Scale) -> Sample:
    """Measure once."""
    with running(contender) as server:
        if not contender.dialect.question:
            body = json.dumps({"token": log_in(server), "key": KEY}, separators=(",", ":"))
            question = (
                "POST /check HTTP/1.1$LHost: sessions.internal$LUser-Agent: app/1.0$L"
                "Accept: application/json$LContent-Type: application/json$L"
                f"Content-Length: {len(body)}$L$L{body}"
            )
            verdict = f'{{"active":true,"room":"{ROOM}","session":"{SESSION}","epoch":1,"exp":'
            server.load.speak(attrs.evolve(PLAIN, question=question, verdict=verdict))
        return ask(server, scale)
