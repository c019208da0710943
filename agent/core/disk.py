"""Blocking work on files, in a thread of its own."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")
Job = Callable[[], None]


class Disk:
    """Does one thing after the other, apart from the threads that tools share: tools that block all of those must not
    keep a stopped turn from ending. A hung disk does not keep the program from ending either."""

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._name = name
        self._thread: threading.Thread | None = None

    async def run(self, work: Callable[..., T], *args: Any) -> T:
        """What `work(*args)` returns or raises. When the waiting is cancelled, the work is done all the same."""
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[T] = loop.create_future()

        def job() -> None:
            try:
                result = work(*args)
            except BaseException as error:  # noqa: BLE001 - handed on to whoever waits
                _tell(loop, outcome, outcome.set_exception, error)
            else:
                _tell(loop, outcome, outcome.set_result, result)

        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name=self._name, daemon=True)
            self._thread.start()
        self._jobs.put(job)
        return await outcome

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()

    def close(self) -> None:
        """Take no more work; what is left to do is not waited for."""
        self._jobs.put(None)


def _tell(
    loop: asyncio.AbstractEventLoop, outcome: asyncio.Future[Any], tell: Callable[[Any], None], value: Any
) -> None:
    def deliver() -> None:
        if not outcome.done():
            tell(value)

    if not loop.is_closed():
        loop.call_soon_threadsafe(deliver)
