"""One connection to an MCP server: from being opened to being left, never used again after that."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from agent.config_keys import McpServer
from agent.protocol.untrusted import harmless
from agent.tools.mcp.addresses import Place, transport_to

logger = logging.getLogger(__name__)

CLOSE_PATIENCE_S = 1.8
PING_PATIENCE_S = 2.0

Hear = Callable[[Any], Awaitable[None]]


class Connection:
    """A client of the library and what it speaks through."""

    def __init__(self, name: str, config: McpServer, place: Place, hear: Hear) -> None:
        """Nothing is started. `hear` takes what the server says unasked. Raises `NotReachableError`.

        `load_library` has been called.
        """
        import fastmcp

        from agent.tools.mcp.wire import Lenient

        fastmcp.settings.client_disconnect_timeout = CLOSE_PATIENCE_S / 2
        self.version = ""
        self._name, self._place = name, place
        self._transport: Any = transport_to(name, config, place)
        # No handler for sampling, elicitation or roots: without one the library does not offer them to the server.
        self._client: Any = fastmcp.Client(
            Lenient(self._transport),
            name=f"ml-intern-{name}",
            message_handler=hear,
            log_handler=self._log,
            progress_handler=_nothing,
        )
        self._was_open = self._is_left = False

    async def open(self) -> None:
        """Connect. Raises whatever is wrong with the server."""
        await self._client.__aenter__()
        self._was_open = True
        info = self._client.server_info
        self.version = harmless(f"{info.name} {info.version}")[:80] if info else ""

    @property
    def is_good(self) -> bool:
        """Whether a call can be made right now, as far as is known."""
        has_ended = bool(getattr(self._transport, "has_ended", False))
        return not self._is_left and self._client.is_connected() and not has_ended

    async def list_tools(self) -> list[Any]:
        """The server's tools (mcp_types.Tool). Raises whatever is wrong with the server."""
        capabilities = self._client.server_capabilities
        found: list[Any] = []
        if capabilities is None or capabilities.tools is not None:
            found = await self._client.list_tools()
        return found

    async def call(self, tool: str, arguments: dict[str, Any], heard: Any) -> Any:
        """What the server answers (mcp_types.CallToolResult). Raises whatever is wrong with the server."""
        return await self._client.call_tool_mcp(tool, arguments, heard)

    async def survived(self, error: Exception) -> bool:
        """Whether the connection is good after `error`: one that the server has sent, or a ping is answered."""
        from mcp_types import CONNECTION_CLOSED, REQUEST_TIMEOUT

        gone = (CONNECTION_CLOSED, REQUEST_TIMEOUT)
        if not self.is_good or "Session terminated" in str(error):
            return False
        if isinstance(code := getattr(error, "code", None), int):
            return code not in gone
        try:
            async with asyncio.timeout(PING_PATIENCE_S):
                await self._client.ping()
        except Exception as other:  # noqa: BLE001 - whatever it is, there is no answer
            return isinstance(code := getattr(other, "code", None), int) and code not in gone
        return True

    async def last_words(self) -> str:
        """How the program ended and what it printed, if it is one; "" or something to add to a cause."""
        if not hasattr(self._transport, "last_words"):
            return ""
        await self._transport.ended_within(0.2)  # it may be about to
        code = self._transport.exit_code
        words = [self._transport.fault] if self._transport.fault else []
        if (stray := self._transport.stray) and not self._was_open:
            words.append(f"it printed to stdout what is no MCP message: {stray}")
        if code is not None:
            words.append(f"it ended with {f'signal {-code}' if code < 0 else f'exit code {code}'}")
        if said := await asyncio.to_thread(self._transport.last_words):
            words.append(f"it printed to stderr: {said} (all it printed: {self._place.log_path(self._name)})")
        return "".join(f"; {text}" for text in words)

    async def trim_log(self) -> None:
        """Keep what a program prints from filling the disk."""
        if hasattr(self._transport, "trim_log"):
            await asyncio.to_thread(self._transport.trim_log)

    async def leave(self) -> None:
        """End it; a program is ended. Takes two seconds at most, and says nothing. Calling it again does nothing."""
        if self._is_left:
            return
        self._is_left = True
        closing = asyncio.ensure_future(self._client.close())
        done, _ = await asyncio.wait({closing}, timeout=CLOSE_PATIENCE_S)
        if not done:
            closing.cancel()
            done, _ = await asyncio.wait({closing}, timeout=0.2)
        for task in done:
            if not task.cancelled() and (error := task.exception()) is not None:
                logger.debug("leaving MCP server %s: %s", self._name, error)
        await self.trim_log()

    async def _log(self, message: Any) -> None:
        logger.debug("MCP server %s: %s: %.500s", self._name, message.level, message.data)


async def _nothing(_done: float, _total: float | None, _text: str | None) -> None:
    """Progress that nobody waits for."""
