"""Unexpected exceptions that a client causes: each ends that client's task, and nothing else."""

from collections.abc import Awaitable, Callable


async def run_contained(
    failed: Callable[[str, Exception], object],
    work: Callable[..., Awaitable[object]],
    *args: object,
) -> None:
    """Run one connection's work; an exception is passed to `failed`, and ends nothing else."""
    try:
        await work(*args)
    except Exception as error:  # noqa: BLE001
        failed("a connection failed", error)
