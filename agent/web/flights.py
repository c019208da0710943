"""The same question asked twice at once is asked once: who comes later joins who is on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import field
from typing import Any

from agent.light_dataclass import dataclass
from agent.web.errors import WebError
from agent.web.exchange import OnWait, WebAnswer

Start = Callable[[OnWait], Coroutine[Any, Any, WebAnswer]]


@dataclass(slots=True, eq=False)
class _Flight:
    task: asyncio.Task[WebAnswer] | None = None
    askers: int = 0
    listeners: list[OnWait] = field(default_factory=list)

    async def tell(self, text: str) -> None:
        """For all who wait for it now."""
        for listener in tuple(self.listeners):
            await listener(text)


class Flights:
    """What is being asked right now, each question in a task of its own; it ends with its last asker."""

    def __init__(self) -> None:
        self._by_key: dict[Hashable, _Flight] = {}
        self._tasks: set[asyncio.Task[WebAnswer]] = set()

    async def join(self, key: Hashable, start: Start, on_wait: OnWait | None) -> WebAnswer:
        """The answer to the question `key`, which `start` asks if nobody does yet.

        An error reaches all who wait. Who is cancelled leaves the others waiting; after the last one the question is
        given up.
        """
        flight = self._by_key.get(key)
        if flight is None:
            flight = self._by_key[key] = _Flight()
            flight.task = asyncio.create_task(start(flight.tell))
            self._tasks.add(flight.task)
            flight.task.add_done_callback(self._tasks.discard)
            flight.task.add_done_callback(lambda task: task.cancelled() or task.exception())
        assert flight.task is not None
        flight.askers += 1
        if on_wait is not None:
            flight.listeners.append(on_wait)
        try:
            await asyncio.wait([flight.task])
        finally:
            flight.askers -= 1
            if on_wait is not None:
                flight.listeners.remove(on_wait)
            if self._by_key.get(key) is flight and (flight.task.done() or not flight.askers):
                del self._by_key[key]
            if not flight.askers:
                flight.task.cancel()
        if flight.task.cancelled():
            raise WebError("The program is ending, so nothing more is asked.", "refused")
        return flight.task.result()

    async def close(self) -> None:
        """Give up what is under way; who waits for it gets a WebError."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
