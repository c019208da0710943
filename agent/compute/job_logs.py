"""Following a job's output to its end: through cut connections, restarted streams and a queue of any length.

A stream of the Hub always begins at the job's first line; so after each cut the lines that were given already are
skipped, by their number, which is checked against the lines themselves. Whether a job is over is asked, never guessed
from the end of a stream.

The stream is read here, and not by the client's `fetch_job_logs(follow=True)`: that one hides its time stamps, sleeps
through reconnects by itself, skips by number alone, splits events at U+2028, and waits for ever on a stream that says
nothing but keep-alives.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable, Iterator
from contextlib import aclosing
from typing import TYPE_CHECKING

from agent.compute.hub_calls import as_compute_error, ask
from agent.compute.job_rows import job_row
from agent.compute.log_replay import Place
from agent.hub.account import HubAccount
from agent.hub.errors import HubError
from agent.protocol.compute import TERMINAL_STAGES, ComputeError, LogLine
from agent.protocol.terminal_text import without_sequences

if TYPE_CHECKING:
    from huggingface_hub import HfApi

FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 30.0
MAX_REFUSALS = 3
MAX_LATE_FAILURES = 20
"""So often in a row (some minutes) the log of a job that is over may fail for a reason that mostly passes."""
LAST_PASSES = 3
"""Lines can reach the log after the job's end: so often it is read again at most, while that brings new ones."""
READ_TIMEOUT_S = 120.0
"""The Hub sends a keep-alive every 30 s."""
QUIET_S = 5.0
MAX_LINE_CHARS = 200_000
MAX_EVENT_BYTES = 8 << 20
_TRANSIENT = ("network", "server", "rate_limited")


async def follow(
    account: HubAccount,
    namespace: str,
    job_id: str,
    *,
    skip: int = 0,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> AsyncGenerator[LogLine, None]:
    """The job's output from line `skip` on, each line once and in order, until the job is over and all was given.

    Network errors, 429 and 5xx are waited out, however long they last; for some minutes once the job is over. Raises
    ComputeError then, and when the Hub refuses (401, 403, 404) three times in a row; 404 is nothing to worry about
    while the job is queued.
    """
    async with aclosing(_Follower(account, namespace, job_id, Place(skip), sleep).lines()) as lines:
        async for line in lines:
            yield line


async def log_snapshot(
    account: HubAccount, namespace: str, job_id: str, *, tail: int, quiet_s: float = QUIET_S
) -> tuple[LogLine, ...]:
    """What the job has printed so far, its last `tail` lines. A job that runs is listened to until it is silent for
    `quiet_s`, or twice as long if it never is. Raises ComputeError."""

    def read(api: HfApi) -> tuple[LogLine, ...]:
        from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]

        lines: deque[LogLine] = deque(maxlen=tail)
        enough_at = time.monotonic() + 2 * quiet_s
        try:
            with contextlib.closing(_read_stream(api, namespace, job_id, timeout_s=quiet_s, tail=tail)) as events:
                for line in events:
                    if line is not None:
                        lines.append(line)
                    if line is None or time.monotonic() > enough_at:
                        break
        except HTTPError as error:
            if type(error).__name__ != "ReadTimeout":  # httpx or its successor: the client's transport varies
                raise
        return tuple(lines)

    return await ask(account, read, f"reading the log of the job {job_id}")


