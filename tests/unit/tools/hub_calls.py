"""What the tests of the repository tools share: calls that work or do not, an account, somebody who is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agent.hub.account import HubAccount
from agent.protocol.tools import ToolResult, ToolSpec
from tests.fakes.hub import FakeHub
from tests.unit.tools.conftest import FakeSession

REPO = "tester/thing"


@dataclass
class Kept:
    """Remembers which repositories it was told of."""

    told: list[tuple[str, str, str, bool, dict[str, str]]] = field(default_factory=list)

    def known(self, repo_id: str, repo_type: str) -> bool:
        """Whether it was told."""
        return any(each[:2] == (repo_id, repo_type) for each in self.told)

    async def made(
        self, repo_id: str, repo_type: str, *, session_id: str, card: bool = False, extra: Mapping[str, str] = {}
    ) -> None:
        """Remember it."""
        self.told.append((repo_id, repo_type, session_id, card, dict(extra)))


def account_of(hub: FakeHub, token: str | None = None) -> HubAccount:
    """The account of the fake Hub's user, whose retries do not wait."""

    async def no_wait(_seconds: float) -> None:
        return None

    environ = {"HF_ENDPOINT": hub.url, "OPENID_PROVIDER_URL": hub.url}
    return HubAccount(token if token is not None else hub.token, environ, sleep=no_wait)


async def done(session: FakeSession, spec: ToolSpec, operation: str, **more: Any) -> ToolResult:
    """A call that works."""
    result = await session.call(spec, operation=operation, **({"repo_id": REPO} | more))
    assert result.ok, result.output
    return result


async def refused(session: FakeSession, spec: ToolSpec, operation: str, **more: Any) -> str:
    """A call that does not."""
    result = await session.call(spec, operation=operation, **({"repo_id": REPO} | more))
    assert not result.ok, result.output
    return result.output
