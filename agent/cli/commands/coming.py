"""Commands whose subsystem is not there yet: each says what to do until it is."""

from __future__ import annotations

from agent.cli.commands.registry import unavailable

unavailable("mcp", "MCP servers are not connected yet: those in your settings (mcpServers) are kept for when they are.")
unavailable(
    "share-traces",
    "Sessions are not uploaded yet and nothing leaves this machine: /export writes this one to a file to pass on.",
)
