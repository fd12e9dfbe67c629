"""One browser, from the answer to its handshake to the end of its connection.

The task of the connection does no more than wait for bytes and hand them on: what they
mean is decided, and answered, in synchronous steps of `Membership` and `WebSocket`.
"""

import trio

from ..core.messages import CloseCode
from .hub import Hub
from .member import Member, State
from .outbox import Outbox
from .transport import Transport
from .websocket import WebSocket

# One read: a whole message of any page. All its frames are handled in one step, and 16 KiB
# of the smallest took 0.1 s.
READ = 1024


async def converse(
    hub: Hub, nursery: trio.Nursery, transport: Transport, address: str, data: bytes
) -> None:
    """Be a member, or on the way to it, until the connection ends.

    `data` is what the client sent right behind its handshake. What is sent later than at
    once is flushed by a task in `nursery`.
    """
    config, membership = hub.config, hub.membership
    with trio.CancelScope() as scope:
        outbox = Outbox(
            transport.socket,
            nursery,
            limit=config.max_outbox,
            timeout=config.heartbeat_timeout,
            stuck=scope.cancel,
        )
        websocket = WebSocket(outbox, max_message=config.max_message, abort=scope.cancel)
        member = membership.arrive(websocket, address)
        try:
            await _listen(hub, member, websocket, transport.stream, data)
            membership.leave(member, hung_up=True)
            await transport.read_to_the_end(config.linger)
        except trio.BrokenResourceError:
            membership.leave(member, hung_up=True)
        finally:
            membership.leave(member, hung_up=False)
            outbox.abandon()


async def _listen(
    hub: Hub,
    member: Member,
    websocket: WebSocket,
    stream: trio.SocketStream,
    data: bytes,
) -> None:
    """Pass on what the peer says, until nothing more is to be heard from it."""
    membership = hub.membership
    while True:
        membership.hear(member, websocket.receive(data))
        await hub.admit(member)
        if websocket.closed:
            return
        if websocket.closing and member.state is not State.CLOSING:
            # What came was too big, or more than the peer reads the answers to.
            membership.close(member, CloseCode.MALFORMED, "")
        data = bytes(await stream.receive_some(READ))
        if not data:
            return
