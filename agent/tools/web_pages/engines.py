"""The search engines with a JSON interface, which want a key or an address, and how one is chosen.

Brave: api-dashboard.search.brave.com/app/documentation; Exa: docs.exa.ai; SearXNG: docs.searxng.org/dev/search_api.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from agent.light_dataclass import dataclass
from agent.protocol.untrusted import harmless
from agent.tools.web_pages.duckduckgo import DuckDuckGo
from agent.tools.web_pages.search import (
    FRESH_S,
    Hit,
    Question,
    SearchEngine,
    SearchFailedError,
    failed,
    inner,
    key_header,
    line,
    rows,
)
from agent.web.client import WebAnswer, WebRequest
from agent.web.errors import WebError
from agent.web.places import BRAVE, EXA, SEARXNG, Place


@dataclass(frozen=True, slots=True)
class Brave:
    """Brave Search: an index of its own; titles and snippets are HTML."""

    place: Place = BRAVE
    variable: str = "BRAVE_API_KEY"

    def request(self, question: Question, environ: Mapping[str, str]) -> WebRequest:
        """See SearchEngine."""
        return WebRequest(
            f"{self.place.base(environ)}/res/v1/web/search?{urlencode({'q': question.text, 'count': question.wanted})}",
            self.place.reach(environ),
            headers={"accept": "application/json"},
            private_headers=key_header(self, "X-Subscription-Token", environ),
            service=self.place.name,
            pace=self.place.pace,
            fresh_s=FRESH_S,
        )

    def hits(self, answer: WebAnswer) -> Sequence[Hit]:
        """See SearchEngine."""
        if not answer.ok:
            raise failed(self, answer)
        found = rows(inner(_answered(self, answer), "web", "results"))
        return [Hit(_plain(row.get("title")), str(row.get("url")), _plain(row.get("description"))) for row in found]


@dataclass(frozen=True, slots=True)
class Exa:
    """Exa: searches by meaning, and brings the passages of a page that fit."""

    place: Place = EXA
    variable: str = "EXA_API_KEY"

    def request(self, question: Question, environ: Mapping[str, str]) -> WebRequest:
        """See SearchEngine."""
        body: dict[str, Any] = {"query": question.text, "numResults": question.wanted, "contents": {"highlights": True}}
        if question.domains.allowed:
            body["includeDomains"] = sorted({site.host for site in question.domains.allowed})
        # a path cannot be excluded without excluding its whole host
        if blocked := sorted({site.host for site in question.domains.blocked if not site.path}):
            body["excludeDomains"] = blocked
        return WebRequest(
            f"{self.place.base(environ)}/search",
            self.place.reach(environ),
            method="POST",
            json=body,
            private_headers=key_header(self, "x-api-key", environ),
            service=self.place.name,
            pace=self.place.pace,
            fresh_s=FRESH_S,
        )

    def hits(self, answer: WebAnswer) -> Sequence[Hit]:
        """See SearchEngine."""
        if not answer.ok:
            raise failed(self, answer)
        found = rows(inner(_answered(self, answer), "results"))
        return [Hit(str(row.get("title") or ""), str(row.get("url")), _highlights(row)) for row in found]


@dataclass(frozen=True, slots=True)
class SearXNG:
    """SearXNG: the person's own instance, which asks other engines."""

    place: Place = SEARXNG
    variable: str = "SEARXNG_BASE_URL"

    def request(self, question: Question, environ: Mapping[str, str]) -> WebRequest:
        """See SearchEngine."""
        return WebRequest(
            f"{self.place.base(environ)}/search?{urlencode({'q': question.text, 'format': 'json'})}",
            self.place.reach(environ),
            service=self.place.name,
            pace=self.place.pace,
            fresh_s=FRESH_S,
        )

    def hits(self, answer: WebAnswer) -> Sequence[Hit]:
        """See SearchEngine."""
        if answer.status == 403:
            raise failed(self, answer, 'Its settings.yml has to allow JSON: search.formats: ["html", "json"].')
        if not answer.ok:
            raise failed(self, answer)
        content = _answered(self, answer)
        found = rows(inner(content, "results"))
        silent = inner(content, "unresponsive_engines")
        if not found and isinstance(silent, list) and silent:
            names = ", ".join(" ".join(map(str, each)) if isinstance(each, list) else str(each) for each in silent[:6])
            message = f"SearXNG has no results, for engines of it did not answer: {line(harmless(names), 300)}"
            raise SearchFailedError(message, "Try again in a minute.")
        return [Hit(str(row.get("title") or ""), str(row.get("url")), str(row.get("content") or "")) for row in found]


_BY_KEY: dict[str, SearchEngine] = {"brave": Brave(), "exa": Exa(), "searxng": SearXNG()}
_ENGINES: dict[str, SearchEngine] = {**_BY_KEY, "duckduckgo": DuckDuckGo()}


def choose_engine(name: str, environ: Mapping[str, str]) -> SearchEngine:
    """The engine `name`; for `auto` the first that has what it needs. Raises SearchFailedError if it lacks that."""
    if name == "auto":
        return next((each for each in _BY_KEY.values() if _has(each, environ)), _ENGINES["duckduckgo"])
    if name not in _ENGINES:
        raise SearchFailedError(
            f"There is no search engine {name!r}.", f"web_search_provider is auto or one of {', '.join(_ENGINES)}."
        )
    engine = _ENGINES[name]
    if not _has(engine, environ):
        raise SearchFailedError(
            f"web_search_provider is {name}, but {engine.variable} is not set.",
            f"Tell the person: set {engine.variable} in the environment, or web_search_provider to auto.",
        )
    return engine


def _has(engine: SearchEngine, environ: Mapping[str, str]) -> bool:
    return not engine.variable or bool(environ.get(engine.variable, "").strip())


def _answered(engine: SearchEngine, answer: WebAnswer) -> Any:
    try:
        return answer.json()
    except WebError as error:
        raise SearchFailedError(
            f"{engine.place.name} did not answer with JSON.", f"Check that its address is right ({answer.url[:200]})."
        ) from error


def _highlights(row: Mapping[str, Any]) -> str:
    parts = row.get("highlights")
    return " … ".join(part for part in parts if isinstance(part, str)) if isinstance(parts, list) else ""


def _plain(markup: Any) -> str:
    """A piece of HTML as text."""
    from selectolax.lexbor import LexborHTMLParser

    if not isinstance(markup, str) or not ("<" in markup or "&" in markup):
        return markup if isinstance(markup, str) else ""
    body = LexborHTMLParser(markup[:10_000]).body
    return body.text() if body is not None else ""
