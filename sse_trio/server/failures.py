"""Mistakes of ours that a client has found: they end what was asked for, and nothing else."""

import logging
import traceback
from collections.abc import Awaitable, Callable

logger = logging.getLogger("sse_trio")


async def contain(work: Callable[..., Awaitable[object]], *args: object) -> None:
    """Do what is one connection's, and see to it that what fails there ends nobody else's."""
    try:
        await work(*args)
    except Exception as error:  # noqa: BLE001
        log_failure("a connection failed", error)


def log_failure(what: str, error: Exception) -> None:
    """Log a mistake of ours that a client has found."""
    # The message of an exception may quote what the client sent; where it came from may not.
    where = "".join(traceback.format_tb(error.__traceback__))
    logger.error("%s: %s\n%s", what, type(error).__name__, where)
