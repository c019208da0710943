"""Running a command for `bash`: in a session of its own, with its output in a file."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import logging
import os
import shutil
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from agent.compute.processes import session_members
from agent.light_dataclass import dataclass
from agent.protocol.private_files import make_private_dir
from agent.protocol.tools import ToolResult, ToolSession
from agent.tools.arguments import ArgumentError, int_argument, text_argument
from agent.tools.bash_tool import DEFAULT_TIMEOUT_S, MAX_TIMEOUT_S
from agent.tools.files import describe_os_error
from agent.tools.live_output import live_output
from agent.tools.output import create_spill_file, prune_spills, scrub_file
from agent.tools.printed import COUNTED_BYTES, NO_OUTPUT, exit_note, read_printed
from agent.tools.process_session import CANCEL_GRACE_S, Ending, end_all, holds_file, run_in_session

logger = logging.getLogger(__name__)
MIN_OUTPUT_FILE_BYTES = 1 << 20
BACKGROUND_POLL_S = 1.0
SETTLE_S = 0.2
_PROBE_BYTES = 16 << 10


@dataclass(frozen=True, slots=True)
class _Request:
    command: str
    work_dir: Path
    timeout_s: int
    note: str


class Shell:
    """Runs commands, with the tasks that watch the output of background children."""

    def __init__(self, max_output_file_bytes: int) -> None:
        self._max_bytes = max_output_file_bytes
        self._watchers: set[asyncio.Task[None]] = set()

    async def run(self, arguments: dict[str, Any], session: ToolSession, tool_call_id: str) -> ToolResult:
        """Run the command. On cancellation nothing of it is left running, and what it has printed is not lost."""
        try:
            request, directory, limit = await asyncio.to_thread(self._prepared, arguments, session)
            # Two open() on the loop: handed to a thread, a cancellation could lose the descriptors.
            output = _Output.create(directory)
        except ArgumentError as error:
            return ToolResult(str(error), ok=False)
        except OSError as error:
            place = Path(error.filename) if isinstance(error.filename, str) else session.spill_dir
            return ToolResult(describe_os_error(error, place, "keep the command's output in"), ok=False)
        keep, path = False, output.path
        try:
            async with live_output("bash", tool_call_id, path, session):
                ending = await _run(request, session.child_env, output, limit)
            if isinstance(ending, str):
                return ToolResult(ending, ok=False)
            report = await _reported(ending, output.reader, path, session.scrub)
            is_full = _is_full(output.reader)
            keep = report.keeps_file
        except asyncio.CancelledError:
            printed = read_printed(output.reader, session.scrub)
            if keep := printed.is_cut:
                # Not waited for: it may take seconds, and the person wants it stopped now.
                asyncio.get_running_loop().run_in_executor(None, _scrubbed, path, session.scrub)
            if printed.text != NO_OUTPUT:
                session.keep_partial(tool_call_id, printed.so_far(path))
            raise
        finally:
            os.close(output.reader)
            if not keep:
                path.unlink(missing_ok=True)
        if report.has_writers:
            self._follow(ending.session_id, path, limit)
        notes = _notes(ending, request, limit, printed=report.text != NO_OUTPUT)
        if is_full:
            notes.insert(0, f"[The disk with {path.parent} is full: what was printed may be lost. Free some space.]")
        notes += [request.note] * bool(request.note)
        display = "\n".join([report.display, *notes]) if report.display else None
        text = "\n".join([report.text, *notes])
        return ToolResult(text, ok=ending.kind == "exited" and ending.returncode == 0, display=display)

    def _prepared(self, arguments: Mapping[str, Any], session: ToolSession) -> tuple[_Request, Path, int]:
        """What is to run, the directory for its output, and how many bytes that may get. Blocking."""
        return _parse(arguments, session.workspace), *_prepare(session.spill_dir, self._max_bytes)

    def _follow(self, session_id: int, path: Path, limit: int) -> None:
        """Keep background children from filling the disk, for as long as this program runs."""
        task = asyncio.get_running_loop().create_task(_watch_background(session_id, path, limit))
        self._watchers.add(task)
        task.add_done_callback(self._watchers.discard)


@dataclass(frozen=True, slots=True)
class _Output:
    """The file that a command prints to. `writer` is the command's, and closed when that is over, so that from then on
    only what it has left behind has the file open for writing; `reader` is ours."""

    writer: int
    reader: int
    path: Path

    @classmethod
    def create(cls, directory: Path) -> _Output:
        """A new empty file. Raises OSError."""
        writer, path = create_spill_file(directory, "bash")
        try:
            return cls(writer, os.open(path, os.O_RDONLY | os.O_CLOEXEC), path)
        except OSError:
            os.close(writer)
            path.unlink(missing_ok=True)
            raise


async def _run(request: _Request, env: Mapping[str, str], output: _Output, limit: int) -> Ending | str:
    """The ending of the command, or what kept it from starting."""
    try:
        return await run_in_session(
            [_shell(), "-c", request.command],
            cwd=request.work_dir,
            env=env,
            output_fd=output.writer,
            timeout_s=request.timeout_s,
            max_output_bytes=limit,
        )
    except OSError as error:
        if error.errno == errno.E2BIG:
            size = len(request.command.encode("utf-8", "replace"))
            return f"The command ({size:,} bytes) is longer than the system takes. Write it to a file and run that."
        return describe_os_error(error, request.work_dir, "start the command in")
    except ValueError as error:  # a NUL byte or a lone surrogate
        return f"The command cannot be passed to a shell: {error}."
    finally:
        os.close(output.writer)


# --- before ----------------------------------------------------------------------------------------------------------


def _parse(arguments: Mapping[str, Any], workspace: Path) -> _Request:
    command = text_argument(arguments, "command")
    if not command.strip():
        raise ArgumentError("`command` is empty.")
    timeout_s = int_argument(arguments, "timeout", DEFAULT_TIMEOUT_S, minimum=1)
    note = f"[timeout lowered from {timeout_s} to the most allowed, {MAX_TIMEOUT_S} s]" * (timeout_s > MAX_TIMEOUT_S)
    raw = arguments.get("work_dir") or "."
    if not isinstance(raw, str) or "\0" in raw:
        raise ArgumentError("`work_dir` must be the path of a directory.")
    work_dir = workspace / Path(os.path.expanduser(raw))  # noqa: PTH111 - Path's raises for an unknown user
    if not work_dir.is_dir():
        what = "is not a directory" if work_dir.exists() else "does not exist"
        raise ArgumentError(f"Cannot run in {work_dir}: it {what}.")
    return _Request(command, work_dir, min(timeout_s, MAX_TIMEOUT_S), note)


def _prepare(spill_dir: Path, max_bytes: int) -> tuple[Path, int]:
    """The directory for the output file, and how many bytes it may get. Raises OSError naming the last one tried."""
    try:
        make_private_dir(spill_dir)
        prune_spills(spill_dir)
        _try_writing(spill_dir)
    except OSError as error:
        # Without bash the agent could not even find out what is wrong with the disk.
        logger.warning("cannot use %s for output, taking the temp directory: %s", spill_dir, error)
        # Not tempfile.gettempdir(): where all is full it takes the workspace, or says that there is no such file.
        spill_dir = Path(os.environ.get("TMPDIR") or "/tmp")
        _try_writing(spill_dir)
    return spill_dir, min(max_bytes, max(MIN_OUTPUT_FILE_BYTES, shutil.disk_usage(spill_dir).free // 2))


def _try_writing(directory: Path) -> None:
    """Raises OSError, with `directory` as its file name, unless a file there takes some output."""
    path: Path | None = None
    try:
        descriptor, path = create_spill_file(directory, "probe")
        try:
            left = _PROBE_BYTES
            while left > 0:
                left -= os.write(descriptor, b"\0" * left)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(directory)) from error
    finally:
        if path:
            path.unlink(missing_ok=True)


def _shell() -> str:
    return "/bin/bash" if Path("/bin/bash").exists() else shutil.which("bash") or "/bin/sh"


# --- after -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Report:
    """What the result says of the output; `display` is for the person, where the model is not shown all of it."""

    text: str
    display: str | None
    keeps_file: bool
    has_writers: bool


async def _reported(ending: Ending, reader: int, path: Path, scrub: Callable[[str], str]) -> _Report:
    """What the command printed. If cancelled now, after the shell's end, its background children are ended too."""
    try:
        return await asyncio.to_thread(_report, ending, reader, path, scrub)
    except asyncio.CancelledError:
        await end_all(ending.session_id, CANCEL_GRACE_S)
        raise


