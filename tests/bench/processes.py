"""Running a command under measurement: a clean environment, times from the kernel's account, and an end in any case."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

TIMEOUT_S = 180.0
KEPT = ("PATH", "PYTHONPATH", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV")
"""Variables that a run gets from ours; with PYTHONPATH another copy of the sources can be measured."""
PYTHON = sys.executable
OURS: tuple[str, ...] = (PYTHON, str(Path(sys.executable).parent / "ml-intern"))
"""The installed command. It is a Python file: run through the interpreter, it takes `-X` as well."""


class RunError(Exception):
    """A command did not do what is measured; says what it did."""


@dataclass(frozen=True)
class Run:
    """A process that has ended. Times in seconds, `started_s` by `time.monotonic`; `cpu_s` is user + system time and
    `peak_bytes` the largest resident size, both of the process and the children it waited for, or the largest of them.
    """

    started_s: float
    wall_s: float
    cpu_s: float
    peak_bytes: int
    stderr: str


@dataclass(frozen=True)
class Started:
    """A process that runs, and the file of its stderr."""

    process: subprocess.Popen[bytes]
    started_s: float
    errors: Path

    def is_over(self) -> bool:
        """Whether it has ended by itself. It is left to be waited for."""
        return os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def end(self) -> resource.struct_rusage:
        """Kill its process group; what it has used."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        return self.wait()

    def wait(self) -> resource.struct_rusage:
        """Wait for its end; what it has used, in the kernel's account (wait4)."""
        _, status, usage = os.wait4(self.process.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        return usage

    def error_line(self) -> str:
        """The last line of stderr that Python's `-X importtime` did not write."""
        text = self.errors.read_text("utf-8", "replace")
        lines = [line for line in text.splitlines() if line.strip() and not line.startswith("import time:")]
        return lines[-1][:300] if lines else "(nothing on stderr)"


def clean_environment(home: Path) -> dict[str, str]:
    """A fresh home, no keys: what the command finds on a new machine."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    xdg = {f"XDG_{kind}_HOME": str(home / kind.lower()) for kind in ("CONFIG", "STATE", "DATA", "CACHE")}
    return kept | xdg | {"HOME": str(home), "NO_COLOR": "1"}


@contextlib.contextmanager
def running(argv: Sequence[str], environment: Mapping[str, str]) -> Iterator[Started]:
    """Start a command without input in an empty directory. What is left of its process group is killed at the end."""
    with tempfile.TemporaryDirectory(prefix="bench-cwd-", ignore_cleanup_errors=True) as place:
        work, errors = Path(place, "work"), Path(place, "stderr")
        work.mkdir()
        with errors.open("wb") as stderr:
            started_s = time.monotonic()
            try:
                process = subprocess.Popen(
                    argv,
                    cwd=work,
                    env=dict(environment),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=stderr,
                    start_new_session=True,
                )
            except OSError as error:
                raise RunError(f"{argv[0]} cannot be started: {error}") from error
        started = Started(process, started_s, errors)
        try:
            yield started
        finally:
            if process.returncode is None:
                started.end()
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)


def run(argv: Sequence[str], environment: Mapping[str, str], exit_codes: Sequence[int] = (0,)) -> Run:
    """Run a command to its end. RunError if it takes too long, or ends with a code that is not one of `exit_codes`."""
    with running(argv, environment) as started:
        usage = _wait(started)
        wall_s = time.monotonic() - started.started_s
        if started.process.returncode not in exit_codes:
            raise RunError(f"exit code {started.process.returncode}: {started.error_line()}")
        return Run(
            started.started_s,
            wall_s,
            usage.ru_utime + usage.ru_stime,
            usage.ru_maxrss * 1024,
            started.errors.read_text("utf-8", "replace"),
        )


def _wait(started: Started) -> resource.struct_rusage:
    """Wait with a time limit: an alarm kills the process group after `TIMEOUT_S`."""
    timed_out = False

    def give_up(_number: int, _frame: object) -> None:
        nonlocal timed_out
        timed_out = True
        with contextlib.suppress(ProcessLookupError):
            os.killpg(started.process.pid, signal.SIGKILL)

    previous = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, TIMEOUT_S)
    try:
        usage = started.wait()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    if timed_out:
        raise RunError(f"no end after {TIMEOUT_S:.0f} s")
    return usage
