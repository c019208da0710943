"""`research`: hands a question to a sub-agent that may only look, and returns its report."""

from __future__ import annotations

from typing import Any

from agent.protocol.counting import counted
from agent.protocol.money import format_usd
from agent.protocol.tools import Brief, Findings, ToolResult, ToolSession, ToolSpec, always_looks

TOOL = "research"
SOURCE = "research sub-agent"

DESCRIPTION = """\
Have a research assistant find something out: it searches papers, documentation, code, datasets and the web, with a \
context of its own, and returns a report (500 to 1,500 words) with recipes, code patterns and references. Only the \
report costs room in this conversation, however much was read for it.

Use it before you write training or inference code, choose a method, or rely on an API that may have changed. For one \
quick fact use the direct tool. It knows nothing of this conversation: name in `task` the question, the papers, \
models, datasets, libraries and trainers to start from, and what the answer is needed for; put what is settled already \
(hardware, data, versions, limits) into `context`. Independent questions are parallel calls.

It only looks, and asks nobody. Its report rests on what others wrote: check what a costly step depends on. A report \
that was cut short says so, and can be gone on from with a narrower task."""

PARAMETERS: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["task"],
    "properties": {
        "task": {
            "type": "string",
            "description": "What to find out, with the names to start from and what a good answer contains.",
        },
        "context": {"type": "string", "description": "What it should know of the work that this is for."},
    },
}


def research_spec() -> ToolSpec:
    """The `research` tool. Its model calls are charged to the session as they happen, so it has no price of its own."""
    return ToolSpec(
        name=TOOL,
        description=DESCRIPTION,
        parameters=PARAMETERS,
        handler=_handle,
        only_looks=always_looks,
    )


async def _handle(arguments: dict[str, Any], session: ToolSession, tool_call_id: str) -> ToolResult:
    task = str(arguments.get("task") or "").strip()
    if not task:
        return ToolResult("Nothing was researched: `task` is empty. Say what is to be found out.", ok=False)
    found = await session.delegate(Brief(task, str(arguments.get("context") or "").strip()), tool_call_id)
    if not found.text.strip():
        why = "it gave an empty report" if found.is_complete else found.ended
        text = f"The research brought no report: {why.rstrip('.')}. {_used(found)} {_next_step(found)}"
        return ToolResult(text, ok=False)
    if found.is_complete:
        return ToolResult(found.text, source=SOURCE, advice=f"[Research complete. {_used(found)}]")
    advice = (
        f"[The research ended early: {found.ended.rstrip('.')}. {_used(found)} What stands above is as far as it got: "
        f"take nothing in it for settled. {_next_step(found)}]"
    )
    return ToolResult(found.text, source=SOURCE, advice=advice)


def _next_step(found: Findings) -> str:
    """What can be done about an early end: more of the same costs what is not there, or fails in the same way."""
    if "budget" in found.ended:
        return "There is hardly any money left for research: go on with what is known, and say so."
    if "model call failed" in found.ended:
        return "Another research would fail the same way: look yourself with the direct tools."
    return "For what is missing ask again with a narrower task, or look yourself with the direct tools."


def _used(found: Findings) -> str:
    """`12 model calls, 30 tool calls, 84,120 tokens, $0.42.`"""
    cost = "cost not known" if found.cost_usd is None else format_usd(found.cost_usd)
    calls = f"{counted(found.model_calls, 'model call')}, {counted(found.tool_calls, 'tool call')}"
    return f"{calls}, {found.tokens:,} tokens, {cost}."
