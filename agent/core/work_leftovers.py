"""What a process here leaves behind: its output, read to the end by whoever comes late, and its directory."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from agent.core.work_entry import Entry
from agent.core.work_news import News
from agent.protocol.compute import ComputeError

logger = logging.getLogger(__name__)

REST_S: Final = 10.0


async def take_rest(entry: Entry, news: News) -> None:
    """The output of a process that has ended while nobody read it: it is nowhere but here."""
    if entry.handle is None or entry.lease.kind != "process":
        return
    try:
        async with asyncio.timeout(REST_S):
            async for line in entry.backend.logs(entry.handle, skip=entry.log.count):
                entry.log.add(line.text)
                if entry.log.wants_flush:
                    await entry.log.flush()
    except (ComputeError, TimeoutError) as error:
        await news.trouble(entry, f"its output could not be read to its end ({error or 'no end came'})")
        return
    await entry.log.close()
    await remove_left(entry)


async def remove_left(entry: Entry) -> None:
    """What a process leaves at its place goes, once all of its output is in the desk's own log."""
    if entry.handle is None or not entry.log.is_whole:
        return
    try:
        await entry.backend.teardown(entry.handle)
    except ComputeError as error:
        logger.warning("what %s has left cannot be removed: %s", entry.id, error)
