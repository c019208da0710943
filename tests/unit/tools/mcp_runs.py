"""Running one MCP server of a test, and calling its tools as the model does."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from agent.config_keys import McpServer
from agent.core.tools import ToolRouter
from agent.protocol.tools import ToolResult
from agent.redaction.live import LiveSecrets, child_environment
from agent.tools.mcp.addresses import Place, secrets_of
from agent.tools.mcp.server import RemoteServer
from agent.tools.mcp.servers import McpServers
from agent.tools.mcp.tools import specs_of
from tests.unit.tools.conftest import FakeSession

TOKEN = "hf_abcdefghijklmnop"


def place_in(directory: Path) -> Place:
    """Where servers run, for somebody with a token."""
    return Place(directory, child_environment({**os.environ, "HF_TOKEN": TOKEN}), directory / "logs", TOKEN)


@asynccontextmanager
async def connected(place: Place, config: dict[str, Any], **more: Any) -> AsyncIterator[RemoteServer]:
    server = make(place, config, **more)
    try:
        assert await server.connect(), server.problem
        yield server
    finally:
        await server.close()


def make(place: Place, config: dict[str, Any], **more: Any) -> RemoteServer:
    entry = McpServer.of(config)
    secrets = LiveSecrets({}, {f"S{i}": value for i, value in enumerate(secrets_of(entry))})
    return RemoteServer("fake", entry, place, scrub=secrets.scrub, **more)


async def call(server: RemoteServer, session: FakeSession, name: str, /, **arguments: Any) -> ToolResult:
    """The result as the model gets it."""
    async with ToolRouter(specs_of(server)) as router:
        return await router.call_tool(f"mcp__fake__{name}", arguments, session, "c1")


def servers_of(session: FakeSession, tmp_path: Path, configs: dict[str, Any], **more: Any) -> McpServers:
    configured = {name: McpServer.of(config) for name, config in configs.items()}
    return McpServers(configured, Place(session.workspace, session.child_env, tmp_path / "logs"), **more)


async def no_progress(_done: float, _total: float | None, _text: str) -> None:
    """Nobody looks."""
