"""The output of work elsewhere, as it is kept here: all of it in a file, its end in memory.

A file that grows too long keeps its beginning and its end, and says between them how many lines were left out: so the
number of lines that it stands for is known to whoever goes on with it after this program was killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

from agent.core.work_side import Sleep
from agent.protocol.private_files import make_private_dir

logger = logging.getLogger(__name__)

MAX_FILE_BYTES: Final = 64 << 20
FLUSH_S: Final = 1.0
FLUSH_BYTES: Final = 256 << 10
MAX_WAITING_BYTES: Final = 8 << 20
"""So much that a disk has refused waits for it to take it after all. Then no more is written: the file stays the
beginning of the output, so that whoever goes on with it knows how far it got."""
TAIL_LINES: Final = 1_000
ENDED_TAIL_LINES: Final = 100
_TAIL_LINE_CHARS: Final = 2_000
_LINE_BYTES: Final = 64 << 10
"""A longer line is cut."""
_LEFT_OUT: Final = re.compile(rb"\[ml-intern: (\d+) lines left out here\]\n")


class WorkLog:
    """Lines go in with `add`, which never blocks; `flush` writes them. `count` is how many there were in all."""

    def __init__(
        self, path: Path, scrub: Callable[[str], str], sleep: Sleep, *, max_bytes: int = MAX_FILE_BYTES
    ) -> None:
        self.path = path
        self.count = 0
        self._scrub = scrub
        self._sleep = sleep
        self._max_bytes = max_bytes
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._buffer: list[bytes] = []
        self._buffered_bytes = 0
        self._flushing = asyncio.Lock()
        self._write: asyncio.Future[bool] | None = None
        self._flusher: asyncio.Task[None] | None = None
        self._has_failed = False
        self._is_given_up = False

    async def open(self) -> None:
        """Go on with what an earlier process has written; half a line at its end is taken away. Logs an OSError."""
        try:
            self.count, lines = await asyncio.to_thread(_reopen, self.path, self._max_bytes)
        except OSError as error:
            logger.warning("the output in %s cannot be read: %s", self.path, error)
        else:
            self._tail.extend(line[:_TAIL_LINE_CHARS] for line in lines)

    def add(self, text: str) -> str:
        """One more line; returns it as it is kept: without secrets and line ends."""
        line = self._scrub(text)
        if "\n" in line:
            line = line.replace("\n", " ")
        self.count += 1
        self._tail.append(line[:_TAIL_LINE_CHARS])
        data = line.encode("utf-8", "replace")[:_LINE_BYTES] + b"\n"
        if self._is_given_up:
            return line
        self._buffer.append(data)
        self._buffered_bytes += len(data)
        if self._flusher is None:
            self._flusher = asyncio.ensure_future(self._flush_soon())
        return line

    @property
    def wants_flush(self) -> bool:
        """Whether so much waits to be written that its reader should pause for it."""
        return self._buffered_bytes >= FLUSH_BYTES and not self._has_failed

    @property
    def is_whole(self) -> bool:
        """Whether all that was to be written could be."""
        return not self._has_failed and not self._is_given_up and not self._buffer

    async def flush(self) -> None:
        """Write what waits. A disk that refuses is logged once, and asked again with the next output."""
        async with self._flushing:
            if self._write is not None:  # of a flush whose caller was stopped
                await asyncio.wait({self._write})
            data, self._buffer, self._buffered_bytes = b"".join(self._buffer), [], 0
            if data:
                self._write = asyncio.ensure_future(asyncio.to_thread(self._append, data))
                self._write.add_done_callback(lambda done: self._written(data, done))
                await asyncio.wait({self._write})

    def _written(self, data: bytes, done: asyncio.Future[bool]) -> None:
        self._has_failed = done.cancelled() or done.exception() is not None or not done.result()
        if not self._has_failed:
            return
        self._buffer.insert(0, data)
        self._buffered_bytes += len(data)
        if self._buffered_bytes > MAX_WAITING_BYTES:
            self._buffer, self._buffered_bytes, self._is_given_up = [], 0, True

    def last(self, lines: int) -> list[str]:
        """The last lines, as far as they are in memory, each cut to a sensible length."""
        return list(self._tail)[-lines:] if lines > 0 else []

    async def tail(self, lines: int) -> str:
        """The last `lines` lines: from memory, or from the file if that has more."""
        if lines <= len(self._tail) or self.count <= len(self._tail):
            return "\n".join(self.last(lines))
        await self.flush()
        try:
            return await asyncio.to_thread(_tail_of, self.path, lines)
        except OSError:
            return "\n".join(self.last(lines))

    async def close(self) -> None:
        """Write what is left; nothing comes any more."""
        if self._flusher is not None:
            self._flusher.cancel()
            self._flusher = None
        await self.flush()
        if self.is_whole:
            self._tail = deque(self.last(ENDED_TAIL_LINES), maxlen=TAIL_LINES)

    async def _flush_soon(self) -> None:
        await self._sleep(FLUSH_S)
        self._flusher = None
        await self.flush()

    def _append(self, data: bytes) -> bool:
        """Whether all of it is written; else nothing of it is."""
        try:
            make_private_dir(self.path.parent)
            size = _append(self.path, data)
        except OSError as error:
            if not self._has_failed:
                logger.warning("output cannot be written to %s: %s", self.path, error)
            return False
        if size > self._max_bytes:
            try:
                _cut(self.path, self._max_bytes)
            except OSError as error:
                logger.warning("%s is too long, and cannot be shortened: %s", self.path, error)
        return True


def _append(path: Path, data: bytes) -> int:
    """Returns how long the file is then. Where not all of `data` can be written, nothing of it is."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        begin, rest = os.lseek(descriptor, 0, os.SEEK_END), memoryview(data)
        try:
            while rest:
                rest = rest[os.write(descriptor, rest) :]
        except OSError:
            os.ftruncate(descriptor, begin)
            raise
        return begin + len(data)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def kept_aside(path: Path) -> Iterator[None]:
    """Whatever is removed meanwhile, the file at `path` is there again afterwards."""
    aside = path.with_name(f"{path.name}.kept")
    with contextlib.suppress(FileNotFoundError):
        path.replace(aside)
    try:
        yield
    finally:
        with contextlib.suppress(FileNotFoundError):
            aside.replace(path)


