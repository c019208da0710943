"""`read_paper`: the text of a paper, from the first place that has it, by section and page by page."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import field, replace
from urllib.parse import quote, urlsplit

from agent.light_dataclass import dataclass
from agent.protocol.tools import ToolResult
from agent.tools.arguments import ArgumentError
from agent.tools.papers.calls import Call, sentences
from agent.tools.papers.fields import text
from agent.tools.papers.ids import ArxivId
from agent.tools.papers.latexml import PageError, read_page
from agent.tools.papers.limits import DEFAULT_CHARS, MAX_CHARS
from agent.tools.papers.markdown import read_markdown
from agent.tools.papers.paper import Paper, find_sections, is_abstract
from agent.tools.papers.services import PAGE_FRESH_S, PaperServiceError, paper_in
from agent.web.client import WebAnswer
from agent.web.failures import failure_text, service_words
from agent.web.places import AR5IV, ARXIV, HUB, Place

_KEPT_PAPERS = 16
_ABSTRACT_CHARS = 6_000
_SHOWN_TITLES = 150
_SKIPPED = ("references", "bibliography")


@dataclass(frozen=True, slots=True)
class Reading:
    """What came of looking for a paper's text. `troubles`: places that failed, as opposed to those that have none."""

    paper: Paper | None
    troubles: tuple[str, ...] = ()


@dataclass(slots=True)
class Shelf:
    """Papers that have been read, the last ones asked for: no page is parsed twice for its sections."""

    _papers: OrderedDict[tuple[str, str], Paper] = field(default_factory=OrderedDict)
    _locks: dict[tuple[str, str], asyncio.Lock] = field(default_factory=dict)

    async def find(self, call: Call, paper_id: ArxivId) -> Reading:
        """The paper, fetched and parsed if need be. Two calls for the same paper do that once."""
        key = (ARXIV.base(call.services.environ), str(paper_id))
        async with self._locks.setdefault(key, asyncio.Lock()):
            if key in self._papers:
                self._papers.move_to_end(key)
                return Reading(self._papers[key])
            reading = await _read_anywhere(call, paper_id)
            if reading.paper is not None and not reading.troubles:  # else the better place is asked again next time
                self._papers[key] = reading.paper
                while len(self._papers) > _KEPT_PAPERS:
                    self._papers.popitem(last=False)
            return reading


# --- where papers are ------------------------------------------------------------------------------------------------


async def _read_anywhere(call: Call, paper_id: ArxivId) -> Reading:
    troubles: list[str] = []
    for read in (_from_arxiv, _from_ar5iv, _from_hub):
        try:
            paper = await read(call, paper_id)
        except PaperServiceError as error:
            troubles.append(str(error))
            continue
        if paper is not None:
            return Reading(paper, tuple(troubles))
    return Reading(None, tuple(troubles))


async def _from_arxiv(call: Call, paper_id: ArxivId) -> Paper | None:
    return await _parsed(
        await call.services.page(ARXIV, f"/html/{paper_id}", call.on_wait, may_redirect_to=AR5IV), ARXIV
    )


async def _from_ar5iv(call: Call, paper_id: ArxivId) -> Paper | None:
    answer = await call.services.page(AR5IV, f"/html/{paper_id.bare}", call.on_wait, may_redirect_to=ARXIV)
    return _as_of_any_version(await _parsed(answer, AR5IV), paper_id, AR5IV)


async def _from_hub(call: Call, paper_id: ArxivId) -> Paper | None:
    path = f"/papers/{quote(paper_id.bare, safe='')}.md"
    answer = await call.services.hub_answer(path, {}, call.on_wait, fresh_s=PAGE_FRESH_S)
    return _as_of_any_version(await _parsed(answer, HUB, read_markdown), paper_id, HUB)


async def _parsed(
    answer: WebAnswer, place: Place, parse: Callable[[str, str], Paper | None] = read_page
) -> Paper | None:
    """The paper in an answer; None if the place has none. Raises PaperServiceError if the place has failed."""
    if answer.status == 404 or urlsplit(answer.url).path.startswith("/abs/"):  # where ar5iv sends for what it has not
        return None
    if not answer.ok:
        raise PaperServiceError(failure_text(answer, place.name))
    if answer.content_type.endswith("json"):
        words = service_words(answer)
        raise PaperServiceError(f"{place.name} answered with JSON instead of a page{f': {words}' if words else ''}.")
    try:
        paper = await asyncio.to_thread(lambda: parse(answer.text, answer.url))
    except (PageError, RecursionError) as error:
        raise PaperServiceError(f"{place.name}'s page of this paper cannot be read: {error}.") from error
    if paper is not None and answer.is_cut:
        return replace(paper, note="The page was too large to be fetched whole: its end is missing.")
    return paper


def _as_of_any_version(paper: Paper | None, paper_id: ArxivId, place: Place) -> Paper | None:
    if paper is None or not paper_id.version:
        return paper
    note = f"arXiv has no HTML of {paper_id}; {place.name} does not tell versions apart, so this may be another one."
    return replace(paper, note=sentences(paper.note, note))


