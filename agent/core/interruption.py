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
        self.is_pressed = False
        """Whether the running turn has been stopped."""
        self._waits: set[asyncio.Future[None]] = set()
        """What ends the waits that go on now."""

    def press(self) -> None:
        """Stop the running turn as soon as possible."""
        self.is_pressed = True
        for stop in self._waits:
            if not stop.done():
                stop.set_result(None)

    def clear(self) -> None:
        """Forget an earlier stop: a new turn or an approval begins."""
        self.is_pressed = False

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
        stop: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.is_pressed:
            stop.set_result(None)
        self._waits.add(stop)
        try:
            while waiting and not stop.done():
                done, _ = await asyncio.wait({stop, *waiting}, return_when=asyncio.FIRST_COMPLETED)
                waiting -= done
            return not waiting
        finally:
            self._waits.discard(stop)
            await end_tasks(waiting)


async def end_tasks(tasks: set[asyncio.Future[Any]], patience_s: float = PATIENCE_S) -> None:
    """Cancel `tasks` and wait for them, but not forever: some libraries swallow a cancellation."""
    for task in tasks:
        task.cancel()
    if tasks:
        _, stuck = await asyncio.wait(tasks, timeout=patience_s)
        for task in stuck:
            logger.warning("%r did not end when cancelled", task)
