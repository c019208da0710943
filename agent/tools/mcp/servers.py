"""All MCP servers of a session: connected side by side, beside everything else, and waited for only by a first turn."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from agent.config_keys import McpServer
from agent.protocol.counting import counted
from agent.protocol.events import ToolLog
from agent.protocol.tools import ToolSession, ToolSpec
from agent.protocol.untrusted import harmless
from agent.tools.mcp.addresses import Place, secrets_of
from agent.tools.mcp.server import MAX_TOOLS, Patience, RemoteServer, RemoteTool, State
from agent.tools.mcp.tools import specs_of

TURN_PATIENCE_S = 5.0
"""How long a turn of a conversation waits for servers that are still connecting. What comes later is there in the next
turn. A run of a single prompt has no next turn: it waits until each is there or has failed."""

_SILENT_S = 0.7
"""How long is waited without a word."""


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """How a server stands. `problem` is why it is not available, or what went wrong last.

    `tools` are those the model can use, `left_out` those that it offers besides.
    """

    name: str
    address: str
    state: State
    tools: int
    problem: str
    version: str = ""
    left_out: int = 0


class McpServers:
    """The configured servers, by name."""

    def __init__(
        self,
        configured: Mapping[str, McpServer],
        place: Place,
        *,
        scrub: Callable[[str], str] = str,
        is_single_turn: bool = False,
        patience: Patience | None = None,
        turn_patience_s: float = TURN_PATIENCE_S,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Nothing is started or imported. `scrub` takes secrets out of what is told of the servers."""
        self._servers = {
            name: RemoteServer(name, config, place, scrub=scrub, patience=patience, sleep=sleep)
            for name, config in sorted(configured.items())
        }
        self.secrets = [(f"MCP {name}", text) for name, config in configured.items() for text in secrets_of(config)]
        """What the servers are given that must not be shown, with a name for it."""
        self._turn_patience_s = None if is_single_turn else turn_patience_s
        self._connecting: dict[str, asyncio.Task[None]] = {}
        self._waited_for: set[str] = set()
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._in_vain: dict[str, int] = {}
        """At which of its changes a server was asked for its tools in vain."""
        self._offered: dict[str, tuple[str, ...]] = {}
        """The tools of each server that have been given out."""
        self._left_out: dict[str, tuple[str, ...]] = {}
        """And those that were too many, of the list in `_judged`."""
        self._judged: dict[str, tuple[RemoteTool, ...]] = {}

    def start(self, session: ToolSession) -> None:
        """Begin to connect to all. Returns at once; who does not answer is told of as soon as that is known."""
        for name, server in self._servers.items():
            self._connecting[name] = asyncio.create_task(self._bring_up(server, session), name=f"mcp {name}")

    async def _bring_up(self, server: RemoteServer, session: ToolSession) -> None:
        if not await server.connect():
            await _tell(session, f"MCP server {server.name} is not available: {server.problem}")

    async def settled(self, session: ToolSession, most: int = MAX_TOOLS) -> list[ToolSpec]:
        """The tools to work with from now on, in a fixed order, at most `most`. Waits a little for servers that are
        new, or that have said that their tools are others now; tells the person what was not there before."""
        await self._wait(session)
        await self._ask_again(session)
        specs: list[ToolSpec] = []
        for name, server in self._servers.items():
            all_tools = specs_of(server)
            tools = all_tools[: max(0, most - len(specs))]
            specs += tools
            await self._tell_of_change(session, name, tuple(spec.name for spec in tools))
            beyond = tuple(tool.name for tool in server.tools[len(tools) :])
            self._judged[name] = server.tools
            await self._tell_of_left_out(session, name, beyond + server.left_out)
        return specs

    async def _wait(self, session: ToolSession) -> None:
        """Wait for those that are connecting; for each only once."""
        tasks = {
            name: task for name, task in self._connecting.items() if not task.done() and name not in self._waited_for
        }
        if not tasks:
            return
        await asyncio.wait(tasks.values(), timeout=_SILENT_S)
        if late := [name for name, task in tasks.items() if not task.done()]:
            await _tell(session, f"Waiting for {_named(late)}.")
            await asyncio.wait([tasks[name] for name in late], timeout=self._turn_patience_s)
        if late := [name for name, task in tasks.items() if not task.done()]:
            self._waited_for.update(late)
            await _tell(session, f"Going on without {_named(late)}; what comes later is there in the next turn.")

    async def _ask_again(self, session: ToolSession) -> None:
        """Ask those that have said that their tools are others now. Who has not answered is not waited for again before
        it has said so anew: the next time it is asked beside the turn, and what it answers counts in the turn after."""
        stale = {name: server for name, server in self._servers.items() if server.is_stale}
        for name, server in stale.items():
            if (task := self._asking.get(name)) is None or task.done():
                self._asking[name] = asyncio.create_task(server.refresh(self._turn_patience_s or TURN_PATIENCE_S))
        waited_for = {name: server for name, server in stale.items() if self._in_vain.get(name) != server.changes}
        if waited_for:
            await asyncio.wait([self._asking[name] for name in waited_for])
        for name, server in waited_for.items():
            if server.is_stale:
                self._in_vain[name] = server.changes
                text = "has said that its tools have changed, but does not list them now; the earlier ones stay."
                await _tell(session, f"MCP server {name} {text}")

    async def _tell_of_change(self, session: ToolSession, name: str, tools: tuple[str, ...]) -> None:
        before = self._offered.get(name)
        self._offered[name] = tools
        was_late = before == () and name in self._waited_for
        if before and before != tools:
            await _tell(session, f"MCP server {name} has other tools now: {len(tools)}.")
        elif tools and (was_late or before == ()):
            await _tell(session, f"MCP server {name} is there now: {counted(len(tools), 'tool')}.")

    async def _tell_of_left_out(self, session: ToolSession, name: str, tools: tuple[str, ...]) -> None:
        if tools and self._left_out.get(name) != tools:
            shown = ", ".join(harmless(tool)[:60] for tool in tools[:10]) + (", …" if len(tools) > 10 else "")
            total = len(tools) + len(self._offered[name])
            text = f"Of the {total} tools of MCP server {name} the model can use {len(self._offered[name])}: "
            await _tell(session, f"{text}a request has no room for more. Left out: {shown}.")
        self._left_out[name] = tools

    def statuses(self) -> tuple[ServerStatus, ...]:
        """How each server stands, by name."""
        return tuple(self._status(server) for server in self._servers.values())

    async def reconnect(self, name: str) -> ServerStatus | None:
        """Connect anew to the server `name`; how it stands then, None if there is none of that name."""
        server = self._servers.get(name)
        if server is None:
            return None
        await server.connect()
        return self._status(server)

    def _status(self, server: RemoteServer) -> ServerStatus:
        is_gone = server.state == "connected" and not server.is_connected
        problem = "it has gone away; the next call connects to it again" if is_gone else server.problem
        state: State = "failed" if is_gone else server.state
        is_judged = self._judged.get(server.name) is server.tools
        left_out = len(self._left_out[server.name] if is_judged else server.left_out)
        tools = len(server.tools) + len(server.left_out) - left_out
        return ServerStatus(server.name, server.address, state, tools, problem, server.version, left_out)

    def hush(self) -> None:
        """The session is ending: nothing more is connected to, and nothing more is told."""
        for task in (*self._connecting.values(), *self._asking.values()):
            if not task.cancelling():  # a second time would break off its tidying up
                task.cancel()

    async def close(self) -> None:
        """Leave all servers, in two seconds at most."""
        self.hush()
        tasks = [*self._connecting.values(), *self._asking.values()]
        closing = [asyncio.ensure_future(server.close()) for server in self._servers.values()]
        if closing:
            await asyncio.wait([*tasks, *closing], timeout=2.0)


def _named(names: list[str]) -> str:
    return f"MCP server{'s' if len(names) > 1 else ''} {', '.join(names)}"


async def _tell(session: ToolSession, text: str) -> None:
    await session.emit(ToolLog("system", text))
