"""DuckDuckGo's page for browsers without scripts: the engine that needs no key, and does not like to be asked often."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

from agent.light_dataclass import dataclass
from agent.tools.web_pages.search import FRESH_S, Hit, Question, SearchFailedError, failed
from agent.web.client import WebAnswer, WebRequest
from agent.web.html_depth import is_too_deep
from agent.web.places import DUCKDUCKGO, Place
from agent.web.reach import origin_of

if TYPE_CHECKING:
    from selectolax.lexbor import LexborHTMLParser, LexborNode

USER_AGENT_VARIABLE = "ML_INTERN_WEB_USER_AGENT"
_HOME = "duckduckgo.com"
_TOO_OFTEN = (202, 403, 429)
_CHALLENGED = "DuckDuckGo takes this for a robot"
_WAIT = (
    "Wait a few minutes before the next search. Tell the person that a search engine with a key works better: "
    "BRAVE_API_KEY, EXA_API_KEY or SEARXNG_BASE_URL in the environment."
)
_OTHER = "Put the query in other words; if that changes nothing, tell the person to set another web_search_provider."
_CHALLENGES = ".anomaly-modal, .anomaly-modal__modal, #challenge-form, form[action*='anomaly.js']"
_NOTHING = ".no-results, .result--no-result"


@dataclass(frozen=True, slots=True)
class DuckDuckGo:
    """The page's markup is nobody's promise: a page that is not understood is a failure, not an empty result."""

    place: Place = DUCKDUCKGO
    variable: str = ""

    def request(self, question: Question, environ: Mapping[str, str]) -> WebRequest:
        """See SearchEngine. A query that the configured address has already is kept."""
        base = self.place.base(environ)
        parts = urlsplit(base + "/" if base == self.place.default else base)
        kept = [pair for pair in parse_qsl(parts.query, keep_blank_values=True) if pair[0] != "q"]
        url = urlunsplit((parts.scheme, parts.netloc, parts.path, urlencode([*kept, ("q", question.text)]), ""))
        agent = environ.get(USER_AGENT_VARIABLE, "").strip()
        return WebRequest(
            url,
            self.place.reach(environ, _HOME),
            headers={"accept": "text/html", **({"user-agent": agent} if agent else {})},
            service=self.place.name,
            pace=self.place.pace,
            tries=2,  # whoever has been taken for a robot does not get anywhere by insisting
            fresh_s=FRESH_S,
            max_bytes=4 << 20,
        )

    def hits(self, answer: WebAnswer) -> Sequence[Hit]:
        """See SearchEngine."""
        from selectolax.lexbor import LexborHTMLParser

        if answer.status in _TOO_OFTEN:
            raise SearchFailedError(f"{_CHALLENGED} (HTTP {answer.status}).", _WAIT)
        if not answer.ok:
            raise failed(self, answer)
        text = answer.text
        if is_too_deep(text):
            raise SearchFailedError(
                "DuckDuckGo's page cannot be read: its elements lie too deep in each other.", _OTHER
            )
        page = LexborHTMLParser(text)
        if page.css_first(_CHALLENGES) is not None:
            raise SearchFailedError(f"{_CHALLENGED} (it shows a challenge).", _WAIT)
        links = page.css("a.result__a")
        if links:
            return list(_results(links, answer.url))
        if page.css_first(_NOTHING) is not None:
            return []
        if _is_home(answer.url):
            raise SearchFailedError(
                "DuckDuckGo's page has neither results nor a word that there are none: its markup may have changed.",
                _OTHER,
            )
        return list(_other_links(page, answer.url))


def _results(links: Sequence[LexborNode], base: str) -> Iterator[Hit]:
    for link in links:
        block = _block(link)
        target = _target(link, base)
        if target and not (block is not None and _is_ad(block)):
            snippet = block.css_first(".result__snippet") if block is not None else None
            yield Hit(link.text(), target, snippet.text() if snippet is not None else "")


def _other_links(page: LexborHTMLParser, base: str) -> Iterator[Hit]:
    """What a page of another engine leads to, its own pages aside."""
    for link in page.css("a[href]"):
        target = _target(link, base)
        if target and origin_of(target) != origin_of(base) and link.text(strip=True):
            yield Hit(link.text(), target)


def _block(link: LexborNode) -> LexborNode | None:
    """The result that a link is the title of."""
    node = link.parent
    while node is not None and "result" not in (node.attributes.get("class") or "").split():
        node = node.parent
    return node


def _is_ad(block: LexborNode) -> bool:
    return "result--ad" in (block.attributes.get("class") or "").split()


def _target(link: LexborNode, base: str) -> str:
    """Where a link leads in the end; "" for advertisements and what is no web address.

    The parser has decoded the attribute's entities: doing that again would make `&copy=2` a copyright sign.
    """
    try:
        url = urljoin(base, (link.attributes.get("href") or "").strip())
        parts = urlsplit(url)
        if parts.path == "/l/" and (inner := parse_qs(parts.query).get("uddg")):
            url = inner[0].strip()
            parts = urlsplit(url)
    except ValueError:
        return ""
    if parts.path == "/y.js" and _is_home(url):
        return ""
    return url if origin_of(url) else ""


def _is_home(url: str) -> bool:
    host = (urlsplit(url).hostname or "").lower()
    return host == _HOME or host.endswith(f".{_HOME}")
