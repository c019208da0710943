"""Files in a sandbox: finding them, and reading them as far as is wanted."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.compute.sandbox.words import FileStat, Sandbox
from agent.protocol.compute import ComputeError
from agent.protocol.tools import FileFingerprint
from agent.tools.file_reading import MAX_ENTRIES, MAX_TRACKED_BYTES, Page, listing
from agent.tools.files import MAX_EDIT_BYTES, FileToolError, TextFile, near_names, text_of

PIECE_BYTES = 4 << 20
MAX_PASSED_BYTES = 256 << 20
"""So much of a file at most is fetched to find a line in it."""
MAX_SCRIPT_BYTES = 1 << 20
LOOK_TIMEOUT_S = 20.0


def path_argument(arguments: Mapping[str, Any]) -> str:
    """The path as given. Raises FileToolError."""
    raw = arguments.get("path")
    if not isinstance(raw, str) or not raw.strip():
        raise FileToolError("`path` is required: an absolute path, or one relative to the sandbox's work directory.")
    if "\0" in raw:
        raise FileToolError("`path` has a NUL character.")
    return raw


async def look(sandbox: Sandbox, raw: str, *, digest: bool = False) -> FileStat | None:
    """What lies at a path, None if nothing does. Raises ComputeError."""
    try:
        return await sandbox.stat(raw, digest=digest)
    except ComputeError as error:
        if error.kind == "not_found":
            return None
        raise


async def missing(sandbox: Sandbox, raw: str) -> FileToolError:
    """That there is no such file, and what has a similar name."""
    path = Path(raw)
    names = await _entries(sandbox, str(path.parent))
    if names is None:
        return FileToolError(f"No such file in the sandbox: {raw} ({path.parent} does not exist).")
    plain = [name.removesuffix("/") for name in names]
    return FileToolError(f"No such file in the sandbox: {raw}.{near_names(path, plain)}")


async def load(sandbox: Sandbox, found: FileStat) -> TextFile:
    """The whole of a text file of up to 16 MiB. Raises FileToolError, ComputeError."""
    _require_regular(found)
    data = await sandbox.read(found.path, limit_bytes=MAX_EDIT_BYTES + 1)
    return text_of(data, Path(found.path))


async def page(sandbox: Sandbox, found: FileStat, offset: int, limit: int) -> Page:
    """Lines of a text file. Raises FileToolError, ComputeError."""
    _require_regular(found)
    path = Path(found.path)
    first = await sandbox.read(found.path, limit_bytes=PIECE_BYTES)
    if len(first) < PIECE_BYTES:
        whole = Page(path, offset, limit, is_tracked=True)
        whole.feed(first)
        whole.finish()
        return whole
    return await _part(sandbox, found, first, Page(path, offset, limit, is_tracked=False))


async def _part(sandbox: Sandbox, found: FileStat, piece: bytes, part: Page) -> Page:
    """As much of a large file as is needed; its fingerprint is made where it is, before the rest is fetched."""
    is_tracked = 0 < found.size_bytes <= MAX_TRACKED_BYTES  # what has no size is not a real file
    seen = await look(sandbox, found.path, digest=True) if is_tracked else None
    while part.feed(piece):
        if part.size_bytes >= MAX_PASSED_BYTES:
            raise FileToolError(
                f"Line {part.offset:,} of {found.path} is beyond its first {MAX_PASSED_BYTES >> 20} MiB, which is as "
                "far as read looks. Use `sed -n` or `tail` in bash."
            )
        piece = await sandbox.read(found.path, offset=part.size_bytes, limit_bytes=PIECE_BYTES)
        if not piece:
            part.finish()
            break
    if seen is not None and seen.sha256 is not None:
        part.fingerprint = FileFingerprint(seen.size_bytes, seen.sha256)
    return part


async def directory(sandbox: Sandbox, found: FileStat) -> str:
    """The entries of a directory. Raises FileToolError, ComputeError."""
    names = await _entries(sandbox, found.path)
    if names is None:
        raise FileToolError(f"The directory {found.path} cannot be listed. Look at it with `ls -la` in bash.")
    return listing(Path(found.path), names)


async def script_text(sandbox: Sandbox, raw: str) -> str:
    """All of a script of up to 1 MiB. Raises FileNotFoundError, FileToolError, ComputeError."""
    found = await look(sandbox, path_argument({"path": raw}))
    if found is None:
        raise FileNotFoundError(str(await missing(sandbox, raw)))
    _require_regular(found)
    data = await sandbox.read(found.path, limit_bytes=MAX_SCRIPT_BYTES + 1)
    if len(data) > MAX_SCRIPT_BYTES:
        raise FileToolError(f"{found.path} has more than {MAX_SCRIPT_BYTES >> 20} MiB, which is too much for a script.")
    text = text_of(data, Path(found.path)).text
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise FileToolError(f"{found.path} is not UTF-8 text.") from error
    if not text.strip():
        raise FileToolError(f"{found.path} is empty.")
    return text


def _require_regular(found: FileStat) -> None:
    if found.kind != "file":
        kind = "a directory" if found.kind == "dir" else "a pipe, a socket or a device"
        raise FileToolError(f"{found.path} is {kind}, not a regular file.")


async def _entries(sandbox: Sandbox, raw: str) -> list[str] | None:
    """The names in a directory, subdirectories with a slash at their end; None if it cannot be listed.

    At most MAX_ENTRIES, and as many as fit into a command's output.
    """
    command = f"cd -- {_quoted(raw)} && LC_ALL=C ls -Ap1 | head -n {MAX_ENTRIES}"
    result = await sandbox.run(command, timeout_s=LOOK_TIMEOUT_S)
    if result.exit_code != 0:
        return None
    if not result.truncated:
        return result.output.splitlines()
    assert result.spill_path is not None
    names = (await sandbox.read(result.spill_path)).decode("utf-8", "replace")
    return names.splitlines()


def _quoted(raw: str) -> str:
    """For the shell, which expands a leading `~/` itself."""
    return f'"$HOME"/{shlex.quote(raw[2:])}' if raw.startswith("~/") else '"$HOME"' if raw == "~" else shlex.quote(raw)
