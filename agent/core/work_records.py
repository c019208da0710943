"""The leases of what a desk looks after: what is in memory is the truth, and the disk follows, one change at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, TypeVar

from agent.compute.leases import LeaseStore
from agent.core.work_entry import Entry
from agent.core.work_log import kept_aside

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Records:
    """Writes leases, and lets nothing be stopped half-way that must not be."""

    def __init__(self, store: LeaseStore) -> None:
        self.unbroken: set[asyncio.Task[Any]] = set()
        """What must not be stopped half-way."""
        self._store = store
        self._disk = asyncio.Lock()

    async def whole(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Await `work`; when this is cancelled, `work` goes on to its end."""
        task = asyncio.ensure_future(work)
        self.unbroken.add(task)
        task.add_done_callback(self.unbroken.discard)
        return await asyncio.shield(task)

    async def begin(self, entry: Entry) -> None:
        """Write the lease of what is about to be made. Raises whatever keeps that from being done."""
        await self.on_disk(lambda: self._store.write(entry.lease))

    async def update(self, entry: Entry, **changes: Any) -> None:
        """Change its lease, here and on disk. A disk that refuses is logged: what is here goes on, and is written with
        the next change."""
        entry.lease = replace(entry.lease, **changes)

        def write() -> None:
            if self._store.get(entry.id) is not None:  # else it is not written yet, or somebody has seen to it
                self._store.write(entry.lease)

        try:
            if not entry.is_dropped:
                await self.on_disk(write)
        except OSError as error:
            logger.warning("the lease %s cannot be written: %s", entry.id, error)

    async def on_disk(self, work: Callable[[], T]) -> T:
        """`work()` in a thread, one after the other: a lease that is being changed is not removed meanwhile, to rise
        from the dead when it is written. What was begun is done, even if this is cancelled."""

        async def in_turn() -> T:
            async with self._disk:
                return await asyncio.to_thread(work)

        result: T = await self.whole(in_turn())
        return result

    async def remember_unwanted(self, entry: Entry) -> None:
        """Whoever takes it up later is to end it."""
        await self.update(entry, is_unwanted=True)

    async def drop(self, entry: Entry) -> None:
        """Forget the lease; its output stays where it is for as long as this program runs."""

        def drop() -> None:
            with kept_aside(entry.log.path):
                self._store.drop(entry.id)

        entry.is_dropped = True
        try:
            await self.on_disk(drop)
        except OSError as error:
            logger.warning("the lease %s cannot be removed: %s", entry.id, error)