def _report(ending: Ending, reader: int, path: Path, scrub: Callable[[str], str]) -> _Report:
    printed = read_printed(reader, scrub, COUNTED_BYTES)
    if ending.kind == "exited" and _background_writers(ending, reader):
        text = f"{printed.for_model(path)}\n[Background processes go on; what they print is added to {path}]"
        # their file cannot be replaced under their hands
        return _Report(text, printed.for_person(path), keeps_file=True, has_writers=True)
    trouble = _scrubbed(path, scrub) if printed.is_cut else ""
    kept = None if trouble else path
    display = printed.for_person(kept, trouble)
    return _Report(printed.for_model(kept, trouble), display, printed.is_cut and not trouble, has_writers=False)


def _scrubbed(path: Path, scrub: Callable[[str], str]) -> str:
    """Rid a kept file of secrets. Blocking. Returns why that failed, so that the file is gone; else nothing."""
    try:
        scrub_file(path, scrub)
    except OSError as error:
        logger.warning("cannot keep %s: %s", path, error)
        return error.strerror or str(error)
    return ""


def _is_full(reader: int) -> bool:
    """Whether the disk with the output has no room left, so that the command could not print."""
    system = os.fstatvfs(reader)
    return system.f_blocks > 0 and system.f_bavail == 0


