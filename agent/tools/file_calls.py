"""The one door to how `read`, `write` and `edit` know files: what the loop asks about a call, and who changes one.

Nothing of that is imported before it first asks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.protocol.tools import ApprovalContext, ApprovalNeed, ToolResult, ToolSession, ToolSpec
from agent.tools.door import Door

if TYPE_CHECKING:
    from agent.tools.file_changes import FileWork


def changing_tool(
    name: str, description: str, parameters: dict[str, Any], door: Callable[[], FileWork], editable: str | None = None
) -> ToolSpec:
    """A tool that changes the file at `path`. `door` imports its work."""
    work = Door(door)

    async def handle(arguments: dict[str, Any], session: ToolSession, _tool_call_id: str) -> ToolResult:
        return await (await work.opened()).run(arguments, session)

    def load() -> None:
        work()

    return ToolSpec(
        name=name,
        description=description,
        parameters=parameters,
        handler=handle,
        approval=partial(outside_workspace_rule, tool=name),
        preview=lambda arguments, session: work().preview(arguments, session),
        check=lambda arguments, session: work().check(arguments, session),
        subject=path_subject,
        subject_kind="path",
        changes=path_changes,
        editable=editable,
        load=load,
        ready=work.ready,
    )


def path_subject(arguments: Mapping[str, Any], workspace: Path) -> str:
    """The resolved path of a call, for permission rules to match; "" if there is none."""
    from agent.tools import files

    return files.path_subject(arguments, workspace)


def path_changes(arguments: Mapping[str, Any], workspace: Path) -> tuple[Path, ...]:
    """The one file that a call changes."""
    from agent.tools import files

    return files.path_changes(arguments, workspace)


def outside_workspace_rule(arguments: Mapping[str, Any], context: ApprovalContext, tool: str = "write") -> ApprovalNeed:
    """The approval rule of a tool that changes a file."""
    from agent.tools import files

    return files.outside_workspace_rule(arguments, context, tool)


def secrets_rule(arguments: Mapping[str, Any], context: ApprovalContext) -> ApprovalNeed:
    """The approval rule of a tool that shows a file."""
    from agent.tools import file_reading

    return file_reading.secrets_rule(arguments, context)
