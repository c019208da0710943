"""Where the status line gets its facts: the session's figures, the git branch, and the person's own command."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

from agent.cli.status import Status
from agent.core.git_head import head_file, read_branch
from agent.redaction.live import child_environment
from agent.ui.sanitize import clip
from agent.ui.status_line import Fragments, StatusFacts, custom_fragments, status_fragments

logger = logging.getLogger(__name__)

REFRESH_S = 2.0
TIMEOUT_S = 2.0
_MAX_BYTES = 4096
_MAX_CELLS = 500
_LAST_READ_S = 1.0
_FAILED = " !cmd"
Clock = Callable[[], float]


def facts(
    status: Status,
    *,
    window_tokens: int | None = None,
    git_branch: str | None = None,
    background: int = 0,
    queued: int = 0,
    saved: bool = True,
) -> StatusFacts:
    """The facts of a session. `window_tokens` is the model's context window, None if unknown; lines on their way into
    the running turn count as `queued` too."""
    now, budget = status.conversation, status.budget
    running = [item for item in status.work if not item.is_over and item.kind != "process"]
    here = sum(item.kind == "process" and not item.is_over for item in status.work)
    sandboxes = sum(item.kind == "sandbox" for item in running)
    prices = [item.usd_per_hour for item in running]
    used = min(now.prompt_tokens / window_tokens, 1.0) if window_tokens else None
    return StatusFacts(
        model=status.model_name,
        effort=status.reasoning_effort,
        mode=status.mode,
        context_used=used,
        cost_usd=now.cost_usd,
        cost_known=now.cost_known,
        unknown_usd=now.unknown_usd,
        cap_usd=budget.cap_usd,
        spent_usd=budget.spent_usd + budget.elsewhere_usd,
        jobs=len(running) - sandboxes,
        sandboxes=sandboxes,
        per_hour_usd=None if None in prices else sum(price for price in prices if price is not None),
        git_branch=git_branch,
        background=background + here,
        queued=queued + len(status.steering),
        title=now.title,
        saved=saved,
    )


# --- git -------------------------------------------------------------------------------------------------------------


class GitBranch:
    """The branch that is checked out in a workspace, read from git's own files without running git."""

    def __init__(self, workspace: Path, clock: Clock = time.monotonic) -> None:
        self.name: str | None = None
        """As of the last `refresh`: the branch, the beginning of the commit's id where none is, None outside git."""
        self._workspace = workspace
        self._clock = clock
        self._read_at: float | None = None
        self._seen: tuple[Path, int, int] | None = None

    async def refresh(self) -> bool:
        """Look again, if the last look is `REFRESH_S` ago. Whether the name is another one now. Never raises."""
        now = self._clock()
        if self._read_at is not None and now - self._read_at < REFRESH_S:
            return False
        self._read_at = now
        before = self.name
        await asyncio.to_thread(self._read)
        return self.name != before

    def _read(self) -> None:
        try:
            head = head_file(self._workspace)
            if head is None:
                self.name, self._seen = None, None
                return
            status = head.stat()
            seen = (head, status.st_mtime_ns, status.st_ino)  # git puts a new file in place of the old one
            if seen != self._seen:
                self.name = read_branch(head)
                self._seen = seen
        except (OSError, ValueError):  # unreadable, or just being replaced
            self.name, self._seen = None, None


# --- the person's own command -----------------------------------------------------------------------------------------


