"""Hugging Face Jobs as a place that takes work."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from agent.compute.hf_schedules import LOOKS_S, HfSchedules, job_spec, was_refused
from agent.compute.hub_calls import account_name, as_compute_error, ask, hub_call, require_own
from agent.compute.job_logs import follow, log_snapshot
from agent.compute.job_rows import JobRow, job_row
from agent.hub.account import HubAccount
from agent.hub.errors import HubError
from agent.hub.hardware import job_hardware
from agent.protocol.compute import (
    LEASE_LABEL,
    TERMINAL_STAGES,
    ComputeError,
    Ending,
    Handle,
    Kind,
    LogLine,
    Price,
    Status,
    Work,
)
from agent.protocol.messages import utc_now

if TYPE_CHECKING:
    from huggingface_hub import HfApi

logger = logging.getLogger(__name__)

PATIENCE_S = 30.0
"""So long a submission that was cancelled may still take to tell which job has to be cancelled."""
CANCEL_LOOKS_S = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Pauses before each look whether a cancelled job has stopped."""
ACTIVE_WORDS = ("RUNNING", "SCHEDULING")


class HfJobs(HfSchedules):
    """`ComputeBackend` over the Hub's jobs, and what else the `hf_jobs` tool does with them (see also HfSchedules)."""

    def __init__(
        self,
        account: HubAccount,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], datetime] = utc_now,
        patience_s: float = PATIENCE_S,
    ) -> None:
        super().__init__(account, sleep=sleep)
        self._clock = clock
        self._patience_s = patience_s
        self._endings: set[asyncio.Task[None]] = set()

    @property
    def name(self) -> str:
        """`hf_jobs`."""
        return "hf_jobs"

    @property
    def kind(self) -> Kind:
        """`job`."""
        return "job"

    async def account(self) -> str:
        """Whose token it is. Raises ComputeError."""
        return await account_name(self._account)

    async def price(self, flavor: str) -> Price:
        """From the Hub's list of hardware, else from the table."""
        catalogue = await job_hardware(self._account)
        found = catalogue.find(flavor)
        if found is None:
            raise ComputeError(catalogue.unknown(flavor), "bad_request", nothing_started=True)
        return Price(found.usd_per_hour, "unknown" if found.usd_per_hour is None else catalogue.source)

    # --- starting ---

    async def submit(self, work: Work, lease_id: str) -> Handle:
        """Start a job labelled with the lease. When the answer gets lost, the label tells which one it was.

        Cancelled in between: the job that comes of it is cancelled before this ends, which takes 30 s at most.
        """
        spec = job_spec(work)
        spec["labels"] = {**spec["labels"], LEASE_LABEL: lease_id}
        namespace = await self.namespace(work.namespace)
        making = asyncio.ensure_future(self._make(spec, namespace, lease_id))
        try:
            return await asyncio.shield(making)
        except asyncio.CancelledError:
            ending = asyncio.ensure_future(self._unmake(making))
            self._endings.add(ending)
            ending.add_done_callback(self._endings.discard)
            await asyncio.shield(ending)  # cancelled again, it goes on in the background
            raise

    async def _make(self, spec: dict[str, Any], namespace: str, lease_id: str) -> Handle:
        def run(api: HfApi) -> Handle:
            info = api.run_job(**spec, namespace=namespace)
            return Handle(self.name, info.id, namespace, info.url)

        try:
            return await hub_call(self._account, run, "starting the job", again=False)
        except HubError as error:
            if was_refused(error):
                raise as_compute_error(error, nothing_started=True) from error
            if (found := await self._look_for(lease_id, namespace)) is not None:
                return found
            raise as_compute_error(error) from error

    async def _look_for(self, lease_id: str, namespace: str) -> Handle | None:
        for pause_s in LOOKS_S:
            await self._sleep(pause_s)
            try:
                found = await self.find(lease_id, namespace)
            except ComputeError as error:
                logger.warning("looking for the job of lease %s: %s", lease_id, error)
                continue
            if found is not None:
                return found
        return None

    async def _unmake(self, making: asyncio.Task[Handle]) -> None:
        """End what a cancelled submission makes. What cannot be ended keeps its lease, for a sweep to find."""
        await asyncio.wait({making}, timeout=self._patience_s)
        if not making.done():
            making.cancel()
            logger.warning("a cancelled job's submission is still under way; its lease tells how to find it")
            return
        if making.cancelled() or making.exception() is not None:
            return
        try:
            async with asyncio.timeout(self._patience_s):
                ending = await self.cancel(making.result())
            logger.info("a job was cancelled as its submission was: %s", ending.text)
        except (ComputeError, TimeoutError) as error:
            logger.warning("the job %s of a cancelled submission could not be ended: %s", making.result().id, error)

    async def find(self, lease_id: str, namespace: str | None) -> Handle | None:
        """The job with this lease's label."""
        where = await self.namespace(namespace)

        def first(api: HfApi) -> JobRow | None:
            found = api.list_jobs(labels={LEASE_LABEL: lease_id}, namespace=where)
            return next((job_row(info) for info in found), None)

        row = await ask(self._account, first, "looking for the job")
        return None if row is None else Handle(self.name, row.id, where, row.url)

    # --- looking ---

    async def inspect(self, namespace: str | None, job_id: str) -> JobRow:
        """One job."""
        where = await self.namespace(namespace)
        return await ask(
            self._account,
            lambda api: job_row(api.inspect_job(job_id=job_id, namespace=where)),
            f"looking at the job {job_id}",
        )

    async def list(
        self, namespace: str | None = None, *, all: bool = False, stage: str | None = None, limit: int = 100
    ) -> tuple[JobRow, ...]:
        """Jobs, newest first: those that run or wait; with `all` also what is over; with `stage` (the Hub's word) only
        those."""
        where = await self.namespace(namespace)
        words = [stage.upper()] if stage else None if all else [*ACTIVE_WORDS]

        def rows(api: HfApi) -> tuple[JobRow, ...]:
            return tuple(job_row(info) for info in islice(api.list_jobs(namespace=where, status=words), limit))

        return await ask(self._account, rows, "listing the jobs")

    async def log_lines(self, namespace: str | None, job_id: str, *, tail: int = 200) -> tuple[LogLine, ...]:
        """The last lines that a job has printed so far; takes a few seconds while it runs."""
        return await log_snapshot(self._account, await self.namespace(namespace), job_id, tail=tail)

    async def status(self, handle: Handle) -> Status:
        """How the job stands; `gone` when the Hub does not know it, and it would be shown if it did."""
        try:
            row = await self.inspect(handle.namespace, handle.id)
        except ComputeError as error:
            if error.kind == "not_found":
                await require_own(self._account, handle.namespace, f"the job {handle.id}")
                return Status("gone", message=str(error))
            raise
        return Status(row.stage, row.word, row.message, row.started_at, row.ended_at, self._billed_s(row))

    def _billed_s(self, row: JobRow) -> float | None:
        """The time it ran: waiting in the queue is free."""
        if row.stage == "queued":
            return 0.0
        if row.stage in TERMINAL_STAGES:
            if row.running_s is not None:
                return float(row.running_s)
            if row.started_at is None:
                return 0.0
            return (row.ended_at - row.started_at).total_seconds() if row.ended_at is not None else None
        return None if row.started_at is None else max((self._clock() - row.started_at).total_seconds(), 0.0)

    async def logs(self, handle: Handle, *, skip: int = 0) -> AsyncGenerator[LogLine, None]:
        """Its output, through cuts and queues, until it is over."""
        where = await self.namespace(handle.namespace)
        async with aclosing(follow(self._account, where, handle.id, skip=skip, sleep=self._sleep)) as lines:
            async for line in lines:
                yield line

    # --- ending ---

    async def cancel(self, handle: Handle) -> Ending:
        """Cancel it where it runs, and look whether it has stopped."""
        where = await self.namespace(handle.namespace)
        refusal: ComputeError | None = None
        try:
            # twice does no harm: a job that has stopped stays stopped
            await ask(
                self._account,
                lambda api: api.cancel_job(job_id=handle.id, namespace=where),
                f"cancelling the job {handle.id}",
            )
        except ComputeError as error:
            refusal = error
        status = await self.status(handle)
        for pause_s in CANCEL_LOOKS_S:
            if status.is_over or refusal is not None:
                break
            await self._sleep(pause_s)
            status = await self.status(handle)
        if status.is_over:
            return Ending(True, _ended(handle, status))
        if refusal is not None:
            raise refusal
        text = f"The Hub took the order to cancel job {handle.id}, but it is still {status.word}. Look again later."
        return Ending(False, text)

    async def teardown(self, handle: Handle) -> None:
        """Cancel it if it runs; nothing else is left of a job."""
        if (await self.status(handle)).is_over:
            return
        ending = await self.cancel(handle)
        if not ending.worked:
            raise ComputeError(ending.text, "server")


def _ended(handle: Handle, status: Status) -> str:
    if status.stage == "canceled":
        return f"Job {handle.id} is cancelled."
    if status.stage == "gone":
        return f"Job {handle.id} is not known to the Hub any more."
    return f"Job {handle.id} was over already ({status.word})."
