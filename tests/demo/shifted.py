"""A demo whose clock is put forward: by so many seconds, in lines on its standard input."""

import sys
import time
from functools import partial

import trio

from sse_trio.demo.options import Options
from sse_trio.demo.serve import serve


def shifted(_: list[str]) -> None:
    """Run until the input ends."""
    trio.run(_main)


async def _main() -> None:
    ahead = 0.0
    async with trio.open_nursery() as nursery:
        options = Options(port=0, hub_port=0)
        run = partial(serve, options, wall=lambda: time.time() + ahead)
        demo = await nursery.start(run)
        print(f"demo on http://127.0.0.1:{demo.port}", flush=True)  # noqa: T201
        while line := await trio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True):
            ahead += float(line)
            print("moved", flush=True)  # noqa: T201
        demo.drain()
