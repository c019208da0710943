"""Processes of this machine: which one is which, and all that belong to a piece of work, to be ended together.

Standard library only and quick to import: the supervisor of local work (`local_runner`) is made of it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from agent.light_dataclass import dataclass

_STEP_S = 0.01
_KILL_ROUNDS = 200


def start_of(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None if there is none. 0 where /proc is missing."""
    try:
        fields = _stat_fields(pid)
    except FileNotFoundError:
        return None if Path("/proc/self/stat").exists() else _alive_without_proc(pid)
    except OSError:
        return None
    return int(fields[19]) if len(fields) > 19 and fields[0] not in (b"Z", b"X") else None


def boot_id() -> str:
    """What tells this run of the machine from others; empty where it does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""


@dataclass(frozen=True, slots=True)
class ProcessTree:
    """The processes of one piece of work: the session of `leader`, and whatever else has `mark` in its environment.

    `started` is the leader's `start_of`, so that another process that got its number later is left alone. `mark` is
    `NAME=value`; it finds what made a session of its own, as workers of torchrun do. What has cleared its environment
    as well gets away. Where /proc is missing, the leader's process group is all that can be found.
    """

    leader: int
    started: int
    mark: str

    def members(self) -> list[int]:
        """Ids of those that live. Blocking."""
        found = session_members(self.leader) if start_of(self.leader) in (self.started, None) else []
        marked = [pid for pid, _command in marked_processes(self.mark) if pid != os.getpid()]
        return list(dict.fromkeys([*found, *marked]))

    def end(self, grace_s: float) -> list[int]:
        """TERM to all, KILL to what is left after `grace_s`; returns what is there still. Blocking, ~2 s longer."""
        return end_processes(self.members, grace_s)


def session_members(session_id: int) -> list[int]:
    """Ids of the living (not zombie) processes of a session. Where /proc is missing: the group leader, if it lives."""
    pids = _all_process_ids()
    if not pids:
        return [session_id] if _group_lives(session_id) else []
    return [pid for pid in pids if _session_of_living(pid) == session_id]


def marked_processes(mark: str) -> list[tuple[int, str]]:
    """Id and command line of the living processes whose environment has `mark` (`NAME=value`). Blocking.

    Empty where /proc is missing. A process that has overwritten its environment is not found.
    """
    wanted, found = mark.encode(), []
    for pid in _all_process_ids():
        with contextlib.suppress(OSError):  # another user's, or gone
            if wanted in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0") and _session_of_living(pid) is not None:
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                found.append((pid, b" ".join(words).decode("utf-8", "replace").strip()))
    return found


def end_session(session_id: int, grace_s: float) -> list[int]:
    """TERM to every process of the session, KILL to what is left after `grace_s`; returns what is there still.
    Blocking."""
    return end_processes(lambda: session_members(session_id), grace_s, group=session_id)


def end_processes(members: Callable[[], list[int]], grace_s: float, *, group: int | None = None) -> list[int]:
    """End whatever `members` tells of: TERM, a grace, KILL. Returns what is there still. Blocking, ~2 s longer.

    `group` is killed as one before its members are: what forks all the time would get ahead of them.
    """
    deadline = time.monotonic() + grace_s
    for pid in members():  # each once, not the group as well: some take a second TERM as "at once"
        _send(pid, signal.SIGTERM)
        _send(pid, signal.SIGCONT)  # a stopped process sees TERM only when it goes on
    while (left := members()) and time.monotonic() < deadline:
        time.sleep(_STEP_S)
    for _ in range(_KILL_ROUNDS):  # several, because a member may fork while the list is being read
        if not left:
            break
        if group is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGKILL)
        for pid in left:
            _send(pid, signal.SIGKILL)
        time.sleep(_STEP_S)
        left = members()
    return left


def _stat_fields(pid: int) -> list[bytes]:
    """State, parent, group, session, …: what follows "pid (name)", whose name may hold spaces and parentheses."""
    line = Path(f"/proc/{pid}/stat").read_bytes()
    return line[line.rfind(b")") + 2 :].split()


def _session_of_living(pid: int) -> int | None:
    try:
        fields = _stat_fields(pid)
    except OSError:
        return None
    return None if len(fields) < 4 or fields[0] in (b"Z", b"X") else int(fields[3])


def _all_process_ids() -> list[int]:
    """Empty where /proc is missing."""
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdecimal()]  # noqa: PTH208 - names, and quick
    except OSError:
        return []


def _alive_without_proc(pid: int) -> int | None:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        return 0
    return 0


def _group_lives(group_id: int) -> bool:
    try:
        os.killpg(group_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if Path("/proc/self/stat").exists():
            os.kill(pid, number)
        else:
            os.killpg(pid, number)
