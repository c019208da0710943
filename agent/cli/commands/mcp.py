"""The command about MCP servers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.cli.commands.registry import command
from agent.tools.mcp.servers import ServerStatus
from agent.ui.sanitize import clip, visible

if TYPE_CHECKING:
    from agent.cli.app import App

_USAGE = "Say /mcp, or /mcp reconnect NAME."
_NONE = "No MCP servers are configured. 'ml-intern mcp add --help' says how to add one."


@command("mcp", "[reconnect NAME]", group="Workspace", choices=("reconnect",), at_once=True)
async def mcp(app: App, argument: str) -> None:
    """Show the MCP servers of this session, how they stand and what went wrong last, or connect to one anew.

    The tools of a server that was connected to anew are there in the next turn. `ml-intern mcp` adds, removes and
    tests servers.
    """
    servers = app.exchange.connection.mcp_servers
    word, *rest = argument.split(maxsplit=1) or [""]
    if servers is None:
        app.say(_NONE)
    elif not word:
        app.say(servers_text(servers.statuses()))
    elif word != "reconnect" or not rest:
        app.complain(_USAGE)
    elif rest[0].strip() not in {status.name for status in servers.statuses()}:
        app.complain(f"There is no MCP server {clip(rest[0], 40)}. /mcp shows those there are.")
    else:
        app.say(f"Connecting to {clip(rest[0].strip(), 40)} …")
        if (status := await servers.reconnect(rest[0].strip())) is not None:
            app.say(servers_text((status,)))


def servers_text(statuses: tuple[ServerStatus, ...]) -> str:
    """For each a line with its state and the number of its tools, its address, and what is wrong with it."""
    names = max((len(clip(status.name, 40)) for status in statuses), default=0)
    lines = []
    for status in statuses:
        total = f" of {status.tools + status.left_out}" if status.left_out else ""
        tools = f"{status.tools}{total} tool{'' if status.tools == 1 and not total else 's'}"
        lines.append(f"{clip(status.name, 40):<{names}}  {status.state:<10}  {tools}")
        lines.append(f"  {clip(status.address, 70)}")
        if status.problem:
            lines.append(f"  {visible(clip(status.problem, 600), False)}")
    return "\n".join(lines) or _NONE
