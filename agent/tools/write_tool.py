"""`write`: create a file, or replace all of one that was read."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.protocol.tools import FileFingerprint, ToolResult, ToolSession, ToolSpec
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
class Rewrite:
    """The change that a write makes of the file at `path`; `old` None: there is none yet."""

    path: Path
    old: TextFile | None
    new: str

    @property
    def data(self) -> bytes:
        """The file's new content."""
        return self.old.encode(self.new) if self.old else self.new.encode("utf-8")

    def diff(self, name: str) -> str:
        """The change as a unified diff, "" if there is none; `name` is the file's for people."""
        return unified_diff(self.old.text if self.old else None, self.new, name)

    def done(self, name: str) -> ToolResult:
        """What to say once it is made."""
        lines = self.new.count("\n") + (not self.new.endswith("\n") and self.new != "")
        verb = "Replaced" if self.old else "Created"
        said = [f"{verb} {self.path}: {lines:,} lines, {len(self.data):,} bytes."]
        if self.path.suffix == ".py":
            said += [f"Warning: {warning}" for warning in validate_python(self.new, self.path.name)]
        return ToolResult("\n".join(said), display=self.diff(name) or None)


def rewrite(path: Path, old: TextFile | None, content: str, known: Mapping[Path, FileFingerprint]) -> Rewrite:
    """What writing `content` makes of `old`. Raises FileToolError if that is not as the agent knows it."""
    if old is not None:
        require_known(path, old.fingerprint, known)
        if old.is_crlf:
            content = content.replace("\r\n", "\n").replace("\n", "\r\n")
    return Rewrite(path, old, content)


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
    return change.diff(display_name(change.path, session.workspace)) or "(no change)"


def _write(arguments: Mapping[str, Any], session: ToolSession) -> ToolResult:
    try:
        path = resolve_path(arguments.get("path"), session.workspace)
        with path_lock(path):
            change = _plan(path, arguments, session)
            atomic_write(path, change.data, change.old.status if change.old else None)
            session.known_files[path] = fingerprint_bytes(change.data)
    except (ArgumentError, FileToolError) as error:
        return ToolResult(str(error), ok=False)
    return change.done(display_name(path, session.workspace))


def _plan(path: Path, arguments: Mapping[str, Any], session: ToolSession) -> Rewrite:
    """What would be written, or the error that it would end in."""
    content = utf8_argument(arguments, "content")
    try:
        exists = path.exists()
    except OSError as error:  # a name too long
        raise FileToolError(describe_os_error(error, path, "write")) from error
    return rewrite(path, load_text(path) if exists else None, content, session.known_files)
