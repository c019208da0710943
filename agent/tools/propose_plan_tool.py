"""`propose_plan`: in plan mode, present what is to be done; the person's yes ends plan mode."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from agent.protocol.modes import Mode
from agent.protocol.tools import (
    FREE,
    ApprovalContext,
    ApprovalNeed,
    ToolResult,
    ToolSession,
    ToolSpec,
    always_looks,
)

DESCRIPTION = """\
Present your plan to the person, once you have looked at everything it depends on. For plan mode only: nothing may be \
changed there until a plan is accepted. The person can accept it, change it first, or reject it and say why; then \
improve it and present it again. Outside of plan mode do not call this, just do the work."""

PARAMETERS: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["plan"],
    "properties": {
        "plan": {
            "type": "string",
            "minLength": 1,
            "description": "The plan in Markdown, brief and concrete: the steps, the data, the hardware, the expected "
            "cost and time, how success is measured (and against which baseline), when to stop.",
        }
    },
}

ACCEPTED = "The person has accepted the plan, and plan mode is over. Carry it out now, as it stands here:"

NOT_IN_PLAN_MODE = "Plan mode is not on: no approval of a plan is needed. Carry it out."


def propose_plan_spec(mode_after_plan: Callable[[], Mode | None]) -> ToolSpec:
    """The `propose_plan` tool. `mode_after_plan()`: the mode that an accepted plan leads to, None outside plan mode."""

    def approval(_arguments: Mapping[str, Any], _context: ApprovalContext) -> ApprovalNeed:
        if (mode := mode_after_plan()) is None:
            return FREE
        return ApprovalNeed("human", f"wants to carry out this plan; with your yes plan mode ends (then: {mode})")

    return ToolSpec(
        name="propose_plan",
        description=DESCRIPTION,
        parameters=PARAMETERS,
        handler=_handle,
        approval=approval,
        preview=_preview,
        only_looks=always_looks,
        editable="plan",
    )


def _preview(arguments: Mapping[str, Any], _session: ToolSession) -> str:
    return str(arguments.get("plan"))


async def _handle(arguments: dict[str, Any], session: ToolSession, _tool_call_id: str) -> ToolResult:
    if not await session.leave_plan_mode():
        return ToolResult(NOT_IN_PLAN_MODE, display="plan mode is not on")
    # In full, as the person may have changed it: what is accepted is what is carried out.
    return ToolResult(f"{ACCEPTED}\n\n{arguments['plan']}", display="accepted")
