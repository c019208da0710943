"""Runs the installed command for tests: headless as a subprocess, interactive in a terminal (see terminal.py).

    done = run_headless(["-p", "hi"], env=env, stdin=b"more")
    assert done.exit_code == 0 and done.stdout == "Hello\\n"

    with start_headless(["-p", "hi"], env=env) as running:
        running.wait_for_stderr("bash")
        running.send_signal(signal.SIGINT)
        assert running.wait().exit_code == 130
        running.assert_no_children()

The command leads a session, and so a process group, of its own; leaving a `with` block kills whatever is left of it.
Exit codes are those of `subprocess`: negative for death by a signal.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, Self

from tests.e2e.processes import (
    COMMAND,
    RUN_ID_VARIABLE,
    Process,
    kill_run,
    occurrences,
    processes_of,
    wait_until,
    with_run_id,
)
from tests.e2e.terminal import Terminal

__all__ = ["COMMAND", "Finished", "Headless", "Terminal", "run_headless", "start_headless"]

Stdin = bytes | Literal["open"] | None
"""None: empty (/dev/null). bytes: a pipe with these bytes, then its end. "open": a pipe on which nothing ever comes."""

_PIPE_GRACE_S = 2.0
"""How long the pipes may stay open after the command has ended, before they count as held by a child left behind."""


@dataclass(frozen=True, slots=True)
class Finished:
    """How a command ended. Bytes that are no UTF-8 are shown as `\\xNN`.

    `children` are the processes that were still alive when the command had ended (they are killed afterwards).
    """

    exit_code: int
    stdout: str
    stderr: str
    duration_s: float
    children: tuple[Process, ...] = ()

    def json(self) -> Any:
        """Stdout as one JSON value."""
        return json.loads(self.stdout)

    def events(self) -> list[dict[str, Any]]:
        """Stdout as JSON lines."""
        return [json.loads(line) for line in self.stdout.splitlines()]


class _Output:
    """One output pipe of the command, read by a thread of its own so that the command never blocks on it."""

    def __init__(self, pipe: IO[bytes], changed: threading.Condition) -> None:
        self._pipe = pipe
        self._changed = changed
        self._data = bytearray()
        self.closed = False
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    @property
    def text(self) -> str:
        """All that has come so far."""
        with self._changed:
            return bytes(self._data).decode("utf-8", "backslashreplace")

    def _read(self) -> None:
        with self._pipe:
            while data := os.read(self._pipe.fileno(), 65536):
                with self._changed:
                    self._data += data
                    self._changed.notify_all()
        with self._changed:
            self.closed = True
            self._changed.notify_all()


class Headless:
    """A command that is running, without a terminal."""

    def __init__(
        self, args: Sequence[str], env: Mapping[str, str], cwd: Path | None, stdin: Stdin, command: Sequence[str]
    ) -> None:
        full_env = with_run_id(env)
        self._run_id = full_env[RUN_ID_VARIABLE]
        self._changed = threading.Condition()
        self._started_s = time.monotonic()
        self._process = subprocess.Popen(
            [*command, *args],
            env=full_env,
            cwd=cwd,
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._process.stdout and self._process.stderr
        self._out = _Output(self._process.stdout, self._changed)
        self._err = _Output(self._process.stderr, self._changed)
        # From a thread: the command may read late, or never, and the pipe holds only 64 KiB.
        self._feeder = threading.Thread(target=self._feed, args=(stdin,), daemon=True)
        self._feeder.start()

    @property
    def pid(self) -> int:
        """The command's process id, which is also its group's and session's."""
        return self._process.pid

    @property
    def stdout(self) -> str:
        """Standard output so far."""
        return self._out.text

    @property
    def stderr(self) -> str:
        """Standard error so far."""
        return self._err.text

    def wait_for_stdout(self, pattern: str | re.Pattern[str], timeout_s: float = 20.0) -> str:
        """Wait until standard output contains a text or matches a regular expression; returns all of it so far.

        Raises AssertionError, with all output, on timeout or when the pipe ends without it.
        """
        return self._wait_for(self._out, pattern, timeout_s)

    def wait_for_stderr(self, pattern: str | re.Pattern[str], timeout_s: float = 20.0) -> str:
        """The same for standard error."""
        return self._wait_for(self._err, pattern, timeout_s)

    def wait_until(self, condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
        """Wait for something else, such as a file. Raises AssertionError, with the output so far, on timeout."""
        if not wait_until(condition, timeout_s):
            raise AssertionError(f"waited {timeout_s} s for a condition\n{self._shown()}")

    def write_stdin(self, data: bytes) -> None:
        """Write to a pipe that was left open."""
        assert self._process.stdin is not None
        self._process.stdin.write(data)
        self._process.stdin.flush()

    def close_stdin(self) -> None:
        """End a pipe that was left open."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    def send_signal(self, signum: signal.Signals) -> None:
        """Signal the command alone, as `kill` does."""
        self._process.send_signal(signum)

    def signal_group(self, signum: signal.Signals) -> None:
        """Signal the command's whole process group, as a terminal does on Ctrl-C."""
        os.killpg(self.pid, signum)

    def children(self) -> list[Process]:
        """The processes that the command has started, directly or not, and that are alive."""
        return processes_of(self._run_id, self.pid)

    def assert_no_children(self, timeout_s: float = 5.0) -> None:
        """Wait until no process of the command is left but itself. Raises AssertionError that lists them."""
        if not wait_until(lambda: not self.children(), timeout_s):
            raise AssertionError(f"left behind: {self.children()}")

    def wait(self, timeout_s: float = 60.0) -> Finished:
        """Wait for the end of the command. Kills it and raises AssertionError, with its output, on timeout."""
        try:
            exit_code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.close()
            raise AssertionError(f"not finished after {timeout_s} s\n{self._shown()}") from None
        duration_s = time.monotonic() - self._started_s
        children = tuple(self.children())
        self._drain()
        return Finished(exit_code, self.stdout, self.stderr, duration_s, children)

    def close(self) -> None:
        """Kill whatever is left of the command."""
        kill_run(self._run_id, self.pid)
        self._process.wait()
        self._drain()
        self._feeder.join(_PIPE_GRACE_S)
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _drain(self) -> None:
        """Read the pipes to their end, or as far as a child that holds them lets us."""
        deadline_s = time.monotonic() + _PIPE_GRACE_S
        for output in (self._out, self._err):
            output.thread.join(max(0.0, deadline_s - time.monotonic()))

    def _feed(self, data: Stdin) -> None:
        if isinstance(data, bytes) and self._process.stdin is not None:
            with contextlib.suppress(OSError), self._process.stdin as pipe:  # the command may not want it
                pipe.write(data)

    def _wait_for(self, output: _Output, pattern: str | re.Pattern[str], timeout_s: float) -> str:
        with self._changed:
            self._changed.wait_for(lambda: occurrences(pattern, output.text) or output.closed, timeout_s)
            text = output.text
        if not occurrences(pattern, text):
            raise AssertionError(f"waited {timeout_s} s for {pattern!r}\n{self._shown()}")
        return text

    def _shown(self) -> str:
        return f"--- stdout\n{self.stdout}\n--- stderr\n{self.stderr}"


def start_headless(
    args: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path | None = None,
    stdin: Stdin = None,
    command: Sequence[str] = COMMAND,
) -> Headless:
    """Start the command; use the result as a context manager."""
    return Headless(args, env, cwd, stdin, command)


def run_headless(
    args: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path | None = None,
    stdin: Stdin = None,
    timeout_s: float = 60.0,
    command: Sequence[str] = COMMAND,
) -> Finished:
    """Run the command to its end. Raises AssertionError, with the output so far, after `timeout_s`."""
    with start_headless(args, env=env, cwd=cwd, stdin=stdin, command=command) as running:
        return running.wait(timeout_s)
