"""What a server answers to a call, as a tool's result: texts, and files for what is not text."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import json
import mimetypes
import os
import secrets
from collections.abc import Sequence
from dataclasses import field
from pathlib import Path
from typing import Any

from agent.light_dataclass import dataclass
from agent.protocol.private_files import make_private_dir
from agent.protocol.tools import ToolResult

MAX_FILES = 20
MAX_FILE_BYTES = 64 << 20
"""Of the files of one answer together."""
MAX_KEPT_BYTES = 256 << 20
"""Of the files of all answers together."""
_PREFIX = "mcp-"
_MIME_CHARS = 80
_SUFFIXES = {"audio/wav": ".wav", "audio/mp3": ".mp3", "image/webp": ".webp"}
"""What `mimetypes` does not know everywhere."""


def source_of(server: str) -> str:
    """How the answers of a server are labelled."""
    return f"MCP server {server}"


async def as_result(server: str, answer: Any, spill_dir: Path) -> ToolResult:
    """The result for `answer` (mcp_types.CallToolResult). Images and the like are kept in `spill_dir`."""
    return await asyncio.to_thread(_as_result, server, answer, spill_dir)


@dataclass(slots=True)
class _Parts:
    """The texts of an answer in their order, and the files that were made of the rest."""

    spill_dir: Path
    texts: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    size_bytes: int = 0

    def keep(self, kind: str, mime: str, data: str) -> str:
        """Keep base64 `data` in a private file; returns the line that stands for it."""
        mime = (mime or "unknown type")[:_MIME_CHARS]
        if len(self.files) >= MAX_FILES:
            return f"[{kind}: {mime}, not kept: an answer may have {MAX_FILES} files]"
        if self.size_bytes + len(data) * 3 // 4 > MAX_FILE_BYTES:
            return f"[{kind}: {mime}, not kept: the files of an answer may have {MAX_FILE_BYTES >> 20} MB together]"
        try:
            content = base64.b64decode(data, validate=True)
        except (binascii.Error, ValueError):
            return f"[{kind}: {mime}, not readable]"
        line = f"{kind}: {mime}, {_size_text(len(content))}"
        try:
            if not self.files:
                make_private_dir(self.spill_dir)
                _tidy(self.spill_dir)
            path = _write(self.spill_dir, content, mime)
        except OSError as error:
            return f"[{line}, could not be kept: {error.strerror or type(error).__name__}]"
        self.files.append(str(path))
        self.size_bytes += len(content)
        return f"[{line}]"

    def add(self, block: Any) -> None:
        """Take up one block of content."""
        kind = getattr(block, "type", "")
        if kind == "text":
            self.texts.append(str(block.text))
        elif kind in ("image", "audio"):
            self.texts.append(self.keep(kind, block.mime_type, block.data))
        elif kind == "resource":
            self._add_resource(block.resource)
        elif kind == "resource_link":
            about = ", ".join(filter(None, [block.mime_type, block.description]))
            self.texts.append(f"[resource: {block.name}, {block.uri}{', ' if about else ''}{about}]")
        else:
            self.texts.append(f"[content of a kind that is not known here: {str(kind)[:_MIME_CHARS]}]")

    def _add_resource(self, resource: Any) -> None:
        text = getattr(resource, "text", None)
        if text is not None:
            self.texts.append(f"[resource: {resource.uri}]\n{text}")
        else:
            line = self.keep("binary data", resource.mime_type or "", getattr(resource, "blob", ""))
            self.texts.append(f"{line} of {resource.uri}")


def _as_result(server: str, answer: Any, spill_dir: Path) -> ToolResult:
    parts = _Parts(spill_dir)
    for block in answer.content:
        parts.add(block)
    structured = getattr(answer, "structured_content", None)
    has_text = any(getattr(block, "type", "") in ("text", "resource") for block in answer.content)
    if structured is not None and not has_text:
        parts.texts.append(json.dumps(structured, ensure_ascii=False, indent=1, default=str))
    ok = not answer.is_error
    output = "\n".join(parts.texts).strip() or (
        "The tool gave no output." if ok else "The tool failed, saying nothing."
    )
    return ToolResult(output, ok, source=source_of(server), advice="\n".join(_advice(server, parts.files, ok=ok)))


def _advice(server: str, files: Sequence[str], *, ok: bool) -> list[str]:
    lines = [f"Kept as {path}." for path in files]
    if not ok:
        lines.append(f"The MCP server {server} reports this as an error: mend the arguments, or do without the tool.")
    return lines


def _size_text(size_bytes: int) -> str:
    return f"{size_bytes} bytes" if size_bytes < 1000 else f"{size_bytes / 1000:.0f} kB"


def _tidy(spill_dir: Path) -> None:
    """Remove the oldest files of earlier answers until they fit in `MAX_KEPT_BYTES`; trouble is not worth a word."""
    with contextlib.suppress(OSError):
        kept = [(path.stat().st_mtime_ns, path.stat().st_size, path) for path in spill_dir.glob(f"{_PREFIX}*")]
        excess = sum(size for _, size, _ in kept) - MAX_KEPT_BYTES
        for _, size, path in sorted(kept):
            if excess <= 0:
                break
            path.unlink(missing_ok=True)
            excess -= size


def _write(spill_dir: Path, content: bytes, mime: str) -> Path:
    """A new private file with `content`."""
    kind = mime.split(";")[0].strip().lower()
    suffix = _SUFFIXES.get(kind) or mimetypes.guess_extension(kind) or ".bin"
    path = spill_dir / f"{_PREFIX}{secrets.token_hex(4)}{suffix}"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    return path