class _Follower:
    def __init__(
        self,
        account: HubAccount,
        namespace: str,
        job_id: str,
        place: Place,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._account, self._namespace, self._job_id = account, namespace, job_id
        self._place = place
        self._sleep = sleep
        self._word = ""
        self._is_over = self._is_queued = False
        self._refusals = self._late_failures = 0
        self._wait_s = FIRST_WAIT_S
        self._last_passes = 0

    async def lines(self) -> AsyncGenerator[LogLine, None]:
        while True:
            is_last, is_fresh = self._is_over, False
            problem: ComputeError | None = None
            try:
                async with aclosing(self._pass(is_last)) as new_lines:
                    async for line in new_lines:
                        is_fresh = True
                        yield line
            except ComputeError as error:
                problem = error
            if is_last and problem is None:
                self._last_passes += 1
                if not is_fresh or self._last_passes == LAST_PASSES:
                    return
            if not self._is_over:
                problem = await self._look() or problem
            self._judge(problem, is_fresh)
            await self._sleep(self._wait_s)
            self._wait_s = min(self._wait_s * 2, LONGEST_WAIT_S)

    async def _pass(self, is_last: bool) -> AsyncGenerator[LogLine, None]:
        """One stream: what is new in it."""
        replay, word = self._place.replay(), self._word
        async with aclosing(self._stream()) as events:
            async for line in events:
                if line is not None:
                    if replay.is_new(line):
                        yield line
                elif is_last:
                    return
                elif await self._look() is not None or self._word != word:
                    return  # it is over; or it has begun, which a stream from before does not always notice

    async def _look(self) -> ComputeError | None:
        """Find out whether the job is over; or what keeps that from being found out."""
        try:
            row = await ask(
                self._account,
                lambda api: job_row(api.inspect_job(job_id=self._job_id, namespace=self._namespace)),
                f"looking at the job {self._job_id}",
                again=False,
            )
        except ComputeError as error:
            self._is_queued = False
            return error
        if row.word != self._word:
            self._word, self._wait_s = row.word, FIRST_WAIT_S
        self._is_over, self._is_queued = row.stage in TERMINAL_STAGES, row.stage == "queued"
        return None

    def _judge(self, problem: ComputeError | None, is_fresh: bool) -> None:
        if is_fresh:
            self._wait_s = FIRST_WAIT_S
        if problem is None or is_fresh or self._is_queued:  # while it is queued there need be no log
            self._refusals = self._late_failures = 0
        elif problem.kind not in _TRANSIENT:
            self._refusals += 1
            if self._refusals >= MAX_REFUSALS:
                raise problem
        elif self._is_over:
            self._late_failures += 1
            if self._late_failures >= MAX_LATE_FAILURES:
                raise problem

    async def _stream(self) -> AsyncGenerator[LogLine | None, None]:
        """Lines as the Hub sends them, from the first one on; None when it has nothing more to say for now."""
        pipe = _Pipe(asyncio.get_running_loop())

        def read(api: HfApi) -> None:
            with contextlib.closing(_read_stream(api, self._namespace, self._job_id)) as lines:
                for line in lines:
                    if not pipe.put(line):
                        return

        reading = asyncio.ensure_future(self._account.call(read, f"reading the log of the job {self._job_id}"))
        reading.add_done_callback(lambda _: pipe.finish())
        try:
            while batch := await pipe.take():
                for line in batch:
                    yield line
            await reading
        except HubError as error:
            raise as_compute_error(error) from error
        finally:
            # the thread ends at the next thing it reads, a keep-alive at the latest
            pipe.close()
            reading.cancel()


# --- from a thread to the loop ---------------------------------------------------------------------------------------


class _Pipe:
    """Lines on their way from the thread that reads them: so many at most, then the thread waits."""

    MAX_LINES = 2_000
    MAX_CHARS = 4_000_000

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lines: list[LogLine | None] = []
        self._chars = 0
        self._changed = threading.Condition()
        self._arrived = asyncio.Event()
        self._is_finished = False
        self._is_closed = False

    def put(self, line: LogLine | None) -> bool:
        """In the thread: hand over a line, waiting while there is no room. False: nobody wants it any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or self._has_room)
            if self._is_closed:
                return False
            self._lines.append(line)
            self._chars += len(line.text) if line is not None else 0
            try:
                if len(self._lines) == 1:
                    self._loop.call_soon_threadsafe(self._arrived.set)
            except RuntimeError:  # the loop is closed
                return False
        return True

    @property
    def _has_room(self) -> bool:
        return len(self._lines) < self.MAX_LINES and self._chars < self.MAX_CHARS

    async def take(self) -> list[LogLine | None]:
        """In the loop: what has arrived, at least one line; empty after the last."""
        await self._arrived.wait()
        with self._changed:
            batch, self._lines, self._chars = self._lines, [], 0
            if not self._is_finished:
                self._arrived.clear()
            self._changed.notify_all()
        return batch

    def finish(self) -> None:
        """In the loop: the thread has ended."""
        self._is_finished = True
        self._arrived.set()

    def close(self) -> None:
        """In the loop: nothing more is wanted."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()


# --- the wire --------------------------------------------------------------------------------------------------------


def _read_stream(
    api: HfApi, namespace: str, job_id: str, *, timeout_s: float = READ_TIMEOUT_S, tail: int | None = None
) -> Generator[LogLine | None, None, None]:
    """The events of `GET /api/jobs/{namespace}/{id}/logs` (server-sent events: `data: {"data", "timestamp"}`), with the
    client's own session. None for a keep-alive that follows an event or another keep-alive: all was said for now."""
    from huggingface_hub.utils import (  # type: ignore[attr-defined]
        build_hf_headers,
        get_session,
        hf_raise_for_status,
    )

    url = f"{api.endpoint}/api/jobs/{namespace}/{job_id}/logs"
    headers = build_hf_headers(token=api.token)
    params = None if tail is None else {"tail": tail}
    has_begun = False
    with get_session().stream("GET", url, params=params, headers=headers, timeout=timeout_s) as response:
        hf_raise_for_status(response)
        for raw in _split(response.iter_bytes()):
            if raw.startswith(b"data:"):
                has_begun = True
                yield from _lines_of(raw.removeprefix(b"data:").strip())
            elif raw.startswith(b":"):
                if has_begun:
                    yield None
                has_begun = True


def _split(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Lines that end with a line feed; not what `str.splitlines` takes for line ends. A last one without is cut off."""
    pending = b""
    for chunk in chunks:
        *lines, pending = (pending + chunk).split(b"\n")
        yield from lines
        pending = pending[:MAX_EVENT_BYTES]


def _lines_of(data: bytes) -> Iterator[LogLine]:
    try:
        event = json.loads(data)
        text, at = str(event["data"]), event.get("timestamp")
    except (ValueError, KeyError, TypeError, AttributeError):
        text, at = data[:1000].decode("utf-8", "replace"), None
    if not text.startswith("===== Job started"):
        for line in text.removesuffix("\n").split("\n"):
            yield LogLine(plain_line(line), at if isinstance(at, str) else None)


def plain_line(text: str) -> str:
    """One line of output without colours and line end; of a line that draws over itself, what was there at last."""
    text = without_sequences(text.rstrip("\r\n"))
    if "\r" in text:
        text = next((part for part in reversed(text.split("\r")) if part.strip()), "")
    if len(text) > MAX_LINE_CHARS:
        text = f"{text[:MAX_LINE_CHARS]} [... {len(text) - MAX_LINE_CHARS:,} more characters on this line]"
    return text
