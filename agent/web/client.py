"""The one client under all tools that read the web: limits, pauses, retries, redirects, a cache and a size cap.

A request says where it may go (`Reach`), how long it may take in all, and how much it may bring. What comes back is a
`WebAnswer`, whatever its status; `WebError` means that no answer came.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import random
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from agent.web.cache import AnswerCache, Kept
from agent.web.errors import WebError
from agent.web.exchange import MAX_BYTES, OnWait, WebAnswer, WebRequest
from agent.web.flights import Flights
from agent.web.hops import MAX_REDIRECTS, follow, lane_of
from agent.web.pace import Clock, Lanes, Sleep
from agent.web.reach import Resolve, look_up
from agent.web.transport import Connections

if TYPE_CHECKING:
    import httpcore

__all__ = ["MAX_BYTES", "MAX_REDIRECTS", "OnWait", "WebAnswer", "WebClient", "WebError", "WebRequest"]

_RETRIED = frozenset({429, 500, 502, 503, 504})
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 8.0
_KEPT_HEADERS = ("content-type", "etag", "last-modified", "link", "x-error-code", "x-repo-commit")


class WebClient:
    """Asks the web. One for a run: hosts' limits are kept together. `close` it at the end; then it asks no more.

    It belongs to the event loop of its first question: a RuntimeError in another one.
    """

    def __init__(
        self,
        cache: AnswerCache | None = None,
        *,
        sleep: Sleep = asyncio.sleep,
        clock: Clock = time.monotonic,
        now: Clock = time.time,
        resolve: Resolve = look_up,
        network: httpcore.AsyncNetworkBackend | None = None,
    ) -> None:
        """Nothing is connected, opened or imported yet. `clock` and `now` are in seconds, `now` since 1970."""
        self._cache = cache
        self._clock = clock
        self._now = now
        self._sleep = sleep
        self._lanes = Lanes(clock, sleep, now)
        self._connections = Connections(resolve, network)
        self._flights = Flights()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_closed = False

    async def ask(self, request: WebRequest, on_wait: OnWait | None = None) -> WebAnswer:
        """The answer, from the cache where it is fresh. The same question asked twice at once is asked once, unless
        `fresh_s` is None.

        Raises WebError when no answer came in `limit_s`, or when it may not be asked.
        """
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        elif self._loop is not asyncio.get_running_loop():
            raise RuntimeError("a WebClient belongs to the event loop of its first question")
        if self._is_closed:
            raise WebError("The program is ending, so nothing more is asked.", "refused")
        request.reach.check(request.url)
        request = replace(request, service=request.service or urlsplit(request.url).hostname or "the server")
        if request.fresh_s is None:
            return await self._flights.join(object(), lambda tell: self._within_limit(request, {}, tell), on_wait)
        key = _key(request)
        limits = (request.limit_s, request.timeout_s, request.tries, request.fresh_s)
        return await self._flights.join(
            (key, limits), lambda tell: self._through_cache(request, key, request.fresh_s or 0.0, tell), on_wait
        )

    async def close(self) -> None:
        """Give up what is under way (who waits for it gets a WebError) and let go of connections and the cache."""
        self._is_closed = True
        await self._flights.close()
        await self._connections.close()
        if self._cache is not None:
            await asyncio.to_thread(self._cache.close)

    async def _through_cache(self, request: WebRequest, key: str, fresh_s: float, on_wait: OnWait) -> WebAnswer:
        if self._cache is None:
            return await self._within_limit(request, {}, on_wait)
        kept = await asyncio.to_thread(self._cache.find, key)
        if kept is not None and 0 <= self._now() - kept.stored_at < fresh_s:
            return _kept_answer(kept)
        answer = await self._within_limit(request, _conditions(kept), on_wait)
        if answer.status == 304 and kept is not None:
            await asyncio.to_thread(self._cache.refresh, key, self._now())
            return _kept_answer(kept)
        if answer.status == 200 and not answer.is_cut:
            headers = {name: value for name, value in answer.headers.items() if name in _KEPT_HEADERS}
            stored = Kept(self._now(), answer.url, headers, answer.body)
            await asyncio.to_thread(self._cache.store, key, stored)
        return answer

    async def _within_limit(self, request: WebRequest, more_headers: Mapping[str, str], on_wait: OnWait) -> WebAnswer:
        try:
            async with asyncio.timeout(request.limit_s):
                outcome = await self._tries(request, more_headers, on_wait)
        except TimeoutError as error:
            message = (
                f"{request.service} did not answer within {request.limit_s:g} s. Try again later, or ask for less."
            )
            raise WebError(message, "timeout") from error
        if isinstance(outcome, WebError):
            raise outcome
        return outcome

    async def _tries(
        self, request: WebRequest, more_headers: Mapping[str, str], on_wait: OnWait
    ) -> WebAnswer | WebError:
        """Ask until there is an answer that stands, or no time or try is left for another."""
        until = self._clock() + request.limit_s
        attempt = 0
        while True:
            attempt += 1
            outcome = await self._try(request, more_headers, until)
            if not _is_passing(outcome, request.final_codes):
                return outcome
            asked_s = outcome.retry_after_s if isinstance(outcome, WebAnswer) else None
            wait_s = asked_s or min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2 ** (attempt - 1)) * random.uniform(0.75, 1.25)
            limits = outcome if isinstance(outcome, WebAnswer) and (asked_s or outcome.status == 429) else None
            if limits is not None:  # for everybody, also where this question ends here; a next try waits in its lane
                self._lanes.hold(lane_of(limits.url, request), wait_s)
            if attempt >= request.tries or self._clock() + wait_s >= until:
                return outcome
            why = f"answers with HTTP {outcome.status}" if isinstance(outcome, WebAnswer) else "does not answer"
            await on_wait(f"{request.service} {why}; trying again in {math.ceil(wait_s)} s")
            if limits is None:
                await self._sleep(wait_s)

    async def _try(self, request: WebRequest, more_headers: Mapping[str, str], until: float) -> WebAnswer | WebError:
        try:
            return await follow(
                request,
                more_headers,
                connections=self._connections,
                lanes=self._lanes,
                now=self._now,
                until=until,
            )
        except WebError as error:
            return error


def _is_passing(outcome: WebAnswer | WebError, final_codes: frozenset[str]) -> bool:
    """Whether the next try may end otherwise."""
    if isinstance(outcome, WebError):
        return not outcome.is_lasting
    if outcome.headers.get("x-error-code", "").strip() in final_codes:
        return False
    return outcome.status in _RETRIED or (outcome.status == 403 and outcome.retry_after_s is not None)


def _conditions(kept: Kept | None) -> dict[str, str]:
    """The headers that ask only for what is newer than `kept`."""
    if kept is None:
        return {}
    if etag := kept.headers.get("etag"):
        return {"if-none-match": etag}
    changed = kept.headers.get("last-modified")
    return {"if-modified-since": changed} if changed else {}


def _kept_answer(kept: Kept) -> WebAnswer:
    return WebAnswer(200, kept.url, kept.headers, kept.body, is_kept=True)


def _key(request: WebRequest) -> str:
    """What makes two requests the same, whoever asks: answers for one account are not another's.

    What leads here by a redirect depends on where it may go, so that is a part of it.
    """
    reach = [sorted(request.reach.hosts), sorted(request.reach.origins), request.reach.is_public]
    parts = [request.method, request.url, sorted(request.params.items()), request.json, sorted(request.headers.items())]
    private = sorted(request.private_headers.items())
    text = json.dumps([*parts, private, request.max_bytes, reach], sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
