"""Waiting that a cancellation does not cut short: for what has to come to its end once it is begun."""

from __future__ import annotations

import asyncio
from typing import Any


async def outlast(future: asyncio.Future[Any]) -> bool:
    """Wait until `future` is done, however often this task is cancelled. Returns whether it was: its caller has to
    raise CancelledError then. What came of the future is the caller's to look at."""
    was_cancelled = False
    while not future.done():
        try:
            await asyncio.wait({future})
        except asyncio.CancelledError:
            was_cancelled = True
    return was_cancelled
