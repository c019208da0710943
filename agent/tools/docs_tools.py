"""Documentation tools: `explore_hf_docs`, `fetch_hf_docs` and `find_hf_api`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from agent.protocol.tools import ToolResult, ToolSession, ToolSpec
from agent.tools.docs.libraries import GLOSSES
from agent.tools.docs.library import DocsLibrary
from agent.tools.docs.limits import DEFAULT_CHARS, DEFAULT_RESULTS, MAX_CHARS, MAX_RESULTS
from agent.tools.looking import looking_tool
from agent.web.client import WebClient

if TYPE_CHECKING:
    from agent.tools.docs.api_index import HubApi

EXPLORE_DESCRIPTION = """\
Find pages in the current documentation of a Hugging Face library, with a glimpse of each.

Use it before you write code against a library: what you remember of an API may be older than its present release.
With `query` the best pages come first, each with the section and lines that fit best; without, the first pages.
Usual course: explore_hf_docs for the pages, fetch_hf_docs to read one or two of them whole, github_find_examples for \
working code. Before training, look up the trainer's config class (trl, transformers, peft) here.
`courses` searches all courses and the cookbook at once, `optimum` all its editions for hardware."""

FETCH_DESCRIPTION = """\
Read a page of documentation as Markdown, whole or in pieces.

Give the URL of a result of explore_hf_docs, or any page of huggingface.co/docs, huggingface.co/learn or gradio.app; \
with #heading in it, reading starts at that heading. Read the page of a class before you use it: signatures and \
defaults there are those of the present release. A long page comes in pieces; the end of each says how to go on."""

FIND_DESCRIPTION = """\
Find endpoints of the Hugging Face Hub's HTTP API, each with its parameters and a curl command.

Use it for what the other tools do not cover: webhooks, access requests, discussions, organisation settings, Space \
secrets and the like. `query` searches paths, summaries and parameters; `tag` takes one group of endpoints (such as \
models, datasets, spaces, webhooks; one that does not exist brings up those that are near). Give one of them or both.
Run the command with bash; commands that change something need a token with the right to."""

EXPLORE_PARAMETERS: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["endpoint"],
    "properties": {
        "endpoint": {
            "type": "string",
            "enum": list(GLOSSES),
            "description": "Whose documentation. " + "; ".join(f"{name}: {gloss}" for name, gloss in GLOSSES.items()),
        },
        "query": {"type": "string", "description": "Words or names of classes and arguments; any of them may match."},
        "max_results": {
            "type": "integer",
            "minimum": 1,
            "description": f"How many pages. Default {DEFAULT_RESULTS}, at most {MAX_RESULTS}.",
        },
    },
}

FETCH_PARAMETERS: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["url"],
    "properties": {
        "url": {"type": "string", "description": "A page's URL or a path such as /docs/trl/sft_trainer."},
        "offset": {"type": "integer", "minimum": 0, "description": "Character to start at. Default 0."},
        "max_chars": {
            "type": "integer",
            "minimum": 1,
            "description": f"How much of it. Default {DEFAULT_CHARS}, at most {MAX_CHARS}.",
        },
    },
}

FIND_PARAMETERS: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "query": {"type": "string", "description": "What to do and to what, e.g. duplicate a space."},
        "tag": {"type": "string", "description": "Only endpoints of this group."},
    },
}


def explore_hf_docs_spec(library: DocsLibrary) -> ToolSpec:
    """The `explore_hf_docs` tool."""

    async def handle(arguments: dict[str, Any], session: ToolSession, _tool_call_id: str) -> ToolResult:
        from agent.tools.docs.explore import explore

        return await explore(library.books, arguments, session)

    return looking_tool("explore_hf_docs", EXPLORE_DESCRIPTION, EXPLORE_PARAMETERS, handle)


def fetch_hf_docs_spec(library: DocsLibrary) -> ToolSpec:
    """The `fetch_hf_docs` tool; with the same library as `explore_hf_docs` it reads from what that has indexed."""

    async def handle(arguments: dict[str, Any], session: ToolSession, _tool_call_id: str) -> ToolResult:
        from agent.tools.docs.fetch import fetch

        return await fetch(library.books, arguments, session)

    return looking_tool("fetch_hf_docs", FETCH_DESCRIPTION, FETCH_PARAMETERS, handle)


def find_hf_api_spec(web: WebClient, environ: Mapping[str, str]) -> ToolSpec:
    """The `find_hf_api` tool. Nothing is fetched before its first call."""

    @cache
    def hub() -> HubApi:
        from agent.tools.docs.api_index import HubApi

        return HubApi(web, environ)

    async def handle(arguments: dict[str, Any], session: ToolSession, _tool_call_id: str) -> ToolResult:
        from agent.tools.docs.api_search import find

        return await find(hub(), arguments, session)

    return looking_tool("find_hf_api", FIND_DESCRIPTION, FIND_PARAMETERS, handle)
