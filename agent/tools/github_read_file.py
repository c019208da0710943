"""`github_read_file`: a file or directory of a repository on GitHub."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from agent.protocol.tools import ToolSpec
from agent.tools.github.limits import PAGE_LINES
from agent.tools.looking import Look, looking_tool

if TYPE_CHECKING:
    from agent.web.client import WebClient

DESCRIPTION = f"""\
Read a file of a GitHub repository, or list a directory. Files: {PAGE_LINES} lines of plain text from the beginning, \
or line_start to line_end; the answer tells how many there are. Jupyter notebooks come as Markdown: their cells in \
order, without output. Directories (path="" is the root) come as names with sizes. Of binary files only kind and size \
are told.

Use it on what github_find_examples and github_search_code have found, before writing code after it: read the whole of \
a working example (imports, configuration, arguments) rather than its first lines. ref="v1.2.0" reads a release, to \
match the installed version."""

PARAMETERS: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["repo", "path"],
    "properties": {
        "repo": {"type": "string", "description": "owner/repo, or an address on github.com."},
        "path": {
            "type": "string",
            "description": 'File or directory, from the root of the repository; "" is the root.',
        },
        "ref": {"type": "string", "description": "Branch, tag or commit. Default: the default branch."},
        "line_start": {"type": "integer", "description": "First line, from 1 on. Default 1."},
        "line_end": {"type": "integer", "description": f"Last line, included. Default: {PAGE_LINES} lines."},
    },
}


def github_read_file_spec(web: Callable[[], WebClient], environ: Mapping[str, str]) -> ToolSpec:
    """The `github_read_file` tool. `web` is asked for at the first call."""

    def door() -> Look:
        from agent.tools.github.contents import look

        return look(web(), environ)

    return looking_tool("github_read_file", DESCRIPTION, PARAMETERS, door)
