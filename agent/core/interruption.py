"""Stopping a turn: whatever it is waiting for, the wait ends at once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

from agent.core.endings import TurnCancelled

logger = logging.getLogger(__name__)

T = TypeVar("T")

PATIENCE_S = 0.45
"""How long stopped work may take to end itself (a command's children, a stream) before it is let go."""


class Interruption:
    """The stop button of a session. `press` may be called at any time from the loop's thread."""

    def __init__(self) -> None:
        self._pressed = asyncio.Event()

    def press(self) -> None:
        """Stop the running turn as soon as possible."""
        self._pressed.set()

    def clear(self) -> None:
        """Forget an earlier stop: a new turn or an approval begins."""
        self._pressed.clear()

    @property
    def is_pressed(self) -> bool:
        """Whether the running turn has been stopped."""
        return self._pressed.is_set()

    async def cancellable(self, work: Coroutine[Any, Any, T]) -> T:
        """Await `work`, or end it and raise `TurnCancelled` when the turn is stopped."""
        if self.is_pressed:
            work.close()
            raise TurnCancelled
        task = asyncio.ensure_future(work)
        if not await self.finish_or_cancel([task]):
            raise TurnCancelled
        if task.cancelled():  # by a library, not by us
            raise ConnectionError("connection reset: what was waited for gave up")
        return task.result()

    async def finish_or_cancel(self, tasks: Iterable[asyncio.Future[Any]]) -> bool:
        """Wait until all `tasks` are done, or end those that are not when the turn is stopped. True if all finished."""
        waiting = set(tasks)
        stop = asyncio.ensure_future(self._pressed.wait())
        try:
            while waiting and not stop.done():
                done, _ = await asyncio.wait({stop, *waiting}, return_when=asyncio.FIRST_COMPLETED)
                waiting -= done
            return not waiting
        finally:
            stop.cancel()
            await end_tasks(waiting)


async def end_tasks(tasks: set[asyncio.Future[Any]], patience_s: float = PATIENCE_S) -> None:
    """Cancel `tasks` and wait for them, but not forever: some libraries swallow a cancellation."""
    for task in tasks:
        task.cancel()
    if tasks:
        _, stuck = await asyncio.wait(tasks, timeout=patience_s)
        for task in stuck:
            logger.warning("%r did not end when cancelled", task)
