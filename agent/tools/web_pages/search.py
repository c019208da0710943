"""What a search engine is to `web_search`: a way to ask, and a way to read the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from agent.light_dataclass import dataclass
from agent.tools.web_pages.domains import DomainFilter
from agent.web.client import WebAnswer, WebRequest
from agent.web.failures import failure_text
from agent.web.places import Place

MAX_TITLE_CHARS = 200
MAX_SNIPPET_CHARS = 500
FRESH_S = 900.0


@dataclass(frozen=True, slots=True)
class Question:
    """What to search for. Engines that can filter by domain are told to; the results are filtered here in any case."""

    text: str
    max_results: int
    domains: DomainFilter

    @property
    def wanted(self) -> int:
        """How many results to ask an engine for: more, where some of them will be filtered out."""
        return 20 if self.domains.allowed or self.domains.blocked else self.max_results


@dataclass(frozen=True, slots=True)
class Hit:
    """One result; `snippet` may be empty."""

    title: str
    url: str
    snippet: str = ""


class SearchFailedError(Exception):
    """No results, and not because there are none. The message says what the engine said (made harmless), `advice` what
    to do."""

    def __init__(self, message: str, advice: str = "") -> None:
        super().__init__(message)
        self.advice = advice


class SearchEngine(Protocol):
    """A search engine. Stateless; both methods are pure."""

    @property
    def place(self) -> Place:
        """Its name and address."""

    @property
    def variable(self) -> str:
        """The environment variable without which it cannot be used; "" if it needs none."""

    def request(self, question: Question, environ: Mapping[str, str]) -> WebRequest:
        """What to ask it. Raises SearchFailedError if it cannot be asked."""

    def hits(self, answer: WebAnswer) -> Sequence[Hit]:
        """The results in an answer, the best first. Raises SearchFailedError. Takes its time: call it in a thread."""


def key_header(engine: SearchEngine, header: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The person's key for `engine`, as a header. Raises SearchFailedError if it cannot be one."""
    key = environ.get(engine.variable, "").strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise SearchFailedError(f"{engine.variable} is no key: it has characters in it that keys don't have.")
    return {header: key}


def failed(engine: SearchEngine, answer: WebAnswer, advice: str = "") -> SearchFailedError:
    """The failure that an answer with an error status is."""
    step = advice or _ADVICE.get(answer.status, "Try again later, or set another web_search_provider.")
    key = f" Check {engine.variable}." if engine.variable and answer.status in (401, 402, 403, 422) else ""
    return SearchFailedError(failure_text(answer, engine.place.name, {answer.status: step + key}))


_ADVICE = {
    400: "Put the query in other words.",
    401: "It does not accept the key.",
    402: "The account has nothing left to pay with.",
    403: "It does not let this request in.",
    422: "It does not accept the request.",
    429: "It has been asked too often: wait a minute before the next search.",
}


def inner(value: Any, *names: str) -> Any:
    """What lies at `names` in nested objects; None where there is nothing."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def rows(value: Any) -> list[dict[str, Any]]:
    """The objects of a list; none if it is no list."""
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def line(value: Any, max_chars: int) -> str:
    """Text in one line, cut at a word if it is long."""
    text = " ".join(value.split()) if isinstance(value, str) else ""
    return text if len(text) <= max_chars else f"{text[: max_chars - 1].rsplit(' ', 1)[0]}…"
