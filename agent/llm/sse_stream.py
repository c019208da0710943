"""The streamed answer of a model between the socket and the library that reads it: fewer and larger pieces.

It changes a response that the real client has got, not the client: proxies, certificates, timeouts and errors are its
own. Imports httpx: to be imported late.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx

from agent.llm.sse_merge import EventMerger

PAUSE_S = 0.05
"""How long the words of a fast server may gather before they are read: as long as the screen shows a frame."""
BURST_BYTES = 8192
"""A read of this size shows that more is waiting: no pause."""


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
    """`source` with the events of each read merged, and read at most every `PAUSE_S` seconds while little has come.

    The first words come through as soon as they are there, and so do those of a server slower than the pause. Raises
    what `source` raises.
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

    async def __aiter__(self) -> AsyncIterator[bytes]:
        merger = EventMerger()
        is_first = True
        async for data in self._source:
            read_at_s = self._clock()
            yield merger.feed(data)
            pause_s = read_at_s + PAUSE_S - self._clock()
            # The first read is often no more than the answer's head, with its first word close behind.
            if pause_s > 0 and len(data) < BURST_BYTES and not is_first:
                await self._sleep(pause_s)
            is_first = False

    async def aclose(self) -> None:
        """Close the source."""
        await self._source.aclose()
