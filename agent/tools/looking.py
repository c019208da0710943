"""What the tools that look things up have in common: what they are to the loop, and how they repeat what was asked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from agent.protocol.tools import ToolResult, ToolSession, ToolSpec, always_looks
from agent.tools.door import Door

Look = Callable[[dict[str, Any], ToolSession], Awaitable[ToolResult]]
"""Carries out a call: `await look(arguments, session)`."""

_ECHO_CHARS = 200


def looking_tool(
    name: str,
    description: str,
    parameters: dict[str, Any],
    door: Callable[[], Look],
    subject: Callable[[Mapping[str, Any], Path], str] = lambda _arguments, _workspace: "",
) -> ToolSpec:
    """A tool that changes nothing anywhere, and that a research sub-agent has too.

    `door` imports its work and makes it ready. It is called in a thread, once, by the first call.
    """
    work = Door(door)

    async def handle(arguments: dict[str, Any], session: ToolSession, _tool_call_id: str) -> ToolResult:
        look = await work.opened()
        return await look(arguments, session)

    return ToolSpec(
        name=name,
        description=description,
        parameters=parameters,
        handler=handle,
        only_looks=always_looks,
        subject=subject,
        in_research=True,
    )


def echo(text: str) -> str:
    """What was asked, in quotation marks, for an answer: the beginning of it where it is long."""
    return repr(clipped(text))


def clipped(text: str) -> str:
    """The same without quotation marks."""
    return text if len(text) <= _ECHO_CHARS else f"{text[:_ECHO_CHARS]}…"
