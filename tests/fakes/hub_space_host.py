"""The address a Space is reached under: what stands before the program in it, with all its moods.

with SpaceHost(hub) as host:                 # every Space's `host` is host.url now
    host.backend = "http://127.0.0.1:7860"   # the program, once it runs; None: the Space sleeps
    host.waking = [503, 200]                 # HTML with these statuses first, one request each
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

import httpx

from tests.fakes.http_base import Exchange, HttpFake

if TYPE_CHECKING:
    from tests.fakes.hub import FakeHub

Mood = Literal["before", "after", "stall"]

_OWN_HEADERS = {"host", "connection", "content-length", "transfer-encoding", "authorization", "content-encoding"}
_PAGE = "<!DOCTYPE html><html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"
_TITLES = {404: "404: this page is not here", 502: "Bad gateway", 503: "Your Space is waking up"}


class SpaceHost(HttpFake):
    """Stands for `https://<subdomain>.hf.space`. Plain attributes are settings for tests."""

    def __init__(self, hub: FakeHub) -> None:
        super().__init__()
        self.hub = hub
        self.backend: str | None = None
        """Base URL of the program in the Space."""
        self.is_private = True
        """Whether a request needs the Hub's token; it is taken off before the program sees the request."""
        self.waking: list[int] = []
        """Statuses of HTML pages that the next requests get instead of the program's answer."""
        self.cuts: list[Mood | None] = []
        """What happens to the next requests that would reach the program: "before" cuts without reaching it, "after"
        lets it do its work and cuts then, "stall" never answers, None lets it through."""

    def start(self) -> Self:
        """Start listening, and be the host of all Spaces."""
        super().start()
        self.hub.spaces.host_url = self.url
        return self

    async def respond(self, exchange: Exchange) -> None:
        """The edge's checks, then the moods, then the program."""
        sent = exchange.request.headers.get("authorization")
        mood: Mood | None = None
        if self.is_private and sent != f"Bearer {self.hub.token}":
            await _page(exchange, 404)
        elif self.waking:
            await _page(exchange, self.waking.pop(0))
        elif self.backend is None:
            await _page(exchange, 503)
        else:
            mood = self.cuts.pop(0) if self.cuts else None
            await self._forward(exchange, self.backend, mood)

    async def _forward(self, exchange: Exchange, backend: str, mood: Mood | None) -> None:
        if mood == "before":
            await exchange.cut()
            return
        if mood == "stall":
            await exchange.stall()
            return
        request = exchange.request
        headers = {name: value for name, value in request.headers.items() if name not in _OWN_HEADERS}
        # no proxies of the environment, and no time limit: the client's is the one that counts
        async with httpx.AsyncClient(timeout=None, trust_env=False) as client:
            asked = client.build_request(
                request.method,
                backend + request.path,
                params=request.query or None,
                headers=headers,
                content=request.raw_body,
            )
            try:
                answer = await client.send(asked, stream=True)
            except httpx.ConnectError:
                await _page(exchange, 502)
                return
            try:
                if mood == "after":
                    await answer.aread()
                    await exchange.cut()
                else:
                    await _pass_on(exchange, answer)
            finally:
                await answer.aclose()


async def _pass_on(exchange: Exchange, answer: httpx.Response) -> None:
    kept = [(name, value) for name, value in answer.headers.multi_items() if name.lower() not in _OWN_HEADERS]
    await exchange.head(answer.status_code, kept)
    async for piece in answer.aiter_bytes():
        await exchange.body(piece)
    await exchange.body(b"", last=True)


async def _page(exchange: Exchange, status: int) -> None:
    """A page for people, as the Hub's edge sends it."""
    page = _PAGE.format(title=_TITLES.get(status, "Preparing Space")).encode()
    await exchange.head(status, {"Content-Type": "text/html; charset=utf-8"}, length_bytes=len(page))
    await exchange.body(page, last=True)
