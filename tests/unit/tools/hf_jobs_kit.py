"""What the tests of `hf_jobs` share: the tool over the fake Hub, and a small desk that remembers what it is handed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from agent.compute.hf_jobs import HfJobs
from agent.hub.account import HubAccount
from agent.protocol.compute import ComputeError, Ending, Handle, Kind, Price, Running, Status, Work
from agent.protocol.messages import utc_now
from agent.protocol.tools import Preflight, ToolResult, ToolSpec
from agent.redaction.live import LiveSecrets
from agent.tools.jobs_tool import hf_jobs_spec
from tests.fakes.hub import TOKEN, FakeHub
from tests.unit.tools.conftest import FakeSession

KINDS: dict[str, Kind] = {"hf_jobs": "job", "hf_sandbox": "sandbox", "local": "process"}


async def no_sleep(_seconds: float) -> None:
    """Time passes at once."""
    await asyncio.sleep(0)


class Desk:
    """The session's side: jobs go to the Hub, other places take everything and end as `ending` says."""

    def __init__(self, jobs: HfJobs, directory: Path) -> None:
        self.jobs, self.directory = jobs, directory
        self.submitted: list[tuple[str, Work, str]] = []
        self.known: dict[str, Running] = {}
        self.cancelled: list[str] = []
        self.ending = Status("completed", billed_s=3.0)
        self.output = "done elsewhere\n"
        self.refusal: ComputeError | None = None
        self.is_waiting = asyncio.Event()
        self.gate: asyncio.Event | None = None
        """What `submit` waits for, if anything."""

    @property
    def running(self) -> tuple[Running, ...]:
        return tuple(each for each in self.known.values() if not each.status.is_over)

    def find(self, wanted: str) -> Running | None:
        found = [each for each in self.known.values() if wanted in (each.lease_id, each.handle.id)]
        return found[0] if found else None

    async def price(self, backend: str, flavor: str) -> Price:
        if backend == "hf_jobs":
            return await self.jobs.price(flavor)
        if flavor not in ("cpu-basic", "t4-small"):
            raise ComputeError(f"There is no sandbox on {flavor}. Near it: t4-small.", "bad_request")
        return Price(0.6 if flavor == "t4-small" else 0.0, "table")

    async def submit(self, backend: str, work: Work, tool_call_id: str) -> Running:
        self.submitted.append((backend, work, tool_call_id))
        lease_id = f"{len(self.submitted):012x}"
        if self.refusal is not None:
            raise self.refusal
        if self.gate is not None:
            self.is_waiting.set()
            await self.gate.wait()
        is_job = backend == "hf_jobs"
        handle = await self.jobs.submit(work, lease_id) if is_job else Handle(backend, f"{backend}-{lease_id[-1]}")
        log_path = self.directory / f"{lease_id}.log"
        log_path.write_text("" if is_job else self.output)
        running = Running(
            lease_id,
            KINDS[backend],
            work.name,
            work.flavor,
            handle,
            Status("queued" if is_job else "running"),
            utc_now(),
            "s-1",
            tool_call_id,
            (await self.price(backend, work.flavor)).usd_per_hour if backend != "local" else 0.0,
            work.timeout_s,
            log_path=log_path,
        )
        return self._keep(running)

    async def wait(
        self,
        lease_id: str,
        *,
        tool_call_id: str,
        timeout_s: float | None = None,
        until: Callable[[str], bool] | None = None,
    ) -> Running:
        running = self.known[lease_id]
        self.is_waiting.set()
        if running.status.is_over:
            return running
        if running.kind != "job":
            return self._keep(replace(running, status=self.ending))
        try:
            async with asyncio.timeout(timeout_s):
                running = await self._followed(running, until)
        except TimeoutError:
            return self._keep(replace(self.known[lease_id], status=await self.jobs.status(running.handle)))
        return self._keep(running)

    async def _followed(self, running: Running, until: Callable[[str], bool] | None) -> Running:
        assert running.log_path is not None
        async with contextlib.aclosing(self.jobs.logs(running.handle, skip=running.seen_lines)) as lines:  # type: ignore[type-var]
            async for line in lines:
                with running.log_path.open("a") as file:
                    file.write(f"{line.text}\n")
                running = self._keep(replace(running, seen_lines=running.seen_lines + 1, last_line=line.text))
                if until is not None and until(line.text):
                    return replace(running, status=await self.jobs.status(running.handle))
        status = await self.jobs.status(running.handle)
        cost = (status.billed_s or 0.0) / 3600 * (running.usd_per_hour or 0.0)
        return replace(running, status=status, cost_usd=cost)

    async def cancel(self, lease_id: str) -> Ending:
        running = self.known[lease_id]
        self.cancelled.append(lease_id)
        if running.kind == "job":
            return await self.jobs.cancel(running.handle)
        self._keep(replace(running, status=Status("canceled")))
        return Ending(True, f"{running.handle.id} is deleted.")

    async def log_tail(self, lease_id: str, lines: int) -> str:
        path = self.known[lease_id].log_path
        assert path is not None
        return "\n".join(path.read_text().splitlines()[-lines:])

    def _keep(self, running: Running) -> Running:
        self.known[running.lease_id] = running
        return running


@dataclass
class JobSession(FakeSession):
    """A session with a desk."""

    compute: Any = field(default=None, kw_only=True)


@dataclass
class Bench:
    """The tool, the Hub it talks to, and the session that calls it."""

    hub: FakeHub
    account: HubAccount
    jobs: HfJobs
    desk: Desk
    session: JobSession
    spec: ToolSpec

    async def call(self, operation: str, **arguments: Any) -> ToolResult:
        """Call the tool."""
        return await self.session.call(self.spec, operation=operation, **arguments)

    async def ahead(self, operation: str, **arguments: Any) -> Preflight:
        """Look ahead."""
        assert self.spec.preflight is not None
        return await self.spec.preflight({"operation": operation, **arguments}, self.session)

    @property
    def work(self) -> Work:
        """What was handed in last."""
        return self.desk.submitted[-1][1]

    def remade(self, **more: Any) -> Bench:
        """The same with other arguments of `hf_jobs_spec`."""
        return replace(self, spec=hf_jobs_spec(self.account, lambda: self.jobs, **more))


@contextlib.contextmanager
def made_bench(tmp_path: Path, sleep: Callable[[float], Awaitable[None]] = no_sleep) -> Iterator[Bench]:
    """A fresh bench in `tmp_path`; `sleep` is how the place waits between its attempts."""
    workspace, logs = tmp_path / "workspace", tmp_path / "logs"
    workspace.mkdir()
    logs.mkdir()
    with FakeHub() as hub:
        account = HubAccount(TOKEN, {"HF_ENDPOINT": hub.url, "OPENID_PROVIDER_URL": hub.url}, sleep=no_sleep)
        jobs = HfJobs(account, sleep=sleep)
        desk = Desk(jobs, logs)
        session = JobSession(workspace, tmp_path / "spill", secrets=LiveSecrets({"HF_TOKEN": TOKEN}), compute=desk)
        yield Bench(hub, account, jobs, desk, session, hf_jobs_spec(account, lambda: jobs))
        hub.check()