def _notes(ending: Ending, request: _Request, limit: int, *, printed: bool) -> list[str]:
    if ending.kind == "timed_out":
        so_far = "above is what it had printed" if printed else "it had printed nothing"
        return [
            f"[Timed out after {request.timeout_s} s: the command and its children were ended; {so_far}. Give a "
            f"larger `timeout` (up to {MAX_TIMEOUT_S}), or start it in the background "
            "(nohup COMMAND > run.log 2>&1 &) and look at its log.]"
        ]
    if ending.kind == "flooded":
        return [
            f"[Ended because it had printed more than {limit:,} bytes. Send long output to a file of its own, or "
            "filter it.]"
        ]
    return [exit_note(ending.returncode)] if ending.returncode else []


def _is_written_by_nobody(reader: int) -> bool:
    """Whether no process has the file open for writing. The kernel knows it at once, where looking through all
    processes takes milliseconds: only then it gives a read lease. False where it does not tell."""
    try:
        fcntl.fcntl(reader, fcntl.F_SETSIG, signal.SIGURG)  # if somebody opens it right now: one that is ignored
        fcntl.fcntl(reader, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(reader, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except (OSError, AttributeError):  # somebody has, or this is no Linux, or a file system without leases
        return False
    return True


def _background_writers(ending: Ending, reader: int) -> bool:
    """Whether the shell left processes behind that print to our file. Blocking."""
    if _is_written_by_nobody(reader):
        return False
    file = os.fstat(reader)
    deadline = time.monotonic() + SETTLE_S
    while any(holds_file(pid, file) for pid in session_members(ending.session_id)):
        if time.monotonic() > deadline:
            return True
        time.sleep(SETTLE_S / 10)  # `cmd > log &`: the shell may be over before its child has opened the log
    return False


async def _watch_background(session_id: int, path: Path, limit: int) -> None:
    while await asyncio.to_thread(session_members, session_id):
        with contextlib.suppress(OSError):
            if path.stat().st_size > limit:  # noqa: ASYNC240 - one stat
                logger.warning("ending the background processes of session %d: their output fills %s", session_id, path)
                await end_all(session_id, CANCEL_GRACE_S)
                return
        await asyncio.sleep(BACKGROUND_POLL_S)
