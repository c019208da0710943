"""What the Hub knows of papers: the ones people talk about, search, details."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from agent.light_dataclass import dataclass
from agent.protocol.counting import counted
from agent.protocol.tools import ToolResult
from agent.tools.arguments import ArgumentError
from agent.tools.looking import echo
from agent.tools.papers.calls import Call, sentences
from agent.tools.papers.entries import Entry, listed
from agent.tools.papers.fields import clip, number, record, rows, text, texts
from agent.tools.papers.ids import ArxivId
from agent.tools.papers.services import PaperServiceError, paper_in, rows_in
from agent.web.places import HUB

_MAX_DAILY, _MAX_SEARCH = 100, 120
"""What the API gives at most for one request."""
_MAX_QUERY_CHARS = 250
_ABSTRACT_CHARS, _SHOWN_AUTHORS = 500, 10
_NEXT = "read_paper reads one of them, find_all_resources shows its datasets and models."


def hub_address(call: Call) -> str:
    """Where the Hub is for people."""
    return HUB.base(call.services.environ)


# --- lists of papers -------------------------------------------------------------------------------------------------


async def trending(call: Call) -> ToolResult:
    """The papers that the Hub's people talk about, now or on a date, filtered by words."""
    window, date, query = call.window, call.date("date", is_whole=True), call.text("query")
    wanted = window.offset + window.limit
    asked = min(_MAX_DAILY, max(3 * wanted, 30) if query else wanted)
    order: dict[str, str | int] = {"sort": "trending"}
    if date:  # the list of a day is short and has no trend of its own: all of it is fetched and ranked by upvotes
        asked, order = _MAX_DAILY, {"date": date}
    answer = await call.services.hub("/api/daily_papers", {"limit": asked, **order}, call.on_wait)
    all_found = _papers(answer)
    if date:
        all_found.sort(key=lambda paper: -number(paper, "upvotes"))
    words = query.casefold().split()
    found = [paper for paper in all_found if all(word in _searched(paper) for word in words)]
    listing = PaperList(f"Trending papers of {date}" if date else "Trending papers", found)
    if query:
        listing = replace(listing, filtered=f" filtered by {echo(query)}, of the {len(all_found)} looked at")
    there_is_more = len(all_found) >= asked and asked < _MAX_DAILY
    advice = _NEXT if found or not query else "search looks through all papers, not only the trending ones."
    return listing.show(call, advice, there_is_more=there_is_more)


async def search(call: Call) -> ToolResult:
    """Papers by the Hub's own search."""
    window, query = call.window, call.text("query")
    if len(query) > _MAX_QUERY_CHARS:
        raise ArgumentError(f"`query` has {len(query):,} characters; {_MAX_QUERY_CHARS} are the most. Use fewer words.")
    limit = window.to_fetch(_MAX_SEARCH)
    found = _papers(await call.services.hub("/api/papers/search", {"q": query, "limit": limit}, call.on_wait))
    listing = PaperList(f"Papers matching {echo(query)}", found)
    return listing.show(call, _NEXT, there_is_more=len(found) >= limit and limit < _MAX_SEARCH)


def _papers(answer: Any) -> list[dict[str, Any]]:
    """The papers of a list, with what is said of them around. Raises PaperServiceError."""
    return [{**row, **record(row.get("paper"))} for row in rows_in(HUB, answer)]


def _searched(paper: Mapping[str, Any]) -> str:
    parts = [text(paper, name, max_chars=5_000) for name in ("title", "summary", "ai_summary")]
    return " ".join([*parts, *texts(paper.get("ai_keywords"))]).casefold()


