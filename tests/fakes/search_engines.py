"""Loopback search engines: DuckDuckGo's HTML page, Brave Search, Exa and SearXNG, each with its shapes and errors.

    with SearchFake() as engines:
        environ = engines.environ("brave")     # its address and, where it needs one, its key
        engines.results = [Result("Title", "https://example.org/", "snippet")]

`status` and `body`, when set, are answered instead of results. One fake plays all engines, each at its own path.
"""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from tests.fakes.http_base import Exchange, HttpFake

KEY = "key-of-the-person"


@dataclass(frozen=True, slots=True)
class Result:
    """A result. `how` is how DuckDuckGo's page links it: direct, relative or absolute redirect, or as an ad."""

    title: str
    url: str
    snippet: str = ""
    how: str = "direct"


CHALLENGE = '<html><body><div class="anomaly-modal__mask"><div class="anomaly-modal">bots too</div></div></body></html>'
NOTHING = '<html><body><div class="no-results">No results found for <b>it</b>.</div></body></html>'


class SearchFake(HttpFake):
    """All four engines."""

    def __init__(self) -> None:
        super().__init__()
        self.results: list[Result] = []
        self.status = 200
        self.body: str | None = None
        self.unresponsive: list[list[str]] = []

    def environ(self, engine: str) -> dict[str, str]:
        """What the environment has for the tool to use `engine` here."""
        return {
            "duckduckgo": {"CLAWD_WEB_SEARCH_BASE_URL": f"{self.url}/html/?kl=us-en"},
            "brave": {"BRAVE_BASE_URL": self.url, "BRAVE_API_KEY": KEY},
            "exa": {"EXA_BASE_URL": self.url, "EXA_API_KEY": KEY},
            "searxng": {"SEARXNG_BASE_URL": f"{self.url}/searx"},
        }[engine]

    async def respond(self, exchange: Exchange) -> None:
        """Answer as the engine at this path does."""
        engines = {
            ("GET", "/html/"): self._duckduckgo,
            ("GET", "/res/v1/web/search"): self._brave,
            ("POST", "/search"): self._exa,
            ("GET", "/searx/search"): self._searxng,
        }
        answer = engines.get((exchange.request.method, exchange.request.path))
        if answer is None:
            await super().respond(exchange)
        elif self.body is not None:
            await _send(exchange, self.status, self.body)
        else:
            await answer(exchange)

    async def _duckduckgo(self, exchange: Exchange) -> None:
        blocks = "".join(_block(result) for result in self.results)
        await _send(exchange, self.status, f'<html><body><a href="/settings">Settings</a>{blocks}</body></html>')

    async def _brave(self, exchange: Exchange) -> None:
        if exchange.request.headers.get("x-subscription-token") != KEY:
            detail = "The provided subscription token is invalid."
            error = {"code": "SUBSCRIPTION_TOKEN_INVALID", "detail": detail, "status": 422}
            await exchange.json(422, {"type": "ErrorResponse", "error": error})
            return
        found = [{"title": r.title, "url": r.url, "description": r.snippet} for r in self.results]
        await exchange.json(200, {"type": "search", "web": {"type": "search", "results": found}})

    async def _exa(self, exchange: Exchange) -> None:
        if exchange.request.headers.get("x-api-key") != KEY:
            await exchange.json(401, {"requestId": "r", "error": "Invalid API key", "tag": "INVALID_API_KEY"})
            return
        found = [{"id": r.url, "title": r.title, "url": r.url, "highlights": [r.snippet]} for r in self.results]
        await exchange.json(200, {"requestId": "r", "results": found, "costDollars": {"total": 0.005}})

    async def _searxng(self, exchange: Exchange) -> None:
        if exchange.request.query.get("format") != "json":
            await _send(exchange, 403, "<h1>403 Forbidden</h1>")
            return
        found: list[Any] = [{"title": r.title, "url": r.url, "content": r.snippet} for r in self.results]
        await exchange.json(200, {"query": "q", "results": found, "unresponsive_engines": self.unresponsive})


async def _send(exchange: Exchange, status: int, page: str) -> None:
    data = page.encode()
    await exchange.head(status, {"Content-Type": "text/html; charset=utf-8"}, length_bytes=len(data))
    await exchange.body(data, last=True)


def _block(result: Result) -> str:
    inside = f"/l/?uddg={quote(result.url, safe='')}&rut=abc"
    href = {
        "direct": result.url,
        "relative": inside,
        "absolute": f"https://duckduckgo.com{inside}",
        "schemeless": f"//duckduckgo.com{inside}",
        "ad": f"https://duckduckgo.com/y.js?ad_domain=shop.example&u3={quote(result.url, safe='')}",
        "ad class": result.url,
    }[result.how]
    extra = " result--ad" if result.how == "ad class" else ""
    title = f'<a class="result__a" href="{html.escape(href)}">{html.escape(result.title)}</a>'
    return (
        f'<div class="result results_links web-result{extra}"><div class="links_main">'
        f'<h2 class="result__title">{title}</h2>'
        f'<a class="result__snippet" href="{html.escape(href)}">{result.snippet}</a></div></div>'
    )
