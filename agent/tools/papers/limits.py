"""What a call of `hf_papers` may ask for: its schema names these, so nothing is imported for them."""

from __future__ import annotations

TOOL = "hf_papers"
OPERATIONS = (
    *("trending", "search", "paper_details", "read_paper", "citation_graph", "snippet_search", "recommend"),
    *("find_datasets", "find_models", "find_collections", "find_all_resources"),
)
DEFAULT_LIMIT, MAX_LIMIT = 10, 50
DEFAULT_CHARS, MAX_CHARS = 12_000, 18_000
SORTS = ("relevance", "citationCount", "publicationDate")
