"""`snippet_search`: passages of papers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agent.protocol.counting import counted
from agent.protocol.tools import ToolResult
from agent.tools.looking import echo
from agent.tools.papers.calls import Call, sentences
from agent.tools.papers.entries import Entry, listed
from agent.tools.papers.fields import record, text
from agent.tools.papers.scholar import GRAPH, SOURCE, facts_of, read_filters
from agent.tools.papers.services import PaperServiceError, Params, rows_in
from agent.web.failures import odd_success_text
from agent.web.places import SEMANTIC_SCHOLAR

_SNIPPET_FIELDS = "snippet.text,snippet.snippetKind,snippet.section"
_LOOKUP_FIELDS = "title,year,citationCount,externalIds,venue"
_MAX_SNIPPETS, _SNIPPET_CHARS = 500, 400


async def snippet_search(call: Call) -> ToolResult:
    """Passages of papers that fit what is asked, with the papers they are from."""
    window, query, filters = call.window, call.text("query"), read_filters(call)
    limit = window.to_fetch(_MAX_SNIPPETS)
    params: Params = {"query": query, "limit": limit, "fields": _SNIPPET_FIELDS, **filters}
    answer = await call.services.scholar(f"{GRAPH}/snippet/search", params, call.on_wait, is_search=True)
    found = rows_in(SEMANTIC_SCHOLAR, answer, "data", at_most=limit)
    shown = window.of(found)
    title = f"# Passages for {echo(query)}" + "".join(f"\n{name}: {value}" for name, value in filters.items())
    if not shown:
        return ToolResult(
            f"{title}\nNo passages found.", source=SOURCE, advice="search looks for papers by their subject."
        )
    known, trouble = await _looked_up(call, [record(row.get("paper")) for row in shown])
    entries = [_snippet_entry(row, known, i) for i, row in enumerate(shown, window.offset + 1)]
    more = window.advice(len(shown), there_is_more=len(found) >= limit and limit < _MAX_SNIPPETS)
    note = f"\nYears, citations and arXiv ids could not be looked up: {trouble}" if trouble else ""
    output = f"{title}\nShowing {counted(len(shown), 'passage')}{note}\n\n{listed(entries, 'passages')}"
    return ToolResult(output, source=SOURCE, advice=sentences(more, "read_paper reads the section around a passage."))


async def _looked_up(call: Call, papers: Sequence[Mapping[str, Any]]) -> tuple[dict[str, dict[str, Any]], str]:
    """What is known of papers by their corpus id, which is all that a passage names; and why nothing is, if so."""
    ids = list(dict.fromkeys(corpus_id for paper in papers if (corpus_id := _corpus_id(paper))))
    if not ids:
        return {}, ""
    body = {"ids": [f"CorpusId:{corpus_id}" for corpus_id in ids]}
    try:
        answer = await call.services.scholar(
            f"{GRAPH}/paper/batch", {"fields": _LOOKUP_FIELDS}, call.on_wait, body=body
        )
    except PaperServiceError as error:
        return {}, str(error)
    if not isinstance(answer, list) or len(answer) != len(ids):
        return {}, odd_success_text(answer, SEMANTIC_SCHOLAR.name)
    # In the order of the ids; null for one that is not known.
    return {corpus_id: paper for corpus_id, paper in zip(ids, answer, strict=True) if isinstance(paper, dict)}, ""


def _corpus_id(paper: Mapping[str, Any]) -> str:
    value = paper.get("corpusId")
    written = str(value) if isinstance(value, (int, str)) else ""
    return written if written.isascii() and written.isdigit() else ""


def _snippet_entry(row: Mapping[str, Any], known: Mapping[str, Mapping[str, Any]], place: int) -> Entry:
    paper, snippet = record(row.get("paper")), record(row.get("snippet"))
    facts = known.get(_corpus_id(paper))
    head = [f"## {place}. {text(paper, 'title') or '(no title)'}"]
    if facts is not None:
        head.append(" | ".join(facts_of(facts)))
    where = [text(snippet, "section", max_chars=100), text(snippet, "snippetKind", max_chars=40)]
    if said := ", ".join(part for part in where if part):
        head.append(f"In: {said}")
    return Entry(head, [f"> {text(snippet, 'text', max_chars=_SNIPPET_CHARS)}"])
