"""The Hub's tools over the session's real desk, with all places that take work behind it: nothing of ours is faked."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from agent.compute.hf_jobs import HfJobs
from agent.compute.hf_sandbox import HfSandbox
from agent.compute.leases import LeaseStore
from agent.compute.local import LocalProcesses
from agent.core.remote_work import RemoteWork
from agent.core.work_costs import Hold
from agent.hub.account import HubAccount
from agent.hub.trackio import seed_dashboard
from agent.protocol.messages import utc_now
from agent.protocol.tools import ToolResult, ToolSpec
from agent.redaction.live import LiveSecrets, child_environment
from agent.tools.hf_repo_files_tool import hf_repo_files_spec
from agent.tools.hf_repo_git_tool import hf_repo_git_spec
from agent.tools.jobs_tool import hf_jobs_spec
from agent.tools.sandbox_tools import Sandboxes, sandbox_specs
from tests.fakes.hub import TOKEN
from tests.fakes.hub_job import Step
from tests.unit.compute.sandbox.space_hub import SpaceHub
from tests.unit.core.desks import Side
from tests.unit.tools.conftest import FakeSession

KEY = "sk-live-0123456789abcdef"
"""A provider's key in the program's own environment."""


class DockerHub(SpaceHub):
    """Only Docker Spaces are built; a dashboard, say, is there as soon as it is made."""

    def _build(self, repo: Any, ref: str) -> None:
        if repo.repo_type == "space" and "Dockerfile" in self.repos.files(repo.repo_id, "space"):
            super()._build(repo, ref)


@dataclass
class ScrubbedSide(Side):
    """A session that keeps its secrets to itself."""

    secrets: LiveSecrets = field(default_factory=lambda: LiveSecrets({}), kw_only=True)

    def scrub(self, text: str) -> str:
        return self.secrets.scrub(text)


class HubClock:
    """The time at the Hub: it passes where a test says so."""

    def __init__(self) -> None:
        self.time = utc_now()

    def now(self) -> datetime:
        return self.time

    def passes(self, seconds: float) -> Step:
        """For a job's script: so much later."""

        def act(_job: object) -> None:
            self.time += timedelta(seconds=seconds)

        return Step(act)


async def short_sleep(_seconds: float) -> None:
    """The pause between two attempts, or two looks."""
    await asyncio.sleep(0.005)


@dataclass
class DeskSession(FakeSession):
    """A session with the real desk."""

    compute: Any = field(default=None, kw_only=True)


@dataclass
class Office:
    """The tools by name, and everything that they reach."""

    hub: DockerHub
    clock: HubClock
    account: HubAccount
    side: Side
    leases: LeaseStore
    desk: RemoteWork
    session: DeskSession
    sandboxes: Sandboxes
    specs: dict[str, ToolSpec]
    calls: int = 0

    async def call(self, tool: str, *, held_usd: float = 5.0, **arguments: Any) -> ToolResult:
        """Call a tool as the loop does: money is held before, and handed to the desk after."""
        self.calls += 1
        call_id, ledger = f"call-{self.calls}", self.side.ledger
        hold = Hold(ledger, ledger.reserve(tool, held_usd, worst_usd=80.0, must_fit=False, reservation_id=call_id))
        try:
            return await self.specs[tool].handler(arguments, self.session, call_id)
        finally:
            if not await self.desk.adopt(hold):
                ledger.release(hold.reservation)

    async def jobs(self, operation: str, **arguments: Any) -> ToolResult:
        """Call `hf_jobs`."""
        return await self.call("hf_jobs", operation=operation, **arguments)

    async def stopped(self, is_time: Callable[[], object], tool: str, **arguments: Any) -> str:
        """What a call says that the person stops as soon as `is_time`."""
        call = asyncio.create_task(self.call(tool, **arguments))
        await until(is_time)
        call.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await call
        assert call.cancelled()
        return self.session.partials[f"call-{self.calls}"]


@contextlib.asynccontextmanager
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    """Everything anew in `tmp_path`; at the end nothing of it runs."""
    workspace, spaces = tmp_path / "workspace", tmp_path / "spaces"
    workspace.mkdir()
    spaces.mkdir()
    with DockerHub(spaces) as hub, hub.host:
        hub.now = (clock := HubClock()).now
        environ = {"HF_ENDPOINT": hub.url, "OPENID_PROVIDER_URL": hub.url}
        account = HubAccount(TOKEN, environ, sleep=short_sleep)
        jobs = HfJobs(account, sleep=short_sleep, clock=clock.now)
        sandbox = HfSandbox(account, sleep=short_sleep, work_root="work", environ=environ)
        child_env = child_environment({**os.environ, "HF_TOKEN": TOKEN, "OPENAI_API_KEY": KEY})
        local = LocalProcesses(tmp_path / "state", child_env, grace_s=0.5)
        secrets = LiveSecrets({"HF_TOKEN": TOKEN, "OPENAI_API_KEY": KEY})
        side, leases = ScrubbedSide(secrets=secrets), LeaseStore(tmp_path / "state")
        places = {place.name: place for place in (jobs, sandbox, local)}
        desk = RemoteWork(side, leases, places, now=utc_now)
        session = DeskSession(workspace, tmp_path / "spill", child_env=child_env, secrets=secrets, compute=desk)
        sandboxes = Sandboxes(sandbox, account)
        specs = [
            hf_repo_files_spec(account),
            hf_repo_git_spec(account),
            hf_jobs_spec(account, lambda: jobs, seed_trackio=partial(seed_dashboard, account)),
            *sandbox_specs(sandboxes),
        ]
        by_name = {spec.name: spec for spec in specs}
        made = Office(hub, clock, account, side, leases, desk, session, sandboxes, by_name)
        try:
            yield made
        finally:
            await sandboxes.close()
            for running in desk.running:
                await desk.cancel(running.lease_id)
            await desk.close()
            await sandbox.close()
            shutil.rmtree(tmp_path / "state", ignore_errors=True)
        hub.check()


async def until(true: Callable[[], object], limit_s: float = 30.0) -> None:
    """Wait for something that nothing tells of."""
    async with asyncio.timeout(limit_s):
        while not true():
            await asyncio.sleep(0.01)
