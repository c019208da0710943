"""Small MCP servers with faults, by hand: a program that speaks over stdio, and one over streamable HTTP.

    server = stdio_server(tmp_path, tools=[tool("add")], answers={"add": text("3"), "die": "die"})
    server.config          # for `mcpServers`
    server.heard("tools/call")

A tool's answer is a JSON result, `{"error": {...}}`, or a word for a fault: `die`, `hang`, `progress` (three signs of
life, then `text("done")`), `changed` (the server has another tool from now on, and says so), `busy` (the same, and the
next list of tools is refused), `mute` (stdout is closed), `flood` (17 MB), `env` (its environment). Over HTTP: `hang`,
`endless` (JSON without end), `endless event`, `bomb` (64 MB, packed), `event` (a text of 2 MB as an event).
"""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fakes.http_base import Exchange, HttpFake
from tests.mcp_servers import fake_stdio
from tests.mcp_servers.fake_stdio import reply_to, text, tool

__all__ = ["FakeMcp", "StdioServer", "stdio_server", "text", "tool"]


@dataclass(frozen=True)
class StdioServer:
    """A program to be started by the client under test."""

    plan_path: Path
    log_path: Path
    env: Mapping[str, str]

    @property
    def config(self) -> dict[str, Any]:
        """Its entry in `mcpServers`."""
        entry = {"command": sys.executable, "args": [fake_stdio.__file__, str(self.plan_path), str(self.log_path)]}
        return entry | ({"env": dict(self.env)} if self.env else {})

    def messages(self) -> list[dict[str, Any]]:
        """All that it has heard."""
        if not self.log_path.exists():
            return []
        return [json.loads(line) for line in self.log_path.read_text().splitlines()]

    def heard(self, method: str) -> list[dict[str, Any]]:
        """The messages of one kind; `start` has one with the process id for each start."""
        return [message for message in self.messages() if message.get("method") == method]

    def replan(self, **plan: Any) -> None:
        """Change what it does from its next start on."""
        self.plan_path.write_text(json.dumps(json.loads(self.plan_path.read_text()) | plan))


def stdio_server(
    directory: Path,
    *,
    tools: Sequence[Mapping[str, Any]] = (),
    answers: Mapping[str, Any] | None = None,
    start: str = "ok",
    stderr: str = "",
    lingers: bool = False,
    env: Mapping[str, str] | None = None,
    name: str = "server",
) -> StdioServer:
    """A server by this plan. `start`: `ok`, `die` (exit code 3), `silent` (never answers), `noise` (prints text first).

    `lingers`: it goes on when its stdin is closed, ignores SIGTERM, and has a child that does the same.
    """
    plan = {"tools": list(tools), "answers": dict(answers or {}), "start": start, "stderr": stderr, "lingers": lingers}
    path = directory / f"{name}.json"
    path.write_text(json.dumps(plan))
    return StdioServer(path, directory / f"{name}.log", env or {})


class FakeMcp(HttpFake):
    """A server over streamable HTTP that answers each message with plain JSON, under `/mcp`.

    `forget()` loses its sessions, as a restart does. `status` (not 200) is what it answers to everything then.
    """

    def __init__(self, tools: Sequence[Mapping[str, Any]] = (), answers: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.plan = {"tools": list(tools), "answers": dict(answers or {})}
        self.status = 200
        self._session = 1

    @property
    def config(self) -> dict[str, Any]:
        """Its entry in `mcpServers`."""
        return {"url": f"{self.url}/mcp"}

    def forget(self) -> None:
        """Lose all sessions."""
        self._session += 1

    async def respond(self, exchange: Exchange) -> None:
        """Answer one message."""
        message = exchange.request.json
        if self.status != 200:
            await exchange.json(self.status, {"error": "out of order"})
            return
        if exchange.request.method != "POST" or not isinstance(message, dict):
            await exchange.json(405, {})
            return
        session = exchange.request.headers.get("mcp-session-id")
        if message["method"] not in ("initialize", "server/discover") and session != f"s{self._session}":
            await exchange.json(404, {})
            return
        fault = self.plan["answers"].get(message["params"]["name"]) if message["method"] == "tools/call" else None
        if isinstance(fault, str):
            await self._fault(fault, exchange)
            return
        answer = reply_to(message, self.plan)
        if answer is None:
            await exchange.head(202, length_bytes=0)
            await exchange.body(b"", last=True)
        else:
            await exchange.json(200, answer, {"Mcp-Session-Id": f"s{self._session}"})

    async def _fault(self, fault: str, exchange: Exchange) -> None:
        kind = "text/event-stream" if "event" in fault else "application/json"
        answer = {"jsonrpc": "2.0", "id": exchange.request.json["id"], "result": text("x" * (2 << 20))}
        if fault == "hang":
            await exchange.stall()
        elif fault == "event":
            await exchange.head(200, {"Content-Type": kind})
            await exchange.body(f"data: {json.dumps(answer)}\n\n".encode(), last=True)
        elif fault == "bomb":
            await exchange.head(200, {"Content-Type": kind, "Content-Encoding": "gzip"})
            await exchange.body(gzip.compress(b'{"jsonrpc": "2.0", "x": "' + b"x" * (64 << 20), 1), last=True)
        else:
            await exchange.head(200, {"Content-Type": kind})
            await exchange.body(b'data: {"result": "')
            while True:
                await exchange.body(b"x" * (1 << 20))