def _head_bytes(max_bytes: int) -> int:
    return max_bytes // 4


def _cut(path: Path, max_bytes: int) -> None:
    """Leave out the middle of the file: its first and its last quarter stay, at line ends."""
    with path.open("rb") as file:
        head = file.read(_head_bytes(max_bytes)) + file.readline()
        left_out, marker = _marker_at(file)
        middle_begin = file.tell()
        end = file.seek(0, os.SEEK_END)
        file.seek(max(middle_begin, end - _head_bytes(max_bytes)))
        file.readline()
        tail_begin = file.tell()
        tail = file.read()
        left_out += _newlines(file, middle_begin, tail_begin)
    if not marker and left_out == 0:
        return
    fresh = path.with_name(f"{path.name}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as new:
            new.write(head + b"[ml-intern: %d lines left out here]\n" % left_out + tail)
        fresh.replace(path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise


def _marker_at(file: BinaryIO) -> tuple[int, bool]:
    """How many lines are left out where `file` stands, and whether it says so there; then it stands behind that."""
    here = file.tell()
    match = _LEFT_OUT.fullmatch(file.readline())
    if match is None:
        file.seek(here)
        return 0, False
    return int(match[1]), True


def _newlines(file: BinaryIO, begin: int, end: int) -> int:
    file.seek(begin)
    count = 0
    while begin < end and (piece := file.read(min(1 << 20, end - begin))):
        count += piece.count(b"\n")
        begin += len(piece)
    return count


def _reopen(path: Path, max_bytes: int) -> tuple[int, list[str]]:
    """How many lines the file stands for, and its last ones."""
    try:
        file = path.open("r+b")
    except FileNotFoundError:
        return 0, []
    with file:
        file.truncate(_end_of_last_line(file))
        count = _newlines(file, 0, file.seek(0, os.SEEK_END))
        file.seek(_head_bytes(max_bytes))
        file.readline()
        left_out, is_cut = _marker_at(file)
    tail = _tail_of(path, TAIL_LINES)
    return count + left_out - is_cut, tail.split("\n") if tail else []


def _end_of_last_line(file: BinaryIO) -> int:
    end = file.seek(0, os.SEEK_END)
    while end > 0:
        begin = max(0, end - (1 << 16))
        file.seek(begin)
        at = file.read(end - begin).rfind(b"\n")
        if at >= 0:
            return begin + at + 1
        end = begin
    return 0


def _tail_of(path: Path, lines: int) -> str:
    """The last lines of a file, from its last 4 MB at most."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        begin = max(0, end - (4 << 20))
        file.seek(begin)
        if begin:
            file.readline()
        found = file.read().decode("utf-8", "replace").removesuffix("\n").split("\n")
    return "\n".join(found[-lines:])