class StatusCommand:
    """The command whose first line of output stands in place of our status line.

    It gets the facts as a JSON object on stdin, runs in `cwd` with the person's environment without secrets, and has
    `timeout_s`. While it has not said anything yet, and when it fails, our own line is shown.
    """

    def __init__(
        self,
        command: str,
        environ: Mapping[str, str],
        cwd: Path,
        *,
        on_change: Callable[[], None] = lambda: None,
        on_problem: Callable[[str], None] = lambda sentence: None,
        clock: Clock = time.monotonic,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        """`on_change` is called when there is something else to show, `on_problem` once for each way it fails."""
        self.line: str | None = None
        """What it said last, harmless and on one line; None before that, and after a failure."""
        self.problem: str | None = None
        """Why its last run failed."""
        self._command = command
        self._environ = child_environment(environ)
        self._cwd = cwd
        self._on_change = on_change
        self._on_problem = on_problem
        self._told: set[str] = set()
        self._clock = clock
        self._timeout_s = timeout_s
        self._task: asyncio.Task[bool] | None = None
        self._started_at: float | None = None
        self._next: StatusFacts | None = None
        """The facts at the end of a turn that came while the command was running."""

    def update(self, facts: StatusFacts, turn_ended: bool = False) -> None:
        """Run the command if it last began `REFRESH_S` ago; at the end of a turn in any case. Returns at once."""
        if self._task is not None:
            self._next = facts if turn_ended else self._next
            return
        now = self._clock()
        if turn_ended or self._started_at is None or now - self._started_at >= REFRESH_S:
            self._start(facts)

    def fragments(self, facts: StatusFacts, width: int) -> Fragments:
        """The line to show: the command's, or our own, with a short mark if the command fails."""
        if self.line is not None:
            return custom_fragments(self.line, width)
        if self.problem is None or width < 2 * len(_FAILED):
            return status_fragments(facts, width)
        return [*status_fragments(facts, width - len(_FAILED)), ("class:status.warning", _FAILED)]

    async def close(self) -> None:
        """End the command if it is running."""
        self._next = None
        if (task := self._task) is not None:
            task.cancel()
            await asyncio.wait({task})

    def _start(self, facts: StatusFacts) -> None:
        self._started_at = self._clock()
        self._task = asyncio.create_task(self._run(facts))
        self._task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[bool]) -> None:
        self._task = None
        if (facts := self._next) is not None:
            self._next = None
            self._start(facts)
        if task.cancelled():
            return
        if (error := task.exception()) is not None:
            logger.error("the status command", exc_info=error)
        elif task.result():
            self._on_change()

    async def _run(self, facts: StatusFacts) -> bool:
        """Whether there is something else to show now."""
        before = (self.line, self.problem)
        try:
            self.line, self.problem = await self._output(json.dumps(asdict(facts) | {"cwd": str(self._cwd)})), None
        except (OSError, ValueError) as error:
            self.line, self.problem = None, str(error) or "it did not end in time"
            if self.problem not in self._told:
                self._told.add(self.problem)
                logger.warning("the status command failed: %s", self.problem)
                self._on_problem(
                    f"Your status_line_command fails ({clip(self.problem, 200)}): mend it in the settings."
                )
        return (self.line, self.problem) != before

    async def _output(self, data: str) -> str:
        """The first line of what the command prints. Raises OSError (TimeoutError is one) or ValueError."""
        starting = asyncio.ensure_future(
            asyncio.create_subprocess_shell(
                self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                cwd=self._cwd,
                env=self._environ,
                start_new_session=True,  # it neither reads the keyboard nor hears Ctrl-C, and ends with all it started
            )
        )
        try:
            process = await asyncio.shield(starting)
        except asyncio.CancelledError:  # it may run already, and asyncio would end it without its children
            await _kill(await starting)
            raise
        try:
            async with asyncio.timeout(self._timeout_s):
                printed = await _talk(process, data.encode("utf-8", "replace"))
                code = await process.wait()
        finally:
            await _kill(process)
        if code != 0:
            raise ValueError(f"exit code {code}")
        line = clip(printed.decode("utf-8", "replace").lstrip("\n").partition("\n")[0], _MAX_CELLS)
        if not line:
            raise ValueError("it printed nothing")
        return line


async def _talk(process: asyncio.subprocess.Process, data: bytes) -> bytes:
    """Write to the process, read the beginning of what it prints, and drop the rest."""
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(ConnectionError):  # it need not read
        process.stdin.write(data)
        await process.stdin.drain()
    process.stdin.close()
    printed = b""
    while chunk := await process.stdout.read(_MAX_BYTES):
        printed += chunk[: _MAX_BYTES - len(printed)]
    return printed


async def _kill(process: asyncio.subprocess.Process) -> None:
    """End the process and all it started, and read what is left of its output: until then it is not over for us."""
    has_ended = process.returncode is not None
    assert process.stdout is not None
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)  # also where the shell itself is over: it may have left something
        elif not has_ended:
            process.kill()
    if has_ended:
        return
    with contextlib.suppress(TimeoutError):  # a child of its own session may hold the output open for ever
        async with asyncio.timeout(_LAST_READ_S):
            while await process.stdout.read(_MAX_BYTES):
                pass
            await process.wait()
