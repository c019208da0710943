"""What the tests of the GitHub tools share: the fake, a real web client without waiting, and a call of a tool."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from agent.core.tools import ToolRouter
from agent.protocol.tools import ToolResult, ToolSpec
from agent.web.cache import AnswerCache
from agent.web.client import WebClient
from tests.fakes.github import FakeGitHub
from tests.unit.tools.conftest import FakeSession

MakeSpec = Callable[[Callable[[], WebClient], Mapping[str, str]], ToolSpec]


class Clock:
    """Time that only passes while somebody waits."""

    def __init__(self) -> None:
        self.now_s = 1_000_000.0
        self.waits_s: list[float] = []

    def __call__(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        """Wait at once."""
        self.waits_s.append(seconds)
        self.now_s += seconds


@dataclass
class Desk:
    """A fake GitHub and what asks it. `environ` is what the tools are given."""

    github: FakeGitHub
    web: WebClient
    session: FakeSession
    clock: Clock
    environ: dict[str, str] = field(default_factory=dict)

    def sign_in(self) -> str:
        """Put a token into the environment that GitHub accepts, and return it."""
        self.environ["GITHUB_TOKEN"] = self.github.token
        return self.github.token

    async def call(self, make_spec: MakeSpec, **arguments: Any) -> ToolResult:
        """Call a tool as a model would: through the router, its output marked as data where it is."""
        router = ToolRouter([spec := make_spec(lambda: self.web, self.environ)])
        given = router.loosened(spec.name, arguments)
        result = await router.call_tool(spec.name, given, self.session, "call-1")
        self.github.check()
        return result

    async def raw(self, make_spec: MakeSpec, **arguments: Any) -> ToolResult:
        """What the tool itself returns, with output and advice apart."""
        result = await self.session.call(make_spec(lambda: self.web, self.environ), **arguments)
        self.github.check()
        return result


@pytest.fixture
def github() -> Iterator[FakeGitHub]:
    """A GitHub without repositories."""
    with FakeGitHub() as server:
        yield server


@pytest.fixture
async def desk(github: FakeGitHub, session: FakeSession, tmp_path: Path) -> AsyncIterator[Desk]:
    """Tools without a token."""
    clock = Clock()
    cache = AnswerCache(tmp_path / "cache" / "web.sqlite")
    web = WebClient(cache, sleep=clock.sleep, clock=clock, now=clock)
    yield Desk(github, web, session, clock, {"GITHUB_API_BASE_URL": github.url})
    await web.close()
