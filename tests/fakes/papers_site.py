"""Loopback sites of papers: the Hub's papers API, arXiv and ar5iv pages, Semantic Scholar's two APIs.

Shapes and refusals as the services document them: Semantic Scholar answers 400 to a field that an endpoint does not
know, and its bulk search knows no `tldr`; the Hub answers 400 to a `limit` beyond its own; ar5iv redirects to arXiv's
abstract page for a paper that it has not. `paper_sites` starts them all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from tests.fakes.http_base import Exchange, HttpFake, Request

_PAPER_FIELDS = frozenset(
    "paperId corpusId externalIds url title abstract venue year referenceCount citationCount influentialCitationCount "
    "isOpenAccess fieldsOfStudy publicationDate authors".split()
)
_EDGE_FIELDS = _PAPER_FIELDS | {"contexts", "intents", "isInfluential"}
_SNIPPET_FIELDS = frozenset(
    ["snippet.text", "snippet.snippetKind", "snippet.section", "snippet.snippetOffset", "snippet.annotations"]
)


class HubPapers(HttpFake):
    """The Hub: `papers` by id as in its lists; `linked` by path (`/api/models`, …); `markdown` by paper id."""

    def __init__(self) -> None:
        super().__init__()
        self.papers: dict[str, dict[str, Any]] = {}
        self.linked: dict[str, list[dict[str, Any]]] = {"/api/models": [], "/api/datasets": [], "/api/collections": []}
        self.markdown: dict[str, str] = {}
        self.failing: dict[str, tuple[int, Any]] = {}
        self.refused_token = ""

    async def respond(self, exchange: Exchange) -> None:
        request = exchange.request
        if self.refused_token and request.headers.get("authorization") == f"Bearer {self.refused_token}":
            await exchange.json(401, {"error": "Invalid credentials in Authorization header"})
        elif request.path in self.failing:
            await exchange.json(*self.failing[request.path])
        elif request.path == "/api/daily_papers":
            await self._listed(exchange, 100)
        elif request.path == "/api/papers/search":
            await self._listed(exchange, 120)
        elif request.path in self.linked:
            await exchange.json(200, self._linked(request))
        elif request.path.startswith("/papers/") and request.path.endswith(".md"):
            text = self.markdown.get(request.path.removeprefix("/papers/").removesuffix(".md"))
            await _page(exchange, 200 if text else 404, text or "Not found", "text/markdown")
        else:
            paper = self.papers.get(unquote(request.path.removeprefix("/api/papers/")))
            await exchange.json(200 if paper else 404, paper or {"error": "Paper not found"})

    async def _listed(self, exchange: Exchange, at_most: int) -> None:
        limit = int(exchange.request.query["limit"])
        if not 1 <= limit <= at_most:
            await exchange.json(400, {"error": f"✖ Too big: expected number to be <={at_most}\n  → at limit"})
            return
        items = [{"title": paper["title"], "numComments": 1, "paper": paper} for paper in self.papers.values()]
        await exchange.json(200, items[:limit])

    def _linked(self, request: Request) -> list[dict[str, Any]]:
        """Only a right filter finds anything."""
        wanted = request.query.get("filter") or request.query.get("paper", "")
        rows = self.linked[request.path] if wanted else []
        return rows[: int(request.query.get("limit", "1000"))]


class PaperPages(HttpFake):
    """arXiv or ar5iv: `pages` by what stands behind `/html/`. `abs_base` is where to send for what is not there."""

    def __init__(self, abs_base: str = "") -> None:
        super().__init__()
        self.pages: dict[str, str] = {}
        self.abs_base = abs_base
        self.status = 0

    async def respond(self, exchange: Exchange) -> None:
        paper_id = exchange.request.path.removeprefix("/html/")
        if self.status:
            await _page(exchange, self.status, "<html>Service Unavailable</html>")
        elif paper_id in self.pages:
            await _page(exchange, 200, self.pages[paper_id])
        elif exchange.request.path.startswith("/abs/"):
            await _page(exchange, 200, "<html><body><h1>An abstract page</h1></body></html>")
        elif self.abs_base:
            await exchange.head(307, {"Location": f"{self.abs_base}/abs/{paper_id}"}, length_bytes=0)
            await exchange.body(b"", last=True)
        else:
            await _page(exchange, 404, f"<html><body>No HTML for '{paper_id}'</body></html>")


class ScholarApi(HttpFake):
    """Semantic Scholar: `found` are its papers, `edges` the answers for citations and references of a paper.

    `refusals`: so many requests are answered with 429 first; `api_key`: the only key it takes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.found: list[dict[str, Any]] = []
        self.total = 0
        self.edges: dict[str, Any] = {}
        self.snippets: list[dict[str, Any]] = []
        self.by_corpus_id: dict[str, dict[str, Any]] = {}
        self.recommended: list[dict[str, Any]] = []
        self.failing: dict[str, tuple[int, Any]] = {}
        self.refusals = 0
        self.api_key = "s2-key"

    async def respond(self, exchange: Exchange) -> None:
        request = exchange.request
        path = unquote(request.path)
        if self.refusals:
            self.refusals -= 1
            await exchange.json(429, {"message": "Too Many Requests. Please wait and try again.", "code": "429"})
        elif request.headers.get("x-api-key", self.api_key) != self.api_key:
            await exchange.json(403, {"message": "Forbidden"})
        elif path in self.failing:
            await exchange.json(*self.failing[path])
        elif unknown := sorted(set(request.query.get("fields", "title").split(",")) - _known_fields(path)):
            await exchange.json(400, {"error": f"Unrecognized or unsupported fields: [{', '.join(unknown)}]"})
        else:
            await exchange.json(*self._found_at(path, request))

    def _found_at(self, path: str, request: Request) -> tuple[int, Any]:
        query = request.query
        if path == "/graph/v1/paper/search":
            offset, limit = int(query.get("offset", 0)), int(query.get("limit", 100))
            if limit > 100 or offset + limit > 1000:
                return 400, {"error": "Requested data for this limit and/or offset is not available"}
            data = self.found[offset : offset + limit]
            return 200, {"total": self.total or len(self.found), "offset": offset, "data": data}
        if path == "/graph/v1/paper/search/bulk":
            if "limit" in query or "offset" in query:
                return 400, {"error": "Unrecognized or unsupported parameters"}
            plain = [{name: value for name, value in paper.items() if name != "tldr"} for paper in self.found]
            return 200, {"total": self.total or len(self.found), "token": None, "data": plain[:1000]}
        if path == "/graph/v1/snippet/search":
            return 200, {"data": self.snippets[: int(query["limit"])], "retrievalVersion": "1"}
        if path == "/graph/v1/paper/batch" and request.method == "POST":
            return 200, [self.by_corpus_id.get(name.removeprefix("CorpusId:")) for name in request.json["ids"]]
        if path.startswith("/recommendations/v1/papers/"):
            return 200, {"recommendedPapers": self.recommended[: int(query["limit"])]}
        answer = self.edges.get(path.removeprefix("/graph/v1/paper/"))
        return (200, answer) if answer is not None else (404, {"error": "Paper with id not found"})


