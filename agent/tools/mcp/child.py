"""A server that is a program on this machine, spoken to through its stdin and stdout: one JSON message per line.

In place of fastmcp's own transport, because that one keeps servers alive behind our back, may take six seconds to end
them, and sends what they print to the terminal.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import anyio
from fastmcp.client.transports.base import ClientTransport, TransportOptions
from mcp import ClientSession
from mcp.shared.message import SessionMessage

from agent.compute.processes import end_session
from agent.protocol.private_files import make_private_dir
from agent.redaction.live import LiveSecrets
from agent.redaction.redactor import RedactionError, Redactor
from agent.tools.mcp.messages import LARGE_BYTES, MAX_MESSAGE_BYTES, parsed, too_large

logger = logging.getLogger(__name__)

EXIT_PATIENCE_S = 0.5
"""How long a server may take to go by itself once its stdin is closed."""
TERM_PATIENCE_S = 0.3
MAX_LOG_BYTES = 2 << 20
_READ_BYTES = 1 << 16
LOG_PATIENCE_S = 0.3
"""How long the rest of what a program has printed is waited for once it has ended."""
_DEATH_SIGNAL = ("--pdeathsig", "TERM", "--")


class ChildTransport(ClientTransport):
    """Starts the program for each connection, in a session of its own, and ends all of that with the connection."""

    def __init__(
        self, command: str, args: Sequence[str], *, env: Mapping[str, str], cwd: Path, log_path: Path | None
    ) -> None:
        """`env` is the whole environment. What the program prints to stderr goes to `log_path`, without the secrets of
        its environment and what looks like one."""
        self._argv = (command, *args)
        self._env = dict(env)
        self._cwd = cwd
        self._log_path = log_path
        self._log_start = 0
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        """Writes the log."""
        self.fault = ""
        """Why nothing more is heard of the program, if that is our decision."""
        self.stray = ""
        """The first line on its stdout that was no message."""
        self._is_ended = False

    def __repr__(self) -> str:
        return f"<ChildTransport({Path(self._argv[0]).name!r})>"

    @property
    def has_ended(self) -> bool:
        """Whether the program was started and is not running any more."""
        return self._process is not None and self._process.returncode is not None

    @property
    def exit_code(self) -> int | None:
        """The exit code of the program; negative for a signal, None while it runs, or if the signal was ours."""
        code = None if self._process is None else self._process.returncode
        return None if self._is_ended and code in (-signal.SIGTERM, -signal.SIGKILL) else code

    async def ended_within(self, patience_s: float) -> bool:
        """Whether the program has ended, or does so within `patience_s`."""
        if self._process is not None and not self.has_ended:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), patience_s)
        if self.has_ended and self._keeper is not None:
            await asyncio.wait({self._keeper}, timeout=LOG_PATIENCE_S)
        return self.has_ended

    def last_words(self, lines: int = 6) -> str:
        """The end of what the program has printed to stderr since it was started. Blocking."""
        if self._log_path is None:
            return ""
        try:
            with self._log_path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(self._log_start if self._log_start <= size else 0, size - 4_000))
                text = file.read(4_000).decode("utf-8", "replace")
        except OSError:
            return ""
        return "\n".join(text.strip().splitlines()[-lines:])

    @contextlib.asynccontextmanager
    async def connect_session(
        self, *, transport_options: TransportOptions | None = None, **session_kwargs: Any
    ) -> AsyncIterator[ClientSession]:
        """A session with the program, which runs as long as the block does. Raises OSError if it cannot be started."""
        options = transport_options or TransportOptions()
        process = await self._start()
        try:
            async with (
                self._streams(process) as (incoming, outgoing),
                options.session_class(incoming, outgoing, **session_kwargs) as session,
            ):
                yield session
        finally:
            self._is_ended = process.returncode is None
            try:
                await _end(process)
                if self._keeper is not None:
                    await asyncio.wait({self._keeper}, timeout=LOG_PATIENCE_S)
            finally:
                if self._keeper is not None:
                    self._keeper.cancel()

    async def _start(self) -> asyncio.subprocess.Process:
        log = await asyncio.to_thread(self._open_log)
        is_kept = False
        try:
            process = await asyncio.create_subprocess_exec(
                *await asyncio.to_thread(_ending_with_us, self._argv, self._env),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL if log is None else asyncio.subprocess.PIPE,
                env=self._env,
                cwd=self._cwd,
                start_new_session=True,  # Ctrl-C at the terminal is not for it
            )
            if log is not None:
                self._keeper = asyncio.create_task(self._keep_log(process, log), name="the log of an MCP server")
                is_kept = True
        finally:
            if log is not None and not is_kept:
                os.close(log)
        self._process = process
        return process

    async def _keep_log(self, process: asyncio.subprocess.Process, log: int) -> None:
        """Write what the program prints to stderr, redacted, until there is no more of it; then close `log`."""
        assert process.stderr is not None
        redactor = Redactor(LiveSecrets(self._env))
        rest = b""
        try:
            while chunk := await process.stderr.read(_READ_BYTES):
                lines, end, rest = (rest + chunk).rpartition(b"\n")
                if len(rest) > _READ_BYTES:
                    lines, end, rest = rest, b"", b""
                if lines or end:
                    await asyncio.to_thread(_write, log, redactor, lines + end)
            if rest:
                await asyncio.to_thread(_write, log, redactor, rest)
        finally:
            os.close(log)

    def _open_log(self) -> int | None:
        """A descriptor for what the program prints; None if there can be none."""
        if self._log_path is None:
            return None
        try:
            make_private_dir(self._log_path.parent)
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
            log = os.open(self._log_path, flags, 0o600)
        except OSError:
            logger.warning("no log for an MCP server at %s", self._log_path, exc_info=True)
            return None
        self._log_start = os.fstat(log).st_size
        if self._log_start > MAX_LOG_BYTES:
            os.ftruncate(log, 0)
            self._log_start = 0
        return log

    def trim_log(self) -> None:
        """Empty the log if it has grown too long. Blocking; safe while the program runs, which only appends."""
        if self._log_path is not None:
            with contextlib.suppress(OSError):
                if self._log_path.stat().st_size > MAX_LOG_BYTES:
                    os.truncate(self._log_path, 0)
                    self._log_start = 0

    @contextlib.asynccontextmanager
    async def _streams(self, process: asyncio.subprocess.Process) -> AsyncIterator[tuple[Any, Any]]:
        """What the program says and what it is told, as streams of messages."""
        said, incoming = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        outgoing, told = anyio.create_memory_object_stream[SessionMessage](0)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._listen, process, said)
            tasks.start_soon(_talk, process, told, said)
            try:
                yield incoming, outgoing
            finally:
                tasks.cancel_scope.cancel()
                for stream in (said, incoming, outgoing, told):
                    stream.close()

    async def _listen(self, process: asyncio.subprocess.Process, said: Any) -> None:
        """Pass on the program's messages until it says no more. What is no message is only logged."""
        assert process.stdout is not None
        pieces: list[bytes] = []
        size = 0
        with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            while chunk := await process.stdout.read(_READ_BYTES):
                *ends, rest = chunk.split(b"\n")
                for end in ends:
                    await self._pass_on(b"".join((*pieces, end)), said)
                    pieces, size = [], 0
                pieces.append(rest)
                size += len(rest)
                if size > MAX_MESSAGE_BYTES:
                    self.fault = f"it sent {too_large()}"
                    logger.warning("an MCP server sent %s; it is cut off", too_large())
                    break
        said.close()  # whoever waits for an answer hears that there will be none

    async def _pass_on(self, line: bytes, said: Any) -> None:
        if not line.strip():
            return
        try:
            message = parsed(line) if len(line) <= LARGE_BYTES else await asyncio.to_thread(parsed, line)
        except ValueError:
            self.stray = self.stray or line[:200].decode("utf-8", "replace").strip()
            logger.info("an MCP server printed something that is no message: %r", line[:200])
            return
        await said.send(SessionMessage(message))


