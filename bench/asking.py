"""What is common to `check` and `verify`: the same question, again and again, and who is asked.

One connection with one request after the other; and 64, each with the next request as soon as
its last one is answered. Beside the hub, in the same run and by the same generator:

- the hub's answer to ``GET /healthz``, which takes its way through h11 and knows nothing;
- nginx, which returns a 204 to whatever it is asked;
- Starlette on Uvicorn, with httptools and uvloop, which verifies a cookie signed by itsdangerous.

Each request comes with the head that a proxy makes of a browser's, and no two have the same one.
The hub knows more than its peers: whether the session still stands.
"""

import http.client
import json
import shutil
from pathlib import Path

import attrs
import itsdangerous

from .figures import Reading, Sample, histogram, milliseconds, percentile
from .load import BUSY, KEY, PLAIN, Dialect, Void
from .scale import Scale
from .servers import INSTALLED, Contender, Server, hub

UVICORN = "Starlette, Uvicorn"
BARE = "sse_trio, GET /healthz"

CALLERS = (1, 64)

ROOM, SESSION = "alice", "a-session-of-alice"

FORWARDED = (
    "Host: sessions.internal$L"
    "X-Real-IP: 192.0.2.7$LX-Forwarded-For: 192.0.2.7$LX-Forwarded-Proto: https$L"
    "X-Forwarded-Host: app.example.com$LX-Forwarded-Method: GET$LX-Forwarded-Uri: /orders?id=$N$L"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0$L"
    "Accept: application/json$LAccept-Language: en$LAccept-Encoding: gzip, deflate, br$L"
)
"""What a proxy sends on; ``$N`` is another number each time."""


def forwarded(path: str, cookie: str) -> str:
    """Return the request of a proxy that asks whether its own may pass."""
    return f"GET {path} HTTP/1.1$L{FORWARDED}Cookie: theme=dark; {cookie}$L$L"


def log_in(server: Server) -> str:
    """Log somebody in to the hub; return the token."""
    body = json.dumps({"room": ROOM, "sender": SESSION, "key": KEY})
    connection = http.client.HTTPConnection("127.0.0.1", server.http_port)
    connection.request("POST", "/notify", body, {"Content-Type": "application/json"})
    token: str = json.load(connection.getresponse())["token"]
    connection.close()
    return token


def _contenders() -> tuple[Contender, ...]:
    signed = itsdangerous.TimestampSigner(KEY).sign(f"{ROOM}:{SESSION}").decode()
    return (
        hub(),
        attrs.evolve(
            hub(BARE),
            dialect=_asked(forwarded("/healthz", "id=0"), verdict="alive"),
        ),
        Contender(
            "nginx, 204",
            _nginx,
            _asked(forwarded("/verify", "id=0"), status=204),
            limit=True,
            probe=(_NGINX, "-v"),
        ),
        Contender(
            UVICORN,
            _uvicorn,
            _asked(forwarded("/verify", f"session={signed}"), status=204),
            probe=(_PYTHON, "-c", "import starlette, uvicorn, httptools, uvloop, itsdangerous"),
        ),
    )


def _asked(question: str, *, status: int = 200, verdict: str = "") -> Dialect:
    return attrs.evolve(PLAIN, question=question, status=f"HTTP/1.1 {status} ", verdict=verdict)


_PYTHON = str(INSTALLED / "venv" / "bin" / "python")

# Debian has it where only root looks.
_NGINX = shutil.which("nginx") or "/usr/sbin/nginx"

_CONFIGURATION = """
daemon off;
master_process off;
pid {directory}/nginx.pid;
error_log stderr;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  client_body_temp_path {directory};
  proxy_temp_path {directory};
  fastcgi_temp_path {directory};
  uwsgi_temp_path {directory};
  scgi_temp_path {directory};
  server {{ listen 127.0.0.1:{port} backlog=4096; return 204; }}
}}
"""
"""One process, and so one worker."""


def _nginx(port: int, _: int, directory: Path, __: float) -> list[str]:
    configuration = directory / "nginx.conf"
    configuration.write_text(_CONFIGURATION.format(directory=directory, port=port))
    return [_NGINX, "-e", "stderr", "-c", str(configuration)]


def _uvicorn(port: int, _: int, __: Path, ___: float) -> list[str]:
    return [_PYTHON, "-m", f"{__package__}.peers.with_starlette", str(port), "0", "0"]


CONTENDERS = _contenders()
"""Who is asked: the hub, whose question needs a token, and those that say what to ask them."""


def ask(server: Server, scale: Scale) -> Sample:
    """Ask the question that the load generator has been told."""
    sample = Sample()
    for callers in CALLERS:
        server.load.do("ask", callers=callers, count=scale.questions // 4 + 1)
        with server.job():
            found = server.load.do("ask", callers=callers, count=scale.questions)
        if found["busy"] > BUSY and not server.contender.limit:
            raise Void("the load generator was busy all the time")
        connections = "one connection" if callers == 1 else f"{callers} connections"
        took = found["answer"]
        sample.spectra[connections] = histogram(took)
        rate = len(took) / found["seconds"]
        sample.readings += [
            Reading(connections, rate, "requests/s", lower_is_better=False),
            Reading(f"{connections}, p50", milliseconds(percentile(took, 50)), "ms"),
            Reading(f"{connections}, p99", milliseconds(percentile(took, 99)), "ms"),
        ]
    return sample
