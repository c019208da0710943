"""`citation_graph`: what a paper cites and what cites it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from agent.light_dataclass import dataclass
from agent.protocol.tools import ToolResult
from agent.tools.papers.calls import Call, sentences
from agent.tools.papers.entries import MAX_LIST_CHARS, Entry, Window, listed
from agent.tools.papers.fields import clip, number, record, rows, text, texts
from agent.tools.papers.ids import ArxivId
from agent.tools.papers.scholar import GRAPH, NEXT, SOURCE, arxiv_id_of, scholar_name
from agent.tools.papers.services import PaperServiceError, Params, rows_in
from agent.web.places import SEMANTIC_SCHOLAR

_SIDE_FIELDS = "title,year,citationCount,externalIds,contexts,intents,isInfluential"
_MAX_SIDE = 1_000
"""Rows a request: which of them are told first is decided here, for the service has no order of its own."""
_CONTEXT_CHARS, _SHOWN_CONTEXTS = 200, 2


@dataclass(frozen=True, slots=True)
class _Side:
    """One direction of citations: its endpoint, and where a row has the other paper."""

    title: str
    path: str
    paper: str


_SIDES = {
    "references": _Side("References", "references", "citedPaper"),
    "citations": _Side("Citations", "citations", "citingPaper"),
}


async def citation_graph(call: Call) -> ToolResult:
    """What a paper cites and what cites it, the most telling first."""
    paper_id, window = call.paper, call.window
    direction = call.choice("direction", (*_SIDES, "both"), "both")
    sides = [side for name, side in _SIDES.items() if direction in (name, "both")]
    answers = await asyncio.gather(*(_side(call, side, paper_id) for side in sides))
    errors = [answer for answer in answers if isinstance(answer, PaperServiceError)]
    if len(errors) == len(sides):
        why = " ".join(dict.fromkeys(str(error) for error in errors))
        said = f"The citations of arXiv {paper_id.bare} are not known: it may not be indexed by Semantic Scholar. "
        raise PaperServiceError(why if not all(error.is_missing for error in errors) else said + why)
    parts = [f"# Citation graph of {paper_id.bare}"]
    room = MAX_LIST_CHARS // len(sides)
    is_more = False
    for side, answer in zip(sides, answers, strict=True):
        if isinstance(answer, PaperServiceError):
            parts.append(f"## {side.title}\nCould not be found out: {answer}")
        else:
            parts.append(_side_text(side, answer, window, room))
            is_more = is_more or len(rows(answer["data"])) > window.offset + window.limit
    more = window.advice(window.limit, there_is_more=is_more)
    return ToolResult("\n\n".join(parts), source=SOURCE, advice=sentences(more, NEXT))


async def _side(call: Call, side: _Side, paper_id: ArxivId) -> dict[str, Any] | PaperServiceError:
    path = f"{GRAPH}/paper/{scholar_name(paper_id)}/{side.path}"
    try:
        params: Params = {"fields": _SIDE_FIELDS, "limit": _MAX_SIDE}
        answer = await call.services.scholar(path, params, call.on_wait)
        found = record(answer)
        is_withheld = "data" in found and found["data"] is None
        return found if is_withheld else {**found, "data": rows_in(SEMANTIC_SCHOLAR, answer, "data", at_most=_MAX_SIDE)}
    except PaperServiceError as error:
        return error


def _side_text(side: _Side, answer: Mapping[str, Any], window: Window, max_chars: int) -> str:
    if answer["data"] is None:
        return f"## {side.title}\n{_why_none(answer)}"
    found = sorted(rows(answer["data"]), key=lambda row: _rank(row, side.paper))
    total = f"{len(found):,}" + (" or more" if answer.get("next") is not None else "")
    shown = window.of(found)
    if not shown:
        return f"## {side.title} ({total})\n" + ("None are known." if not found else "No more of them.")
    entries = [_citation_entry(row, side.paper) for row in shown]
    how = "influential ones first, then by citations and year"
    if answer.get("next") is not None:
        how += f"; among the {len(found):,} that Semantic Scholar gives at once"
    first = window.offset + 1
    head = f"## {side.title} ({total})\nShowing {first} to {window.offset + len(shown)}, {how}"
    return f"{head}\n\n{listed(entries, 'quotes', max_chars)}"


def _why_none(answer: Mapping[str, Any]) -> str:
    """What is said where `data` is null: the publisher withholds it."""
    infos = (record(answer.get(name)) for name in ("citingPaperInfo", "citedPaperInfo"))
    said = next((why for info in infos if (why := text(record(info.get("openAccessPdf")), "disclaimer"))), "")
    return f"Withheld: the publisher does not let Semantic Scholar show them. {said}".rstrip()


def _rank(row: Mapping[str, Any], name: str) -> tuple[bool, int, int, str]:
    paper = record(row.get(name))
    return (
        row.get("isInfluential") is not True,
        -number(paper, "citationCount"),
        -number(paper, "year"),
        text(paper, "title"),
    )


def _citation_entry(row: Mapping[str, Any], name: str) -> Entry:
    paper = record(row.get(name))
    marks = " **[influential]**" if row.get("isInfluential") is True else ""
    arxiv_id = arxiv_id_of(paper)
    marks += f"  arxiv:{arxiv_id}" if arxiv_id else ""
    facts = f"{number(paper, 'year') or 'n.d.'}, {number(paper, 'citationCount'):,} cites"
    details = []
    if intents := texts(row.get("intents")):
        details.append(f"  Intent: {clip(', '.join(intents), 100)}")
    details += [f"  > {clip(quoted, _CONTEXT_CHARS)}" for quoted in texts(row.get("contexts"))[:_SHOWN_CONTEXTS]]
    return Entry([f"- **{text(paper, 'title') or '(no title)'}** ({facts}){marks}"], details)
