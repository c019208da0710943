"""A Hub whose Spaces really run: a commit starts the server that it holds, with the Space's secrets and variables."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from agent.compute.hf_sandbox import HfSandbox
from agent.compute.sandbox.space import TEMPLATE_SPACE
from agent.hub.account import HubAccount
from tests.fakes.http_base import Exchange
from tests.fakes.hub import FakeHub
from tests.fakes.hub_space_host import SpaceHost
from tests.fakes.hub_spaces import Space
from tests.unit.compute.sandbox.server_process import ServerProcess

LEASE = "0123456789ab"
SPACE = "tester/sandbox-01234567"


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.time = datetime(2026, 1, 1, tzinfo=UTC)
        self.slept: list[float] = []

    def now(self) -> datetime:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += timedelta(seconds=seconds)
        await asyncio.sleep(0.01)  # what happens in other processes takes its time all the same


class SpaceHub(FakeHub):
    """`builds` is whether commits start anything; `watch` sees each request before it is answered."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.root = root
        self.builds = True
        self.started: list[ServerProcess] = []
        self.watch: Callable[[str], None] = lambda _request: None
        self.running_commits: list[str] = []
        """What the next looks at a runtime say of the commit that runs, the last one stays; "head": the latest one."""
        self.host = SpaceHost(self)
        self.clock = Clock()
        self.repos.create(TEMPLATE_SPACE, "space", {"Dockerfile": "FROM scratch"}, private=False, sdk="docker")
        self.repos.on_commit.append(self._build)
        plain = self.spaces._runtime
        self.spaces._runtime = lambda space, stage: self._runtime(space, stage, plain)  # type: ignore[method-assign]

    def account(self) -> HubAccount:
        """The person's account there."""
        environ = {"HF_ENDPOINT": self.url, "OPENID_PROVIDER_URL": self.url}
        return HubAccount(self.token, environ, sleep=self.clock.sleep)

    def backend(self, **more: Any) -> HfSandbox:
        """The place under test."""
        return HfSandbox(self.account(), sleep=self.clock.sleep, now=self.clock.now, **more)

    def _runtime(self, space: Space, stage: str, plain: Callable[[Space, str], dict[str, Any]]) -> dict[str, Any]:
        """As the Hub that says which commit runs, where a test wants that."""
        if not self.running_commits:
            return plain(space, stage)
        said = self.running_commits.pop(0) if len(self.running_commits) > 1 else self.running_commits[0]
        repo = self.repos.get(space.repo_id, "space")
        head = repo.at("main") if repo is not None else None
        return plain(space, stage) | {"sha": head.oid if said == "head" and head is not None else said}

    def _build(self, repo: Any, ref: str) -> None:
        if repo.repo_type != "space" or not self.builds:
            return
        files = self.repos.files(repo.repo_id, "space")
        space = self.spaces.get(repo.repo_id)
        build = re.search(rb"SANDBOX_BUILD=(\w+)", files["Dockerfile"])
        assert build is not None
        root = self.root / f"space{len(self.started)}"
        root.mkdir()
        env = {**space.secrets, **space.variables}
        server = ServerProcess(root, token=None, build=build[1].decode(), files=files, **env)
        server.__enter__()
        self.started.append(server)
        self.host.backend = server.url

    async def respond(self, exchange: Exchange) -> None:
        self.watch(f"{exchange.request.method} {exchange.request.path}")
        await super().respond(exchange)

    def close(self) -> None:
        super().close()
        self.host.close()
        for server in self.started:
            server.__exit__()
        self.started.clear()
