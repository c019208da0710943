"""Jobs and schedules as plain data: what tools and people are shown. Values of secrets are never in them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from agent.compute.job_commands import readable
from agent.light_dataclass import dataclass
from agent.protocol.compute import Stage
from agent.redaction.names import is_secret_name

_STAGES: dict[str, Stage] = {
    "SCHEDULING": "queued",
    "RUNNING": "running",
    "UPDATING": "running",
    "COMPLETED": "completed",
    "ERROR": "failed",
    "FAILED": "failed",
    "CANCELED": "canceled",
    "CANCELLED": "canceled",
    "DELETED": "gone",
}


def stage_of(word: str) -> Stage:
    """The stage behind the Hub's `word`. A word it has never used before is taken for something that still runs."""
    return _STAGES.get(word.upper(), "running")


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job. `word` is the Hub's word for its stage, `image` the image or Space it runs in, `command` one readable
    line. `running_s` is the time it ran so far, as the Hub counts it. `env` has no values of what looks like a secret,
    and `secrets` are names."""

    id: str
    namespace: str
    name: str
    url: str
    stage: Stage
    word: str
    message: str | None
    flavor: str
    image: str
    command: str
    created_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    running_s: float | None
    labels: Mapping[str, str]
    env: Mapping[str, str]
    secrets: tuple[str, ...]
    started_by: str


@dataclass(frozen=True, slots=True)
class ScheduleRow:
    """A job that is started again and again. `last_run_at` and `last_job_id` are None before its first run,
    `next_run_at` while it is suspended."""

    id: str
    namespace: str
    name: str
    schedule: str
    suspended: bool
    concurrency: bool
    flavor: str
    image: str
    command: str
    created_at: datetime | None
    last_run_at: datetime | None
    last_job_id: str | None
    next_run_at: datetime | None
    labels: Mapping[str, str]
    env: Mapping[str, str]
    secrets: tuple[str, ...]


def job_row(info: Any) -> JobRow:
    """From `huggingface_hub.JobInfo`."""
    word = str(info.status.stage)
    return JobRow(
        id=info.id,
        namespace=info.owner.name,
        name=(info.labels or {}).get("name", ""),
        url=info.url,
        stage=stage_of(word),
        word=word,
        message=info.status.message or None,
        flavor=str(info.flavor or ""),
        created_at=info.created_at,
        started_at=info.started_at,
        ended_at=info.finished_at,
        running_s=info.durations.running_secs if info.durations else None,
        started_by=_initiator(info.initiator),
        **_spec(info),
    )


def schedule_row(info: Any) -> ScheduleRow:
    """From `huggingface_hub.ScheduledJobInfo`."""
    spec, last = info.job_spec, info.status.last_job
    return ScheduleRow(
        id=info.id,
        namespace=info.owner.name,
        name=(spec.labels or {}).get("name", ""),
        schedule=info.schedule or "",
        suspended=bool(info.suspend),
        concurrency=bool(info.concurrency),
        flavor=str(spec.flavor or ""),
        created_at=info.created_at,
        last_run_at=last.at if last else None,
        last_job_id=last.id if last else None,
        next_run_at=info.status.next_job_run_at,
        **_spec(spec),
    )


def _spec(spec: Any) -> dict[str, Any]:
    """What a job and the specification of one to come have in common."""
    env = {name: "(hidden)" if is_secret_name(name) else str(value) for name, value in (spec.environment or {}).items()}
    return {
        "image": spec.docker_image or (f"hf.co/spaces/{spec.space_id}" if spec.space_id else ""),
        "command": readable([*(spec.command or ()), *(spec.arguments or ())]),
        "labels": dict(spec.labels or {}),
        "env": env,
        "secrets": tuple(sorted(spec.secrets or {})),
    }


def _initiator(initiator: Any) -> str:
    return (
        "" if initiator is None else " ".join(part for part in (initiator.type, initiator.name or initiator.id) if part)
    )
