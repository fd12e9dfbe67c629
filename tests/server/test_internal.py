"""A second listener for application servers and operators: what is there, and its file."""

import errno
import json
import re
import socket
import stat
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

import sse_trio
from sse_trio.core.keyed import READERS
from sse_trio.fields import Tcp, Unix

from ..support import KEY, Response, Start, request, request_on

MEMBERS = {"room": "u1", "session": "s1", "sender": "s1", "key": KEY}
PRIVATE = ["/metrics", "/readyz", "/openapi.json"]
SHARED = ["/", "/healthz", "/client.js"]

kinds = pytest.mark.parametrize("kind", ["tcp", "unix"])


def address(kind: str, folder: Path) -> str:
    return "127.0.0.1:0" if kind == "tcp" else f"unix:{folder}/s"


async def ask(hub: sse_trio.Hub, method: str, path: str, **more: Any) -> Response:
    """Ask on the internal listener."""
    match hub.internal:
        case Unix(where):
            stream = await trio.open_unix_socket(where)
        case Tcp(host, port):
            stream = await trio.open_tcp_stream(host, port)
        case None:
            raise AssertionError("there is none")
    async with stream:
        return await request_on(stream, method, path, **more)


def posted(**members: Any) -> dict[str, Any]:
    body = json.dumps(MEMBERS | members).encode()
    return {"body": body, "headers": {"Content-Type": "application/json"}}


@kinds
async def test_what_is_not_for_browsers_is_there_alone(
    start: Start, tmp_path: Path, kind: str
) -> None:
    hub = await start(internal=address(kind, tmp_path))
    for path in READERS:
        for _ in range(2):  # the second time, its head is known by its bytes
            assert (await request(hub, "POST", path, **posted())).status == 404
            assert (await ask(hub, "POST", path, **posted())).status == 200
    for path in PRIVATE:
        assert (await request(hub, "GET", path)).status == 404
        assert (await ask(hub, "GET", path)).status == 200
    for path in SHARED:
        assert (await request(hub, "GET", path)).status == 200
        assert (await ask(hub, "GET", path)).status == 200


@kinds
async def test_proxies_ask_on_both(start: Start, tmp_path: Path, kind: str) -> None:
    hub = await start(internal=address(kind, tmp_path))
    token = (await hub.notify("u1", sender="s1")).token
    cookie = {"Cookie": f"__Host-sse_trio={token}"}
    for at in (request, ask):
        assert (await at(hub, "GET", "/verify/a", headers=cookie)).status == 200
        assert (await at(hub, "GET", "/verify")).status == 401


async def test_the_hub_says_where_it_is(start: Start, tmp_path: Path) -> None:
    assert (await start()).internal is None
    assert (await start(internal=f"unix:{tmp_path}/s")).internal == Unix(f"{tmp_path}/s")
    internal = (await start(internal="127.0.0.1:0")).internal
    assert isinstance(internal, Tcp)
    assert internal.port > 0


def serving(folder: Path) -> Callable[..., Awaitable[None]]:
    config = sse_trio.Config(port=0, authkey=KEY, internal=f"unix:{folder}/s")
    return partial(sse_trio.serve, config, ledger=sse_trio.MemoryLedger())


async def serve(folder: Path, *, check: Callable[[], None] | None = None) -> None:
    """Serve until `check` has been made."""
    async with trio.open_nursery() as nursery:
        hub: sse_trio.Hub = await nursery.start(serving(folder))
        assert (await ask(hub, "GET", "/readyz")).status == 200
        if check:
            check()
        hub.drain()


async def test_its_owner_and_group_may_use_the_socket_and_it_goes_with_the_server(
    tmp_path: Path,
) -> None:
    path = tmp_path / "s"

    def check() -> None:
        mode = path.stat().st_mode
        assert stat.S_ISSOCK(mode)
        assert stat.S_IMODE(mode) == 0o660

    await serve(tmp_path, check=check)
    assert not path.exists()


async def test_a_socket_that_a_crash_has_left_is_removed(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(f"{tmp_path}/s")
    assert (tmp_path / "s").exists()
    await serve(tmp_path)


async def test_a_socket_of_a_server_that_lives_is_let_be(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as other, socket.socket(socket.AF_UNIX) as client:
        other.bind(f"{tmp_path}/s")
        other.listen(1)
        for _ in range(4):  # its backlog is full in the end
            with pytest.raises(OSError, match=r"cannot listen on unix:.*: Address already in use"):
                await serving(tmp_path)()
        other.accept()[0].close()
        client.connect(f"{tmp_path}/s")


async def test_a_file_that_is_no_socket_is_let_be(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("mine")
    with pytest.raises(OSError, match=r"cannot listen on unix:.*: File exists") as refused:
        await serving(tmp_path)()
    assert refused.value.errno == errno.EEXIST
    assert (tmp_path / "s").read_text() == "mine"


async def test_a_folder_that_is_not_there_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"cannot listen on unix:.*: No such file or directory"):
        await serving(tmp_path / "nowhere")()


async def test_what_has_taken_its_place_stays(tmp_path: Path) -> None:
    def replace() -> None:
        (tmp_path / "s").unlink()
        (tmp_path / "s").write_text("mine")

    await serve(tmp_path, check=replace)
    assert (tmp_path / "s").read_text() == "mine"


async def test_who_comes_by_a_unix_socket_is_one_address(
    start: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What is said in its headers is not asked."""
    internal = f"unix:{tmp_path}/s"
    hub = await start(internal=internal, max_wrong_keys=2, trusted_proxies=["0.0.0.0/0", "::/0"])
    statuses = []
    for number in range(3):
        wrong = posted(key="wrong")
        wrong["headers"]["X-Forwarded-For"] = f"192.0.2.{number}"
        statuses.append((await ask(hub, "POST", "/check", **wrong)).status)
    assert statuses == [401, 401, 429]
    assert len(re.findall("a request from unix had a wrong or no key", caplog.text)) == 2