@dataclass(frozen=True, slots=True)
class PaperList:
    """Papers of the Hub under a title. `filtered` says by what."""

    title: str
    papers: Sequence[Mapping[str, Any]]
    filtered: str = ""

    def show(self, call: Call, advice: str, *, there_is_more: bool) -> ToolResult:
        """The part that was asked for. `there_is_more`: than these papers."""
        window, base = call.window, hub_address(call)
        shown = window.of(self.papers)
        if not shown:
            which = f" from {window.offset + 1} on" if window.offset else ""
            return ToolResult(f"# {self.title}\nNo papers found{which}{self.filtered}.", source=base, advice=advice)
        entries = [_paper_entry(base, paper, i) for i, paper in enumerate(shown, window.offset + 1)]
        head = f"# {self.title}\nShowing {counted(len(shown), 'paper')}{self.filtered}\n\n"
        there_is_more = there_is_more or len(self.papers) > window.offset + len(shown)
        more = window.advice(len(shown), there_is_more=there_is_more)
        return ToolResult(head + listed(entries, "summaries"), source=base, advice=sentences(more, advice))


def _paper_entry(base: str, paper: Mapping[str, Any], place: int) -> Entry:
    paper_id = text(paper, "id", max_chars=40)
    facts = [f"**arxiv_id:** {paper_id}", f"**upvotes:** {number(paper, 'upvotes'):,}"]
    if date := text(paper, "publishedAt", max_chars=40)[:10]:
        facts.append(f"**published:** {date}")
    head = [f"## {place}. {text(paper, 'title') or '(no title)'}", " | ".join(facts), f"{base}/papers/{paper_id}"]
    return Entry(head, [*_more_of_paper(paper), f"Summary: {text(paper, 'ai_summary', 'summary') or '(none)'}"])


def _more_of_paper(paper: Mapping[str, Any]) -> list[str]:
    lines = []
    if keywords := texts(paper.get("ai_keywords"))[:5]:
        lines.append(f"Keywords: {clip(', '.join(keywords), 200)}")
    if code := text(paper, "githubRepo", max_chars=200):
        lines.append(f"GitHub: {code} ({counted(number(paper, 'githubStars'), 'star')})")
    if page := text(paper, "projectPage", max_chars=200):
        lines.append(f"Project: {page}")
    return lines


async def details(call: Call) -> ToolResult:
    """What the Hub knows of one paper."""
    paper_id, base = call.paper, hub_address(call)
    try:
        paper = paper_in(HUB, await call.services.hub(_paper_path(paper_id), {}, call.on_wait))
    except PaperServiceError as error:
        if not error.is_missing:
            raise
        raise PaperServiceError(
            f"Hugging Face has no paper {paper_id.bare}: it is not indexed there, or the id is wrong. Check the id; "
            "read_paper asks arXiv for it.",
            is_missing=True,
        ) from error
    names = [name for author in rows(paper.get("authors")) if (name := text(author, "name", max_chars=80))]
    rest = f" (+{len(names) - _SHOWN_AUTHORS} more)" if len(names) > _SHOWN_AUTHORS else ""
    facts = [f"**arxiv_id:** {paper_id.bare}", f"**upvotes:** {number(paper, 'upvotes'):,}"]
    if date := text(paper, "publishedAt", max_chars=40)[:10]:
        facts.append(f"**published:** {date}")
    lines = [f"# {text(paper, 'title') or '(no title)'}", " | ".join(facts)]
    lines += [f"{base}/papers/{paper_id.bare}", f"https://arxiv.org/abs/{paper_id.bare}"]
    lines += [f"**Authors:** {', '.join(names[:_SHOWN_AUTHORS])}{rest}"] if names else []
    lines += _more_of_paper(paper)
    counts = [("models", "numTotalModels"), ("datasets", "numTotalDatasets"), ("Spaces", "numTotalSpaces")]
    linked = [f"{number(paper, key):,} {noun}" for noun, key in counts if number(paper, key)]
    lines += [f"Linked on the Hub: {', '.join(linked)}"] if linked else []
    if summary := text(paper, "ai_summary", max_chars=1_000):
        lines += ["", "## AI Summary", summary]
    lines += ["", "## Abstract", text(paper, "summary", max_chars=_ABSTRACT_CHARS) or "(none)"]
    advice = (
        "read_paper lists its sections and reads them; find_all_resources shows its datasets and models, "
        "citation_graph what builds on it."
    )
    return ToolResult("\n".join(lines), source=f"{base}/papers/{paper_id.bare}", advice=advice)


def _paper_path(paper_id: ArxivId) -> str:
    return f"/api/papers/{quote(paper_id.bare, safe='')}"
