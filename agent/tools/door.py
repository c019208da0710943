"""The door to what a tool is made of: opened when that is first needed, as importing it takes time."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

logger = logging.getLogger(__name__)
T = TypeVar("T")

_ONE_AT_A_TIME = threading.RLock()
"""For all doors: two of them may make the same service, whose `cached_property` does not lock (since Python 3.12)."""


class Door(Generic[T]):
    """Makes one thing, once, however many ask for it at the same time. What fails is tried again by who asks next."""

    def __init__(self, make: Callable[[], T]) -> None:
        """`make` imports what it needs."""
        self._make = make
        self._made: list[T] = []

    def __call__(self) -> T:
        """What is behind it. The first time it blocks until that is made."""
        if not self._made:
            with _ONE_AT_A_TIME:
                if not self._made:
                    self._made.append(self._make())
        return self._made[0]

    async def opened(self) -> T:
        """The same for the event loop: the first time it is made in a thread."""
        return self._made[0] if self._made else await asyncio.to_thread(self)

    async def ready(self) -> None:
        """Open it for those who cannot wait. Never raises: they meet the same error, and can tell of what."""
        try:
            await self.opened()
        except Exception:
            logger.exception("what a tool is made of cannot be loaded")
