"""The tool calls of one reply, which run in parallel: each result is told at once.

Whatever happens (denied, crashed, cancelled), every call ends with exactly one result in history, in call order.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import field, replace
from typing import Any

from agent.core.file_copies import keep_files
from agent.core.guards import CallRecord
from agent.core.session import Session
from agent.core.tool_costs import hold, settle
from agent.core.turn_state import PreparedCall
from agent.light_dataclass import dataclass
from agent.protocol.events import ToolCallStarted, ToolOutput, ToolStateChange
from agent.protocol.messages import tool_message
from agent.protocol.tools import ToolResult
from agent.tools.output import as_stopped

logger = logging.getLogger(__name__)

INTERRUPTED = "Interrupted by {who} before it finished. Its effects, if any, are unknown."
NOT_BEGUN = "Interrupted by {who} before it began. Nothing was run."


async def run_batch(
    session: Session, calls: Sequence[PreparedCall], *, announce: bool = True
) -> list[CallRecord] | None:
    """Run `calls` at the same time; returns their records in call order, None if the person stopped it.

    Each result is told as soon as it is there. `announce` sends a `tool_call` event for each call (not for approved
    ones: the approval showed them). Finished results are kept when the batch is stopped; the other calls get an
    interrupted result.
    """
    if announce:
        for prepared in calls:
            await session.send_event(call_started(session, prepared))
    for prepared in calls:
        if prepared.decision is not None and prepared.decision.action == "deny":
            await session.send_event(state_change(prepared, "rejected"))
    batch = _Batch(session, asyncio.create_task(_before_running(session, calls)))
    telling = asyncio.create_task(batch.tell(len(calls)))
    started = time.monotonic()
    tasks = [asyncio.create_task(_run(session, prepared, batch)) for prepared in calls]
    try:
        finished = await session.interruption.finish_or_cancel([batch.ready, *tasks])
        waited_s = time.monotonic() - started
        for prepared, task in zip(calls, tasks, strict=True):
            if task.done() and not task.cancelled():
                task.result()  # raises what is a bug of ours
            else:
                batch.add(_Outcome(prepared, _interrupted(session, prepared, batch), waited_s, was_stopped=True))
        batch.is_open = False
        await telling
    finally:
        telling.cancel()
    await session.record.sync()
    records = [call_record(session, prepared, batch.results[prepared.call.id]) for prepared in calls]
    return records if finished else None


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What became of a call."""

    prepared: PreparedCall
    result: ToolResult
    duration_s: float
    was_stopped: bool = False


@dataclass(slots=True)
class _Batch:
    """Calls that run side by side. They begin once all is `ready`; a result that comes when it is no longer open, from
    a tool that would not be stopped, is too late: its call has another."""

    session: Session
    ready: asyncio.Task[None]
    is_open: bool = True
    results: dict[str, ToolResult] = field(default_factory=dict)
    """By tool call id."""
    untold: asyncio.Queue[_Outcome] = field(default_factory=asyncio.Queue)
    begun: set[str] = field(default_factory=set)
    """The ids of the calls that have got their place: only these may have had effects."""
    place: AbstractAsyncContextManager[Any] = field(init=False)
    """What a call waits for before it runs, where not all may run at once."""

    def __post_init__(self) -> None:
        limit = self.session.tools_at_once
        self.place = nullcontext() if limit is None else asyncio.Semaphore(limit)

    def add(self, outcome: _Outcome) -> None:
        """Put a result into history, at once: a crash while others run must not make a finished call an unknown one."""
        if self.is_open:
            self.results[outcome.prepared.call.id] = outcome.result
            remember(self.session, outcome.prepared, outcome.result)
            self.untold.put_nowait(outcome)

    async def tell(self, count: int) -> None:
        """Tell the renderers of `count` results, as they come. Apart from the calls: a stop must not cut it short."""
        for _ in range(count):
            outcome = await self.untold.get()
            if outcome.was_stopped:
                await self.session.send_event(state_change(outcome.prepared, "cancelled"))
            await report(self.session, outcome.prepared, outcome.result, outcome.duration_s)


