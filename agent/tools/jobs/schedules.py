"""The `scheduled` operations: jobs that the Hub starts again and again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from agent.compute.durations import in_words
from agent.compute.job_rows import ScheduleRow
from agent.hub.hardware import job_hardware
from agent.protocol.compute import ComputeError
from agent.protocol.tools import ToolResult, ToolSession
from agent.tools.arguments import bool_argument
from agent.tools.jobs.arguments import parse_run
from agent.tools.jobs.money_words import at_most, most_usd
from agent.tools.jobs.parts import Parts, schedule_place
from agent.tools.jobs.runs import CANCEL_PATIENCE_S, UNHEARD, with_dashboard
from agent.tools.jobs.views import fenced, row_data, schedules_table, when
from agent.tools.jobs.work import planned

logger = logging.getLogger(__name__)

Operation = Callable[[Parts, Mapping[str, Any], ToolSession, str], Awaitable[ToolResult]]


async def create(parts: Parts, arguments: Mapping[str, Any], session: ToolSession, call_id: str) -> ToolResult:
    """Make a schedule."""
    request = parse_run(arguments, scheduled=True, places=parts.places)
    assert request.schedule is not None  # parse_run has seen to it
    request, notes = await with_dashboard(parts, request, session)
    plan = await planned(parts, request, session)
    flavor = (await job_hardware(parts.account)).find(request.flavor)
    making = asyncio.create_task(parts.jobs.scheduled_run(plan.work, str(request.schedule)))
    try:
        row = await asyncio.shield(making)
    except asyncio.CancelledError:
        await _take_back(parts, making, session, call_id)
        raise
    except ComputeError as error:
        if error.kind not in UNHEARD or error.nothing_started:
            raise
        text = f"{error} It may have been made all the same: look (`scheduled ps`) before you try again."
        raise ComputeError(text, error.kind) from error
    most = most_usd(flavor.usd_per_hour if flavor is not None else None, request.timeout_s)
    lines = [
        f"Scheduled job {row.id} of {row.namespace}: {row.schedule}, on {row.flavor}, each run at most "
        f"{in_words(request.timeout_s)}; it costs at most {at_most(most, request.schedule)}.",
        f"Next run: {when(row.next_run_at)} UTC.",
        *notes,
        *plan.notes,
        "It goes on, and costs money, until it is suspended or deleted (`scheduled suspend`, `scheduled delete`).",
    ]
    return ToolResult("\n".join(lines))


async def _take_back(parts: Parts, making: asyncio.Task[ScheduleRow], session: ToolSession, call_id: str) -> None:
    """The person stopped the call while the schedule was being made: one that nobody wants costs money for ever."""
    session.keep_partial(
        call_id, "A schedule was being made when this was stopped. `scheduled ps` tells whether it is."
    )
    await asyncio.wait({making}, timeout=CANCEL_PATIENCE_S)
    if not making.done() or making.cancelled() or making.exception() is not None:
        return
    row = making.result()
    try:
        async with asyncio.timeout(CANCEL_PATIENCE_S):
            await parts.jobs.scheduled_delete(row.id, row.namespace)
    except (ComputeError, TimeoutError) as error:
        logger.warning("the schedule %s of a stopped call could not be deleted: %s", row.id, error)
        session.keep_partial(call_id, f"The schedule {row.id} was made, and could NOT be deleted: {error}")
    else:
        session.keep_partial(call_id, f"The schedule {row.id} was made, and is deleted again.")


async def ps(parts: Parts, arguments: Mapping[str, Any], session: ToolSession, _call_id: str) -> ToolResult:
    """The schedules of a namespace; suspended ones only with `all`."""
    where = await parts.namespace(arguments.get("namespace"))
    rows = await parts.jobs.scheduled_list(where)
    shown = rows if bool_argument(arguments, "all") else [row for row in rows if not row.suspended]
    hidden = len(rows) - len(shown)
    note = f"{hidden} suspended not shown; `all` shows them." if hidden else ""
    text = f"Scheduled jobs of {where}:\n\n{schedules_table(shown)}" if shown else f"No scheduled jobs in {where}."
    return ToolResult(session.scrub("\n\n".join(part for part in (text, note) if part)))


async def inspect(parts: Parts, arguments: Mapping[str, Any], session: ToolSession, _call_id: str) -> ToolResult:
    """Everything known of a schedule."""
    where, schedule_id = await schedule_place(parts, arguments)
    return ToolResult(session.scrub(fenced(row_data(await parts.jobs.scheduled_inspect(schedule_id, where)))))


async def delete(parts: Parts, arguments: Mapping[str, Any], _session: ToolSession, _call_id: str) -> ToolResult:
    """Remove a schedule."""
    where, schedule_id = await schedule_place(parts, arguments)
    await parts.jobs.scheduled_delete(schedule_id, where)
    return ToolResult(f"The scheduled job {schedule_id} of {where} is deleted. Runs that have begun go on: see `ps`.")


async def suspend(parts: Parts, arguments: Mapping[str, Any], _session: ToolSession, _call_id: str) -> ToolResult:
    """Pause a schedule."""
    where, schedule_id = await schedule_place(parts, arguments)
    await parts.jobs.scheduled_suspend(schedule_id, where)
    return ToolResult(f"The scheduled job {schedule_id} of {where} is suspended. Runs that have begun go on: see `ps`.")


async def resume(parts: Parts, arguments: Mapping[str, Any], _session: ToolSession, _call_id: str) -> ToolResult:
    """Let a paused schedule go on."""
    where, schedule_id = await schedule_place(parts, arguments)
    await parts.jobs.scheduled_resume(schedule_id, where)
    row = await parts.jobs.scheduled_inspect(schedule_id, where)
    return ToolResult(
        f"The scheduled job {schedule_id} of {where} runs again ({row.schedule}); next: {when(row.next_run_at)} UTC."
    )
