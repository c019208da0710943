"""What is at a path right now: its kind, and the hash of a file, remembered as long as its status stays the same."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import logging
import os
import posixpath
import stat
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path

from agent.sessions.checkpoint_states import ABSENT, Kind, State, StoppedError
from agent.sessions.checkpoint_store import Blobs, encoded, write_private

logger = logging.getLogger(__name__)

_SETTLED_NS = 2_000_000_000
"""The coarsest clock of a file system: a change within so long after another may leave no trace in the status."""

_NOTHING_THERE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}

Digest = Callable[[str, os.stat_result], str]
"""The SHA-256 of a regular file's content. Raises OSError, StoppedError, or NoCopyError where a copy was to be made."""

_PIECE_BYTES = 1 << 20
"""So much is read between two looks at whether a person has stopped it."""


class NoCopyError(Exception):
    """There is a file, but no copy of it."""

    def __init__(self, kind: Kind) -> None:
        super().__init__(kind)
        self.kind: Kind = kind


def fingerprint(status: os.stat_result) -> str:
    """Tells versions of a file apart whose content has not been read."""
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ino}"


def state_of(path: str, status: os.stat_result, most_bytes: int, digest: Digest) -> State:
    """What is at `path`, whose own status (not that of a link's target) is known; content of up to `most_bytes`."""
    mode = stat.S_IMODE(status.st_mode)
    if stat.S_ISDIR(status.st_mode):
        return State("directory", mode=mode)
    try:
        if stat.S_ISLNK(status.st_mode):
            return State("link", os.readlink(path))  # noqa: PTH115 - Path would tidy the target
        if not stat.S_ISREG(status.st_mode):
            return State("special", str(status.st_ino))
        if status.st_size > most_bytes:
            return State("large", fingerprint(status))
        return State("file", digest(path, status), mode)
    except FileNotFoundError:
        return ABSENT
    except NoCopyError as error:
        return State(error.kind, fingerprint(status))
    except OSError:
        return State("unreadable", fingerprint(status))


def state_at(path: str, most_bytes: int, digest: Digest) -> State:
    """What is at `path`. Behind a symlinked directory there is nothing: that is another place."""
    if os.path.realpath(parent := posixpath.dirname(path)) != parent:
        return ABSENT
    try:
        status = os.lstat(path)
    except OSError as error:
        return ABSENT if error.errno in _NOTHING_THERE else State("unreadable")
    return state_of(path, status, most_bytes, digest)


class StatusCache:
    """Hashes of files by their status, kept in a file between processes. Losing it costs time only."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, list[int | str]] = {}
        self._loaded = False
        self._unsaved = 0

    def get(self, path: str, status: os.stat_result) -> str | None:
        """The hash of this file, if it was read and nothing has happened to it since."""
        self._load()
        known = self._known.get(path)
        return str(known[4]) if known and known[:4] == _marks(status) else None

    def put(self, path: str, status: os.stat_result, sha256: str, read_ns: int) -> None:
        """Remember a file read at this time, unless it was so young that its next change could go unnoticed."""
        if max(status.st_mtime_ns, status.st_ctime_ns) < read_ns - _SETTLED_NS:
            self._known[path] = [*_marks(status), sha256]
            self._unsaved += 1

    def save(self, paths: Collection[str]) -> None:
        """Write what is known of these paths, and forget the others; not yet if little of it is new."""
        if self._unsaved * 8 <= len(self._known):
            return
        self._known = {path: known for path, known in self._known.items() if path in paths}
        try:
            write_private(self._path, encoded(self._known))
            self._unsaved = 0
        except OSError as error:
            logger.warning("cannot write %s: %s", self._path, error)

    def _load(self) -> None:
        if self._loaded:
            return
        self._loaded = True
        with contextlib.suppress(OSError, ValueError, RecursionError):
            known = json.loads(self._path.read_bytes())
            if isinstance(known, dict) and all(isinstance(row, list) and len(row) == 5 for row in known.values()):
                self._known = known


def _marks(status: os.stat_result) -> list[int | str]:
    return [status.st_size, status.st_mtime_ns, status.st_ino, status.st_ctime_ns]


class Contents:
    """Reads files: to know their hash, or to keep a copy as well."""

    def __init__(self, blobs: Blobs, cache: StatusCache, stop: threading.Event) -> None:
        self._blobs, self._cache, self._stop = blobs, cache, stop

    def digest(self, path: str, status: os.stat_result) -> str:
        """The hash of a file. Raises OSError, StoppedError."""
        return self._cache.get(path, status) or self._read(path)[0]

    def read(self, path: str) -> bytes:
        """The content of a regular file. Raises OSError, StoppedError."""
        return self._read(path)[1]

    def keeper(self, most_bytes: int) -> Digest:
        """A digest that keeps copies: as many as make up `most_bytes`, those that there were already not counted."""
        left = most_bytes

        def keep(path: str, status: os.stat_result) -> str:
            nonlocal left
            known = self._cache.get(path, status)
            if known and self._blobs.has(known, status.st_size):
                return known
            sha256, data = self._read(path)
            if self._blobs.has(sha256, len(data)):
                return sha256
            if len(data) > left:
                raise NoCopyError("excess")
            try:
                self._blobs.put(sha256, data)
            except OSError as error:
                logger.warning("no copy of %s is kept: %s", path, error)
                raise NoCopyError("uncopied") from error
            left -= len(data)
            return sha256

        return keep

    def _read(self, path: str) -> tuple[str, bytes]:
        read_ns = time.time_ns()
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):  # it was exchanged just now
                raise OSError("not a regular file")
            data = self._content(descriptor, status.st_size)
            after = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        if self._stop.is_set():
            raise StoppedError
        sha256 = hashlib.sha256(data).hexdigest()
        if _marks(status) == _marks(after) and len(data) == status.st_size:
            self._cache.put(path, status, sha256, read_ns)
        return sha256, data

    def _content(self, descriptor: int, size_bytes: int) -> bytes:
        """No more than the file had when it was opened: a log may grow faster than it is read."""
        pieces = []
        while size_bytes > 0 and not self._stop.is_set():
            piece = os.read(descriptor, min(size_bytes, _PIECE_BYTES))
            if not piece:
                break
            pieces.append(piece)
            size_bytes -= len(piece)
        return b"".join(pieces)