async def _before_running(session: Session, calls: Sequence[PreparedCall]) -> None:
    """Make what is about to happen survive the end of this program: which calls begin, and the files as they are."""
    runnable = [prepared for prepared in calls if prepared.problem is None]
    session.record.running([prepared.call for prepared in runnable])
    await session.record.sync()
    for prepared in runnable:
        try:
            await keep_files(session, prepared)
        except Exception:  # without a copy the call cannot be undone, but it can run
            logger.exception("no copies before %s", prepared.call.function.name)


async def _run(session: Session, prepared: PreparedCall, batch: _Batch) -> None:
    """Run one call and add its result to the batch. Raises nothing but `CancelledError`."""
    await asyncio.shield(batch.ready)
    async with batch.place:
        batch.begun.add(prepared.call.id)
        started = time.monotonic()
        result = prepared.problem or await _call(session, prepared)
    if prepared.note:
        shown = result.display if result.display is not None else result.output
        result = replace(result, output=prepared.note + result.output, display=shown)
    batch.add(_Outcome(prepared, result, time.monotonic() - started))


async def _call(session: Session, prepared: PreparedCall) -> ToolResult:
    """Run the call within the budget."""
    held = hold(session, prepared)
    if isinstance(held, ToolResult):
        return held
    result: ToolResult | None = None
    try:
        result = await session.router.call_tool(
            prepared.call.function.name, prepared.arguments, session, prepared.call.id
        )
    finally:
        if held is not None:
            await settle(session, prepared, held, result)
    return result


async def record(session: Session, prepared: PreparedCall, result: ToolResult) -> None:
    """Put a result into history and tell the renderers."""
    remember(session, prepared, result)
    await report(session, prepared, result)


def remember(session: Session, prepared: PreparedCall, result: ToolResult) -> None:
    """Put a result into history, without the secrets it may contain."""
    session.record.add_result(tool_message(prepared.call, session.secrets.scrub(result.output)))


async def report(session: Session, prepared: PreparedCall, result: ToolResult, duration_s: float = 0.0) -> None:
    """Tell the renderers of a result, without the secrets it may contain."""
    output = session.secrets.scrub(result.output)
    display = session.secrets.scrub(result.display) if result.display is not None else None
    call = prepared.call
    await session.send_event(ToolOutput(call.function.name, call.id, output, result.ok, display, round(duration_s, 3)))


def _interrupted(session: Session, prepared: PreparedCall, batch: _Batch) -> ToolResult:
    """The result of a stopped call: what it had got, and that this is not all."""
    if prepared.call.id not in batch.begun:
        return ToolResult(NOT_BEGUN.format(who=session.stopped_by), ok=False, display=as_stopped(""))
    partial = session.scrub(session.take_partial(prepared.call.id))
    said = INTERRUPTED.format(who=session.stopped_by)
    output = f"{partial}\n[{said}]" if partial else said
    return ToolResult(output, ok=False, display=as_stopped(partial))


def call_started(session: Session, prepared: PreparedCall) -> ToolCallStarted:
    """What the renderers are told of a call: a model may repeat a secret that it has seen."""
    arguments = session.secrets.scrub_data(prepared.arguments)
    return ToolCallStarted(prepared.call.function.name, arguments, prepared.call.id)


def state_change(prepared: PreparedCall, state: str) -> ToolStateChange:
    """What the renderers are told when a call has another state."""
    return ToolStateChange(prepared.call.id, prepared.call.function.name, state)


def call_record(session: Session, prepared: PreparedCall, result: ToolResult) -> CallRecord:
    """What the guards see of a call that has its result."""
    name = prepared.call.function.name
    spec = session.router.find(name)
    is_poll = spec.is_poll(prepared.arguments) if spec and not prepared.problem else False
    return CallRecord(name, prepared.call.function.arguments, result.output, prepared.malformed, is_poll)
