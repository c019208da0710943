"""`edit`: change a part of a file that was read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent.protocol.tools import ToolSpec
from agent.tools.file_calls import changing_tool

if TYPE_CHECKING:
    from agent.tools.file_changes import FileWork

MODES = ("replace", "append_after", "prepend_before")

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
    return changing_tool("edit", DESCRIPTION, PARAMETERS, _door)


def _door() -> FileWork:
    from agent.tools.file_editing import EDITING

    return EDITING
