"""What on the Hub is linked to a paper: datasets, models, collections."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from agent.light_dataclass import dataclass
from agent.protocol.tools import ToolResult
from agent.tools.papers.calls import Call, Run, sentences
from agent.tools.papers.entries import Entry, listed
from agent.tools.papers.fields import clip, number, record, text, texts
from agent.tools.papers.hub_lists import hub_address
from agent.tools.papers.ids import ArxivId
from agent.tools.papers.services import PaperServiceError, rows_in
from agent.web.places import HUB

_MAX_LINKED = 200
"""Of repositories linked to a paper, as many as are asked for at once."""
_SHOWN_TAGS = 5


@dataclass(frozen=True, slots=True)
class Linked:
    """A kind of things that are linked to papers. `params(paper id, sort)` asks for them."""

    title: str
    relation: str
    path: str
    params: Callable[[str, str], dict[str, str | int]]
    entry: Callable[[str, Mapping[str, Any], int], Entry]
    advice: Callable[[Sequence[Mapping[str, Any]]], str]
    is_sorted: bool = True


_SORTS = {"downloads": "downloads", "likes": "likes", "trending": "trendingScore"}


def _tagged(paper_id: str, sort: str) -> dict[str, str | int]:
    return {"filter": f"arxiv:{paper_id}", "sort": _SORTS[sort], "direction": -1}


def _containing(paper_id: str, _sort: str) -> dict[str, str | int]:
    # `item` is what huggingface_hub 1.33 sends, `paper` what the API took before: an unknown one is not looked at.
    return {"paper": paper_id, "item": f"papers/{paper_id}"}


def _tags(row: Mapping[str, Any]) -> list[str]:
    tags = [tag for tag in texts(row.get("tags")) if not tag.startswith(("arxiv:", "region:"))][:_SHOWN_TAGS]
    return [f"Tags: {clip(', '.join(tags), 200)}"] if tags else []


def _repo_entry(address: str, row: Mapping[str, Any], place: int, facts: Sequence[str], more: Sequence[str]) -> Entry:
    counts = [f"Downloads: {number(row, 'downloads'):,}", f"Likes: {number(row, 'likes'):,}", *facts]
    return Entry([f"**{place}. [{text(row, 'id')}]({address})**", " | ".join(counts)], more)


def _dataset_entry(base: str, row: Mapping[str, Any], place: int) -> Entry:
    said = text(row, "description", max_chars=200)
    return _repo_entry(f"{base}/datasets/{text(row, 'id')}", row, place, (), [*_tags(row), *([said] if said else [])])


def _model_entry(base: str, row: Mapping[str, Any], place: int) -> Entry:
    named = {"Task": text(row, "pipeline_tag"), "Library": text(row, "library_name")}
    facts = [f"{label}: {value}" for label, value in named.items() if value]
    return _repo_entry(f"{base}/{text(row, 'id')}", row, place, facts, _tags(row))


def _collection_entry(base: str, row: Mapping[str, Any], place: int) -> Entry:
    owner = text(record(row.get("owner")), "name") or "?"
    items = row.get("items")
    counts = (
        f"By: {owner} | Upvotes: {number(row, 'upvotes'):,} | Items: {len(items) if isinstance(items, list) else 0}"
    )
    head = [f"**{place}. {text(row, 'title') or '(no title)'}**", counts, f"{base}/collections/{text(row, 'slug')}"]
    said = text(row, "description", max_chars=200)
    return Entry(head, [said] if said else [])


def _dataset_advice(found: Sequence[Mapping[str, Any]]) -> str:
    top = text(found[0], "id") if found else ""
    is_plain = top and all(letter.isalnum() or letter in "-_./" for letter in top)
    return f'hf_inspect_dataset(dataset="{top}") shows what is in the first one.' if is_plain else ""


DATASETS = Linked("Datasets", "linked to", "/api/datasets", _tagged, _dataset_entry, _dataset_advice)
MODELS = Linked(
    "Models",
    "linked to",
    "/api/models",
    _tagged,
    _model_entry,
    lambda _found: "hf_repo_files reads a model's README.md and configuration.",
)
COLLECTIONS = Linked(
    "Collections",
    "containing",
    "/api/collections",
    _containing,
    _collection_entry,
    lambda _found: "A collection's page lists the other things in it.",
    is_sorted=False,
)
_ALL = (DATASETS, MODELS, COLLECTIONS)
_FEW, _CHARS_EACH = 10, 5_500


def find(kind: Linked) -> Run:
    """The operation that lists what of `kind` is linked to a paper."""

    async def run(call: Call) -> ToolResult:
        paper_id, window, sort = call.paper, call.window, _sort(call)
        limit = window.to_fetch(_MAX_LINKED)
        found = await _linked(call, kind, paper_id, sort, limit)
        shown, base = window.of(found), hub_address(call)
        title = f"# {kind.title} {kind.relation} paper {paper_id.bare}" + (
            f", sorted by {sort}" if kind.is_sorted else ""
        )
        if not shown:
            which = f" from {window.offset + 1} on" if window.offset else ""
            return ToolResult(f"{title}\nNo {kind.title.lower()} found{which}.", source=base)
        entries = [kind.entry(base, row, i) for i, row in enumerate(shown, window.offset + 1)]
        more = window.advice(len(shown), there_is_more=len(found) >= limit and limit < _MAX_LINKED)
        output = f"{title}\nShowing {len(shown)}\n\n{listed(entries, 'details')}"
        return ToolResult(output, source=base, advice=sentences(kind.advice(shown), more))

    return run


async def find_all(call: Call) -> ToolResult:
    """Datasets, models and collections at once; what fails of them does not take the others along."""
    paper_id, base, sort = call.paper, hub_address(call), _sort(call)
    limit = min(call.window.limit, _FEW)
    results = await asyncio.gather(*(_linked_or_error(call, kind, paper_id, sort, limit) for kind in _ALL))
    if all(isinstance(result, PaperServiceError) for result in results):
        why = " ".join(dict.fromkeys(str(result) for result in results))
        return ToolResult(f"Nothing could be found out about paper {paper_id.bare}. {why}", ok=False)
    parts = [f"# Resources linked to paper {paper_id.bare}"]
    advice = []
    for kind, result in zip(_ALL, results, strict=True):
        if isinstance(result, PaperServiceError):
            parts.append(f"## {kind.title}\nCould not be found out: {result}")
            continue
        entries = [kind.entry(base, row, i) for i, row in enumerate(result, 1)]
        counted_as = f"{len(result)} or more" if len(result) >= limit else str(len(result))
        text_of = f"({counted_as})\n\n{listed(entries, 'details', _CHARS_EACH)}" if result else "\nNone."
        parts.append(f"## {kind.title} {text_of}")
        advice.append(kind.advice(result) if result else "")
    advice.append("find_datasets, find_models and find_collections show more of each.")
    return ToolResult("\n\n".join(parts), source=base, advice=sentences(*advice))


async def _linked_or_error(
    call: Call, kind: Linked, paper_id: ArxivId, sort: str, limit: int
) -> list[dict[str, Any]] | PaperServiceError:
    try:
        return await _linked(call, kind, paper_id, sort, limit)
    except PaperServiceError as error:
        return error


async def _linked(call: Call, kind: Linked, paper_id: ArxivId, sort: str, limit: int) -> list[dict[str, Any]]:
    params = {**kind.params(paper_id.bare, sort), "limit": limit}
    return rows_in(HUB, await call.services.hub(kind.path, params, call.on_wait), at_most=limit)


def _sort(call: Call) -> str:
    return call.choice("sort", tuple(_SORTS), "downloads")
