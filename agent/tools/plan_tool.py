"""`plan_tool`: the agent's list of steps, shown to the person."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal, cast

from agent.protocol.events import PlanItem, PlanUpdate
from agent.protocol.tools import ToolResult, ToolSession, ToolSpec, always_looks
from agent.tools.arguments import ArgumentError

Status = Literal["pending", "in_progress", "completed"]
_MARKS: dict[Status, str] = {"completed": "[x]", "in_progress": "[~]", "pending": "[ ]"}

DESCRIPTION = """\
Keep the list of steps for the task at hand; the person sees it. Use it when there are three steps or more.

Send the whole list every time: it replaces the one before. Have one step in progress at a time, and mark it completed \
as soon as it is done, before starting the next. A step that failed, or is done only in part, is not completed: leave \
it in progress, or add a step for what is in the way."""

PARAMETERS: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["todos"],
    "properties": {
        "todos": {
            "type": "array",
            "description": "All steps, in order. An empty list clears the plan.",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["id", "content", "status"],
                "properties": {
                    "id": {"type": "string", "description": "Short and unique, such as 1."},
                    "content": {"type": "string", "description": "What the step is, in one line."},
                    "status": {"type": "string", "enum": ["pending", "in_progress", "completed"]},
                },
            },
        }
    },
}


def plan_spec() -> ToolSpec:
    """The `plan_tool` tool."""
    return ToolSpec(
        name="plan_tool",
        description=DESCRIPTION,
        parameters=PARAMETERS,
        handler=_handle,
        only_looks=always_looks,
    )


async def _handle(arguments: dict[str, Any], session: ToolSession, _tool_call_id: str) -> ToolResult:
    try:
        plan = tuple(replace(item, content=session.scrub(item.content)) for item in _parse(arguments.get("todos")))
    except ArgumentError as error:
        return ToolResult(f"The plan is unchanged: {error} Call plan_tool again with the whole list.", ok=False)
    await session.emit(PlanUpdate(plan))
    return ToolResult(_as_text(plan))


def _parse(todos: object) -> tuple[PlanItem, ...]:
    if not isinstance(todos, list):
        raise ArgumentError("`todos` must be an array of objects.")
    plan = tuple(_item(number, todo) for number, todo in enumerate(todos, 1))
    seen: set[str] = set()
    for item in plan:
        if item.id in seen:
            raise ArgumentError(f"the id {item.id!r} is used more than once.")
        seen.add(item.id)
    return plan


def _item(number: int, todo: object) -> PlanItem:
    if not isinstance(todo, dict):
        raise ArgumentError(f"item {number} must be an object with id, content and status.")
    for field in ("id", "content", "status"):
        value = todo.get(field)
        if isinstance(value, int) and field == "id":
            continue
        if not isinstance(value, str) or not value.strip():
            raise ArgumentError(f"item {number} needs `{field}`, a text that is not empty.")
    status = todo["status"]
    if status not in _MARKS:
        raise ArgumentError(f"item {number} has the status {status!r}; use pending, in_progress or completed.")
    return PlanItem(str(todo["id"]).strip(), todo["content"].strip(), cast(Status, status))


def _as_text(plan: tuple[PlanItem, ...]) -> str:
    if not plan:
        return "Plan is empty."
    lines = [f"{_MARKS[item.status]} {item.id}. {item.content}" for item in plan]
    done = sum(item.status == "completed" for item in plan)
    said = ["Plan updated:", *lines, f"{done}/{len(plan)} done"]
    active = [item.id for item in plan if item.status == "in_progress"]
    if len(active) > 1:
        said.append(f"Note: {len(active)} steps are in progress ({', '.join(active)}); keep it to one at a time.")
    return "\n".join(said)
