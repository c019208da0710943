"""`edit`: change a part of a file that was read."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from agent.protocol.tools import FileFingerprint, ToolResult, ToolSession, ToolSpec
from agent.tools.arguments import ArgumentError, bool_argument, utf8_argument
from agent.tools.diffs import unified_diff
from agent.tools.edit_utils import MODES, apply_edit, validate_python
from agent.tools.files import (
    FileToolError,
    TextFile,
    atomic_write,
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
Change a part of a file: find `old_str`, and put `new_str` in its place, or right after or before it.

- The file must have been read (or written) in this session and be unchanged since.
- Copy old_str from the file as it is, indentation included, but without the line numbers that read puts in front.
- old_str must fit one place only; give more of the text around it, or set replace_all to change every place. If it \
fits nowhere exactly, whole lines are compared without regard to outer blanks and typographic characters, and the \
result says so.
- new_str goes in exactly as given: with append_after and prepend_before, include the line breaks it needs."""

PARAMETERS: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["path", "old_str", "new_str"],
    "properties": {
        "path": {"type": "string", "description": "The file; relative paths start from the workspace."},
        "old_str": {"type": "string", "description": "The text to find."},
        "new_str": {"type": "string", "description": "The text to put in. Empty, in mode replace, removes old_str."},
        "replace_all": {"type": "boolean", "default": False, "description": "Change every place that fits."},
        "mode": {
            "type": "string",
            "enum": list(MODES),
            "default": "replace",
            "description": "replace old_str, or keep it and add new_str after or before it.",
        },
    },
}


def edit_spec() -> ToolSpec:
    """The `edit` tool."""
    return ToolSpec(
        name="edit",
        description=DESCRIPTION,
        parameters=PARAMETERS,
        handler=_handle,
        approval=partial(outside_workspace_rule, tool="edit"),
        preview=_preview,
        check=_check,
        subject=path_subject,
        subject_kind="path",
        changes=path_changes,
    )


@dataclass(frozen=True, slots=True)
class Edit:
    """The change that an edit makes of the file at `path`, in `count` places; `note` tells how they were found."""

    path: Path
    old: TextFile
    new: str
    count: int
    note: str | None

    @property
    def data(self) -> bytes:
        """The file's new content."""
        return self.old.encode(self.new)

    def diff(self, name: str) -> str:
        """The change as a unified diff; `name` is the file's for people."""
        return unified_diff(self.old.text, self.new, name)

    def done(self, name: str) -> ToolResult:
        """What to say once it is made."""
        places = "1 place" if self.count == 1 else f"{self.count:,} places"
        said = [f"Edited {self.path}: {places} changed." + (f" {self.note}" if self.note else "")]
        if self.path.suffix == ".py":
            said += [f"Warning: {warning}" for warning in validate_python(self.new, self.path.name)]
        return ToolResult("\n".join(said), display=self.diff(name))


@dataclass(frozen=True, slots=True)
class EditRequest:
    """What a call asks for."""

    old_str: str
    new_str: str
    replace_all: bool
    mode: str

    @classmethod
    def of(cls, arguments: Mapping[str, Any]) -> EditRequest:
        """Read from a call's arguments. Raises ArgumentError."""
        old_str, new_str = utf8_argument(arguments, "old_str"), utf8_argument(arguments, "new_str")
        return cls(old_str, new_str, bool_argument(arguments, "replace_all"), arguments.get("mode") or "replace")

    def of_file(self, path: Path, old: TextFile, known: Mapping[Path, FileFingerprint]) -> Edit:
        """What it makes of `old`. Raises FileToolError if that is not as the agent knows it, or old_str fits ill."""
        require_known(path, old.fingerprint, known)
        try:
            new, count, note = apply_edit(old.text, self.old_str, self.new_str, self.mode, self.replace_all)
        except ValueError as error:
            raise FileToolError(f"{path} is unchanged. {error}") from error
        return Edit(path, old, new, count, note)


async def _handle(arguments: dict[str, Any], session: ToolSession, _tool_call_id: str) -> ToolResult:
    return await asyncio.to_thread(_edit, arguments, session)


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
    return change.diff(display_name(change.path, session.workspace))


def _edit(arguments: Mapping[str, Any], session: ToolSession) -> ToolResult:
    try:
        path = resolve_path(arguments.get("path"), session.workspace)
        with path_lock(path):
            change = _plan(path, arguments, session)
            atomic_write(path, change.data, change.old.status)
            session.known_files[path] = fingerprint_bytes(change.data)
    except (ArgumentError, FileToolError) as error:
        return ToolResult(str(error), ok=False)
    return change.done(display_name(path, session.workspace))


def _plan(path: Path, arguments: Mapping[str, Any], session: ToolSession) -> Edit:
    """What the file would become, or the error that the edit would end in."""
    return EditRequest.of(arguments).of_file(path, load_text(path), session.known_files)
