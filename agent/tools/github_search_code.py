"""`github_search_code`: which files on GitHub have something in them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from agent.protocol.tools import ToolSpec
from agent.tools.looking import Look, looking_tool

if TYPE_CHECKING:
    from agent.web.client import WebClient

DEFAULT_RESULTS, MAX_RESULTS = 10, 50

DESCRIPTION = f"""\
Search the code on GitHub: which files have a text in them, with the lines around it. Use it to see how others call \
a function or set an option, or where in a repository something is defined; then read the file with github_read_file. \
For a library's own examples, github_find_examples is better.

query is words, or a phrase in quotation marks; it finds whole words in default branches, in files below 384 KB. \
Narrow it with repo or owner, language, path, filename, extension. GitHub lets only those with a token (GITHUB_TOKEN) \
search code. {DEFAULT_RESULTS} files are shown by default, {MAX_RESULTS} at most; page shows the next ones."""

PARAMETERS: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["query"],
    "properties": {
        "query": {"type": "string", "description": 'Such as GRPOConfig, or "reward_funcs=" in quotation marks.'},
        "repo": {"type": "string", "description": "Only here: owner/repo, an address, or a name with owner."},
        "owner": {"type": "string", "description": "Only in repositories of this user or organisation."},
        "language": {"type": "string", "description": "Such as python."},
        "path": {"type": "string", "description": "Only below this directory."},
        "filename": {"type": "string", "description": "Only files of this name."},
        "extension": {"type": "string", "description": "Such as py."},
        "max_results": {"type": "integer", "minimum": 1, "description": f"Default {DEFAULT_RESULTS}."},
        "page": {"type": "integer", "minimum": 1, "description": "Default 1; each has max_results files."},
    },
}


def github_search_code_spec(web: Callable[[], WebClient], environ: Mapping[str, str]) -> ToolSpec:
    """The `github_search_code` tool. `web` is asked for at the first call."""

    def door() -> Look:
        from agent.tools.github.code_search import look

        return look(web(), environ)

    return looking_tool("github_search_code", DESCRIPTION, PARAMETERS, door)
