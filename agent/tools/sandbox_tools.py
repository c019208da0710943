"""`sandbox_create`, and `bash`, `read`, `write` and `edit` as they are in a sandbox."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from agent.compute.sandbox.words import WORK_DIR
from agent.hub.errors import HubError
from agent.protocol.compute import ComputeError
from agent.protocol.events import ToolProgress
from agent.protocol.tools import (
    ApprovalContext,
    ApprovalRule,
    Handler,
    Preflight,
    ToolResult,
    ToolSession,
    ToolSpec,
    always_looks,
)
from agent.tools.approval_rules import shell_verdict
from agent.tools.arguments import ArgumentError
from agent.tools.bash_tool import waits
from agent.tools.files import FileToolError
from agent.tools.sandbox import changing, shell, wording
from agent.tools.sandbox.creating import TOOL, create
from agent.tools.sandbox.machines import Machine, Sandboxes
from agent.tools.sandbox.wanted import create_rule, look_ahead, parse

__all__ = ["Sandboxes", "sandbox_specs"]

_THERE = ApprovalContext(Path(WORK_DIR))

Work = Callable[[Machine, dict[str, Any], ToolSession, str], Awaitable[ToolResult]]


def sandbox_specs(sandboxes: Sandboxes, bash_rule: ApprovalRule | None = None) -> list[ToolSpec]:
    """The tools of a session that works in a sandbox, in the order the model sees them.

    `bash_rule` decides which commands the person is asked about. None: where commands have the person's token, those
    that do more than look; else none, as what a command does is done to a machine that can be thrown away.
    """
    return [
        _create_spec(sandboxes),
        _bash_spec(sandboxes, bash_rule or shell.token_rule(lambda: sandboxes.may_push)),
        ToolSpec(
            name="read",
            description=wording.READ,
            parameters=wording.READ_PARAMETERS,
            handler=_in_sandbox(sandboxes, "read", changing.read),
            subject=changing.path_subject,
            subject_kind="path",
            only_looks=always_looks,
            in_research=True,
        ),
        ToolSpec(
            name="write",
            description=wording.WRITE,
            parameters=wording.WRITE_PARAMETERS,
            handler=_in_sandbox(sandboxes, "write", changing.write),
            subject=changing.path_subject,
            subject_kind="path",
            editable="content",
        ),
        ToolSpec(
            name="edit",
            description=wording.EDIT,
            parameters=wording.EDIT_PARAMETERS,
            handler=_in_sandbox(sandboxes, "edit", changing.edit),
            subject=changing.path_subject,
            subject_kind="path",
        ),
    ]


def _create_spec(sandboxes: Sandboxes) -> ToolSpec:
    async def handle(arguments: dict[str, Any], session: ToolSession, tool_call_id: str) -> ToolResult:
        try:
            return await create(sandboxes, parse(arguments), session, tool_call_id)
        except (ArgumentError, ComputeError, HubError) as error:
            return ToolResult(session.scrub(str(error)), ok=False)

    async def preflight(arguments: Mapping[str, Any], session: ToolSession) -> Preflight:
        return await look_ahead(sandboxes, arguments, session)

    return ToolSpec(
        name=TOOL,
        description=wording.CREATE,
        parameters=wording.CREATE_PARAMETERS,
        handler=handle,
        approval=create_rule(sandboxes),
        is_charged_by_work=True,
        subject=_create_subject,
        preflight=preflight,
    )


def _create_subject(arguments: Mapping[str, Any], _workspace: Path) -> str:
    """For permission rules: `t4-small`, `attach owner/sandbox-1a2b3c4d`, `pause`."""
    if arguments.get("attach"):
        return f"attach {arguments['attach']}"
    return "pause" if arguments.get("pause") else str(arguments.get("hardware") or "cpu-basic")


def _bash_spec(sandboxes: Sandboxes, rule: ApprovalRule) -> ToolSpec:
    return ToolSpec(
        name="bash",
        description=wording.BASH,
        parameters=wording.BASH_PARAMETERS,
        handler=_in_sandbox(sandboxes, "bash", shell.run),
        approval=rule,
        is_poll=waits,
        subject=lambda arguments, _workspace: str(arguments.get("command") or ""),
        subject_kind="command",
        only_looks=lambda arguments, _workspace: shell_verdict(arguments, _THERE).read_only,
        editable="command",
        in_research=True,
    )


def _in_sandbox(sandboxes: Sandboxes, tool: str, work: Work) -> Handler:
    """A handler that waits for the sandbox first; whatever goes wrong becomes a failed result."""

    async def handle(arguments: dict[str, Any], session: ToolSession, tool_call_id: str) -> ToolResult:
        try:
            if sandboxes.is_starting:
                await session.emit(ToolProgress(tool, tool_call_id, "The sandbox is starting."))
            return await work(await sandboxes.use(session), arguments, session, tool_call_id)
        except (ArgumentError, FileToolError, ComputeError) as error:
            return ToolResult(session.scrub(str(error)), ok=False)

    return handle
