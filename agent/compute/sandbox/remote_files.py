"""Files on the sandbox's side: part of the server, or by itself: `python3 -c SOURCE REQUEST < DATA`.

Standard library only, Python >= 3.10, nothing of this package: it is sent there as text.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import hashlib
import json
import os
import secrets
import stat as modes
import sys
import threading
from pathlib import Path
from typing import Any

MAX_BYTES = 64 << 20
_PIECE_BYTES = 1 << 20
_lock = threading.Lock()

_KINDS = {
    errno.ENOENT: ("not_found", "there is no such file"),
    errno.ENOTDIR: ("not_found", "a part of the path is a file, not a directory"),
    errno.EACCES: ("forbidden", "permission denied"),
    errno.EPERM: ("forbidden", "the system does not permit it"),
    errno.EROFS: ("forbidden", "the file system is read-only"),
    errno.EISDIR: ("bad_request", "it is a directory"),
    errno.ELOOP: ("bad_request", "its symbolic links lead in a circle"),
    errno.ENAMETOOLONG: ("bad_request", "the name is too long"),
    errno.ENOSPC: ("full", "the sandbox's disk is full; free some space and try again"),
    errno.EDQUOT: ("full", "the disk quota is used up; free some space and try again"),
}


class FileTrouble(Exception):
    """A file cannot be used as asked. `kind`: not_found, forbidden, bad_request, conflict, full, server."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


def real_path(path: str, root: str) -> Path:
    """The absolute path meant: `~` expanded, relative to `root`, links followed."""
    if not path.strip() or "\0" in path:
        raise FileTrouble("bad_request", "`path` is empty, or has a NUL character.")
    joined = os.path.join(root, os.path.expanduser(path))  # noqa: PTH111, PTH118 - Path's raises for an unknown user
    return Path(os.path.realpath(joined))


def stat_file(path: Path, digest: bool = False) -> dict[str, Any]:
    """Its kind, size, mode, time and, if asked for and a regular file, SHA-256."""
    try:
        status = path.stat()
        sha256 = _digest(path) if digest and modes.S_ISREG(status.st_mode) else None
    except OSError as error:
        raise _trouble(error, path) from error
    kind = "file" if modes.S_ISREG(status.st_mode) else "dir" if modes.S_ISDIR(status.st_mode) else "other"
    return {
        "path": str(path),
        "kind": kind,
        "size_bytes": status.st_size,
        "mode": modes.S_IMODE(status.st_mode),
        "mtime_ns": status.st_mtime_ns,
        "sha256": sha256,
    }


def read_file(path: Path, offset: int = 0, limit: int | None = None) -> bytes:
    """Bytes of a regular file from `offset` on, at most `limit`; without one all of them, if that is not too much."""
    try:
        _require_regular(path, path.stat().st_mode)
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            _require_regular(path, status.st_mode)  # it may have been exchanged meanwhile
            file.seek(max(0, offset))
            most = MAX_BYTES if limit is None else max(0, min(limit, MAX_BYTES))
            data = file.read(most + (limit is None))
    except OSError as error:
        raise _trouble(error, path) from error
    if limit is None and len(data) > MAX_BYTES:
        text = f"{path} has {status.st_size:,} bytes; at most {MAX_BYTES >> 20} MiB are moved at once."
        raise FileTrouble("bad_request", text)
    return data


def write_file(path: Path, data: bytes, expect: str | None = None) -> dict[str, Any]:
    """Put `data` at `path` in one step, if what is there is what is expected (a SHA-256, "absent", None: anything).

    That the file has this content already counts as done: the answer to the first try may have been lost.
    """
    sha256 = hashlib.sha256(data).hexdigest()
    with _lock:
        try:
            status = _status(path)
            if status is not None:
                _require_regular(path, status.st_mode)
            there = _digest(path) if status is not None and expect is not None else None
            if expect is not None and there != sha256:
                _require_expected(path, there, expect)
            _replace(path, data, status)
        except OSError as error:
            raise _trouble(error, path) from error
        return {**stat_file(path), "sha256": sha256}


def _require_expected(path: Path, there: str | None, expect: str) -> None:
    if expect == "absent" and there is not None:
        raise FileTrouble("conflict", f"{path} exists already. Read it first, then redo this.")
    if expect != "absent" and there is None:
        raise FileTrouble("conflict", f"{path} was removed since it was last read.")
    if expect != "absent" and there != expect:
        raise FileTrouble("conflict", f"{path} has changed since it was last read. Read it again, then redo this.")


def _replace(path: Path, data: bytes, status: os.stat_result | None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if status is not None:  # replacing a file that may not be written would go around its mode
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC))
        except OSError as error:
            if error.errno != errno.ETXTBSY:  # a running program can be replaced, though not written
                raise
    fresh = path.with_name(f".ml-intern-{secrets.token_hex(8)}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    descriptor = os.open(fresh, flags, 0o600 if status is not None else 0o666)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            if status is not None:
                _keep_owner_and_mode(descriptor, status)
            os.fsync(descriptor)
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def _keep_owner_and_mode(descriptor: int, status: os.stat_result) -> None:
    mine = os.fstat(descriptor)
    if (mine.st_uid, mine.st_gid) != (status.st_uid, status.st_gid):
        with contextlib.suppress(PermissionError):
            os.fchown(descriptor, status.st_uid, status.st_gid)
    os.fchmod(descriptor, modes.S_IMODE(status.st_mode))  # after the owner: changing that drops setuid bits


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _require_regular(path: Path, mode: int) -> None:
    if modes.S_ISREG(mode):
        return
    what = "a directory" if modes.S_ISDIR(mode) else "a pipe, socket or device"
    raise FileTrouble("bad_request", f"{path} is {what}, not a regular file.")


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            digest.update(piece)
    return digest.hexdigest()


def _trouble(error: OSError, path: Path) -> FileTrouble:
    kind, why = _KINDS.get(error.errno or 0, ("server", error.strerror or str(error)))
    return FileTrouble(kind, f"{path} cannot be used: {why}.")


def main(request_text: str) -> None:
    """One request from the command line, a JSON object; data (base64) on stdin; one JSON object as the answer."""
    request = json.loads(request_text)
    answer: dict[str, Any]
    try:
        path = real_path(request["path"], request["root"])
        if request["do"] == "write":
            answer = write_file(path, base64.b64decode(sys.stdin.buffer.read()), request.get("expect"))
        elif request["do"] == "read":
            data = read_file(path, request.get("offset", 0), request.get("limit"))
            answer = {"data": base64.b64encode(data).decode()}
        else:
            answer = stat_file(path, request.get("digest", False))
    except FileTrouble as error:
        answer = {"kind": error.kind, "detail": str(error)}
        answer = {"trouble": answer}
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
