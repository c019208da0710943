"""What the tests of the sandbox tools share: the tools over Spaces that really run, and a small desk."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from agent.compute.hf_sandbox import HfSandbox
from agent.hub.account import HubAccount
from agent.protocol.compute import Ending, Price, Running, Status, Work
from agent.protocol.messages import utc_now
from agent.protocol.tools import Preflight, ToolResult, ToolSpec
from agent.redaction.live import LiveSecrets
from agent.tools.sandbox_tools import Sandboxes, sandbox_specs
from tests.fakes.hub import TOKEN
from tests.unit.compute.sandbox.space_hub import SpaceHub
from tests.unit.tools.conftest import FakeSession


class Desk:
    """The session's side of sandboxes, in memory."""

    def __init__(self, backend: HfSandbox) -> None:
        self.backend = backend
        self.known: dict[str, Running] = {}
        self.submitted: list[Work] = []

    @property
    def running(self) -> tuple[Running, ...]:
        return tuple(each for each in self.known.values() if not each.status.is_over)

    def find(self, wanted: str) -> Running | None:
        return next((each for each in self.known.values() if wanted in (each.lease_id, each.handle.id)), None)

    async def price(self, backend: str, flavor: str) -> Price:
        assert backend == "hf_sandbox"
        return await self.backend.price(flavor)

    async def submit(self, backend: str, work: Work, tool_call_id: str) -> Running:
        price = await self.price(backend, work.flavor)
        self.submitted.append(work)
        lease_id = f"{len(self.submitted):08x}{len(self.submitted):04x}"
        handle = await self.backend.submit(work, lease_id)
        running = Running(
            lease_id,
            "sandbox",
            work.name,
            work.flavor,
            handle,
            Status("running"),
            utc_now(),
            "s-1",
            tool_call_id,
            price.usd_per_hour,
        )
        self.known[lease_id] = running
        return running

    async def cancel(self, lease_id: str) -> Ending:
        running = self.known[lease_id]
        await self.backend.teardown(running.handle)
        self.end(lease_id, "canceled")
        return Ending(True, "It is deleted.")

    def end(self, lease_id: str, stage: Any) -> None:
        """It is over."""
        self.known[lease_id] = replace(self.known[lease_id], status=Status(stage))


@dataclass
class SandboxSession(FakeSession):
    """A session with a desk."""

    compute: Any = field(default=None, kw_only=True)


@dataclass
class Bench:
    """The tools, the Hub with its Spaces, and the session that calls them."""

    hub: SpaceHub
    backend: HfSandbox
    account: HubAccount
    desk: Desk
    session: SandboxSession
    sandboxes: Sandboxes
    specs: dict[str, ToolSpec]

    async def call(self, tool: str, **arguments: Any) -> ToolResult:
        """Call a tool."""
        return await self.session.call(self.specs[tool], **arguments)

    async def bash(self, command: str, **arguments: Any) -> ToolResult:
        """Run a command."""
        return await self.call("bash", command=command, **arguments)

    async def create(self, **arguments: Any) -> ToolResult:
        """Call sandbox_create."""
        return await self.call("sandbox_create", **arguments)

    async def ahead(self, **arguments: Any) -> Preflight:
        """Look ahead at a call of sandbox_create."""
        preflight = self.specs["sandbox_create"].preflight
        assert preflight is not None
        return await preflight(arguments, self.session)

    @property
    def spaces(self) -> list[str]:
        """The person's sandboxes."""
        return [space.repo_id for space in self.hub.spaces.of()]

    def file(self, path: str) -> Path:
        """A file in the last sandbox, from the outside."""
        return self.hub.started[-1].work_dir / path

    def remade(self, **more: Any) -> Bench:
        """The same with other arguments of `Sandboxes`."""
        sandboxes = Sandboxes(self.backend, self.account, **more)
        return replace(self, sandboxes=sandboxes, specs={spec.name: spec for spec in sandbox_specs(sandboxes)})

    def next_session(self) -> SandboxSession:
        """Another conversation of the same run."""
        return replace(self.session, session_id="s-2")


def bench_on(hub: SpaceHub, tmp_path: Path) -> Bench:
    """The tools over this Hub."""
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    account = hub.account()
    backend = HfSandbox(account, sleep=hub.clock.sleep, now=hub.clock.now)
    desk = Desk(backend)
    session = SandboxSession(workspace, tmp_path / "spill", secrets=LiveSecrets({"HF_TOKEN": TOKEN}), compute=desk)
    sandboxes = Sandboxes(backend, account)
    specs = {spec.name: spec for spec in sandbox_specs(sandboxes)}
    return Bench(hub, backend, account, desk, session, sandboxes, specs)


@contextlib.contextmanager
def space_hub(tmp_path: Path) -> Iterator[SpaceHub]:
    """A Hub in which nothing has been made yet."""
    with SpaceHub(tmp_path) as hub, hub.host:
        yield hub
        hub.check()
