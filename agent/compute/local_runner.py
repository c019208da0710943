"""The supervisor of one piece of local work: a small process of its own, which outlives the program that started it.

It is handed its order (command, environment, time limit) on stdin, so that no secret is in a file or an argv. In the
directory of the work it keeps

    process.json  who runs, written before the command does
    output.log    all that the command prints
    exit.json     how it ended
    canceled      made by whoever cancels it: what has not begun by then never does

Standard library and `agent.compute.processes` only: it starts in a moment, and needs no installed package.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

from agent.compute.processes import ProcessTree, boot_id, start_of

PROCESS_FILE = "process.json"
OUTPUT_FILE = "output.log"
EXIT_FILE = "exit.json"
CANCELED_FILE = "canceled"
WORK_VARIABLE = "ML_INTERN_WORK"
"""In the environment of the work and its children: the directory of the work, by which they are known."""

START_WITHIN_S = 30.0
"""An order older than this is not carried out: whoever gave it has given it up."""
_REAP_S = 5.0
_LONGEST_WAIT_S = 86_400.0
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def main(directory: Path) -> None:
    """Carry out the order on stdin in `directory`. Answers one line of JSON on stdout as soon as the command runs."""
    order = json.load(sys.stdin.buffer)  # cut off, as its giver was killed: an error, and nothing is started
    if os.fork():
        os._exit(0)  # the supervisor is nobody's child, so nobody has to wait for it
    os.chdir("/")
    os.close(0)
    os.open(os.devnull, os.O_RDWR)
    log = os.open(directory / OUTPUT_FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    gate, problem, pid = _fork_behind_gate(order, log)
    os.close(log)
    wakeup = _listen_for_signals()
    started = start_of(pid) or 0
    tree = ProcessTree(pid, started, f"{WORK_VARIABLE}={order['env'][WORK_VARIABLE]}")
    record = {
        "host": socket.gethostname(),
        "boot": boot_id(),
        "runner": [os.getpid(), start_of(os.getpid()) or 0],
        "leader": [pid, started],
        "mark": tree.mark,
        "started_at": time.time(),
    }
    write_json(directory / PROCESS_FILE, record)
    # First the record, then this look: whoever cancels makes the file first and then looks for the record.
    if (directory / CANCELED_FILE).exists() or time.time() - order["ordered_at"] > START_WITHIN_S:
        _finish(directory, pid, gate, "refused")
        return
    deadline = None if order["timeout_s"] is None else time.monotonic() + order["timeout_s"]
    os.write(gate, b"1")
    os.close(gate)
    failure = _read_all(problem)
    if failure:
        os.waitpid(pid, 0)
        write_json(directory / EXIT_FILE, {"why": "not_started", "code": None, "ended_at": time.time()})
        _answer({"problem": failure})
        return
    _answer({"problem": None})
    why, code = _watch(pid, deadline, wakeup)
    tree.end(order["grace_s"])
    code = _reap(pid) if code is None else code
    write_json(directory / EXIT_FILE, {"why": why, "code": code, "ended_at": time.time()})


def write_json(path: Path, data: dict[str, Any]) -> None:
    """Write a private file, whole or not at all."""
    fresh = path.with_suffix(".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(data, file)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def _fork_behind_gate(order: dict[str, Any], log: int) -> tuple[int, int, int]:
    """A child that becomes the command once a byte is written to the gate, and nothing if the gate is closed before.

    Returns the gate, the pipe that tells why the command could not be started (nothing: it was), and the child's id.
    """
    gate_out, gate = os.pipe()
    problem, problem_in = os.pipe()
    pid = os.fork()
    if pid:
        os.close(gate_out)
        os.close(problem_in)
        return gate, problem, pid
    try:
        os.close(gate)
        os.setsid()
        for descriptor in (1, 2):
            os.dup2(log, descriptor)
        for name in ("SIGPIPE", "SIGXFSZ"):  # which Python ignores; a command must not inherit that
            with contextlib.suppress(AttributeError):
                signal.signal(getattr(signal, name), signal.SIG_DFL)
        if os.read(gate_out, 1):
            os.set_inheritable(0, True)
            os.chdir(order["cwd"])
            os.execvpe(order["argv"][0], order["argv"], order["env"])
    except BaseException as error:  # noqa: BLE001 - this process is a copy, and must not go on as one
        said = getattr(error, "strerror", None) or str(error) or type(error).__name__
        os.write(problem_in, said.encode("utf-8", "replace"))
    finally:
        os._exit(127)


def _listen_for_signals() -> int:
    """A pipe that gets the number of every signal that matters."""

    def heed(_number: int, _frame: FrameType | None) -> None:
        """Only wakes `_watch` up."""

    wakeup, wakeup_in = os.pipe()
    os.set_blocking(wakeup, False)
    os.set_blocking(wakeup_in, False)
    signal.set_wakeup_fd(wakeup_in, warn_on_full_buffer=False)
    for number in (*_STOP_SIGNALS, signal.SIGCHLD):
        signal.signal(number, heed)
    return wakeup


def _watch(pid: int, deadline: float | None, wakeup: int) -> tuple[str, int | None]:
    """Wait until the command is over (with its exit code), out of time, or this process is told to stop."""
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return "exited", os.waitstatus_to_exitcode(status)
        left_s = _LONGEST_WAIT_S if deadline is None else min(deadline - time.monotonic(), _LONGEST_WAIT_S)
        if left_s <= 0:
            return "timed_out", None
        ready, _, _ = select.select([wakeup], [], [], left_s)
        if ready and set(os.read(wakeup, 4096)) & set(_STOP_SIGNALS):
            return "stopped", None


def _finish(directory: Path, pid: int, gate: int, why: str) -> None:
    os.close(gate)
    os.waitpid(pid, 0)
    write_json(directory / EXIT_FILE, {"why": why, "code": None, "ended_at": time.time()})
    _answer({"problem": "it was canceled before it began"})


def _reap(pid: int) -> int | None:
    deadline = time.monotonic() + _REAP_S
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    return None


def _read_all(descriptor: int) -> str:
    with os.fdopen(descriptor, "rb") as pipe:
        return pipe.read().decode("utf-8", "replace")


def _answer(data: dict[str, Any]) -> None:
    """Tell the one who gave the order, if still there, and let go of their pipes."""
    with contextlib.suppress(BrokenPipeError):
        os.write(1, json.dumps(data).encode() + b"\n")
    for descriptor in (1, 2):
        os.dup2(0, descriptor)
