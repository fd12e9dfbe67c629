"""What pages cost that have a client of Socket.IO, beside a server of Socket.IO.

Clients are as they are if they are told nothing: a session begins by requests, and goes over to a
WebSocket before the page joins. That is how joins are counted. A fan-out, and the memory of an idle
member, are measured on WebSockets and on requests alone, as in `fanout` and `memory`. On requests,
each member has one open that is answered with its termination.
"""

import attrs

from . import fanout, join, memory
from .figures import Sample
from .load import DEFAULT, POLLING
from .scale import Scale
from .servers import Contender, hub, node_peer, running

ABOUT = "Pages of Socket.IO: joins a second, a fan-out, and an idle member's memory"

IDLE = 3000
"""Members, at the most: a server of Socket.IO takes half a minute to let ten thousand in."""

# The hub has no types in its events. What comes last tells the client not to come back.
_HUBS = attrs.evolve(
    DEFAULT,
    joined=DEFAULT.joined.replace('"type":"joined",', ""),
    terminate=DEFAULT.terminate.replace('"type":"terminate",', ""),
    last="41",
)

CONTENDERS = (
    hub(dialect=_HUBS, socketio=True),
    node_peer("socket.io", "socket.io", "socketio", DEFAULT),
)


def measure(contender: Contender, scale: Scale) -> Sample:
    """Measure once."""
    with running(contender) as server:
        sample = Sample([join.rate(*join.come_in(server, scale))])
    scale = attrs.evolve(scale, fan_outs=scale.pages, idle=min(scale.idle, IDLE))
    by_requests = attrs.evolve(contender.dialect, probe=POLLING.probe)
    for transport, dialect in (("WebSocket", contender.dialect), ("polling", by_requests)):
        whom = attrs.evolve(contender, dialect=dialect)
        for question in (fanout, memory):
            found = question.measure(whom, scale)
            sample.readings += [
                attrs.evolve(reading, name=f"{transport}: {reading.name}")
                for reading in found.readings
            ]
            sample.spectra |= {
                f"{transport}: {name}": spectrum for name, spectrum in found.spectra.items()
            }
    return sample
