"""What was sent before, in this session and earlier ones, kept in a private file."""

from __future__ import annotations

import asyncio
import datetime
import logging
import os
import stat
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from prompt_toolkit import history as prompt_toolkit_history

from agent.protocol.private_files import make_private_dir

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

logger = logging.getLogger(__name__)

MAX_ENTRIES = 2_000
"""How many entries are offered; the file may hold twice as many before it is rewritten."""
MAX_ENTRY_CHARS = 100_000
"""Longer entries are kept for this session only."""
_LOCK_TRIES, _LOCK_WAIT_S = 50, 0.01


class History(prompt_toolkit_history.History):
    """The history of a composer. Reads and writes happen one after the other in a thread of its own.

    The file is the one of prompt_toolkit's `FileHistory`. Several programs may use it at once: each entry is appended
    with one write. Where it cannot be used, or `path` is None, the history lasts as long as the program.
    """

    def __init__(self, path: Path | None) -> None:
        super().__init__()
        self._path = path
        self._entries: list[str] = []
        """Oldest first: what the file held, once it is read, and what was added since."""
        self._is_merged = False
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="history")
        self._read: Future[list[str]] | None = None
        self._reading()  # early: Up is often the first key

    async def load(self) -> AsyncGenerator[str, None]:
        """All entries, the newest first."""
        if not self._is_merged:
            reading = self._reading()
            # Without a pause if it is done: the first key may be on its way.
            self._merge(reading.result() if reading.done() else await asyncio.shield(asyncio.wrap_future(reading)))
        for entry in self._entries[::-1]:
            yield entry

    async def wait_until_read(self, patience_s: float) -> None:
        """Wait until the file is read, but no longer than `patience_s`."""
        await asyncio.wait({asyncio.wrap_future(self._reading())}, timeout=patience_s)

    def get_strings(self) -> list[str]:
        """The entries known so far, the oldest first."""
        return list(self._entries)

    def append_string(self, string: str) -> None:
        """Add an entry, unless it is the last one already."""
        if self._entries and self._entries[-1] == string:
            return
        self._entries.append(string)
        del self._entries[:-MAX_ENTRIES]
        self.store_string(string)

    def store_string(self, string: str) -> None:
        """Have `string` appended to the file, after what the file holds now was read."""
        if self._path is not None and len(string) <= MAX_ENTRY_CHARS:
            self._reading()
            self._thread.submit(self._append, string)

    def load_history_strings(self) -> Iterable[str]:
        """What the file holds, the newest first. Blocking."""
        return reversed(self._read_file())

    def close(self) -> None:
        """Wait until all is written. Blocking; nothing can be added to the file any more."""
        self._thread.shutdown(wait=True)
        self._path = None

    def _reading(self) -> Future[list[str]]:
        if self._read is None:
            self._read = self._thread.submit(self._read_file)
        return self._read

    def _merge(self, earlier: list[str]) -> None:
        if self._is_merged:
            return
        self._is_merged = True
        if earlier and self._entries and earlier[-1] == self._entries[0]:
            del earlier[-1]
        self._entries = (earlier + self._entries)[-MAX_ENTRIES:]

    # --- in the thread ------------------------------------------------------------------------------------------------

    def _read_file(self) -> list[str]:
        if self._path is None:
            return []
        try:
            if not self._path.exists():
                return []
            if not self._path.is_file():
                raise OSError("not a regular file")
            entries = _parse(self._path.read_bytes())
            if stat.S_IMODE(self._path.stat().st_mode) & 0o077:
                with suppress(PermissionError):
                    self._path.chmod(0o600)
            if len(entries) > 2 * MAX_ENTRIES:
                self._compact()
        except OSError as error:
            logger.warning("The history %s cannot be used: %s", self._path, error)
            self._path = None
            return []
        return entries[-MAX_ENTRIES:]

    def _append(self, entry: str) -> None:
        if self._path is None:
            return
        try:
            make_private_dir(self._path.parent)
            descriptor = _open_locked(self._path)
            try:
                os.write(descriptor, _format(entry))
            finally:
                os.close(descriptor)
        except OSError as error:
            logger.warning("The history %s cannot be written: %s", self._path, error)
            self._path = None

    def _compact(self) -> None:
        """Rewrite the file with the newest entries only. Other programs wait with their entries, none is lost."""
        assert self._path is not None
        if fcntl is None:
            return
        path = self._path.resolve()
        descriptor = _open_locked(path)
        temporary: str | None = None
        try:
            entries = _parse(path.read_bytes())[-MAX_ENTRIES:]
            handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".history-")
            with os.fdopen(handle, "wb") as file:
                file.write(b"".join(map(_format, entries)))
            Path(temporary).replace(path)
        except OSError as error:
            logger.warning("The history %s cannot be made shorter: %s", path, error)
            if temporary is not None:
                Path(temporary).unlink(missing_ok=True)
        finally:
            os.close(descriptor)


def _format(entry: str) -> bytes:
    lines = "".join(f"+{line}\n" for line in entry.split("\n"))
    return f"\n# {datetime.datetime.now()}\n{lines}".encode(errors="replace")


def _parse(data: bytes) -> list[str]:
    """The entries of a file, oldest first, consecutive duplicates once."""
    entries: list[str] = []
    lines: list[str] = []
    for line in [*data.decode(errors="replace").split("\n"), ""]:
        if line.startswith("+"):
            lines.append(line[1:])
        elif lines:
            entry = "\n".join(lines)
            if not entries or entries[-1] != entry:
                entries.append(entry)
            lines = []
    return entries


def _open_locked(path: Path, sleep: Callable[[float], None] = time.sleep) -> int:
    """A descriptor to append to `path`, made for this user only; locked against a rewrite, where locks work.

    Raises OSError. A lock that nobody lets go of is not waited for long: what is appended under it may be lost.
    """
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
    for last_try in (False,) * _LOCK_TRIES + (True,):
        descriptor = os.open(path, flags, 0o600)
        if last_try or fcntl is None:
            break
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            sleep(_LOCK_WAIT_S)
            continue
        except OSError:  # a file system without locks
            break
        if os.path.samestat(os.fstat(descriptor), path.stat()):
            break
        os.close(descriptor)  # replaced by a shorter one between the two calls
    return descriptor
