"""`github_find_examples`: working examples in a repository on GitHub."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from agent.protocol.tools import ToolSpec
from agent.tools.looking import Look, looking_tool

if TYPE_CHECKING:
    from agent.web.client import WebClient

DEFAULT_ORG = "huggingface"
DEFAULT_RESULTS, MAX_RESULTS = 50, 200
DEFAULT_SCORE = 60

DESCRIPTION = f"""\
Find example code in a GitHub repository: files in directories such as examples, scripts, notebooks, tutorials, \
recipes, demos; with `keyword` those whose paths fit it (fuzzy), the best first.

Do this before you write code for training, fine-tuning or inference with a library: what you remember of its API is \
likely out of date, and its own examples work with its current version. Then read the best ones with github_read_file \
and build on them. Not needed for simple questions.

Example: repo="trl", keyword="grpo". {DEFAULT_RESULTS} files are shown by default; offset shows the next ones. Where \
the repository is unknown, github_list_repos lists an owner's."""

PARAMETERS: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["repo"],
    "properties": {
        "repo": {"type": "string", "description": "Its name (with org), owner/repo, or an address on github.com."},
        "keyword": {"type": "string", "description": "What the example is about, such as sft or grpo."},
        "org": {"type": "string", "description": f"Whose repository a bare name is. Default {DEFAULT_ORG}."},
        "max_results": {"type": "integer", "minimum": 1, "description": f"Default {DEFAULT_RESULTS}."},
        "min_score": {
            "type": "integer",
            "minimum": 0,
            "maximum": 100,
            "description": f"How well a path must fit the keyword, 0 to 100. Default {DEFAULT_SCORE}.",
        },
        "offset": {"type": "integer", "minimum": 0, "description": "How many to skip. Default 0."},
    },
}


def github_find_examples_spec(web: Callable[[], WebClient], environ: Mapping[str, str]) -> ToolSpec:
    """The `github_find_examples` tool. `web` is asked for at the first call."""

    def door() -> Look:
        from agent.tools.github.examples import look

        return look(web(), environ)

    return looking_tool("github_find_examples", DESCRIPTION, PARAMETERS, door)
