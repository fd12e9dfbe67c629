"""The Autobahn cases, as kosoku ports them, against an echo built of the server's own parts.

Its sections are 1 to 7, 9 and 10; 12 and 13 are about compression, which is never
negotiated here.
"""

import sys
from pathlib import Path

import h11
import pytest
import trio

from sse_trio import Config
from sse_trio.core.handshake import Upgrade
from sse_trio.core.requests import RequestReader
from sse_trio.fields import Tcp
from sse_trio.server.listeners import open_listeners
from sse_trio.server.transport import Transport
from sse_trio.server.websocket import WebSocket, text_frame

from ..hub.fakes import make_timers

LARGEST = 16 * 1024 * 1024

# To echo is to send back whatever came; the product itself sends nothing binary.
_BINARY = 0x82


def binary_frame(payload: bytes) -> bytes:
    """Encode a binary message (RFC 6455, section 5.2)."""
    size = len(payload)
    if size < 126:
        return bytes([_BINARY, size]) + payload
    if size < 65536:
        return bytes([_BINARY, 126]) + size.to_bytes(2, "big") + payload
    return bytes([_BINARY, 127]) + size.to_bytes(8, "big") + payload


async def shake_hands(transport: Transport) -> bytes:
    """Answer the handshake; return what came right behind it."""
    http, reader = h11.Connection(h11.SERVER), RequestReader(Config())
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            http.receive_data(await transport.receive(65536))
            continue
        assert isinstance(event, h11.Request | h11.EndOfMessage), event
        if upgrade := reader.feed(event):
            break
    assert isinstance(upgrade, Upgrade), upgrade
    accepted = h11.InformationalResponse(status_code=101, headers=upgrade.headers)
    await transport.send_all(http.send(accepted))
    return http.trailing_data[0]


async def echo(nursery: trio.Nursery, transport: Transport) -> None:
    data = await shake_hands(transport)
    websocket = WebSocket(
        transport.socket,
        nursery.start_soon,
        limit=2 * LARGEST,
        timeout=60,
        timers=make_timers(),
        max_message=LARGEST,
    )
    while True:
        for message in websocket.receive(data):
            frame = text_frame(message) if isinstance(message, str) else binary_frame(message)
            websocket.send(frame)
        if websocket.has_more:  # it takes a few frames at a time
            data = b""
            continue
        data = await transport.receive(65536)
        if not data:
            break
    websocket.abandon()
    transport.close()


@pytest.mark.parametrize(
    ("sections", "cases"),
    [
        pytest.param(("1", "2", "3", "4", "5", "6", "7", "10"), 247, id="conformance"),
        pytest.param(("9",), 54, id="up to 16 MiB a message"),
    ],
)
async def test_no_autobahn_case_fails(
    nursery: trio.Nursery, tmp_path: Path, sections: tuple[str, ...], cases: int
) -> None:
    (listener,) = await open_listeners(Tcp("127.0.0.1", 0))
    nursery.start_soon(
        listener.listen, lambda accepted: nursery.start_soon(echo, nursery, accepted)
    )
    kosoku = Path(sys.executable).with_name("kosoku")
    address = f"ws://127.0.0.1:{listener.port}/ws"
    include = [word for section in sections for word in ("-i", f"{section}.*")]
    done = await trio.run_process(
        [kosoku, "-p", "4", "-o", tmp_path, *include, address],
        # Its verdict is what it prints: seldom, it crashes after that, in its own end.
        check=False,
        capture_stdout=True,
        capture_stderr=True,
    )
    assert f"\n{cases} cases passed\n" in done.stdout.decode(), done.stderr.decode()
