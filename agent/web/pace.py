"""How gently a host is asked: so many requests at once, and so much time between two."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import field
from datetime import UTC, datetime

from agent.light_dataclass import dataclass
from agent.web.errors import WebError

Sleep = Callable[[float], Awaitable[None]]
Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Pace:
    """`parallel` requests to a host at once, `spacing_s` seconds from the start of one to the start of the next."""

    parallel: int = 6
    spacing_s: float = 0.0


DEFAULT_PACE = Pace()


@dataclass(slots=True)
class _Lane:
    places: dict[int, asyncio.Semaphore] = field(default_factory=dict)
    """For each pace its own: who reads a page there at leisure does not loosen what an API is asked with."""
    next_at: float = 0.0
    held_until: float = 0.0
    free_at: float = 0.0
    """The end of the pause in seconds since 1970, to be told: the same for all of the pause."""


@dataclass(slots=True)
class Lanes:
    """One lane for each host, or part of it: what it is called begins with the host. `now`: seconds since 1970."""

    clock: Clock
    sleep: Sleep
    now: Clock = time.time
    _lanes: dict[str, _Lane] = field(default_factory=dict)

    @contextlib.asynccontextmanager
    async def turn(self, host: str, pace: Pace, until: float = math.inf) -> AsyncIterator[None]:
        """Wait for a place; it is held inside.

        Raises WebError at once where the host has asked for a pause that lasts beyond `until` (on the clock).
        """
        lane = self._lanes.setdefault(host, _Lane())
        if lane.held_until > until:  # said at once, also where somebody waits for the end of the pause already
            raise self._too_long(host, lane, lane.held_until)
        async with lane.places.setdefault(pace.parallel, asyncio.Semaphore(max(1, pace.parallel))):
            now = self.clock()
            start = max(now, lane.next_at)
            if start > until:  # nothing is taken of the line by who does not wait in it
                raise self._too_long(host, lane, start)
            lane.next_at = start + pace.spacing_s
            # What is slept is counted, not read off the clock: a pause may be made longer while this waits.
            while now < (start := max(start, lane.held_until)):
                if start > until:
                    raise self._too_long(host, lane, start)
                await self.sleep(start - now)
                now = start
            yield

    def hold(self, host: str, delay_s: float) -> None:
        """The host has asked for a pause: nobody asks it before `delay_s` have passed, those in line neither."""
        lane = self._lanes.setdefault(host, _Lane())
        if (end := self.clock() + delay_s) > lane.held_until:
            lane.held_until, lane.free_at = end, self.now() + delay_s
        lane.next_at = max(lane.next_at, lane.held_until)

    def _too_long(self, host: str, lane: _Lane, start: float) -> WebError:
        name = host.partition("://")[2] or host
        free_at = lane.free_at if start <= lane.held_until else self.now() + start - self.clock()
        until = f"{datetime.fromtimestamp(math.ceil(free_at), UTC):%Y-%m-%d %H:%M:%S} UTC"
        message = f"{name} is not to be asked before {until}. Try again after that, or ask for less."
        return WebError(message, "timeout", is_lasting=True)