def _known_fields(path: str) -> frozenset[str]:
    if path.startswith("/graph/v1/snippet"):
        return _SNIPPET_FIELDS
    if path.endswith(("/citations", "/references")):
        return _EDGE_FIELDS
    with_tldr = path in ("/graph/v1/paper/search", "/graph/v1/paper/batch")
    return _PAPER_FIELDS | {"tldr"} if with_tldr else _PAPER_FIELDS


async def _page(exchange: Exchange, status: int, text: str, kind: str = "text/html") -> None:
    data = text.encode()
    await exchange.head(status, {"Content-Type": f"{kind}; charset=utf-8"}, length_bytes=len(data))
    await exchange.body(data, last=True)


@dataclass
class PaperSites:
    """All four, started."""

    hub: HubPapers = field(default_factory=HubPapers)
    arxiv: PaperPages = field(default_factory=PaperPages)
    ar5iv: PaperPages = field(default_factory=PaperPages)
    scholar: ScholarApi = field(default_factory=ScholarApi)

    @property
    def environ(self) -> Mapping[str, str]:
        """What leads to them."""
        return {
            "HF_ENDPOINT": self.hub.url,
            "ARXIV_BASE_URL": self.arxiv.url,
            "AR5IV_BASE_URL": self.ar5iv.url,
            "SEMANTIC_SCHOLAR_BASE_URL": self.scholar.url,
        }

    @property
    def requests(self) -> list[Request]:
        """Of all four."""
        return [request for site in (self.hub, self.arxiv, self.ar5iv, self.scholar) for request in site.requests]


@contextmanager
def paper_sites() -> Iterator[PaperSites]:
    """Start all four; whatever went wrong inside one of them fails the test at the end."""
    with ExitStack() as stack:
        sites = PaperSites()
        for site in (sites.hub, sites.arxiv, sites.ar5iv, sites.scholar):
            stack.enter_context(site)
        sites.ar5iv.abs_base = sites.arxiv.url
        yield sites
        for site in (sites.hub, sites.arxiv, sites.ar5iv, sites.scholar):
            site.check()


def daily_paper(number: int, **more: Any) -> dict[str, Any]:
    """A paper as the Hub's lists have it."""
    return {
        "id": f"2401.{number:05d}",
        "title": f"Paper {number}",
        "summary": f"What paper {number} is about.",
        "publishedAt": "2024-01-02T00:00:00.000Z",
        "upvotes": number,
        "authors": [{"name": f"Author {i}"} for i in range(12)],
        **more,
    }


def scholar_paper(number: int, **more: Any) -> dict[str, Any]:
    """A paper as Semantic Scholar has it."""
    return {
        "paperId": f"{number:040x}",
        "title": f"Study {number}",
        "year": 2020,
        "venue": "ICML",
        "citationCount": number,
        "externalIds": {"ArXiv": f"2002.{number:05d}"},
        **more,
    }
