"""`github_list_repos`: the repositories of a user or an organisation on GitHub, in order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from agent.protocol.tools import ToolSpec
from agent.tools.looking import Look, looking_tool

if TYPE_CHECKING:
    from agent.web.client import WebClient

DEFAULT_LIMIT, MAX_LIMIT = 30, 100
MAX_OFFSET = 900
SORTS = ("stars", "forks", "updated", "created")
OWNER_TYPES = {"org": "orgs", "user": "users"}

DESCRIPTION = f"""\
List the repositories of a user or an organisation on GitHub, with stars, forks, language, description and topics, \
most stars first. Use it to find out which repository of an owner is the right one; then go on with \
github_find_examples or github_read_file.

sort is one of stars, forks, updated, created. {DEFAULT_LIMIT} are shown by default, {MAX_LIMIT} at most; offset \
shows the next ones."""

PARAMETERS: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["owner"],
    "properties": {
        "owner": {"type": "string", "description": "User or organisation, such as huggingface."},
        "owner_type": {
            "type": "string",
            "enum": list(OWNER_TYPES),
            "description": "Default org; the other one is tried as well.",
        },
        "sort": {"type": "string", "enum": list(SORTS), "description": "Default stars."},
        "order": {"type": "string", "enum": ["desc", "asc"], "description": "Default desc."},
        "limit": {"type": "integer", "minimum": 1, "description": f"Default {DEFAULT_LIMIT}, at most {MAX_LIMIT}."},
        "offset": {
            "type": "integer",
            "minimum": 0,
            "maximum": MAX_OFFSET,
            "description": "How many to skip. Default 0.",
        },
    },
}


def github_list_repos_spec(web: Callable[[], WebClient], environ: Mapping[str, str]) -> ToolSpec:
    """The `github_list_repos` tool. `web` is asked for at the first call."""

    def door() -> Look:
        from agent.tools.github.repositories import look

        return look(web(), environ)

    return looking_tool("github_list_repos", DESCRIPTION, PARAMETERS, door)
