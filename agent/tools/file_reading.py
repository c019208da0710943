"""Reading a file for `read`: one pass over it, with as many lines as fit."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import field
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from agent.light_dataclass import dataclass
from agent.protocol.tools import (
    FREE,
    ApprovalContext,
    ApprovalNeed,
    FileFingerprint,
    ToolResult,
    ToolSession,
)
from agent.tools.arguments import ArgumentError, int_argument
from agent.tools.files import (
    SNIFF_BYTES,
    FileToolError,
    binary_kind,
    chunks,
    describe_os_error,
    display_name,
    open_regular,
    resolve_path,
)
from agent.tools.output import MAX_OUTPUT_CHARS
from agent.tools.read_tool import DEFAULT_READ_LINES
from agent.tools.sensitive_paths import is_sensitive_path

MAX_LINE_LENGTH = 4000
LINE_BUFFER_BYTES = 4 * MAX_LINE_LENGTH + 8
"""Enough of a line for the characters shown: one has 4 bytes at most."""
MAX_TRACKED_BYTES = 256 << 20
"""Larger files are read no further than asked, and get no fingerprint: the hash of 100 GB takes minutes."""
MAX_LISTED = 200
MAX_ENTRIES = 10_000
_PROCESS_MEMORY = re.compile(r"/proc/\w+(/task/\w+)?/(environ|mem)$")


def secrets_rule(arguments: Mapping[str, Any], context: ApprovalContext) -> ApprovalNeed:
    """Ask before a file that usually holds credentials is shown to the model; all else is free to read."""
    try:
        path = resolve_path(arguments.get("path"), context.workspace)
    except FileToolError:
        return FREE
    as_written = str(arguments["path"])
    if is_sensitive_path(display_name(path, context.workspace)) or is_sensitive_path(as_written):
        return ApprovalNeed("ask", f"{path} usually holds secrets, and would be sent to the model")
    return FREE


async def read(arguments: Mapping[str, Any], session: ToolSession) -> ToolResult:
    """Carry out a call."""
    try:
        output, path, fingerprint = await asyncio.to_thread(_read, arguments, session.workspace)
    except (ArgumentError, FileToolError) as error:
        return ToolResult(str(error), ok=False)
    if fingerprint:
        session.known_files[path] = fingerprint
    return ToolResult(output)


def _read(arguments: Mapping[str, Any], workspace: Path) -> tuple[str, Path, FileFingerprint | None]:
    path = resolve_path(arguments.get("path"), workspace)
    offset, limit = lines_wanted(arguments)
    if _PROCESS_MEMORY.match(str(path)):
        # Children get an environment without secrets; this program's own has them.
        raise FileToolError(f"{path} shows another program's environment or memory, and is not read.")
    try:
        if path.is_dir():
            return _listing(path), path, None
        with open_regular(path) as file:
            page = _page(file, path, offset, limit)
    except OSError as error:
        raise FileToolError(describe_os_error(error, path, "read")) from error
    return page.as_text(), path, page.fingerprint


def lines_wanted(arguments: Mapping[str, Any]) -> tuple[int, int]:
    """The number of the first line to read, and how many. Raises ArgumentError."""
    offset = max(1, int_argument(arguments, "offset", 1, minimum=0))
    return offset, int_argument(arguments, "limit", DEFAULT_READ_LINES, minimum=1)


# --- one pass over the file ------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Page:
    """The lines wanted, as far as they fit, and what was learned of the file while passing over it.

    `feed` it the file's bytes from the beginning, then `finish`. `is_tracked`: a fingerprint is wanted, so the file is
    passed over to its end. `total_lines` is None if it was not.
    """

    path: Path
    offset: int
    limit: int
    is_tracked: bool
    lines: list[str] = field(default_factory=list)
    chars: int = 0
    is_full: bool = False
    number: int = 1  # of the line that `partial` belongs to
    partial: bytearray = field(default_factory=bytearray)
    partial_bytes: int = 0
    is_utf8: bool = True
    total_lines: int | None = None
    fingerprint: FileFingerprint | None = None
    size_bytes: int = 0
    digest: Any = field(default_factory=hashlib.sha256)

    def feed(self, chunk: bytes) -> bool:
        """Look at the next bytes; returns whether more are wanted. Raises FileToolError for a binary file."""
        kind = binary_kind(chunk[:SNIFF_BYTES]) if self.size_bytes == 0 else None
        if kind:
            raise FileToolError(
                f"{self.path} is a binary file: {kind}. Look at it with a program made for it, in bash."
            )
        self._take(chunk)
        self.size_bytes += len(chunk)
        self.is_tracked = self.is_tracked and self.size_bytes <= MAX_TRACKED_BYTES  # files in /proc have no size
        if self.is_tracked:
            self.digest.update(chunk)
        return self.is_tracked or not self.is_full

    def _take(self, chunk: bytes) -> None:
        """Lines end at line feeds only; of a long one no more is kept than will be shown."""
        position = 0
        if self.number + chunk.count(b"\n") < self.offset:
            self._skip(chunk, position)
            return
        while position < len(chunk):
            if self.is_full:
                self._skip(chunk, position)
                return
            end = chunk.find(b"\n", position)
            self._extend(chunk[position:] if end < 0 else chunk[position:end])
            if end < 0:
                return
            self._end_line()
            position = end + 1

    def _skip(self, chunk: bytes, position: int) -> None:
        """Only count lines, and note whether the last one has any bytes."""
        self.number += chunk.count(b"\n", position)
        self.partial_bytes = len(chunk) - 1 - chunk.rfind(b"\n", position)

    def _extend(self, piece: bytes) -> None:
        self.partial_bytes += len(piece)
        if self.number >= self.offset:
            self.partial += piece[: max(0, LINE_BUFFER_BYTES - len(self.partial))]

    def _end_line(self) -> None:
        if self.number >= self.offset and not self.is_full:
            self._add(self._shown())
        self.number += 1
        self.partial.clear()
        self.partial_bytes = 0

    def _shown(self) -> str:
        if self.number == 1 and self.partial.startswith(b"\xef\xbb\xbf"):
            del self.partial[:3]
        text = self.partial.decode("utf-8", "replace")
        if "\ufffd" in text and self.partial_bytes <= LINE_BUFFER_BYTES:  # else the buffer's end may cut a character
            self.is_utf8 = self.is_utf8 and _is_utf8(self.partial)
        text = text.removesuffix("\r")
        if len(text) > MAX_LINE_LENGTH:
            text = f"{text[:MAX_LINE_LENGTH]} [... line cut; it has {self.partial_bytes:,} bytes]"
        return f"{self.number:6d}\t{text}"

    def _add(self, line: str) -> None:
        if self.lines and self.chars + len(line) + 1 > MAX_OUTPUT_CHARS:
            self.is_full = True
            return
        self.lines.append(line)
        self.chars += len(line) + 1
        self.is_full = len(self.lines) >= self.limit

    def finish(self) -> None:
        """The file is at its end: what is left is a last line without a line feed."""
        if self.partial_bytes:
            self._end_line()
        self.total_lines = self.number - 1
        if self.is_tracked:
            self.fingerprint = FileFingerprint(self.size_bytes, self.digest.hexdigest())

    def as_text(self) -> str:
        """The result of the call. Raises FileToolError if the file ends before the lines wanted."""
        total = self.total_lines
        if total == 0:
            return f"({self.path} is empty)"
        if not self.lines:
            raise FileToolError(f"`offset` {self.offset} is beyond the end: {self.path} has {total:,} lines.")
        said = list(self.lines)
        last = self.offset + len(self.lines) - 1
        if total is None or last < total:
            of = "" if total is None else f" of {total:,}"
            said.append(f"\n[Lines {self.offset}-{last}{of}; go on with offset={last + 1}]")
        if not self.is_utf8:
            note = "\ufffd stands for bytes that are not. They survive an edit elsewhere."
            said.append(f"\n[Not all of it is UTF-8: {note}]")
        return "\n".join(said)


def _is_utf8(line: bytearray) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _page(file: BinaryIO, path: Path, offset: int, limit: int) -> Page:
    page = Page(path, offset, limit, is_tracked=os.fstat(file.fileno()).st_size <= MAX_TRACKED_BYTES)
    for chunk in chunks(file):
        if not page.feed(chunk):
            return page
    page.finish()
    return page


# --- a directory -----------------------------------------------------------------------------------------------------


def _listing(path: Path) -> str:
    with os.scandir(path) as entries:
        names = [entry.name + "/" * entry.is_dir(follow_symlinks=False) for entry in islice(entries, MAX_ENTRIES)]
    return listing(path, names)


def listing(path: Path, names: list[str]) -> str:
    """What a directory with these entries reads as: at most MAX_ENTRIES, directories with a slash at their end."""
    names = sorted(names)
    if not names:
        return f"{path} is an empty directory."
    more = len(names) - MAX_LISTED
    said = [f"{path} is a directory. Its entries:", *names[:MAX_LISTED]]
    if more > 0:
        said.append(f"[{more:,} more{' at least' * (len(names) == MAX_ENTRIES)}; list them with bash]")
    return "\n".join(said)
