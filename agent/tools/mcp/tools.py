"""What a server offers, as tools of ours."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from agent.protocol.events import ToolProgress
from agent.protocol.tools import ToolResult, ToolSession, ToolSpec, always_looks, changes_nothing
from agent.protocol.untrusted import harmless, readable
from agent.tools.approval_rules import mcp_rule
from agent.tools.mcp.answers import as_result, source_of
from agent.tools.mcp.naming import registered_name
from agent.tools.mcp.server import McpCallError, RemoteServer, RemoteTool

MAX_PROGRESS_CHARS = 200
WAIT = "wait_for_tools"


def specs_of(server: RemoteServer) -> list[ToolSpec]:
    """The tools of a server, in the order of their names."""
    return [_spec(server, tool) for tool in server.tools]


def waiting_spec(server_name: str, wait: Callable[[ToolSession, str], Awaitable[str]]) -> ToolSpec:
    """What stands in for the tools of a server that is still connecting. `await wait(session, server_name)` waits for
    it and says how it stands then."""

    async def handle(_arguments: dict[str, Any], session: ToolSession, _tool_call_id: str) -> ToolResult:
        return ToolResult(await wait(session, server_name))

    return ToolSpec(
        name=registered_name(server_name, WAIT),
        description=f"The MCP server {harmless(server_name)!r} is still connecting, and its tools are not known yet. "
        "Call this if the task may need them: it waits until they are there, and you have them from your next step on.",
        parameters={"type": "object", "properties": {}, "additionalProperties": False},
        handler=handle,
        only_looks=always_looks,
    )


def _spec(server: RemoteServer, tool: RemoteTool) -> ToolSpec:
    name = registered_name(server.name, tool.name)

    async def handle(arguments: dict[str, Any], session: ToolSession, tool_call_id: str) -> ToolResult:
        async def progress(done: float, total: float | None, text: str) -> None:
            shown = readable(session.scrub(text))[:MAX_PROGRESS_CHARS]
            await session.emit(ToolProgress(name, tool_call_id, shown, done=done, total=total))

        try:
            answer = await server.call(tool.name, arguments, progress)
        except McpCallError as error:
            if error.said:
                return ToolResult(error.said, ok=False, source=source_of(server.name), advice=str(error))
            return ToolResult(str(error), ok=False)
        return await as_result(server.name, answer, session.spill_dir)

    return ToolSpec(
        name=name,
        description=_description(server, tool),
        parameters=tool.schema,
        handler=handle,
        approval=mcp_rule(tool.only_reads, name),
        only_looks=always_looks if tool.only_reads else _changes_something,
        changes=changes_nothing if tool.only_reads else (lambda _arguments, _workspace: None),  # nobody here knows
        in_research=tool.only_reads,
    )


def _description(server: RemoteServer, tool: RemoteTool) -> str:
    """Where the tool comes from, then what its makers say of it, which is other people's text."""
    origin = f"The tool {harmless(tool.name)!r} of the MCP server {harmless(server.name)!r}"
    return f"{origin}, as its makers describe it: {tool.description}" if tool.description else f"{origin}."


def _changes_something(_arguments: Mapping[str, Any], _workspace: Path) -> bool:
    return False
