"""Jobs that the Hub starts by itself, at times that a cron expression names."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from agent.compute.hub_calls import as_compute_error, ask, hub_call, in_time
from agent.compute.job_rows import ScheduleRow, schedule_row
from agent.hub.account import HubAccount
from agent.hub.errors import HubError
from agent.protocol.compute import ComputeError, Work

if TYPE_CHECKING:
    from huggingface_hub import HfApi

SCHEDULE_LABEL = "ml-intern-schedule"
"""The label by which a schedule is found again when the answer to its making got lost."""

LOOKS_S = (1.0, 3.0, 6.0)
"""Pauses before each look for what may have been made."""


class HfSchedules:
    """Schedules of jobs. All methods raise ComputeError; `namespace` None is the person's own."""

    def __init__(self, account: HubAccount, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._account = account
        self._sleep = sleep

    async def namespace(self, wanted: str | None) -> str:
        """`wanted`, or the person's own namespace."""
        if wanted:
            return wanted
        try:
            return (await in_time(self._account.whoami(), "asking the Hub whose token this is")).name
        except HubError as error:
            raise as_compute_error(error, nothing_started=True) from error

    async def scheduled_run(self, work: Work, schedule: str) -> ScheduleRow:
        """Have `work` started whenever `schedule` says: a cron expression, or @hourly, @daily, @weekly, @monthly."""
        spec = job_spec(work)
        namespace = await self.namespace(work.namespace)
        mark = secrets.token_hex(6)
        spec["labels"] = {**spec["labels"], SCHEDULE_LABEL: mark}

        def make(api: HfApi) -> ScheduleRow:
            return schedule_row(api.create_scheduled_job(**spec, schedule=schedule, namespace=namespace))

        try:
            return await hub_call(self._account, make, "scheduling the job", again=False)
        except HubError as error:
            if was_refused(error):
                raise as_compute_error(error, nothing_started=True) from error
            for pause_s in LOOKS_S:
                await self._sleep(pause_s)
                rows = await self._labelled(namespace, mark)
                if rows:
                    return rows[0]
            raise as_compute_error(error) from error

    async def scheduled_list(self, namespace: str | None = None) -> list[ScheduleRow]:
        """All schedules, suspended ones too."""
        where = await self.namespace(namespace)
        return await self._rows(where)

    async def scheduled_inspect(self, schedule_id: str, namespace: str | None = None) -> ScheduleRow:
        """One schedule."""
        where = await self.namespace(namespace)
        return await ask(
            self._account,
            lambda api: schedule_row(api.inspect_scheduled_job(scheduled_job_id=schedule_id, namespace=where)),
            f"looking at the scheduled job {schedule_id}",
        )

    async def scheduled_delete(self, schedule_id: str, namespace: str | None = None) -> None:
        """Remove it; runs of it that have begun go on."""
        where = await self.namespace(namespace)
        await ask(
            self._account,
            lambda api: api.delete_scheduled_job(scheduled_job_id=schedule_id, namespace=where),
            f"deleting the scheduled job {schedule_id}",
            again=False,  # a second attempt would find it gone, and call that a failure
        )

    async def scheduled_suspend(self, schedule_id: str, namespace: str | None = None) -> None:
        """No more runs until it is resumed."""
        where = await self.namespace(namespace)
        await ask(
            self._account,
            lambda api: api.suspend_scheduled_job(scheduled_job_id=schedule_id, namespace=where),
            f"suspending the scheduled job {schedule_id}",
        )

    async def scheduled_resume(self, schedule_id: str, namespace: str | None = None) -> None:
        """Let a suspended one run again."""
        where = await self.namespace(namespace)
        await ask(
            self._account,
            lambda api: api.resume_scheduled_job(scheduled_job_id=schedule_id, namespace=where),
            f"resuming the scheduled job {schedule_id}",
        )

    async def _rows(self, namespace: str, labels: dict[str, str] | None = None) -> list[ScheduleRow]:
        return await ask(
            self._account,
            lambda api: [schedule_row(info) for info in api.list_scheduled_jobs(namespace=namespace, labels=labels)],
            "listing the scheduled jobs",
        )

    async def _labelled(self, namespace: str, mark: str) -> list[ScheduleRow]:
        try:
            return await self._rows(namespace, {SCHEDULE_LABEL: mark})
        except ComputeError:
            return []


# --- shared with hf_jobs.py ------------------------------------------------------------------------------------------


def job_spec(work: Work) -> dict[str, Any]:
    """`work` as arguments of `run_job`. Raises ComputeError for what no job can be."""
    if not work.command or not work.image:
        raise _impossible("A job needs a command and an image.")
    if work.timeout_s is None or work.timeout_s < 1:
        raise _impossible("A job needs a time limit of at least a second.")
    labels = dict(work.labels)
    if name := re.sub(r"[^A-Za-z0-9_-]+", "-", work.name).strip("-")[:60]:
        labels.setdefault("name", name)
    return {
        "image": work.image,
        "command": list(work.command),
        "env": dict(work.env),
        "secrets": dict(work.secrets),
        "flavor": work.flavor,
        "timeout": int(work.timeout_s),
        "labels": labels,
    }


def was_refused(error: HubError) -> bool:
    """Whether it is certain that the Hub did nothing: it said no, or it was not asked. Any other failure of the answer
    (a cut, a time-out, a 5xx, something unreadable) leaves that open."""
    never_sent = error.kind == "no_token" or type(error.__cause__).__name__ == "OfflineModeIsEnabled"
    return never_sent or (error.status is not None and 400 <= error.status < 500 and error.status != 408)


def _impossible(text: str) -> ComputeError:
    return ComputeError(text, "bad_request", nothing_started=True)
