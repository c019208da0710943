"""A loopback documentation site: the Hub's `/docs` and `/learn`, Gradio's `llms.txt`, and the description of the API.

    with DocsSite() as site:
        site.book("/docs/trl", {"SFT Trainer": ("sft_trainer", "# SFT Trainer\\n...")})
        site.texts["/docs/trl/llms-full.txt"]       # what is served there; change or delete it as the test needs

Shapes and error shapes: `shared/spec/tools_research.md` §2. A path that is not there is a 404 with an HTML page; what
is in `failing` answers with that status. Answers have an ETag (unless `has_etags` is off) and honour If-None-Match.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from tests.fakes.http_base import Exchange, HttpFake, Request

KINDS = {".txt": "text/plain; charset=utf-8", ".md": "text/markdown; charset=utf-8", ".json": "application/json"}
PUBLISHED = "https://huggingface.co"
"""What the Hub's own lists name as its address, wherever they are served."""


class DocsSite(HttpFake):
    """Serves `texts` by path. Paths of `stalling` send nothing until `resume()`."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: dict[str, str] = {}
        self.failing: dict[str, int] = {}
        self.redirects: dict[str, str] = {}
        self.stalling: set[str] = set()
        self.has_etags = True
        self.refused_token = ""

    def book(self, path: str, pages: Mapping[str, tuple[str, str]], *, version: str = "v1.0.0") -> None:
        """Publish `pages` (title: name, Markdown) below `path` the way the Hub does: list, whole book, each page."""
        base = f"{path}/{version}" if version else path
        links = "".join(f"- [{title}]({PUBLISHED}{base}/{name}.md)\n" for title, (name, _text) in pages.items())
        listed = f"# {path.rpartition('/')[2].title()}\n\n## Docs\n\n{links}"
        whole = "".join(
            f"\n### {title}\n{PUBLISHED}{base}/{name}.md\n\n{text}\n" for title, (name, text) in pages.items()
        )
        self.texts[f"{path}/llms.txt"] = listed
        self.texts[f"{path}/llms-full.txt"] = listed + whole
        for name, text in pages.values():
            self.texts[f"{base}/{name}.md"] = text
            self.texts[f"{path}/{name}.md"] = text

    def asked(self, path: str) -> list[Request]:
        """The requests for `path` so far."""
        return [request for request in self.requests if request.path == path]

    async def respond(self, exchange: Exchange) -> None:
        """A text, a redirect, or a failure."""
        request = exchange.request
        if request.path in self.stalling:
            await exchange.stall()
        if self.refused_token and self.refused_token in request.headers.get("authorization", ""):
            await exchange.json(401, {"error": "Invalid credentials in Authorization header"})
        elif request.path in self.failing:
            await exchange.json(self.failing[request.path], {"error": "Internal Error - We're working hard to fix it"})
        elif target := self.redirects.get(request.path):
            await exchange.head(307, {"Location": target}, length_bytes=0)
            await exchange.body(b"", last=True)
        elif request.path in self.texts:
            await self._give(exchange, self.texts[request.path].encode())
        else:
            await _send(exchange, 404, "text/html", b"<html><body><h1>404</h1></body></html>")

    async def _give(self, exchange: Exchange, data: bytes) -> None:
        path = exchange.request.path
        kind = next((kind for ending, kind in KINDS.items() if path.endswith(ending)), "text/html; charset=utf-8")
        etag = f'"{hashlib.sha256(data).hexdigest()[:16]}"' if self.has_etags else ""
        if etag and exchange.request.headers.get("if-none-match") == etag:
            await exchange.head(304, {"ETag": etag})
            await exchange.body(b"", last=True)
            return
        await _send(exchange, 200, kind, data, etag)


async def _send(exchange: Exchange, status: int, kind: str, data: bytes, etag: str = "") -> None:
    headers = {"Content-Type": kind} | ({"ETag": etag} if etag else {})
    await exchange.head(status, headers, length_bytes=len(data))
    await exchange.body(data, last=True)
