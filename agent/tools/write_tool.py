"""`write`: create a file, or replace all of one that was read."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.protocol.tools import ToolResult, ToolSession, ToolSpec
from agent.tools.arguments import ArgumentError, utf8_argument
from agent.tools.diffs import unified_diff
from agent.tools.edit_utils import validate_python
from agent.tools.files import (
    FileToolError,
    TextFile,
    atomic_write,
    describe_os_error,
    display_name,
    fingerprint_bytes,
    load_text,
    outside_workspace_rule,
    path_changes,
    path_lock,
    path_subject,
    require_known,
    resolve_path,
)

DESCRIPTION = """\
Create a file with `content`, or replace everything in an existing one. Missing directories are made.

An existing file must have been read or written in this session, and be unchanged since; otherwise nothing is written. \
To change a part of a file use edit: less text, and less to lose. Python files are checked: syntax, and trainer \
settings that would lose the model."""

PARAMETERS: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["path", "content"],
    "properties": {
        "path": {"type": "string", "description": "The file; relative paths start from the workspace."},
        "content": {"type": "string", "description": "All that the file is to hold."},
    },
}


def write_spec() -> ToolSpec:
    """The `write` tool."""
    return ToolSpec(
        name="write",
        description=DESCRIPTION,
        parameters=PARAMETERS,
        handler=_handle,
        approval=outside_workspace_rule,
        preview=_preview,
        check=_check,
        subject=path_subject,
        subject_kind="path",
        changes=path_changes,
        editable="content",
    )


@dataclass(frozen=True, slots=True)
class _Change:
    path: Path
    old: TextFile | None
    new: str

    @property
    def data(self) -> bytes:
        return self.old.encode(self.new) if self.old else self.new.encode("utf-8")


async def _handle(arguments: dict[str, Any], session: ToolSession, _tool_call_id: str) -> ToolResult:
    return await asyncio.to_thread(_write, arguments, session)


def _check(arguments: Mapping[str, Any], session: ToolSession) -> str | None:
    """Reads the file: call it in a thread."""
    try:
        _plan(resolve_path(arguments.get("path"), session.workspace), arguments, session)
    except (ArgumentError, FileToolError) as error:
        return str(error)
    return None


def _preview(arguments: Mapping[str, Any], session: ToolSession) -> str | None:
    """Reads the file: call it in a thread."""
    try:
        change = _plan(resolve_path(arguments.get("path"), session.workspace), arguments, session)
    except (ArgumentError, FileToolError):
        return None
    return _diff(change, session) or "(no change)"


def _write(arguments: Mapping[str, Any], session: ToolSession) -> ToolResult:
    try:
        path = resolve_path(arguments.get("path"), session.workspace)
        with path_lock(path):
            change = _plan(path, arguments, session)
            atomic_write(path, change.data, change.old.status if change.old else None)
            session.known_files[path] = fingerprint_bytes(change.data)
    except (ArgumentError, FileToolError) as error:
        return ToolResult(str(error), ok=False)
    lines = change.new.count("\n") + (not change.new.endswith("\n") and change.new != "")
    done = "Replaced" if change.old else "Created"
    said = [f"{done} {path}: {lines:,} lines, {len(change.data):,} bytes."]
    if path.suffix == ".py":
        said += [f"Warning: {warning}" for warning in validate_python(change.new, path.name)]
    return ToolResult("\n".join(said), display=_diff(change, session) or None)


def _plan(path: Path, arguments: Mapping[str, Any], session: ToolSession) -> _Change:
    """What would be written, or the error that it would end in."""
    content = utf8_argument(arguments, "content")
    try:
        exists = path.exists()
    except OSError as error:  # a name too long
        raise FileToolError(describe_os_error(error, path, "write")) from error
    if not exists:
        return _Change(path, None, content)
    old = load_text(path)
    require_known(path, old.fingerprint, session.known_files)
    if old.is_crlf:
        content = content.replace("\r\n", "\n").replace("\n", "\r\n")
    return _Change(path, old, content)


def _diff(change: _Change, session: ToolSession) -> str:
    name = display_name(change.path, session.workspace)
    return unified_diff(change.old.text if change.old else None, change.new, name)
