"""`hf_jobs`: run work on Hugging Face Jobs (or, where asked for, in a sandbox or here), and look after it."""

from __future__ import annotations

import difflib
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from agent.compute.hf_jobs import HfJobs
from agent.hub.account import HubAccount
from agent.hub.errors import HubError
from agent.protocol.compute import ComputeError
from agent.protocol.tools import ApprovalContext, ApprovalNeed, Preflight, ToolResult, ToolSession, ToolSpec
from agent.tools.approval_rules import hf_jobs_rule
from agent.tools.arguments import ArgumentError
from agent.tools.jobs import looks, schedules
from agent.tools.jobs.arguments import PLACES, flavor_of, operation_of
from agent.tools.jobs.parts import PATIENCE_S, Parts, SeedTrackio, WrapArtifacts
from agent.tools.jobs.preflight import estimated, look_ahead, preview_of
from agent.tools.jobs.runs import Runs
from agent.tools.jobs.script_source import ReadScript
from agent.tools.jobs.wording import DESCRIPTION, OPERATIONS, parameters, usage

_POLLS = frozenset({"ps", "logs", "inspect", "wait"})
_LOOKS = _POLLS | {"scheduled ps", "scheduled inspect"}

Operation = Callable[[Mapping[str, Any], ToolSession, str], Awaitable[ToolResult]]


def hf_jobs_spec(
    account: HubAccount,
    jobs: HfJobs,
    *,
    read_script: ReadScript | None = None,
    seed_trackio: SeedTrackio | None = None,
    artifact_wrap: WrapArtifacts | None = None,
    offers_local: bool = True,
    patience_s: float = PATIENCE_S,
) -> ToolSpec:
    """The `hf_jobs` tool.

    `read_script` reads a script's path where the session's tools run, if that is a sandbox; `seed_trackio` makes a
    metrics dashboard ready; `artifact_wrap` marks what a remote command pushes to the Hub as the session's.
    Without `offers_local` nothing can be run on this machine. `patience_s`: how long a look ahead may take.
    """
    places = tuple(place for place in PLACES if offers_local or place != "local")
    parts = Parts(account, jobs, read_script, seed_trackio, artifact_wrap, places, patience_s)
    runs = Runs(parts)
    operations = _operations(parts, runs)

    async def handle(arguments: dict[str, Any], session: ToolSession, tool_call_id: str) -> ToolResult:
        name = operation_of(arguments)
        if not name:
            return ToolResult(usage())
        operation = operations.get(name)
        if operation is None:
            return ToolResult(_unknown(name), ok=False)
        parts.ours.add(*session.compute.running)
        try:
            return await operation(arguments, session, tool_call_id)
        except (ArgumentError, HubError, ComputeError) as error:
            return ToolResult(session.scrub(str(error)), ok=False)

    async def preflight(arguments: Mapping[str, Any], session: ToolSession) -> Preflight:
        return await look_ahead(parts, arguments, session)

    return ToolSpec(
        name="hf_jobs",
        description=DESCRIPTION,
        parameters=parameters(places),
        handler=handle,
        approval=partial(_approval, parts),
        is_charged_by_work=True,
        preview=partial(preview_of, parts),
        is_poll=lambda arguments: operation_of(arguments) in _POLLS,
        subject=_subject,
        only_looks=lambda arguments, _workspace: operation_of(arguments) in _LOOKS,
        changes=_changes,
        estimate_cost=estimated,
        editable="script",
        preflight=preflight,
    )


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


def _approval(parts: Parts, arguments: Mapping[str, Any], context: ApprovalContext) -> ApprovalNeed:
    """The rule of the tool; and nobody's work is ended without a yes but the session's own."""
    if operation_of(arguments) != "cancel" or parts.ours.has(arguments.get("job_id")):
        return hf_jobs_rule(arguments, context)
    wanted = str(arguments.get("job_id") or "a job")[:80]
    return ApprovalNeed("ask", f"cancels {wanted}, which this session is not known to have started")


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, OPERATIONS, n=3, cutoff=0.5)
    hint = f"Did you mean {' or '.join(near)}? " if near else ""
    return f"There is no operation {name[:60]!r}. {hint}There are: {', '.join(OPERATIONS)}."


def _is_local(arguments: Mapping[str, Any]) -> bool:
    return str(arguments.get("backend") or "").strip().lower() == "local"


def _subject(arguments: Mapping[str, Any], _workspace: Path) -> str:
    """What permission rules match: `run a10g-large`, `run local`, `ps`."""
    operation = operation_of(arguments)
    if operation not in ("run", "scheduled run"):
        return operation
    where = "local" if _is_local(arguments) else flavor_of(arguments)
    return f"{operation} {where}"


def _changes(arguments: Mapping[str, Any], _workspace: Path) -> tuple[Path, ...] | None:
    """Work on this machine may change anything in the workspace."""
    return None if operation_of(arguments) == "run" and _is_local(arguments) else ()
