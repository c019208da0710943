"""A child process in a session of its own: watched while it runs, and ended together with all it started.

The session, not only the process group, is what gets ended: `timeout 60 python train.py` inside a script puts itself
into a new group, and a signal to the shell's group would miss it. Only a process that calls setsid() itself gets away.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

from agent.compute.processes import end_session, marked_processes
from agent.light_dataclass import dataclass

SESSION_VARIABLE = "ML_INTERN_SESSION"
"""In the environment of child processes: tells which session of ours they belong to."""

POLL_S = 0.1
CANCEL_GRACE_S = 0.25
STOP_GRACE_S = 2.0
_NAMED_COMMAND_CHARS = 200

EndKind = Literal["exited", "timed_out", "flooded"]


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended. `returncode` is the shell's, negative for a signal; None if it could not even be killed."""

    kind: EndKind
    returncode: int | None
    session_id: int


async def run_in_session(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    output_fd: int,
    timeout_s: float,
    max_output_bytes: int,
) -> Ending:
    """Run `argv` with stdout and stderr going to the file `output_fd`, until it exits, times out or floods the file.

    Returns as soon as the process itself is over; what it left in the background goes on. On timeout and flood all of
    its session is ended (TERM, a grace, KILL). On cancellation too, within 0.5 s, and CancelledError is raised.
    Raises OSError or ValueError if the process cannot be started.
    """
    process = await _start(argv, cwd, env, output_fd)
    try:
        kind = await _watch(process, output_fd, timeout_s, max_output_bytes)
    except BaseException:
        await _end(process, CANCEL_GRACE_S)
        raise
    # A flood is stopped fast: what ignores TERM would go on writing.
    if kind != "exited" and await _end(process, STOP_GRACE_S if kind == "timed_out" else CANCEL_GRACE_S):
        raise asyncio.CancelledError
    return Ending(kind, process.returncode, process.pid)


async def _start(argv: Sequence[str], cwd: Path, env: Mapping[str, str], output_fd: int) -> asyncio.subprocess.Process:
    starting = asyncio.ensure_future(
        asyncio.create_subprocess_exec(
            *argv,
            cwd=cwd,
            env=dict(env),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output_fd,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
    )
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        # The process may exist already, and have children: asyncio would kill the process alone.
        await _settle(starting)
        if not starting.cancelled() and starting.exception() is None:
            await _end(starting.result(), CANCEL_GRACE_S)
        raise


async def _watch(
    process: asyncio.subprocess.Process, output_fd: int, timeout_s: float, max_output_bytes: int
) -> EndKind:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    waiter = asyncio.ensure_future(process.wait())
    try:
        while True:
            left_s = deadline - loop.time()
            await asyncio.wait({waiter}, timeout=max(0.0, min(POLL_S, left_s)))
            if waiter.done():
                return "exited"
            if os.fstat(output_fd).st_size > max_output_bytes:  # an open file: nothing here can block the loop
                return "flooded"
            if left_s <= 0:
                return "timed_out"
    finally:
        waiter.cancel()


async def _end(process: asyncio.subprocess.Process, grace_s: float) -> bool:
    """End the process's session whatever cancellations arrive meanwhile. Returns whether one did."""
    cancelled = await end_all(process.pid, grace_s)
    reaped = asyncio.ensure_future(process.wait())
    timer = asyncio.ensure_future(asyncio.wait({reaped}, timeout=POLL_S))
    cancelled = await _settle(timer) or cancelled
    reaped.cancel()
    return cancelled


async def end_all(session_id: int, grace_s: float) -> bool:
    """`end_session` without blocking the loop; goes on through cancellations, and returns whether there was one."""
    # A thread of its own: the shared ones may all be busy, and the end must not wait for them.
    own_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="end-session")
    ending = asyncio.get_running_loop().run_in_executor(own_thread, end_session, session_id, grace_s)
    own_thread.shutdown(wait=False)
    return await _settle(ending)


async def _settle(future: asyncio.Future[Any]) -> bool:
    """Wait until `future` is done, cancelled or not. Returns whether the waiting task was cancelled meanwhile."""
    cancelled = False
    while not future.done():
        try:
            await asyncio.wait({future})
        except asyncio.CancelledError:
            cancelled = True
    return cancelled


# --- what is left of commands ---------------------------------------------------------------------------------------


def still_running(session_id: str) -> tuple[str, ...]:
    """The processes that commands of one of our sessions have left running, in words. Blocking; () without /proc."""
    found = marked_processes(f"{SESSION_VARIABLE}={session_id}")
    return tuple(f"process {pid}: {command[:_NAMED_COMMAND_CHARS]}" for pid, command in found)


def holds_file(pid: int, file: os.stat_result) -> bool:
    """Whether the stdout or stderr of `pid` is `file`; True where that cannot be told for want of /proc."""
    if not Path("/proc/self/fd").exists():
        return True
    for number in (1, 2):
        with contextlib.suppress(OSError):
            found = Path(f"/proc/{pid}/fd/{number}").stat()
            if (found.st_dev, found.st_ino) == (file.st_dev, file.st_ino):
                return True
    return False
