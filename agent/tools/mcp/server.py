"""One MCP server: connecting to it, what it offers, calls, and what happens when it goes away."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, Literal, TypeVar

from agent.config_keys import McpServer
from agent.light_dataclass import dataclass
from agent.protocol.untrusted import harmless
from agent.tools.mcp.addresses import NotReachableError, Place, address_text, load_library
from agent.tools.mcp.connection import Connection
from agent.tools.mcp.naming import is_taken
from agent.tools.mcp.schemas import safe_schema

logger = logging.getLogger(__name__)

T = TypeVar("T")

State = Literal["connecting", "connected", "failed"]

MAX_DESCRIPTION_CHARS = 2_000
MAX_TOOLS = 128
"""Of one server: what is more than this no provider takes."""
MAX_TOOLS_CHARS = 60_000
"""Of their descriptions and schemas together, which are sent with every request to the model."""
MAX_CAUSE_CHARS = 600
LONGEST_PAUSE_S = 8.0


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a server is waited for: until it can be used, and in a call without a sign of life."""

    connect_s: float = 15.0
    silence_s: float = 120.0


@dataclass(frozen=True, slots=True)
class RemoteTool:
    """A tool as its server describes it, made safe to show."""

    name: str
    description: str
    schema: dict[str, Any]
    only_reads: bool


class McpCallError(Exception):
    """A call that came to nothing: why, and what to do. `said` is the server's own word, if it said any."""

    def __init__(self, text: str, said: str = "") -> None:
        super().__init__(text)
        self.said = said


Progress = Callable[[float, float | None, str], Awaitable[None]]
"""`await progress(done, total, text)`"""


