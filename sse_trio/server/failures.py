"""Mistakes of ours that a client has found: they end what was asked for, and nothing else."""

from collections.abc import Awaitable, Callable


async def contain(
    failed: Callable[[str, Exception], object],
    work: Callable[..., Awaitable[object]],
    *args: object,
) -> None:
    """Do what is one connection's; what fails there ends nobody else's, and `failed` is told."""
    try:
        await work(*args)
    except Exception as error:  # noqa: BLE001
        failed("a connection failed", error)
