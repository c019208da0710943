"""What the tests of `hf_papers` share: the tool over loopback sites, with pauses that take no time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.core.tools import ToolRouter
from agent.protocol.tools import ToolResult, ToolSpec
from agent.tools.papers_tool import hf_papers_spec
from agent.web.cache import AnswerCache
from agent.web.client import WebClient
from tests.fakes.papers_site import PaperSites, paper_sites
from tests.unit.tools.conftest import FakeSession


@dataclass
class Papers:
    """The tool, the sites, and what it has waited for."""

    sites: PaperSites
    session: FakeSession
    environ: dict[str, str]
    pauses: list[float] = field(default_factory=list)
    spec: ToolSpec = field(init=False)
    web: WebClient = field(init=False)

    async def call(self, operation: str, **arguments: Any) -> ToolResult:
        """Call the handler."""
        return await self.session.call(self.spec, operation=operation, **arguments)

    async def shown(self, **arguments: Any) -> ToolResult:
        """Call it as a turn does: arguments loosened and checked, the result wrapped."""
        async with ToolRouter([self.spec]) as router:
            return await router.call_tool("hf_papers", router.loosened("hf_papers", arguments), self.session, "c-1")


@asynccontextmanager
async def papers_at(session: FakeSession, cache_dir: Path, token: str | None = None) -> AsyncIterator[Papers]:
    """The tool over fresh sites, with a cache on disk."""
    with paper_sites() as sites:
        papers = Papers(sites, session, dict(sites.environ))
        now = [0.0]

        async def sleep(seconds: float) -> None:
            papers.pauses.append(seconds)
            now[0] += seconds

        papers.web = web = WebClient(AnswerCache(cache_dir / "web.sqlite"), sleep=sleep, clock=lambda: now[0])
        papers.spec = hf_papers_spec(lambda: web, papers.environ, token)
        try:
            yield papers
        finally:
            await web.close()