class RemoteServer:
    """A configured server. `state` and `problem` tell how it stands, `tools` what it offered last."""

    def __init__(
        self,
        name: str,
        config: McpServer,
        place: Place,
        *,
        scrub: Callable[[str], str] = str,
        patience: Patience | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Nothing is started. `scrub` takes secrets out of what is told of it."""
        self.name = name
        self.address = address_text(config)
        self.state: State = "connecting"
        self.problem = ""
        self.tools: tuple[RemoteTool, ...] = ()
        self.left_out: tuple[str, ...] = ()
        """The names of tools that it offers beyond our limits."""
        self.version = ""
        self.connected_in_s: float | None = None
        self.is_stale = False
        """Whether it has said that its tools have changed."""
        self.changes = 0
        """How often it has said so."""
        self._config, self._place, self._scrub = config, place, scrub
        self._patience = patience or Patience()
        self._sleep = sleep
        self._connection: Connection | None = None
        """While there is one that can be used, or one is being made."""
        self._attempts = 0
        """How often it was connected to, with and without success."""
        self._failures = 0
        """Without success, one after the other."""
        self._lock = asyncio.Lock()
        self._is_closed = False

    # --- connecting --------------------------------------------------------------------------------------------------

    async def connect(self) -> bool:
        """Connect anew and ask what there is; False if that fails, `problem` says why. Raises but CancelledError."""
        async with self._lock:
            return await self._connect()

    async def _connect(self) -> bool:
        await self._leave()
        self.state, self.problem = "connecting", ""
        started = time.monotonic()
        try:
            await asyncio.to_thread(load_library)  # on a busy machine this takes longer than any server
            async with asyncio.timeout(self._patience.connect_s):
                await self._open()
        except TimeoutError:
            await self._failed(f"it did not answer within {self._patience.connect_s:g} s")
        except NotReachableError as error:
            await self._failed(str(error))
        except Exception as error:  # the door to other people's programs: whatever is wrong there is not our end
            logger.info("MCP server %s: %s", self.name, type(error).__name__, exc_info=True)
            await self._failed(self._start_problem(error))
        except asyncio.CancelledError:
            self.state, self.problem = "failed", "connecting to it was stopped"
            await asyncio.shield(self._leave())
            raise
        else:
            self.state, self._failures = "connected", 0
            self._attempts += 1
            self.connected_in_s = time.monotonic() - started
        return self.state == "connected"

    async def _open(self) -> None:
        if self._is_closed:
            raise NotReachableError("the program is ending")
        connection = Connection(self.name, self._config, self._place, self._hear)
        self._connection = connection
        await connection.open()
        self.version = connection.version
        await self._look(connection)

    async def _look(self, connection: Connection) -> None:
        """Ask what tools there are."""
        self.is_stale = False  # before: what changes from now on is news
        try:
            self.tools, self.left_out = await asyncio.to_thread(_known, await connection.list_tools())
        except BaseException:
            self.is_stale = True
            raise

    async def refresh(self, patience_s: float) -> None:
        """Ask again what tools there are. If that fails, the earlier ones stay, and it is to be asked once more."""
        try:
            async with asyncio.timeout(patience_s), self._lock:
                if self.is_connected and self._connection is not None:
                    await self._look(self._connection)
        except Exception as error:  # noqa: BLE001 - the door to other people's programs; told when a tool is called
            logger.info("the tools of MCP server %s cannot be listed: %s", self.name, _cause(error))

    async def _failed(self, cause: str) -> None:
        self._attempts += 1
        self._failures += 1
        self.state, self.problem = "failed", self._clean(cause)  # before we can be stopped
        try:
            words = await self._connection.last_words() if self._connection is not None else ""
            self.problem = self._clean(cause + words)
        finally:
            await asyncio.shield(self._leave())

    def _start_problem(self, error: Exception) -> str:
        root = _root(error)
        if isinstance(root, FileNotFoundError) and self._config.command:
            return f"the program {self._config.command!r} was not found: install it, or give its whole path"
        if isinstance(root, PermissionError) and self._config.command:
            return f"the program {self._config.command!r} may not be run ({root.strerror})"
        return _cause(error)

    def _clean(self, text: str) -> str:
        return harmless(self._scrub(text)).strip()[:MAX_CAUSE_CHARS]

    # --- calls -------------------------------------------------------------------------------------------------------

    @property
    def is_connected(self) -> bool:
        """Whether a call can be made right now, as far as is known."""
        return self.state == "connected" and self._connection is not None and self._connection.is_good

    async def call(self, tool: str, arguments: dict[str, Any], progress: Progress) -> Any:
        """What the server answers (mcp_types.CallToolResult). Raises `McpCallError`.

        A server that is gone is connected to again first, once. A call is never made twice: it may have had effects.
        """
        connection = await self._connected()
        await connection.trim_log()
        last_sign = [time.monotonic()]

        async def heard(done: float, total: float | None, text: str | None) -> None:
            last_sign[0] = time.monotonic()
            await progress(done, total, text or "")

        try:
            answer = await self._unless_silent(connection.call(tool, arguments, heard), last_sign)
        except TimeoutError:
            limit = f"{self._patience.silence_s:g} s"
            raise McpCallError(
                f"The MCP server {self.name} did not answer within {limit}, and the call was cancelled. It may have "
                "been carried out in part: look before you call it again, perhaps with less to do at once."
            ) from None
        except Exception as error:  # the door to other people's programs
            raise await self._call_error(error, connection) from error
        return answer

    async def _connected(self) -> Connection:
        """A connection to make a call with. Who has waited while somebody else tried in vain does not try again."""
        attempts = self._attempts
        if not self.is_connected:
            async with self._lock:
                if not self.is_connected and self._attempts == attempts:
                    if self._failures:
                        await self._sleep(min(0.5 * 2 ** (self._failures - 1), LONGEST_PAUSE_S))
                    logger.info("connecting again to MCP server %s", self.name)
                    await self._connect()
        if not self.is_connected or self._connection is None:
            raise McpCallError(
                f"The MCP server {self.name} is not available, and connecting to it again failed. Nothing was run. "
                "Go on without it, or tell the person what is wrong with it.",
                self.problem,
            )
        return self._connection

    async def _unless_silent(self, work: Awaitable[T], last_sign: list[float]) -> T:
        """What `work` gives. Raises TimeoutError after too long without a sign of life; then `work` is cancelled."""
        task = asyncio.ensure_future(work)
        try:
            while not task.done():
                left_s = last_sign[0] + self._patience.silence_s - time.monotonic()
                if left_s <= 0:
                    raise TimeoutError
                await asyncio.wait({task}, timeout=left_s)
            return task.result()
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task}, timeout=1.0)  # the library tells the server meanwhile

    async def _call_error(self, error: Exception, connection: Connection) -> McpCallError:
        """What to say of a call that raised; a connection that is gone is given up."""
        if connection is self._connection and await connection.survived(error):
            return self._refusal(error)
        problem = self._clean(_cause(error))
        if connection is self._connection:  # not when another call has connected again meanwhile
            self._connection, self.state, self.problem = None, "failed", problem
        try:
            full = self._clean(_cause(error) + await connection.last_words())
        finally:
            await asyncio.shield(connection.leave())
        if self._connection is None and self.problem == problem:
            self.problem = full
        return McpCallError(
            f"The MCP server {self.name} went away during the call, which may have been carried out or not: look "
            "before you call it again. The next call connects to it again.",
            full,
        )

    def _refusal(self, error: Exception) -> McpCallError:
        """What to say of a call whose answer is an error, by a server that is there."""
        from mcp_types import PARSE_ERROR

        said = self._clean(_cause(error))
        if getattr(error, "code", None) == PARSE_ERROR:  # the library says so of an answer that it cannot read
            return McpCallError(
                f"The answer of the MCP server {self.name} could not be read. The call may have been carried out: "
                "look before you call it again, perhaps with less to do at once.",
                said,
            )
        return McpCallError(f"The MCP server {self.name} did not take the call. Mend it, or do without.", said)

    async def _hear(self, message: Any) -> None:
        if type(message).__name__ == "ToolListChangedNotification":
            self.is_stale = True
            self.changes += 1

    # --- ending ------------------------------------------------------------------------------------------------------

    async def close(self) -> None:
        """Leave the server; a program is ended. Takes two seconds at most, and says nothing."""
        self._is_closed = True
        await self._leave()

    async def _leave(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.leave()


def _known(found: list[Any]) -> tuple[tuple[RemoteTool, ...], tuple[str, ...]]:
    """The tools we take, by name, the first of those with the same name; and the names of those that are too many."""
    taken: dict[str, RemoteTool] = {}
    left_out: dict[str, None] = {}
    chars = 0
    for tool in found:
        if not is_taken(tool.name) or tool.name in taken or tool.name in left_out:
            continue
        one = _made_safe(tool) if len(taken) < MAX_TOOLS and chars < MAX_TOOLS_CHARS else None
        size = len(one.description) + len(json.dumps(one.schema, ensure_ascii=False)) if one is not None else 0
        if one is None or chars + size > MAX_TOOLS_CHARS:
            left_out[tool.name] = None
        else:
            taken[tool.name] = one
            chars += size
    return tuple(taken[name] for name in sorted(taken)), tuple(left_out)


def _made_safe(tool: Any) -> RemoteTool:
    description = harmless(tool.description or getattr(tool, "title", None) or "")[:MAX_DESCRIPTION_CHARS]
    reads = tool.annotations is not None and tool.annotations.read_only_hint is True
    return RemoteTool(tool.name, description, safe_schema(tool.input_schema), reads)


def _root(error: BaseException) -> BaseException:
    """The innermost reason in a chain or group of errors."""
    while True:
        if isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        elif isinstance(error, RuntimeError) and error.__cause__ is not None:
            error = error.__cause__
        else:
            return error


def _cause(error: BaseException) -> str:
    """The innermost reason in one line."""
    root = _root(error)
    return str(root).strip().split("\n")[0] or type(root).__name__
