"""`web_search`: results of a search engine, to cite and to read with `fetch_url`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from agent.protocol.tools import ToolSpec
from agent.tools.looking import Look, looking_tool

if TYPE_CHECKING:
    from agent.web.client import WebClient

NAME = "web_search"
DEFAULT_RESULTS = 8
MAX_RESULTS = 20
MAX_QUERY_CHARS = 400

DESCRIPTION = f"""\
Search the web: title, address and a snippet of each result.

Use it for what the other sources lack: release notes, error messages, blog posts, benchmarks, pages of other \
libraries. For Hugging Face libraries, papers, datasets and code, their own tools find more. A snippet is a hint, not \
evidence: read the page with fetch_url before relying on it. `allowed_domains` and `blocked_domains` filter by site, \
with subdomains (docs.python.org), and by path (docs.rs/tokio). Up to {MAX_RESULTS} results. An answer that rests on \
what was found has a Sources section with the addresses."""

_DOMAINS: dict[str, Any] = {"type": "array", "items": {"type": "string", "minLength": 1}}
PARAMETERS: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["query"],
    "properties": {
        "query": {
            "type": "string",
            "minLength": 2,
            "maxLength": MAX_QUERY_CHARS,
            "description": "What to search for; the engine's own operators (site:, quotes) work.",
        },
        "allowed_domains": {**_DOMAINS, "description": "Only results from these sites."},
        "blocked_domains": {**_DOMAINS, "description": "No results from these sites."},
        "max_results": {
            "type": "integer",
            "minimum": 1,
            "maximum": MAX_RESULTS,
            "description": f"Default {DEFAULT_RESULTS}.",
        },
    },
}


def web_search_spec(web: Callable[[], WebClient], environ: Mapping[str, str], provider: str = "auto") -> ToolSpec:
    """The `web_search` tool. `web` is asked for at the first call; `provider` is auto, duckduckgo, brave, exa or
    searxng."""

    def door() -> Look:
        from agent.tools.web_pages.searching import search

        return partial(search, web(), environ, provider)

    return looking_tool(
        NAME, DESCRIPTION, PARAMETERS, door, subject=lambda arguments, _workspace: str(arguments.get("query", ""))
    )
