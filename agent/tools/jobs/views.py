"""Jobs and schedules as tables, and as JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from agent.compute.job_rows import JobRow, ScheduleRow
from agent.protocol.compute import Running

OWN_MARK = "*"
_CELL_CHARS = 80


def jobs_table(rows: Sequence[JobRow], own: Iterable[Running]) -> str:
    """One table for the jobs of a namespace and what this session has running elsewhere; its own are marked."""
    own_by_id = {each.handle.id: each for each in own}
    listed = {row.id for row in rows}
    cells = [_job_cells(row, row.id in own_by_id) for row in rows]
    cells += [_running_cells(each) for each in own_by_id.values() if each.handle.id not in listed]
    table = _table(("", "id", "name", "stage", "hardware", "created (UTC)", "command"), cells)
    return f"{table}\n\n{OWN_MARK} started by this session" if own_by_id else table


def _job_cells(row: JobRow, is_own: bool) -> tuple[str, ...]:
    mark = OWN_MARK if is_own else ""
    return (mark, row.id, row.name, row.word, row.flavor, when(row.created_at), row.command)


def _running_cells(each: Running) -> tuple[str, ...]:
    place = each.handle.backend if each.kind != "job" else f"job of {each.handle.namespace}"
    stage = each.status.word or each.status.stage
    return (OWN_MARK, each.handle.id, each.name, stage, each.flavor, when(each.created_at), f"({place})")


def schedules_table(rows: Sequence[ScheduleRow]) -> str:
    """One table for the schedules of a namespace."""
    cells = [
        (
            row.id,
            row.name,
            row.schedule,
            "suspended" if row.suspended else "active",
            row.flavor,
            when(row.last_run_at),
            when(row.next_run_at),
            row.command,
        )
        for row in rows
    ]
    return _table(("id", "name", "schedule", "state", "hardware", "last run (UTC)", "next run (UTC)", "command"), cells)


def fenced(data: Any) -> str:
    """`data` as JSON for the model."""
    return f"```json\n{json.dumps(data, indent=2, ensure_ascii=False, default=str)}\n```"


def row_data(row: JobRow | ScheduleRow) -> dict[str, Any]:
    """All that is known; of secrets only the names."""
    return _tidy(dataclasses.asdict(row))


def running_data(each: Running) -> dict[str, Any]:
    """What the session knows of its own work; never what it takes to reach it."""
    return _tidy(
        {
            "id": each.handle.id,
            "lease_id": each.lease_id,
            "backend": each.handle.backend,
            "name": each.name,
            "stage": each.status.stage,
            "word": each.status.word,
            "message": each.status.message,
            "flavor": each.flavor,
            "namespace": each.handle.namespace,
            "url": each.handle.url,
            "created_at": each.created_at,
            "started_at": each.status.started_at,
            "ended_at": each.status.ended_at,
            "billed_s": each.status.billed_s,
            "usd_per_hour": each.usd_per_hour,
            "cost_usd": each.cost_usd,
            "timeout_s": each.timeout_s,
            "seen_lines": each.seen_lines,
            "metrics": dict(each.metrics),
            "log_path": each.log_path,
        }
    )


def when(at: datetime | None) -> str:
    """To the minute."""
    return "-" if at is None else at.strftime("%Y-%m-%d %H:%M")


def _tidy(data: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value.isoformat(timespec="seconds") if isinstance(value, datetime) else value
        for name, value in data.items()
        if value not in (None, "", (), {})
    }


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *([_cell(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    flat = " ".join(text.split()).replace("|", "\\|")
    return flat if len(flat) <= _CELL_CHARS else f"{flat[: _CELL_CHARS - 1]}…"
