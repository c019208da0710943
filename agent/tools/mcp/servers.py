"""All MCP servers of a session: connected side by side, beside everything else.

The first call of the model waits for those that are `required`, and for no other. In the place of the tools of a server
that is still connecting the model has one with which it can wait for them; a call of a tool that is not known yet waits
for its server, too. What has come then is there for the next call of the model; else it comes with the next turn, so
that the list of tools, which providers cache, changes as seldom as can be.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping

from agent.config_keys import McpServer
from agent.light_dataclass import dataclass
from agent.protocol.counting import counted
from agent.protocol.events import ToolLog
from agent.protocol.tools import ToolSession, ToolSpec
from agent.protocol.untrusted import harmless
from agent.tools.mcp.addresses import Place, secrets_of
from agent.tools.mcp.naming import is_named_after
from agent.tools.mcp.server import MAX_TOOLS, Patience, RemoteServer, RemoteTool, State
from agent.tools.mcp.tools import specs_of, waiting_spec

ANSWER_PATIENCE_S = 5.0
"""How long a server that has said that its tools have changed may take to list them."""

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
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Nothing is started or imported. `scrub` takes secrets out of what is told of the servers. `is_single_turn`:
        there is no next turn, so what has come takes part in this one."""
        self._servers = {
            name: RemoteServer(name, config, place, scrub=scrub, patience=patience, sleep=sleep)
            for name, config in sorted(configured.items())
        }
        self.secrets = [(f"MCP {name}", text) for name, config in configured.items() for text in secrets_of(config)]
        """What the servers are given that must not be shown, with a name for it."""
        self.is_single_turn = is_single_turn
        self._required = tuple(name for name in self._servers if configured[name].required)
        self._session: ToolSession | None = None
        self._connecting: dict[str, asyncio.Task[None]] = {}
        self._stood_in_for: set[str] = set()
        """The servers that the model has been given a tool to wait for, in the place of theirs."""
        self._asked_for: set[str] = set()
        """Those of them that it has waited for."""
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._in_vain: dict[str, int] = {}
        """At which of its changes a server was asked for its tools in vain."""
        self._offered: dict[str, tuple[str, ...]] = {}
        """The tools of each server that have been given out."""
        self._left_out: dict[str, tuple[str, ...]] = {}
        """And those that were too many, of the list in `_judged`."""
        self._judged: dict[str, tuple[RemoteTool, ...]] = {}

    def start(self, session: ToolSession) -> None:
        """Begin to connect, in a run of a single turn only to those that are required: the others would take time from
        the first call of the model, see `start_rest`. Returns at once; who does not answer is told of."""
        self._session = session
        for name in self._required if self.is_single_turn else self._servers:
            self._begin(name)

    def start_rest(self) -> None:
        """Begin to connect to all that were not begun with yet. Returns at once."""
        if self._session is not None:
            for name in self._servers:
                self._begin(name)

    def _begin(self, name: str) -> asyncio.Task[None]:
        """The task that connects to a server; begun once."""
        if name not in self._connecting:
            assert self._session is not None  # nobody asks before `start`
            work = self._bring_up(self._servers[name], self._session)
            self._connecting[name] = asyncio.create_task(work, name=f"mcp {name}")
        return self._connecting[name]

    async def _bring_up(self, server: RemoteServer, session: ToolSession) -> None:
        if not await server.connect():
            await _tell(session, f"MCP server {server.name} is not available: {server.problem}")

    @property
    def unmet(self) -> str:
        """Which required servers are not available, and why; "" if there is none."""
        failed = {name: self._servers[name].problem for name in self._required if self._servers[name].state == "failed"}
        return "; ".join(f"MCP server {name} is required and not available: {why}" for name, why in failed.items())

    @property
    def has_news(self) -> bool:
        """Whether tools have come that the model should have before the turn is over."""
        return any(
            (self.is_single_turn or name in self._asked_for) and not self._is_connecting(name)
            for name in self._stood_in_for
        )

    def owners(self, tools: Iterable[str]) -> list[str]:
        """The servers, still connecting, that tools of these registered names may belong to."""
        pending = [name for name in self._servers if self._is_connecting(name)]
        return [name for name in pending if any(is_named_after(tool, name) for tool in tools)]

    def _is_connecting(self, name: str) -> bool:
        task = self._connecting.get(name)
        return self._servers[name].state == "connecting" and (task is None or not task.done())

    async def settled(self, session: ToolSession, most: int = MAX_TOOLS) -> list[ToolSpec]:
        """The tools to work with from now on, in a fixed order, at most `most`. Waits for required servers, and a
        little for those that have said that their tools are others now; tells what was not there before."""
        await self.wait_for(session, self._required)
        await self._ask_again(session)
        specs: list[ToolSpec] = []
        self._stood_in_for = {name for name in self._servers if self._is_connecting(name)}
        for name, server in self._servers.items():
            room = max(0, most - len(specs))
            if name in self._stood_in_for:
                specs += [waiting_spec(name, self._waited)][:room]
                self._offered.setdefault(name, ())
                continue
            tools = specs_of(server)[:room]
            specs += tools
            await self._tell_of_change(session, name, tuple(spec.name for spec in tools))
            beyond = tuple(tool.name for tool in server.tools[len(tools) :])
            self._judged[name] = server.tools
            await self._tell_of_left_out(session, name, beyond + server.left_out)
        return specs

    async def _waited(self, session: ToolSession, name: str) -> str:
        """Wait for a server, for the model; how it stands then."""
        self._asked_for.add(name)
        await self.wait_for(session, [name])
        server = self._servers[name]
        if not server.is_connected:
            return f"The MCP server {harmless(name)} is not available: {server.problem}. Go on without it."
        return f"The MCP server {harmless(name)} is there: {counted(len(server.tools), 'tool')}, from the next step on."

    async def wait_for(self, session: ToolSession, names: Iterable[str]) -> None:
        """Wait until each of these servers is there or has failed, which has its own limit."""
        tasks = {name: self._begin(name) for name in names if self._is_connecting(name)}
        if not tasks:
            return
        await asyncio.wait(tasks.values(), timeout=_SILENT_S)
        if late := [name for name, task in tasks.items() if not task.done()]:
            await _tell(session, f"Waiting for {_named(late)}.")
            await asyncio.wait([tasks[name] for name in late])

    async def _ask_again(self, session: ToolSession) -> None:
        """Ask those that have said that their tools are others now. Who has not answered is not waited for again before
        it has said so anew: the next time it is asked beside the turn, and what it answers counts in the turn after."""
        stale = {name: server for name, server in self._servers.items() if server.is_stale}
        for name, server in stale.items():
            if (task := self._asking.get(name)) is None or task.done():
                work = server.refresh(ANSWER_PATIENCE_S)
                self._asking[name] = asyncio.create_task(work, name=f"mcp {name}: its tools")
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
        if before and before != tools:
            await _tell(session, f"MCP server {name} has other tools now: {len(tools)}.")
        elif tools and before == ():
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
