"""`write`: create a file, or replace all of one that was read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent.protocol.tools import ToolSpec
from agent.tools.file_calls import changing_tool

if TYPE_CHECKING:
    from agent.tools.file_changes import FileWork

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
    return changing_tool("write", DESCRIPTION, PARAMETERS, _door, editable="content")


def _door() -> FileWork:
    from agent.tools.file_writing import WRITING

    return WRITING
