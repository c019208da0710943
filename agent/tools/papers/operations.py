"""The work of `hf_papers`: its operations by name, and one call of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from agent.protocol.tools import ToolResult, ToolSession
from agent.tools.arguments import ArgumentError
from agent.tools.hub_words import is_missing, operation_name
from agent.tools.papers import citations, hub_lists, linked, reading, scholar, snippets
from agent.tools.papers.calls import Call, Operation, sentences
from agent.tools.papers.limits import MAX_LIMIT
from agent.tools.papers.services import PaperServiceError, PaperServices
from agent.web.client import WebClient

_PAGING = ("limit", "offset")
_FILTERS = ("date_from", "date_to", "categories", "min_citations")


class PaperDesk:
    """Answers the calls of a run. `token` is the person's for Hugging Face, and goes nowhere else."""

    def __init__(self, web: WebClient, environ: Mapping[str, str], token: str | None) -> None:
        self._services = PaperServices(web, environ, token)
        self._operations = operations(reading.Shelf())

    async def run(self, arguments: Mapping[str, Any], session: ToolSession) -> ToolResult:
        """One call."""
        name = operation_name(arguments).replace(" ", "_")
        operation = self._operations.get(name)
        if operation is None:
            wrong = f"Unknown operation {name[:60]!r}." if name else "`operation` is required."
            return ToolResult(f"{wrong} Operations: {', '.join(self._operations)}.", ok=False)
        if missing := [f"`{needed}`" for needed in operation.needs if is_missing(arguments.get(needed))]:
            verb = "is" if len(missing) == 1 else "are"
            return ToolResult(f"{' and '.join(missing)} {verb} required for {name}.", ok=False)
        try:
            result = await operation.run(Call(self._services, session, arguments))
        except (ArgumentError, PaperServiceError) as error:
            return ToolResult(f"{name}: {error}", ok=False)
        return _with_notes(result, name, operation, arguments)


def operations(shelf: reading.Shelf) -> dict[str, Operation]:
    """All operations, by name."""
    read = reading.read_paper(shelf)
    return {
        "trending": Operation(hub_lists.trending, takes=("query", "date", *_PAGING)),
        "search": Operation(scholar.search, ("query",), (*_FILTERS, "sort_by", *_PAGING)),
        "paper_details": Operation(hub_lists.details, ("arxiv_id",)),
        "read_paper": Operation(read, ("arxiv_id",), ("section", "offset", "max_chars")),
        "citation_graph": Operation(citations.citation_graph, ("arxiv_id",), ("direction", *_PAGING)),
        "snippet_search": Operation(snippets.snippet_search, ("query",), (*_FILTERS, *_PAGING)),
        "recommend": Operation(scholar.recommend, (), ("arxiv_id", "positive_ids", "negative_ids", *_PAGING)),
        "find_datasets": Operation(linked.find(linked.DATASETS), ("arxiv_id",), ("sort", *_PAGING)),
        "find_models": Operation(linked.find(linked.MODELS), ("arxiv_id",), ("sort", *_PAGING)),
        "find_collections": Operation(linked.find(linked.COLLECTIONS), ("arxiv_id",), _PAGING),
        "find_all_resources": Operation(linked.find_all, ("arxiv_id",), ("sort", "limit")),
    }


def _with_notes(result: ToolResult, name: str, operation: Operation, arguments: Mapping[str, Any]) -> ToolResult:
    """`result`, which also says what of the call has not been followed: nothing is dropped in silence."""
    known = {"operation", *operation.needs, *operation.takes}
    idle = [given for given in arguments if given not in known and not is_missing(arguments.get(given))]
    notes = [f"Not applied, for {name} does not have it: {', '.join(idle)}."] if idle else []
    limit = arguments.get("limit")
    if isinstance(limit, int) and limit > MAX_LIMIT and "limit" in known:
        notes.append(f"A list has at most {MAX_LIMIT} results at once.")
    return replace(result, advice=sentences(*notes, result.advice)) if notes else result
