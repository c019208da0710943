"""Files and directories for what is nobody else's business: journals, exports, and what commands have printed."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterable
from pathlib import Path


def make_private_dir(path: Path) -> None:
    """Make `path`, and the directories above it that are missing, for this user only. Blocking. Raises OSError.

    Where `path` exists already, others lose their way in; what is above it is left as it is.
    """
    missing = [directory for directory in (path, *path.parents) if not directory.exists()]
    for directory in reversed(missing):
        directory.mkdir(mode=0o700, exist_ok=True)
    if stat.S_IMODE(path.stat().st_mode) != 0o700:
        with contextlib.suppress(PermissionError):
            path.chmod(0o700)


def write_private(path: Path, data: bytes | Iterable[bytes], *, overwrite: bool, durable: bool) -> None:
    """Write `data`, whole or piece by piece, for this user only: all of it or nothing, whatever ends the writing.

    `durable`: it is on the disk for good when this returns. Blocking. Raises FileExistsError (its `filename` is `path`)
    where `path` exists and is not to be overwritten, OSError, and what `data` raises while it is gone through.
    """
    if not overwrite and os.path.lexists(path):
        raise _exists(path)
    unfinished = path.with_name(f".{secrets.token_hex(16)}.tmp")
    try:
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor
            file.writelines([data] if isinstance(data, bytes) else data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        if overwrite:
            unfinished.replace(path)
        else:
            _appear(unfinished, path)
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink()
    if durable:
        _sync_names(path.parent)


def _appear(unfinished: Path, path: Path) -> None:
    """Give a whole file its name, unless that is taken. Raises FileExistsError."""
    try:
        path.hardlink_to(unfinished)
    except FileExistsError:
        raise _exists(path) from None
    except OSError:  # a file system without links: take the name first
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        try:
            unfinished.replace(path)
        except BaseException:
            path.unlink(missing_ok=True)
            raise


def _exists(path: Path) -> FileExistsError:
    return FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))


def _sync_names(directory: Path) -> None:
    with contextlib.suppress(OSError):  # not every system can make a name last
        descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
