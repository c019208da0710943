"""One writer per file: a lock that the system takes back when its process ends, however it ends."""

from __future__ import annotations

import errno
import logging
import os
import sys
import time
from pathlib import Path

logger = logging.getLogger(__name__)

LOCK_PATIENCE_S = 0.2
"""How long a writer tries: `is_locked` of another process holds the lock for a moment."""

_UNSUPPORTED = frozenset({errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP})
"""What file systems without locks answer (some clusters' home directories)."""

if sys.platform == "win32":
    import msvcrt

    _LOCKED_BYTE = 1 << 40  # beyond all content: locks are mandatory there, and readers must not notice

    def _lock(fd: int, _shared: bool) -> None:
        os.lseek(fd, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(fd: int, shared: bool) -> None:
        fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)


def acquire(fd: int) -> bool:
    """Lock the open file `fd` for writing until it is closed; False if another has it for `LOCK_PATIENCE_S`."""
    deadline = time.monotonic() + LOCK_PATIENCE_S
    while not _try_lock(fd, shared=False):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def is_locked(path: Path) -> bool:
    """Whether some process, this one included, holds the lock on `path`. A file that cannot be opened has no writer."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return not _try_lock(fd, shared=True)
    finally:
        os.close(fd)


def has_locks(path: Path) -> bool:
    """Whether the file system of `path` has locks at all: else `is_locked` says no of every file."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return True
    try:
        _lock(fd, True)
    except OSError as error:
        return error.errno not in _UNSUPPORTED
    finally:
        os.close(fd)
    return True


def _try_lock(fd: int, *, shared: bool) -> bool:
    try:
        _lock(fd, shared)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            return False
        logger.warning("this file system has no locks; a second writer would not be noticed")
    return True
