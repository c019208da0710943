"""Semantic Scholar: search with filters and orders, recommendations, and what its answers have in common.

Endpoints and fields: https://api.semanticscholar.org/api-docs. A field that an endpoint does not know is answered with
400: `tldr` is known to the relevance search and to lookups, not to the bulk search, and not to recommendations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from agent.protocol.counting import counted
from agent.protocol.tools import ToolResult
from agent.tools.arguments import ArgumentError
from agent.tools.looking import echo
from agent.tools.papers import hub_lists
from agent.tools.papers.calls import Call, sentences
from agent.tools.papers.entries import Entry, Window, listed
from agent.tools.papers.fields import number, record, text
from agent.tools.papers.ids import ArxivId, is_arxiv_id
from agent.tools.papers.limits import SORTS
from agent.tools.papers.services import PaperServiceError, Params, rows_in
from agent.web.places import SEMANTIC_SCHOLAR

GRAPH = "/graph/v1"
SOURCE = "Semantic Scholar"
_FIELDS = "title,year,venue,citationCount,externalIds,publicationDate"
_RELEVANCE_FIELDS = f"{_FIELDS},tldr"
_WITH_ABSTRACT = f"{_FIELDS},abstract"
_MAX_RELEVANCE, _MAX_REACHED, _MAX_BULK = 100, 1_000, 1_000
"""The relevance search: results a request, and how deep it goes; the bulk search: results a request."""
_MAX_RECOMMENDED = 500
NEXT = "read_paper reads one that has an arXiv id, citation_graph shows what it builds on and what builds on it."
FIELDS_OF_STUDY = (
    "Agricultural and Food Sciences",
    "Art",
    "Biology",
    "Business",
    "Chemistry",
    "Computer Science",
    "Economics",
    "Education",
    "Engineering",
    "Environmental Science",
    "Geography",
    "Geology",
    "History",
    "Law",
    "Linguistics",
    "Materials Science",
    "Mathematics",
    "Medicine",
    "Philosophy",
    "Physics",
    "Political Science",
    "Psychology",
    "Sociology",
)


# --- search ----------------------------------------------------------------------------------------------------------


async def search(call: Call) -> ToolResult:
    """With a filter or an order only Semantic Scholar can answer; else the Hub does."""
    filters = read_filters(call)
    sort = call.choice("sort_by", SORTS, "relevance")
    if not filters and sort == "relevance":
        return await hub_lists.search(call)
    window, query = call.window, call.text("query")
    try:
        if sort == "relevance":
            found, total = await _by_relevance(call, query, filters, window)
        else:
            found, total = await _sorted(call, query, filters, sort, window)
    except PaperServiceError as error:
        raise PaperServiceError(
            f"{error} Nothing is shown, for it would not be filtered. Without filters and sort_by the search is "
            "Hugging Face's, which answers without Semantic Scholar."
        ) from error
    said = ", ".join(f"{name} {value}" for name, value in filters.items())
    how = f"by {sort}" + (f"; {said}" if said else "")
    title = f"# Papers matching {echo(query)}\nFrom Semantic Scholar, {how}"
    if not found:
        return ToolResult(f"{title}\nNo papers found.", source=SOURCE)
    entries = [_entry(paper, i) for i, paper in enumerate(found, window.offset + 1)]
    shown = window.offset + len(found)
    more = window.advice(len(found), there_is_more=total > shown and shown < _MAX_REACHED)
    output = f"{title}\nShowing {counted(len(found), 'paper')} of {total:,}\n\n{listed(entries, 'summaries')}"
    return ToolResult(output, source=SOURCE, advice=sentences(more, NEXT))


async def _by_relevance(
    call: Call, query: str, filters: Mapping[str, str], window: Window
) -> tuple[Sequence[dict[str, Any]], int]:
    if window.offset + window.limit > _MAX_REACHED:
        raise ArgumentError(f"`offset` and `limit` together go to {_MAX_REACHED:,}; narrow the search down instead.")
    part: Params = {"limit": min(window.limit, _MAX_RELEVANCE), "offset": window.offset}
    params = {"query": query, "fields": _RELEVANCE_FIELDS, **part, **filters}
    answer = await call.services.scholar(f"{GRAPH}/paper/search", params, call.on_wait, is_search=True)
    found = rows_in(SEMANTIC_SCHOLAR, answer, "data", at_most=window.limit)
    return found, max(number(record(answer), "total"), window.offset + len(found))


async def _sorted(
    call: Call, query: str, filters: Mapping[str, str], sort: str, window: Window
) -> tuple[Sequence[dict[str, Any]], int]:
    """The bulk search, which sorts all matches and gives the first thousand at once."""
    if window.offset + window.limit > _MAX_BULK:
        raise ArgumentError(f"`offset` and `limit` together go to {_MAX_BULK:,}; narrow the search down instead.")
    params = {"query": query, "fields": _FIELDS, "sort": f"{sort}:desc", **filters}
    answer = await call.services.scholar(f"{GRAPH}/paper/search/bulk", params, call.on_wait, is_search=True)
    found = rows_in(SEMANTIC_SCHOLAR, answer, "data", at_most=_MAX_BULK)
    return window.of(found), max(number(record(answer), "total"), len(found))


def read_filters(call: Call) -> dict[str, str]:
    """The filters of a call, as Semantic Scholar names them. Raises ArgumentError."""
    since, until = call.date("date_from"), call.date("date_to")
    filters = {}
    common = min(len(since), len(until))  # 2023-06 is not after 2023
    if since[:common] > until[:common]:
        raise ArgumentError(f"`date_from` ({since}) is after `date_to` ({until}).")
    if since or until:
        filters["publicationDateOrYear"] = f"{since}:{until}"
    if given := call.text("categories"):
        filters["fieldsOfStudy"] = ",".join(_fields_of_study(given))
    if fewest := call.number("min_citations", 0):
        filters["minCitationCount"] = str(fewest)
    return filters


def _fields_of_study(given: str) -> list[str]:
    known = {name.casefold(): name for name in FIELDS_OF_STUDY}
    names = [" ".join(part.split()) for part in given.split(",") if part.strip()]
    if unknown := [name for name in names if name.casefold() not in known]:
        raise ArgumentError(
            f"`categories` takes Semantic Scholar's fields of study, not {unknown[0][:60]!r}: "
            f"{', '.join(FIELDS_OF_STUDY)}. "
            "arXiv's own categories cannot be filtered by; put words of the subject into `query`."
        )
    return [known[name.casefold()] for name in names]


def _entry(paper: Mapping[str, Any], place: int) -> Entry:
    summary = text(record(paper.get("tldr")), "text") or text(paper, "abstract")
    return Entry(
        [f"## {place}. {text(paper, 'title') or '(no title)'}", " | ".join(facts_of(paper))],
        [f"Summary: {summary}"] if summary else [],
    )


def facts_of(paper: Mapping[str, Any]) -> list[str]:
    arxiv_id, scholar_id = arxiv_id_of(paper), text(paper, "paperId", max_chars=40)
    facts = [f"**arxiv_id:** {arxiv_id}"] if arxiv_id else []
    facts.append(f"**citations:** {number(paper, 'citationCount'):,}")
    if date := text(paper, "publicationDate", max_chars=10) or str(number(paper, "year") or ""):
        facts.append(f"**date:** {date}")
    if venue := text(paper, "venue", max_chars=80):
        facts.append(venue)
    if not arxiv_id and scholar_id:
        facts.append(f"https://www.semanticscholar.org/paper/{scholar_id}")
    return facts


def arxiv_id_of(paper: Mapping[str, Any]) -> str:
    given = text(record(paper.get("externalIds")), "ArXiv", max_chars=40)
    return given if is_arxiv_id(given) else ""


# --- recommendations -------------------------------------------------------------------------------------------------


async def recommend(call: Call) -> ToolResult:
    """Papers like the ones given, and unlike others."""
    window, unlike = call.window, call.papers("negative_ids")
    single = (call.paper,) if call.text("arxiv_id") else ()
    like = tuple(dict.fromkeys((*single, *call.papers("positive_ids"))))
    if not like:
        raise ArgumentError("recommend needs `arxiv_id` or `positive_ids`; at least one of them is required.")
    params: dict[str, str | int] = {"fields": _WITH_ABSTRACT, "limit": window.to_fetch(_MAX_RECOMMENDED)}
    base = "/recommendations/v1/papers"
    if len(like) == 1 and not unlike:
        path, body = f"{base}/forpaper/{scholar_name(like[0])}", None
        params["from"] = "recent"
    else:
        path = f"{base}/"
        body = {"positivePaperIds": _ids(like), "negativePaperIds": _ids(unlike)}
    answer = await call.services.scholar(path, params, call.on_wait, body=body)
    found = rows_in(SEMANTIC_SCHOLAR, answer, "recommendedPapers", at_most=_MAX_RECOMMENDED)
    shown = window.of(found)
    title = f"# Papers like {', '.join(paper.bare for paper in like)}"
    title += f", unlike {', '.join(paper.bare for paper in unlike)}" if unlike else ""
    if not shown:
        return ToolResult(
            f"{title}\nNo papers found.", source=SOURCE, advice="citation_graph shows related papers too."
        )
    entries = [_entry(paper, i) for i, paper in enumerate(shown, window.offset + 1)]
    fetched = window.to_fetch(_MAX_RECOMMENDED)
    more = window.advice(len(shown), there_is_more=len(found) >= fetched and fetched < _MAX_RECOMMENDED)
    output = f"{title}\nShowing {counted(len(shown), 'paper')}\n\n{listed(entries, 'summaries')}"
    return ToolResult(output, source=SOURCE, advice=sentences(more, NEXT))


def scholar_name(paper_id: ArxivId) -> str:
    """A paper's name in an address: versions are not told apart there."""
    return f"ARXIV:{quote(paper_id.bare, safe='')}"


def _ids(papers: Sequence[ArxivId]) -> list[str]:
    return [f"ARXIV:{paper.bare}" for paper in papers]
