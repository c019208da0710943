"""Searching the web for `web_search`: what is asked, and what is said of the answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from agent.protocol.events import ToolLog
from agent.protocol.tools import ToolResult, ToolSession
from agent.protocol.untrusted import readable
from agent.tools.arguments import ArgumentError, int_argument, text_argument
from agent.tools.web_pages.domains import DomainFilter, read_sites
from agent.tools.web_pages.engines import choose_engine
from agent.tools.web_pages.search import (
    MAX_SNIPPET_CHARS,
    MAX_TITLE_CHARS,
    Hit,
    Question,
    SearchEngine,
    SearchFailedError,
    line,
)
from agent.tools.web_search_tool import DEFAULT_RESULTS, MAX_RESULTS, NAME
from agent.web.client import WebClient
from agent.web.errors import WebError
from agent.web.reach import origin_of

MAX_URL_CHARS = 2_000
_CITE = "List the addresses you rely on in a Sources section of your answer. fetch_url reads a page."


async def search(
    web: WebClient, environ: Mapping[str, str], provider: str, arguments: Mapping[str, Any], session: ToolSession
) -> ToolResult:
    """Carry out a call."""
    try:
        question = _question(arguments)
    except ValueError as error:
        return ToolResult(f"Nothing was searched: {error}", ok=False)
    try:
        engine = choose_engine(provider, environ)
        found = await _search(web, engine, question, environ, session)
    except SearchFailedError as error:
        return ToolResult(f"The search failed: {error}", ok=False, advice=error.advice)
    except WebError as error:
        return ToolResult(f"The search failed: {error}", ok=False)
    return _result(question, engine, found)


def _question(arguments: Mapping[str, Any]) -> Question:
    """What is asked for. Raises ValueError, of which ArgumentError is one."""
    text = " ".join(text_argument(arguments, "query").split())
    if len(text) < 2:
        raise ArgumentError("`query` needs at least 2 characters.")
    filters = {}
    for name in ("allowed_domains", "blocked_domains"):
        sites = arguments.get(name) or []
        if not isinstance(sites, list) or not all(isinstance(site, str) for site in sites):
            raise ArgumentError(f"`{name}` must be an array of strings.")
        filters[name] = read_sites(sites)
    limit = min(int_argument(arguments, "max_results", DEFAULT_RESULTS, minimum=1), MAX_RESULTS)
    return Question(text, limit, DomainFilter(filters["allowed_domains"], filters["blocked_domains"]))


async def _search(
    web: WebClient, engine: SearchEngine, question: Question, environ: Mapping[str, str], session: ToolSession
) -> list[Hit]:
    """All results of the engine. Raises SearchFailedError and WebError."""
    request = engine.request(question, environ)
    if not origin_of(request.url):
        raise SearchFailedError(f"{engine.place.variable} is not a web address; it begins with https:// or http://.")

    async def on_wait(text: str) -> None:
        await session.emit(ToolLog(NAME, text))

    answer = await web.ask(request, on_wait)
    try:
        found = await asyncio.to_thread(engine.hits, answer)
    except SearchFailedError:
        if not answer.is_kept:
            raise
        answer = await web.ask(replace(request, fresh_s=0.0), on_wait)  # a failure in the guise of a 200 was kept
        found = await asyncio.to_thread(engine.hits, answer)
    return list(found)


def _result(question: Question, engine: SearchEngine, found: list[Hit]) -> ToolResult:
    hits = _tidy(found)
    let = [hit for hit in hits if question.domains.lets(hit.url)]
    shown = let[: question.max_results]
    content = {
        "query": question.text,
        "provider": engine.place.name,
        "results": [{"title": hit.title, "url": hit.url, "snippet": hit.snippet} for hit in shown],
    }
    if shown:
        advice = _CITE
    elif hits:
        advice = (
            f"All {len(hits)} results were from other sites than asked for. Put site:<domain> into the query, or "
            "leave the domain filters out."
        )
    else:
        advice = f"{engine.place.name} found nothing. Use fewer or other words."
    return ToolResult(
        json.dumps(content, indent=2, ensure_ascii=False),
        source=f"{engine.place.name}, results for a search",
        advice=advice,
        display=readable("\n".join(f"{hit.title}\n  {hit.url}" for hit in shown)) or "nothing found",
    )


def _tidy(found: Iterable[Hit]) -> list[Hit]:
    """Results with a web address, each page once, in lines of a bearable length."""
    first: dict[str, Hit] = {}
    for hit in found:
        url = hit.url.strip()
        if not origin_of(url) or len(url) > MAX_URL_CHARS:
            continue
        title = line(hit.title, MAX_TITLE_CHARS) or url
        first.setdefault(url.partition("#")[0].rstrip("/"), Hit(title, url, line(hit.snippet, MAX_SNIPPET_CHARS)))
    return list(first.values())
