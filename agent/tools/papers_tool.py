"""`hf_papers`: find papers, read them by section, follow their citations, and see what the Hub has for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from agent.protocol.tools import ToolSpec
from agent.tools.looking import Look, looking_tool
from agent.tools.papers.limits import DEFAULT_CHARS, DEFAULT_LIMIT, MAX_CHARS, MAX_LIMIT, OPERATIONS, SORTS, TOOL

if TYPE_CHECKING:
    from agent.web.client import WebClient

DESCRIPTION = """\
Machine-learning papers: find them, read their text, follow citations, and find datasets and models made for them. \
Before training or building on a method, read how the paper and those that cite it did it.

trending (`query`, `date`): what people on Hugging Face talk about. search: by subject; with date_from, date_to, \
categories, min_citations or sort_by it asks Semantic Scholar. paper_details: authors, abstract, code.
read_paper: without `section` the abstract and the list of sections; with it that section (number or title), e.g. the \
one on experiments for hyperparameters. Long ones come in parts: offset, max_chars.
citation_graph: what it builds on and what builds on it, influential papers first, with the sentences that cite. \
snippet_search: passages of papers that answer `query`. recommend: papers like arxiv_id or positive_ids.
find_datasets, find_models, find_collections, find_all_resources: what the Hub has for a paper.
Usual chains: search -> read_paper (contents) -> read_paper (section) -> find_all_resources; or citation_graph -> \
read_paper of the newest that improves on it."""

_ARXIV = "2310.06825, with a version (2310.06825v2) for read_paper, or the paper's address."
PARAMETERS: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["operation"],
    "properties": {
        "operation": {"type": "string", "enum": list(OPERATIONS)},
        "query": {
            "type": "string",
            "description": "Required for search and snippet_search; for trending words that must occur.",
        },
        "arxiv_id": {"type": "string", "description": _ARXIV},
        "section": {"type": "string", "description": 'read_paper: number or title, e.g. "3.1", "A", "Experiments".'},
        "max_chars": {
            "type": "integer",
            "description": f"read_paper: {DEFAULT_CHARS} characters by default, {MAX_CHARS} at most.",
        },
        "offset": {
            "type": "integer",
            "description": "Where to go on: for read_paper a character, for lists the number of results to skip.",
        },
        "limit": {
            "type": "integer",
            "description": f"Results in a list. Default {DEFAULT_LIMIT}, at most {MAX_LIMIT}.",
        },
        "direction": {
            "type": "string",
            "enum": ["citations", "references", "both"],
            "description": "citation_graph. Default both.",
        },
        "date": {"type": "string", "description": "trending: YYYY-MM-DD. Default now."},
        "date_from": {"type": "string", "description": "search, snippet_search: YYYY-MM-DD, YYYY-MM or YYYY."},
        "date_to": {"type": "string", "description": "search, snippet_search: likewise."},
        "categories": {
            "type": "string",
            "description": 'search, snippet_search: fields of study with commas, e.g. "Computer Science,Linguistics".',
        },
        "min_citations": {"type": "integer", "description": "search, snippet_search."},
        "sort_by": {
            "type": "string",
            "enum": list(SORTS),
            "description": "search: order, highest or newest first. Default relevance.",
        },
        "positive_ids": {"type": "string", "description": "recommend: arXiv ids with commas, like these."},
        "negative_ids": {"type": "string", "description": "recommend: arXiv ids with commas, unlike these."},
        "sort": {
            "type": "string",
            "enum": ["downloads", "likes", "trending"],
            "description": "find_datasets, find_models, find_all_resources. Default downloads.",
        },
    },
}


def hf_papers_spec(web: Callable[[], WebClient], environ: Mapping[str, str], token: str | None = None) -> ToolSpec:
    """The `hf_papers` tool. `web` is asked for at the first call. `token` is the person's for Hugging Face, and
    goes nowhere else; it works without."""

    def door() -> Look:
        from agent.tools.papers.operations import PaperDesk

        return PaperDesk(web(), environ, token).run

    return looking_tool(TOOL, DESCRIPTION, PARAMETERS, door)
