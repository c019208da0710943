"""Who is left behind: the processes that a command under test started, found through /proc (Linux only).

Every command is started with a random TEST_RUN_ID in its environment. Its descendants inherit that, whatever process
group or session they move to and whoever becomes their parent; a child with an emptied environment is still found by
its session, its group, or its parents.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

COMMAND: tuple[str, ...] = (str(Path(sys.executable).parent / "ml-intern"),)
"""The command under test, as the environment of the tests has it installed."""

RUN_ID_VARIABLE = "TEST_RUN_ID"

_POLL_S = 0.01


@dataclass(frozen=True, slots=True)
class Process:
    """A live process (zombies are not listed). `command` is its command line in one text."""

    pid: int
    parent_pid: int
    group_id: int
    session_id: int
    command: str
    run_id: str | None


def with_run_id(env: Mapping[str, str]) -> dict[str, str]:
    """A copy of `env` with a fresh run id."""
    return {**env, RUN_ID_VARIABLE: uuid.uuid4().hex}


def processes_of(run_id: str, leader_pid: int) -> list[Process]:
    """All live processes of a run, except its leader, who has its own session."""
    alive = {process.pid: process for pid in _pids() if (process := _read(pid)) is not None}
    own = {
        process.pid
        for process in alive.values()
        if process.run_id == run_id or leader_pid in (process.pid, process.group_id, process.session_id)
    }
    while more := {process.pid for process in alive.values() if process.parent_pid in own} - own:
        own |= more
    return [alive[pid] for pid in sorted(own - {leader_pid, os.getpid()})]


def kill_run(run_id: str, leader_pid: int) -> None:
    """Kill the leader's group, and whatever else the run has left."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader_pid, signal.SIGKILL)
    for process in processes_of(run_id, leader_pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)


def wait_until(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Ask again and again, for what nobody announces. Returns whether the condition came true in time."""
    deadline = time.monotonic() + timeout_s
    never = threading.Event()
    while not condition():
        if time.monotonic() >= deadline:
            return False
        never.wait(_POLL_S)
    return True


def occurrences(pattern: str | re.Pattern[str], text: str) -> int:
    """How often a text, or a regular expression, occurs. A str counts as it stands, or else as an expression."""
    if isinstance(pattern, str):
        if pattern in text:
            return text.count(pattern)
        try:
            pattern = re.compile(pattern)
        except re.error:
            return 0
    return sum(1 for _ in pattern.finditer(text))


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _read(pid: int) -> Process | None:
    """A live process, or None if it is gone, a zombie, or someone else's."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return None
    # The name in parentheses may contain anything; what follows the last one is regular.
    state, parent, group, session = stat.rpartition(")")[2].split()[:4]
    if state in "ZX":
        return None
    marker = f"{RUN_ID_VARIABLE}=".encode()
    run_id = next((value[len(marker) :].decode() for value in variables if value.startswith(marker)), None)
    return Process(pid, int(parent), int(group), int(session), command, run_id)
