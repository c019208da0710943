"""Files of a sandbox, brought here to be uploaded to the Hub."""

from __future__ import annotations

import asyncio
import io
import secrets
import shlex
import tarfile

from agent.compute.sandbox.words import MAX_FILE_BYTES, Sandbox
from agent.protocol.tools import ToolSession
from agent.tools.files import FileToolError
from agent.tools.sandbox.files import look, missing
from agent.tools.sandbox.machines import Sandboxes

MAX_FILES = 2_000
_TOO_LARGE = 27
_PACK_S = 120


async def fetch(sandboxes: Sandboxes, path: str, session: ToolSession) -> list[tuple[str, bytes]]:
    """The files at `path` in the session's sandbox: their paths below it and contents; for a file one pair, with its
    name. Links are left out. Raises ComputeError, FileToolError."""
    sandbox = (await sandboxes.use(session)).sandbox
    found = await look(sandbox, path)
    if found is None:
        raise await missing(sandbox, path)
    if found.kind == "dir":
        return await _directory(sandbox, found.path)
    if found.kind != "file":
        raise FileToolError(f"{path} is no regular file.")
    _require_size(path, found.size_bytes)
    return [(found.path.rsplit("/", 1)[-1], await sandbox.read(found.path))]


async def _directory(sandbox: Sandbox, path: str) -> list[tuple[str, bytes]]:
    """All regular files below a directory but git's own, in one archive."""
    archive = f"/tmp/upload-{secrets.token_hex(6)}.tar"
    limit_kb = MAX_FILE_BYTES >> 10
    command = (
        f"cd {shlex.quote(path)} && test $(du -sk --exclude=.git . | cut -f1) -le {limit_kb} || exit {_TOO_LARGE}; "
        f"tar --exclude=./.git -cf {archive} ."
    )
    try:
        result = await sandbox.run(command, timeout_s=_PACK_S)
        if result.exit_code == _TOO_LARGE:
            raise _too_large(path)
        if result.exit_code != 0:
            raise FileToolError(f"{path} cannot be packed in the sandbox: {result.output.strip()[-300:]}")
        _require_size(path, (await sandbox.stat(archive)).size_bytes)
        data = await sandbox.read(archive)
    finally:
        await sandbox.run(f"rm -f {archive}")
    return await asyncio.to_thread(_unpacked, path, data)


def _unpacked(path: str, data: bytes) -> list[tuple[str, bytes]]:
    files: list[tuple[str, bytes]] = []
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            content = archive.extractfile(member) if member.isreg() else None
            if content is not None:
                files.append((member.name.removeprefix("./"), content.read()))
            if len(files) > MAX_FILES:
                raise FileToolError(f"{path} has more than {MAX_FILES:,} files. Upload fewer at a time.")
    return files


def _require_size(path: str, size_bytes: int) -> None:
    if size_bytes > MAX_FILE_BYTES:
        raise _too_large(path)


def _too_large(path: str) -> FileToolError:
    return FileToolError(
        f"{path} has more than {MAX_FILE_BYTES >> 20} MB, too much to be brought here. Upload it in parts, or from "
        "where it is made: a job has a token for that."
    )
