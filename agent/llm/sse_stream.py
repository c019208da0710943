"""The streamed answer of a model between the socket and the library that reads it: fewer and larger pieces.

It changes a response that the real client has got, not the client: proxies, certificates, timeouts and errors are its
own. Imports httpx: to be imported late.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from agent.lean_httpx import httpx
from agent.llm.sse_merge import EventMerger

PAUSE_S = 0.05
"""How long the words of a fast server may gather before they are read: as long as the screen shows a frame."""
BURST_BYTES = 8192
"""A read of this size shows that more is waiting: no pause."""
MOST_BYTES = 32_768
"""So much at a time, which is worked off in a few milliseconds, by us and by whoever shows it."""
MOST_GATHERED_BYTES = 1 << 20
"""With this much unread, no more is taken from the socket: the server has to wait for whoever reads."""
_END = re.compile(rb'"finish_reason": ?"|"message_stop"|\[DONE\]')
"""With this an answer is over: what is still to come is waited for, and not with a pause."""


def merge_events(response: httpx.Response) -> None:
    """Read the body of `response` through a `MergedStream` if it is a stream of events, not compressed.

    To be called before anything of the body has been read.
    """
    is_plain = response.headers.get("content-encoding", "identity") == "identity"
    media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if response.is_success and is_plain and media_type == "text/event-stream":
        assert isinstance(response.stream, httpx.AsyncByteStream)
        response.stream = MergedStream(response.stream)


async def merge_events_hook(response: httpx.Response) -> None:
    """`merge_events` as a response hook of an `httpx.AsyncClient`."""
    merge_events(response)


class MergedStream(httpx.AsyncByteStream):
    """`source` with the events that have come together merged, and taken at most every `PAUSE_S` seconds.

    A client library may give each HTTP chunk by itself, however many have come with one read of the socket: so
    a task of our own takes in what is there, and the pieces are what has gathered. The first words come through as soon
    as they are there, and so do those of a server slower than the pause. Raises what `source` raises.
    """

    def __init__(
        self,
        source: httpx.AsyncByteStream,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._sleep = sleep
        self._clock = clock
        self._gathered = bytearray()
        self._came = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._reading: asyncio.Task[None] | None = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        merger = EventMerger()
        is_first, is_over = True, False
        self._reading = reading = asyncio.create_task(self._read())
        reading.add_done_callback(lambda _: self._came.set())
        while True:
            await self._came.wait()
            data = bytes(self._gathered[:MOST_BYTES])
            del self._gathered[:MOST_BYTES]
            if len(self._gathered) < MOST_GATHERED_BYTES:
                self._has_room.set()
            is_at_end = reading.done() and not self._gathered
            if not self._gathered and not is_at_end:
                self._came.clear()
            if data:
                taken_at_s = self._clock()
                yield merger.feed(data)
                is_over = is_over or _END.search(data) is not None
                pause_s = taken_at_s + PAUSE_S - self._clock()
                # What comes first is often no more than the answer's head, with its first word close behind.
                if len(data) == MOST_BYTES:
                    await asyncio.sleep(0)  # keys, and whoever shows what has come, are to have their turn
                elif pause_s > 0 and len(data) < BURST_BYTES and not (is_first or is_over or is_at_end):
                    await self._sleep(pause_s)
                is_first = False
            if is_at_end:
                reading.result()
                if merger.is_cut:
                    yield b"\n\n"  # the line that ends an event, which some servers leave out behind the last
                return

    async def _read(self) -> None:
        async for data in self._source:
            self._gathered += data
            self._came.set()
            if len(self._gathered) >= MOST_GATHERED_BYTES:
                self._has_room.clear()
                await self._has_room.wait()
            elif len(self._gathered) >= BURST_BYTES:
                await asyncio.sleep(0)  # no more at a time than can be worked off between two keys

    async def aclose(self) -> None:
        """Close the source."""
        try:
            if self._reading is not None:
                self._reading.cancel()
                await asyncio.wait({self._reading})
        finally:
            await self._source.aclose()
