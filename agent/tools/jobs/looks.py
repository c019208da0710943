"""`ps`, `logs`, `inspect` and `cancel`: of what this session has started, and of all other jobs of the account."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from agent.hub.errors import HubError
from agent.protocol.compute import ComputeError, Ending, Handle, Running
from agent.protocol.tools import ToolResult, ToolSession
from agent.tools.arguments import ArgumentError, bool_argument
from agent.tools.jobs.arguments import job_ids, one_id, tail_lines
from agent.tools.jobs.parts import Parts, job_place
from agent.tools.jobs.report import about, title
from agent.tools.jobs.views import fenced, jobs_table, row_data, running_data
from agent.tools.output import MAX_OUTPUT_CHARS, last_lines

MAX_ROWS = 100


async def ps(parts: Parts, arguments: Mapping[str, Any], session: ToolSession, _call_id: str) -> ToolResult:
    """What is queued and running in a namespace, and what this session has running anywhere."""
    stage = str(arguments.get("status") or "").strip().upper() or None
    wants_all = bool_argument(arguments, "all")
    own = session.compute.running
    try:
        where = await parts.namespace(arguments.get("namespace"))
        rows = list(await parts.jobs.list(where, all=wants_all, stage=stage, limit=MAX_ROWS + 1))
        note = f"Only the newest {MAX_ROWS} are shown; `status` narrows them down." if len(rows) > MAX_ROWS else ""
    except (HubError, ComputeError) as error:
        if not own:
            raise
        where, rows, note = "?", [], f"Other jobs are not shown: {error}"
    own = own if stage is None else tuple(each for each in own if each.handle.id in {row.id for row in rows})
    rows = rows[:MAX_ROWS]
    if not rows and not own and not note:
        what = f"in stage {stage}" if stage else "" if wants_all else "queued or running"
        hint = "" if wants_all or stage else " `all` shows what is over, too."
        return ToolResult(f"No jobs {what} in {where}.{hint}".replace("  ", " "))
    text = f"Jobs in {where}:\n\n{jobs_table(rows, own)}" if rows or own else ""
    return ToolResult(session.scrub("\n\n".join(part for part in (text, note) if part)))


async def logs(parts: Parts, arguments: Mapping[str, Any], session: ToolSession, _call_id: str) -> ToolResult:
    """The last lines of output."""
    job_id, lines = one_id(arguments), tail_lines(arguments)
    own = session.compute.find(job_id)
    if own is not None:
        head = f"{title(own)}: {own.status.stage}, {own.seen_lines:,} lines so far"
        head += f"; all of them in {own.log_path}" if own.log_path is not None else ""
        text = await session.compute.log_tail(own.lease_id, lines)
    else:
        where, job_id = await job_place(parts, arguments, job_id)
        row, found = await asyncio.gather(
            parts.jobs.inspect(where, job_id), parts.jobs.log_lines(where, job_id, tail=lines)
        )
        head = f"Job {job_id} of {where}: {row.word}, its last lines"
        text = "\n".join(each.text for each in found)
    text = session.scrub(text.strip("\n"))
    if len(text) > MAX_OUTPUT_CHARS:
        text, head = text[-MAX_OUTPUT_CHARS:], f"{head} (the last {MAX_OUTPUT_CHARS:,} characters)"
    return ToolResult(f"{head}:\n\n{text or '(no output yet)'}", display=f"{head}:\n{last_lines(text)}")


async def inspect(parts: Parts, arguments: Mapping[str, Any], session: ToolSession, _call_id: str) -> ToolResult:
    """Everything known of one or several jobs."""
    ids = job_ids(arguments)
    if not ids:
        raise ArgumentError("`job_id` is required: one id, or several with commas. The operation `ps` lists them.")
    found = await asyncio.gather(*(_inspected(parts, arguments, session, each) for each in ids))
    is_ok = any("error" not in each for each in found)
    return ToolResult(session.scrub(fenced(found[0] if len(found) == 1 else found)), ok=is_ok)


async def _inspected(parts: Parts, arguments: Mapping[str, Any], session: ToolSession, job_id: str) -> dict[str, Any]:
    own = session.compute.find(job_id)
    if own is not None and own.kind != "job":
        return running_data(own)
    try:
        if own is not None:
            row = await parts.jobs.inspect(own.handle.namespace, own.handle.id)
            return {**running_data(own), **row_data(row)}
        return row_data(await parts.jobs.inspect(*await job_place(parts, arguments, job_id)))
    except (HubError, ComputeError) as error:
        return {"id": job_id, "error": str(error)}


async def cancel(parts: Parts, arguments: Mapping[str, Any], session: ToolSession, _call_id: str) -> ToolResult:
    """Stop work, and say whether it has stopped."""
    job_id = one_id(arguments)
    own = session.compute.find(job_id)
    if own is not None:
        if own.status.is_over:
            return ToolResult(f"{title(own)} was over already ({own.status.stage}).")
        return _ended(own, await session.compute.cancel(own.lease_id))
    where, job_id = await job_place(parts, arguments, job_id)
    row = await parts.jobs.inspect(where, job_id)  # raises for what is not there: nothing was cancelled then
    return _ended(None, await parts.jobs.cancel(Handle(parts.jobs.name, row.id, where, row.url)))


def _ended(own: Running | None, ending: Ending) -> ToolResult:
    text = about(own, ending.text) if own is not None else ending.text
    return ToolResult(text, ok=ending.worked)
