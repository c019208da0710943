"""The work of `explore_hf_docs`: the pages of a library that fit a question, or its first ones."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from agent.light_dataclass import dataclass
from agent.protocol.events import ToolLog
from agent.protocol.tools import ToolResult, ToolSession
from agent.tools.arguments import int_argument
from agent.tools.docs.books import MAX_READ_PAGES, Books, DocsUnavailable, Ready
from agent.tools.docs.index import Hit, IndexFailure
from agent.tools.docs.libraries import Package, packages_of
from agent.tools.docs.limits import DEFAULT_RESULTS, MAX_RESULTS
from agent.tools.docs.words import match_expression, relevance_text
from agent.tools.looking import echo
from agent.web.client import OnWait

_MAX_CHARS = 19_000
_GLIMPSE_CHARS = {True: 300, False: 180}
"""Of a passage, by whether the results are few."""
_FEW = 20
_TITLE_CHARS, _URL_CHARS = 150, 400
_TAGS = re.compile(r"</?[A-Za-z][^<>]{0,300}>|\[\[[^\[\]]*\]\]")


@dataclass(slots=True)
class _Found:
    """What came of a question: pages with the book each is from, how many there are, and what went wrong."""

    hits: list[tuple[Package, Hit]] = field(default_factory=list)
    total: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    """Books that could not be had: why."""
    may_pass: bool = False
    """Whether one of them may be had later."""
    notes: list[str] = field(default_factory=list)
    unread: int = 0
    is_searched: bool = False
    matching: int = 0


async def explore(library: Books, arguments: Mapping[str, Any], session: ToolSession) -> ToolResult:
    """One call of `explore_hf_docs`."""
    name, query = arguments["endpoint"], (arguments.get("query") or "").strip()
    asked = int_argument(arguments, "max_results", DEFAULT_RESULTS, minimum=1)

    async def on_wait(text: str) -> None:
        await session.emit(ToolLog("explore_hf_docs", text))

    packages, limit = packages_of(name), min(asked, MAX_RESULTS)
    try:
        found = await _find(library, packages, query, limit, on_wait)
    except IndexFailure:  # its file is gone now; memory serves as well
        found = await _find(library, packages, query, limit, on_wait)
    if not found.hits and len(found.failed) == len(packages):
        causes = "\n".join(f"- {cause}" for cause in found.failed.values())
        look = "ook for it with web_search or in the library's repository on GitHub."
        next_step = f"Try again later, or l{look}" if found.may_pass else f"L{look}"
        return ToolResult(f"The documentation of {name} could not be read:\n{causes}\n{next_step}", ok=False)
    base = packages[0].base(library.environ)
    others = f" and {len(packages) - 1} more" if len(packages) > 1 else ""
    advice = _advice(name, query, found, is_capped=asked > MAX_RESULTS)
    return ToolResult(_shown(name, query, found), source=f"{base}{others}", advice=advice)


# --- finding ---------------------------------------------------------------------------------------------------------


async def _find(library: Books, packages: tuple[Package, ...], query: str, limit: int, on_wait: OnWait) -> _Found:
    found = _Found()
    outcomes = await asyncio.gather(*(_ready(library, package, on_wait) for package in packages))
    there: list[tuple[Package, Ready]] = []
    for package, outcome in zip(packages, outcomes, strict=True):
        if isinstance(outcome, DocsUnavailable):
            found.failed[package.name] = str(outcome)
            found.may_pass = found.may_pass or outcome.may_pass
            continue
        there.append((package, outcome))
        found.total += outcome.edition.pages
        if outcome.note:
            found.notes.append(outcome.note)
    books = [package for package, _ready_ in there]
    partial = [package for package, ready in there if ready.edition.unread]
    if match_expression(query):
        await _search(library, books, partial, query, limit, found, on_wait)
    if not found.hits:
        await _first(library, books, limit, found, on_wait)
    if partial:
        now = await asyncio.gather(*(library.ready(package, on_wait) for package in partial))
        found.unread = sum(ready.edition.unread for ready in now)
    return found


async def _ready(library: Books, package: Package, on_wait: OnWait) -> Ready | DocsUnavailable:
    try:
        return await library.ready(package, on_wait)
    except DocsUnavailable as error:
        return error


async def _search(
    library: Books,
    books: list[Package],
    partial: list[Package],
    query: str,
    limit: int,
    found: _Found,
    on_wait: OnWait,
) -> None:
    """The best pages of all books. Where only titles are known, some pages are read first: those whose titles fit."""
    if partial:
        share = -(-MAX_READ_PAGES // len(partial))
        wanted: dict[tuple[int, int], Hit] = {}
        for package in partial:
            titled, _ = await library.search(package, query, share)
            others = await library.first(package, share, unread_only=True)
            unread = {(hit.edition, hit.position): hit for hit in (*titled, *others) if not hit.is_read}
            wanted.update(list(unread.items())[:share])
        found.notes += await library.read(wanted.values(), on_wait)
    results = await asyncio.gather(*(library.search(package, query, limit) for package in books))
    hits = [(package, hit) for package, (some, _) in zip(books, results, strict=True) for hit in some]
    found.hits = sorted(hits, key=lambda item: -item[1].score)[:limit]  # stable: then by book and place in it
    found.matching = sum(count for _, count in results)
    found.is_searched = bool(found.hits)


async def _first(library: Books, books: list[Package], limit: int, found: _Found, on_wait: OnWait) -> None:
    """The first pages of each book, a fair share of each."""
    share = -(-limit // max(1, len(books)))
    for again in (False, True):
        lists = await asyncio.gather(*(library.first(package, share) for package in books))
        found.hits = [(package, hit) for package, hits in zip(books, lists, strict=True) for hit in hits][:limit]
        if again or all(hit.is_read for _, hit in found.hits):
            return
        found.notes += await library.read([hit for _, hit in found.hits], on_wait)


# --- showing ---------------------------------------------------------------------------------------------------------


def _shown(name: str, query: str, found: _Found) -> str:
    if found.is_searched:
        head = f"Documentation of {name}: {len(found.hits)} of {found.matching} matching pages for {echo(query)}"
        head += f" ({found.total} pages in all), best first."
    else:
        head = f"Documentation of {name}: the first {len(found.hits)} of {found.total} pages."
    chars, lines = len(head), [head]
    for number, (package, hit) in enumerate(found.hits, 1):
        item = _item(number, package, hit, query if found.is_searched else "", is_few=len(found.hits) <= _FEW)
        chars += len(item) + 2
        if chars > _MAX_CHARS:
            lines.append(f"[{len(found.hits) - number + 1} more are left out for their length: ask for fewer]")
            break
        lines.append(item)
    problems = [*found.failed.values(), *found.notes]
    if problems:
        lines.append("What went wrong:\n" + "\n".join(f"- {problem[:400]}" for problem in problems[:15]))
    return "\n\n".join(lines)


def _item(number: int, package: Package, hit: Hit, query: str, *, is_few: bool) -> str:
    passage = hit.passage
    where = package.name + (f" > {passage.heading[:_TITLE_CHARS]}" if passage.heading else "")
    lines = [f"{number}. **{hit.title[:_TITLE_CHARS]}**", f"   URL: {hit.url[:_URL_CHARS]}"]
    if hit.is_read:
        lines.append(f"   Section: {where} (lines {passage.first_line}-{passage.last_line})")
    if query and (relevance := relevance_text(hit.score)):
        lines.append(f"   {relevance}")
    glimpse = _glimpse(passage.content, query, _GLIMPSE_CHARS[is_few])
    if not hit.is_read:
        glimpse = f"{glimpse} (this page has not been read)".strip()
    return "\n".join([*lines, f"   Glimpse: {glimpse or '(nothing but headings)'}"])


def _glimpse(content: str, query: str, max_chars: int) -> str:
    """The part of a passage around the first word of the question, in one line, without headings and tags."""
    prose = "\n".join(line for line in content.split("\n") if not line.lstrip().startswith("#"))
    text = " ".join(_TAGS.sub(" ", prose).split())
    words = [re.escape(word) for word in re.findall(r"\w{3,}", query)]
    first = re.search("|".join(words), text, re.IGNORECASE) if words else None
    start = 0
    if first is not None and first.start() > max_chars // 2:
        start = text.rfind(" ", 0, first.start() - max_chars // 3) + 1
    end = start + max_chars
    return ("… " if start else "") + text[start:end] + (" …" if end < len(text) else "")


def _advice(name: str, query: str, found: _Found, *, is_capped: bool) -> str:
    said = []
    if query and not found.is_searched:
        said.append(f"No page of {name} has any of these words, so its first pages are listed. Try other words.")
    if found.failed:
        said.append(f"Warning: {', '.join(found.failed)} could not be read; the cause is at the end of the list.")
    if found.unread:
        said.append(
            f"{found.unread} pages are known by their title only: this site publishes no text with all of them. "
            "The same question again reads some more of them."
        )
    if is_capped:
        said.append(f"max_results is at most {MAX_RESULTS}.")
    if found.hits:
        said.append("fetch_hf_docs reads a page: give it the URL.")
    return " ".join(said)
