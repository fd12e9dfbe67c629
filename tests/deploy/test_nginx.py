"""nginx.conf as it stands there, with TLS, in front of a real hub and an application."""

import re
import ssl
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import pytest
import trio

import sse_trio
from sse_trio.client import member_over
from sse_trio.config import Config
from sse_trio.core.messages import Join, Joined, Terminate

from ..proxies import DEADLINE, Application, ask, free_port, hear, join_by_post, running
from ..support import Response, Start
from ..test_client import CERTIFICATE
from .files import PACK, program

CONFIG = PACK / "nginx.conf"


@attrs.frozen
class Front:
    """nginx, in front of a hub and an application."""

    hub: sse_trio.Hub
    plain: int
    tls: int

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[trio.abc.Stream]:
        context = ssl.create_default_context(cafile=CERTIFICATE)
        plain = await trio.open_tcp_stream("127.0.0.1", self.tls)
        async with trio.SSLStream(
            plain, context, server_hostname="127.0.0.1", https_compatible=True
        ) as stream:
            yield stream

    async def get(self, path: str) -> str:
        """Return the status line and the rest of a response, as text."""
        request = f"GET {path} HTTP/1.1\r\nHost: localhost:8443\r\nConnection: close\r\n\r\n"
        received = b""
        async with self.connect() as stream:
            await stream.send_all(request.encode())
            async for data in stream:
                received += data
        return received.decode()


@pytest.fixture
def where() -> Iterator[Path]:
    """A directory that nginx's own user can read, unlike those of pytest."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
async def front(start: Start, nursery: trio.Nursery, where: Path) -> AsyncIterator[Front]:
    hub = await start(trusted_proxies=["127.0.0.1"])
    application = Application()
    await nursery.start(application.serve)
    front = Front(hub, free_port(), free_port())
    replaced = {
        "hub:8080": f"127.0.0.1:{hub.port}",
        "application:5000": f"127.0.0.1:{application.port}",
        "listen 80;": f"listen 127.0.0.1:{front.plain};",
        "listen 443 ssl;": f"listen 127.0.0.1:{front.tls} ssl;",
        "user nginx;": "daemon off; master_process off;",
        "worker_processes auto;": "",
        "worker_rlimit_nofile 65536;": "",
        "worker_connections 32768;": "worker_connections 64;",
        "/dev/stderr": "stderr",
        "/run/nginx.pid": f"{where}/pid",
        "/etc/nginx/tls/cert.pem": str(CERTIFICATE),
        "/etc/nginx/tls/key.pem": str(CERTIFICATE),
        "http {": "http {"
        + "".join(
            f"{kind}_temp_path {where}/{kind};"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        ),
    }
    text = CONFIG.read_text()
    for theirs, ours in replaced.items():
        assert theirs in text, theirs
        text = text.replace(theirs, ours)
    (where / "nginx.conf").write_text(text)
    command = [program("nginx"), "-p", str(where), "-e", "stderr", "-c", f"{where}/nginx.conf"]
    async with running(command, front.tls, where):
        yield front


async def test_browsers_come_through(front: Front) -> None:
    redirect: Response = await ask(front.plain, target="/a?b=c")
    assert redirect.status == 308
    assert redirect.headers["location"] == "https://test/a?b=c"

    assert "class SessionGuard" in await front.get("/client.js")
    for path in ("/notify", "/metrics", "/readyz", "/verify"):
        told = await front.get(path)  # it is the application that answers
        assert f'"target": "{path}"' in told
        assert '["x-forwarded-proto", "https"]' in told
        assert '["host", "localhost:8443"]' in told

    join = Join("u1", "s1", None)
    with trio.fail_after(DEADLINE):
        async with (
            front.connect() as stream,
            member_over(stream, "localhost:8443", "/ws", join) as member,
        ):
            assert isinstance(await anext(member), Joined)
            await front.hub.notify("u1", sender="s2")
            assert isinstance(await anext(member), Terminate)
        async with front.connect() as stream:
            await stream.send_all(join_by_post("localhost:8443", {"room": "u1", "session": "s3"}))
            await hear(stream, '"joined"')
            await front.hub.notify("u1", sender="s4")
            await hear(stream, '"terminate"')


def test_the_hub_ends_a_dead_connection_before_nginx_does() -> None:
    timeouts = re.findall(r"proxy_(?:read|send)_timeout (\d+)s", CONFIG.read_text())
    assert len(timeouts) == 3
    assert all(int(timeout) > Config().heartbeat_timeout for timeout in timeouts)


def test_nginx_may_open_as_many_files_as_it_may_have_connections() -> None:
    text = CONFIG.read_text()
    (files,) = map(int, re.findall(r"worker_rlimit_nofile (\d+)", text))
    (connections,) = map(int, re.findall(r"worker_connections (\d+)", text))
    assert files > connections
