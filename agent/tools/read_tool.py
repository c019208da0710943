"""`read`: the lines of a text file, with numbers."""

from __future__ import annotations

from typing import Any

from agent.protocol.tools import ToolResult, ToolSession, ToolSpec, always_looks
from agent.tools.file_calls import path_subject, secrets_rule

DEFAULT_READ_LINES = 2000

DESCRIPTION = """\
Read a text file. Each line comes as its number, a tab, and its text; the number and tab are not part of the file.

Up to 2000 lines (or `limit`), and 25,000 characters, from line `offset` on; if there is more, the result says which \
offset to go on with. Lines are cut at 4000 characters. A directory gives its entries. A file must be read before \
write or edit may change it. Several files can be read at once, with one call each."""

PARAMETERS: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["path"],
    "properties": {
        "path": {"type": "string", "description": "The file; relative paths start from the workspace."},
        "offset": {"type": "integer", "description": "Number of the first line to read. Default 1."},
        "limit": {"type": "integer", "description": f"How many lines to read. Default {DEFAULT_READ_LINES}."},
    },
}


def read_spec() -> ToolSpec:
    """The `read` tool."""
    return ToolSpec(
        name="read",
        description=DESCRIPTION,
        parameters=PARAMETERS,
        handler=_handle,
        approval=secrets_rule,
        only_looks=always_looks,
        subject=path_subject,
        subject_kind="path",
        in_research=True,
        load=_load,
    )


def _load() -> None:
    from agent.tools import file_reading  # noqa: F401


async def _handle(arguments: dict[str, Any], session: ToolSession, _tool_call_id: str) -> ToolResult:
    from agent.tools.file_reading import read

    return await read(arguments, session)
