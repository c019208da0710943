"""The desk of `hf_jobs`: what the loop asks about a call, and who carries it out."""

from __future__ import annotations

import difflib
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from agent.hub.errors import HubError
from agent.protocol.compute import ComputeError
from agent.protocol.tools import ApprovalContext, ApprovalNeed, CostEstimate, Preflight, ToolResult, ToolSession
from agent.tools.approval_rules import hf_jobs_rule
from agent.tools.arguments import ArgumentError
from agent.tools.jobs import looks, schedules
from agent.tools.jobs.arguments import flavor_of, operation_of
from agent.tools.jobs.parts import Parts
from agent.tools.jobs.preflight import estimated, look_ahead, preview_of
from agent.tools.jobs.runs import Runs
from agent.tools.jobs.wording import OPERATIONS, usage

_POLLS = frozenset({"ps", "logs", "inspect", "wait"})
_LOOKS = _POLLS | {"scheduled ps", "scheduled inspect"}

Operation = Callable[[Mapping[str, Any], ToolSession, str], Awaitable[ToolResult]]


class JobsDesk:
    """One for a session."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._operations = _operations(parts, Runs(parts))

    async def handle(self, arguments: Mapping[str, Any], session: ToolSession, tool_call_id: str) -> ToolResult:
        """Carry out a call."""
        name = operation_of(arguments)
        if not name:
            return ToolResult(usage())
        operation = self._operations.get(name)
        if operation is None:
            return ToolResult(_unknown(name), ok=False)
        self._parts.ours.add(*session.compute.running)
        try:
            return await operation(arguments, session, tool_call_id)
        except (ArgumentError, HubError, ComputeError) as error:
            return ToolResult(session.scrub(str(error)), ok=False)

    async def preflight(self, arguments: Mapping[str, Any], session: ToolSession) -> Preflight:
        """What can be known of a call before it runs."""
        return await look_ahead(self._parts, arguments, session)

    def preview(self, arguments: Mapping[str, Any], session: ToolSession) -> str | None:
        """The script that would run."""
        return preview_of(self._parts, arguments, session)

    def estimate(self, arguments: Mapping[str, Any]) -> CostEstimate | None:
        """The most that a call can cost, by its arguments alone."""
        return estimated(arguments)

    def approval(self, arguments: Mapping[str, Any], context: ApprovalContext) -> ApprovalNeed:
        """The rule of the tool; and nobody's work is ended without a yes but the session's own."""
        if operation_of(arguments) != "cancel" or self._parts.ours.has(arguments.get("job_id")):
            return hf_jobs_rule(arguments, context)
        wanted = str(arguments.get("job_id") or "a job")[:80]
        return ApprovalNeed("ask", f"cancels {wanted}, which this session is not known to have started")

    def is_poll(self, arguments: Mapping[str, Any]) -> bool:
        """Whether it only asks how something is going."""
        return operation_of(arguments) in _POLLS

    def only_looks(self, arguments: Mapping[str, Any]) -> bool:
        """Whether it changes nothing."""
        return operation_of(arguments) in _LOOKS

    def subject(self, arguments: Mapping[str, Any]) -> str:
        """What permission rules match: `run a10g-large`, `run local`, `ps`."""
        operation = operation_of(arguments)
        if operation not in ("run", "scheduled run"):
            return operation
        where = "local" if _is_local(arguments) else flavor_of(arguments)
        return f"{operation} {where}"

    def changes(self, arguments: Mapping[str, Any]) -> tuple[Path, ...] | None:
        """Work on this machine may change anything in the workspace."""
        return None if operation_of(arguments) == "run" and _is_local(arguments) else ()


def _operations(parts: Parts, runs: Runs) -> dict[str, Operation]:
    return {
        "run": runs.run,
        "wait": runs.wait,
        "ps": partial(looks.ps, parts),
        "logs": partial(looks.logs, parts),
        "inspect": partial(looks.inspect, parts),
        "cancel": partial(looks.cancel, parts),
        "scheduled run": partial(schedules.create, parts),
        "scheduled ps": partial(schedules.ps, parts),
        "scheduled inspect": partial(schedules.inspect, parts),
        "scheduled delete": partial(schedules.delete, parts),
        "scheduled suspend": partial(schedules.suspend, parts),
        "scheduled resume": partial(schedules.resume, parts),
    }


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, OPERATIONS, n=3, cutoff=0.5)
    hint = f"Did you mean {' or '.join(near)}? " if near else ""
    return f"There is no operation {name[:60]!r}. {hint}There are: {', '.join(OPERATIONS)}."


def _is_local(arguments: Mapping[str, Any]) -> bool:
    return str(arguments.get("backend") or "").strip().lower() == "local"