# --- what is shown ---------------------------------------------------------------------------------------------------


def read_paper(shelf: Shelf) -> Callable[[Call], Awaitable[ToolResult]]:
    """The operation, with its shelf of papers."""

    async def run(call: Call) -> ToolResult:
        page = _Page(call.number("offset", 0), min(call.number("max_chars", DEFAULT_CHARS, minimum=200), MAX_CHARS))
        paper_id, wanted = call.paper, call.text("section")
        if wanted.casefold().strip(" .#") in _SKIPPED:
            raise ArgumentError("the list of references is not read as a section; citation_graph has it, with counts.")
        reading = await shelf.find(call, paper_id)
        if reading.paper is None:
            return await _abstract_only(call, paper_id, reading.troubles)
        troubles = "".join(f"{trouble} " for trouble in reading.troubles).strip()
        notes = sentences(reading.paper.note, troubles)
        if not wanted:
            return page.show(reading.paper.title, reading.paper.url, reading.paper.contents(), sentences(notes, _NEXT))
        return _show_section(reading.paper, wanted, page, notes)

    return run


_NEXT = 'To read one: the same call with section="3", section="A.1" or a title; it comes with the sections inside it.'


@dataclass(frozen=True, slots=True)
class _Page:
    """A part of a text, in characters."""

    offset: int
    max_chars: int

    def show(self, heading: str, url: str, whole: str, advice: str) -> ToolResult:
        """The part under its heading, and where the next one begins."""
        if self.offset and self.offset >= len(whole):
            return ToolResult(f"`offset` is {self.offset:,}, but this text has {len(whole):,} characters.", ok=False)
        end = self._end(whole)
        if self.offset or end < len(whole):
            rest = f"Go on with offset={end}." if end < len(whole) else "This is the end of it."
            advice = sentences(f"Characters {self.offset:,} to {end:,} of {len(whole):,} are shown. {rest}", advice)
        output = f"# {heading}\n{url}\n\n{whole[self.offset : end]}"
        return ToolResult(output, source=url, advice=advice)

    def _end(self, whole: str) -> int:
        """Where to stop: between two paragraphs, or lines, if there is such a place in the last quarter."""
        limit = self.offset + self.max_chars
        if limit >= len(whole):
            return len(whole)
        earliest = self.offset + self.max_chars * 3 // 4
        for mark in ("\n\n", "\n", " "):
            found = whole.rfind(mark, earliest, limit)
            if found >= 0:
                return found + len(mark)
        return limit


def _show_section(paper: Paper, wanted: str, page: _Page, notes: str) -> ToolResult:
    if is_abstract(wanted):
        return page.show("Abstract", paper.url, paper.abstract or "(none found)", notes)
    found = find_sections(paper, wanted)
    if not found:
        titles = [f"- {section.heading}" for section in paper.sections[:_SHOWN_TITLES]]
        output = "\n".join([f"{paper.title}: its sections are", *titles])
        return ToolResult(
            output,
            ok=False,
            source=paper.url,
            advice=f"The section {wanted[:80]!r} was not found; those above are there. Name one by its number.",
        )
    best, *others = found
    also = ", ".join(repr(paper.sections[i].id or paper.sections[i].title[:60]) for i in others[:8])
    advice = f"{wanted[:80]!r} also fits the sections {also}." if others else ""
    section = paper.sections[best]
    whole = paper.text_of(best) or "(no text)"
    return page.show(section.heading, paper.address_of(best), whole, sentences(advice, notes))


async def _abstract_only(call: Call, paper_id: ArxivId, troubles: tuple[str, ...]) -> ToolResult:
    """What is said when no place has the paper's text: its abstract, and where the PDF is."""
    pdf = f"{ARXIV.base(call.services.environ)}/pdf/{paper_id}"
    failures = list(troubles)
    try:
        path = f"/api/papers/{quote(paper_id.bare, safe='')}"
        paper = paper_in(HUB, await call.services.hub(path, {}, call.on_wait))
    except PaperServiceError as error:
        paper = {}
        if not error.is_missing:
            failures.append(str(error))
    why = " ".join(dict.fromkeys(failures))
    if not paper:
        cause = why or "arXiv, ar5iv and Hugging Face have no such paper."
        return ToolResult(
            f"The text of arXiv {paper_id} could not be fetched. {cause} Check the id, or try the PDF: {pdf}", ok=False
        )
    abstract = text(paper, "summary", max_chars=_ABSTRACT_CHARS) or "(none)"
    head = f"# {text(paper, 'title') or paper_id}\nHTML version not available; this is the abstract only.\nPDF: {pdf}"
    advice = "The PDF has the text. snippet_search finds passages of papers by what they say."
    return ToolResult(f"{head}\n\n## Abstract\n\n{abstract}", source=pdf, advice=sentences(why, advice))