def _redacted(redactor: Redactor, data: bytes) -> bytes:
    try:
        return redactor.text(data.decode("utf-8", "replace")).encode("utf-8", "replace")
    except RedactionError:
        return b"(lines that could not be redacted; they are left out)\n"


def _write(log: int, redactor: Redactor, data: bytes) -> None:
    """Blocking. A full disk must not end the server."""
    with contextlib.suppress(OSError):
        os.write(log, _redacted(redactor, data))


def _ending_with_us(argv: Sequence[str], env: Mapping[str, str]) -> Sequence[str]:
    """`argv` so that it is ended when we are killed and can end nothing; only where Linux has the tool for it. A server
    that reads its stdin goes by itself then."""
    setpriv = shutil.which("setpriv") if sys.platform == "linux" else None
    is_there = shutil.which(argv[0], path=env.get("PATH")) is not None  # else it is for us to say that it is not
    if setpriv is None or not is_there or not _can_set(setpriv):
        return argv
    return (setpriv, *_DEATH_SIGNAL, *argv)


@cache
def _can_set(setpriv: str) -> bool:
    """Whether this `setpriv` knows the option: that of busybox and older ones do not. Blocking, the first time."""
    try:
        tried = subprocess.run(
            [setpriv, *_DEATH_SIGNAL, "true"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=5.0,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return tried.returncode == 0


async def _talk(process: asyncio.subprocess.Process, told: Any, said: Any) -> None:
    """Pass our messages on to the program."""
    assert process.stdin is not None
    try:
        async for item in told:
            text = item.message.model_dump_json(by_alias=True, exclude_unset=True)
            process.stdin.write(_one_line(text).encode("utf-8", "replace") + b"\n")
            await process.stdin.drain()
    except (OSError, anyio.ClosedResourceError, anyio.BrokenResourceError):
        said.close()  # it does not listen any more


def _one_line(text: str) -> str:
    return re.sub(r"[\r\n]", " ", text)


async def _end(process: asyncio.subprocess.Process) -> None:
    """End the program and all that it has started, in about a second; at once if we are being cancelled."""
    try:
        with anyio.CancelScope(shield=True):
            if process.stdin is not None:
                process.stdin.close()
            await _gone(process)
            left = await asyncio.to_thread(end_session, process.pid, TERM_PATIENCE_S)
            if left:
                logger.warning("processes of an MCP server do not end: %s", left)
            await _gone(process)
    except asyncio.CancelledError:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        raise
    finally:
        transport = getattr(process, "_transport", None)  # a grandchild that got away may hold the pipes open
        if transport is not None:
            with contextlib.suppress(PermissionError, ProcessLookupError):
                transport.close()


async def _gone(process: asyncio.subprocess.Process) -> None:
    """Wait a little for the end of the program."""
    if process.returncode is None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), EXIT_PATIENCE_S)
