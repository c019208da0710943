"""What the operations of `hf_jobs` work with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import field
from typing import Any

from agent.compute.hf_jobs import HfJobs
from agent.hub.access import resolve_namespace
from agent.hub.account import HubAccount
from agent.light_dataclass import dataclass
from agent.protocol.compute import Running
from agent.protocol.tools import ToolSession
from agent.tools.jobs.arguments import one_id
from agent.tools.jobs.script_source import ReadFiles, ReadScript, Source, load
from agent.tools.jobs.wording import PLACES, Place
from agent.tools.jobs_tool import PATIENCE_S

SeedTrackio = Callable[[str, Callable[[str], None]], Awaitable[bool]]
"""`await seed(space_id, log)` makes the dashboard's Space ready; whether anything had to be changed."""

WrapArtifacts = Callable[[tuple[str, ...], ToolSession], tuple[str, ...]]
"""An argv in which what Python pushes to the Hub is marked as this session's."""


class Ours:
    """Ids of the work that was started through this tool, or that its session had running at a call of it."""

    def __init__(self) -> None:
        self._ids: set[str] = set()

    def add(self, *running: Running) -> None:
        """It is the session's own."""
        for each in running:
            self._ids |= {each.lease_id, each.handle.id}

    def has(self, wanted: object) -> bool:
        """Whether that is the whole id of something of ours."""
        return isinstance(wanted, str) and wanted.strip() in self._ids


@dataclass(frozen=True, slots=True)
class Parts:
    """`jobs` is the place itself, for looking at what this session did not start. `places` are offered for runs."""

    account: HubAccount
    jobs: HfJobs
    read_script: ReadScript | None = None
    seed_trackio: SeedTrackio | None = None
    artifact_wrap: WrapArtifacts | None = None
    places: tuple[Place, ...] = PLACES
    patience_s: float = PATIENCE_S
    files: ReadFiles = field(default_factory=ReadFiles)
    ours: Ours = field(default_factory=Ours)

    async def namespace(self, requested: str | None) -> str:
        """Where a job is, or is to be. Raises HubError."""
        return (await resolve_namespace(self.account, requested))[0]

    async def source(self, script: str, session: ToolSession) -> Source:
        """The script that is meant. Raises ArgumentError, ComputeError."""
        return await load(script, session, self.read_script, self.files)


async def job_place(parts: Parts, arguments: Mapping[str, Any], job_id: str) -> tuple[str, str]:
    """Namespace and id of a job that this session did not start; the id may be given with its namespace before it."""
    namespace, _, plain_id = job_id.rpartition("/")
    return await parts.namespace(arguments.get("namespace") or namespace or None), plain_id


async def schedule_place(parts: Parts, arguments: Mapping[str, Any]) -> tuple[str, str]:
    """Namespace and id of the schedule that is meant. Raises ArgumentError, HubError."""
    return await job_place(parts, arguments, one_id(arguments, "scheduled_job_id"))
