"""Running work, and waiting for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from agent.protocol.compute import ComputeError, Running
from agent.protocol.events import ToolLog, ToolStateChange
from agent.protocol.tools import ToolResult, ToolSession
from agent.tools.arguments import ArgumentError
from agent.tools.jobs.arguments import RunRequest, job_ids, parse_run, until_pattern, wait_timeout_s
from agent.tools.jobs.parts import Parts
from agent.tools.jobs.report import about, finished, started, still_running, title
from agent.tools.jobs.work import Planned, planned

logger = logging.getLogger(__name__)

TOOL = "hf_jobs"
CANCEL_PATIENCE_S = 10.0
_SHOWN_CHARS = 400
_REFUSALS = ("payment", "forbidden", "auth", "no_token")
_NOTHING_ELSE = (
    "Nothing was started in its place. Tell the person; do not turn to other hardware, another namespace or another "
    "backend without their word."
)

UNHEARD = ("server", "network")
"""After these nobody knows whether something was started."""
_PERHAPS = "It may have started all the same: look (the operation `ps`) before you try again."
_IS_ENDED = "What is made of it nevertheless is ended; the operation `ps` tells."


class Runs:
    """`run` and `wait`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._orders: set[asyncio.Task[Any]] = set()

    # --- run ---------------------------------------------------------------------------------------------------------

    async def run(self, arguments: Mapping[str, Any], session: ToolSession, call_id: str) -> ToolResult:
        """Start work, and unless told otherwise wait for its end. Raises ArgumentError, HubError, ComputeError."""
        request = parse_run(arguments, places=self._parts.places)
        request, notes = await with_dashboard(self._parts, request, session)
        plan = await planned(self._parts, request, session)
        notes += plan.notes
        try:
            running = await session.compute.submit(request.place, plan.work, call_id)
        except ComputeError as error:
            raise await _refused(error, plan, session, call_id) from error
        except asyncio.CancelledError:  # the desk ends what comes of it
            session.keep_partial(call_id, f"{plan.work.name} was being started when this was stopped. {_IS_ENDED}")
            raise
        self._parts.ours.add(running)
        if not request.wait:
            return started(running, notes)
        try:
            running = await session.compute.wait(running.lease_id, tool_call_id=call_id)
            return await self._without_machine(await finished(session, running, notes), running, session)
        except asyncio.CancelledError:
            await self._end(running, session, call_id)
            raise

    async def _without_machine(self, result: ToolResult, running: Running, session: ToolSession) -> ToolResult:
        """A sandbox that was made for one piece of work goes with it: it is paid by the hour."""
        if running.kind != "sandbox":
            return result
        try:
            text = (await session.compute.cancel(running.lease_id)).text
        except (ComputeError, KeyError) as error:
            text = f"The sandbox could not be deleted: {error} `ml-intern gc` tries again."
        return replace(result, output=f"{result.output}\n[{text}]")

    async def _end(self, running: Running, session: ToolSession, call_id: str) -> None:
        """The person stopped the call: its work is ended, and what came of that is part of the call's result."""
        unsure = (
            f"{title(running)} was being cancelled when this call was stopped; whether that worked is not known. The "
            "operation `ps` tells, and `ml-intern gc` ends what is left."
        )
        session.keep_partial(call_id, unsure)
        order = asyncio.create_task(session.compute.cancel(running.lease_id), name=f"cancelling {running.handle.id}")
        self._orders.add(order)
        order.add_done_callback(self._ordered)
        await asyncio.wait({order}, timeout=CANCEL_PATIENCE_S)
        if order.done() and not order.cancelled():
            error = order.exception()
            text = f"it could NOT be ended: {error}" if error is not None else order.result().text
            session.keep_partial(call_id, f"This call was stopped. {about(running, text)}")

    def _ordered(self, order: asyncio.Task[Any]) -> None:
        self._orders.discard(order)
        if not order.cancelled() and (error := order.exception()) is not None:
            logger.warning("what was interrupted could not be ended: %s", error)

    # --- wait --------------------------------------------------------------------------------------------------------

    async def wait(self, arguments: Mapping[str, Any], session: ToolSession, call_id: str) -> ToolResult:
        """Wait for work that was started before. Stopped, it stops waiting only: the work goes on."""
        running = _wanted(arguments, session)
        pattern, timeout_s = until_pattern(arguments), wait_timeout_s(arguments)
        matched: list[str] = []

        def is_match(line: str) -> bool:
            if pattern is not None and pattern.search(line):
                matched.append(line)
            return bool(matched)

        until = is_match if pattern is not None else None
        try:
            running = await session.compute.wait(
                running.lease_id, tool_call_id=call_id, timeout_s=timeout_s, until=until
            )
        except asyncio.CancelledError:
            session.keep_partial(call_id, f"{title(running)} goes on: only the waiting was stopped.")
            raise
        if running.status.is_over:
            return await finished(session, running)
        found = f"a line matches `until`: {session.scrub(matched[0])[:_SHOWN_CHARS]}" if matched else None
        return await still_running(session, running, found or "`wait_timeout` has passed")


def _wanted(arguments: Mapping[str, Any], session: ToolSession) -> Running:
    """The work that is meant: by its id, or the only one that runs. Raises ArgumentError."""
    ids = job_ids(arguments)
    if len(ids) == 1 and (found := session.compute.find(ids[0])) is not None:
        return found
    running = session.compute.running
    if not ids and len(running) == 1:
        return running[0]
    own = "; ".join(f"{each.handle.id} ({each.name})" for each in running) or "none"
    raise ArgumentError(
        f"`job_id` must name one piece of work that this session has started. Running: {own}. To look at others use "
        "`logs` or `inspect`."
    )


async def with_dashboard(parts: Parts, request: RunRequest, session: ToolSession) -> tuple[RunRequest, tuple[str, ...]]:
    """Make the metrics dashboard ready. A job is worth running without it, too: trouble is said, and no more."""
    space = request.trackio_space_id
    if space is None:
        return request, ()
    if "/" not in space:
        space = f"{await parts.namespace(request.namespace)}/{space}"
        request = replace(request, trackio_space_id=space)
    lines: list[str] = []
    note = f"Metrics: {parts.account.url(space, 'space')}"
    if parts.seed_trackio is not None:
        try:
            await parts.seed_trackio(space, lines.append)
        except Exception as error:  # the dashboard is a courtesy
            logger.warning("the dashboard %s is not ready", space, exc_info=True)
            why = session.scrub(str(error))[:300]
            note = f"The dashboard {space} could not be made ready ({why}); the job runs anyway."
    for line in lines:
        await session.emit(ToolLog(TOOL, session.scrub(line)))
    return request, (note, *(session.scrub(line) for line in lines))


async def _refused(error: ComputeError, plan: Planned, session: ToolSession, call_id: str) -> ComputeError:
    """The same error, with what must not be done about it."""
    if error.kind == "payment":
        await session.emit(ToolStateChange(call_id, TOOL, "billing_required", namespace=plan.work.namespace))
    more = f" {_NOTHING_ELSE}" if error.kind in _REFUSALS else ""
    if error.kind in UNHEARD and not error.nothing_started:
        more = f" {_PERHAPS}"
    return ComputeError(f"{error}{more}", error.kind, nothing_started=error.nothing_started)
