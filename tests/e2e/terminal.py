"""A real terminal for the command: a pty (pexpect) with a screen on top (pyte), driven as a person would.

    with Terminal(["--model", "replay/demo"], env, cwd=work) as terminal:
        terminal.wait_for("> ")
        terminal.send("hi").key("enter")
        terminal.wait_for(re.compile(r"done in \\d"))
        terminal.key("ctrl-d")
        assert terminal.exit_code() == 0

A thread reads the pty all the time, so the program never blocks on output and its queries (cursor position, status)
are answered at once, as prompt_toolkit expects.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import pexpect
import pyte

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
from tests.e2e.screen import Screen

KEYS: dict[str, str] = {
    "enter": "\r",
    "tab": "\t",
    "shift-tab": "\x1b[Z",
    "esc": "\x1b",
    "backspace": "\x7f",
    "delete": "\x1b[3~",
    "up": "\x1b[A",
    "down": "\x1b[B",
    "right": "\x1b[C",
    "left": "\x1b[D",
    "home": "\x1b[H",
    "end": "\x1b[F",
    "page-up": "\x1b[5~",
    "page-down": "\x1b[6~",
    "alt-enter": "\x1b\r",
    "space": " ",
}

_END_GRACE_S = 5.0


def key_code(name: str) -> str:
    """What a key sends: a name of `KEYS`, `ctrl-<letter>`, or a single character. Raises KeyError otherwise."""
    if name.startswith("ctrl-") and len(name) == len("ctrl-x"):
        return chr(ord(name[-1].upper()) ^ 0x40)
    return name if len(name) == 1 else KEYS[name]


class Terminal:
    """A command in a terminal of its own. Leaving the `with` block kills whatever is left of it."""

    def __init__(
        self,
        args: Sequence[str],
        env: Mapping[str, str],
        cwd: Path | None = None,
        columns: int = 100,
        rows: int = 30,
        command: Sequence[str] = COMMAND,
    ) -> None:
        full_env = with_run_id({"TERM": "xterm-256color", **env})
        self._run_id = full_env[RUN_ID_VARIABLE]
        self._changed = threading.Condition()
        self._ended = False
        self._error: Exception | None = None
        self._raw = bytearray()
        program, *rest = [*command, *args]
        self._child = pexpect.spawn(
            program, rest, env=full_env, cwd=None if cwd is None else str(cwd), dimensions=(rows, columns), timeout=None
        )
        self._process: Any = vars(self._child)["ptyproc"]  # ptyprocess has no types
        self._process.delayafterclose = 0
        self._screen = Screen(columns, rows, self._write)
        self._stream = pyte.ByteStream(self._screen)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._waiter = threading.Thread(target=self._process.wait, daemon=True)
        self._reader.start()
        self._waiter.start()

    # --- what the person does ----------------------------------------------------------------------------------------

    def send(self, text: str) -> Self:
        """Type text."""
        self._write(text)
        return self

    def key(self, name: str) -> Self:
        """Press a key; see `key_code`."""
        return self.send(key_code(name))

    def paste(self, text: str) -> Self:
        """Paste text, as a terminal with bracketed paste does."""
        return self.send(f"\x1b[200~{text}\x1b[201~")

    def resize(self, columns: int, rows: int) -> Self:
        """Change the size of the window; the program gets SIGWINCH."""
        with self._changed:
            self._screen.resize(rows, columns)
            self._child.setwinsize(rows, columns)
        return self

    # --- what the person sees ----------------------------------------------------------------------------------------

    def screen(self) -> list[str]:
        """The rows of the window, without trailing spaces."""
        with self._changed:
            return self._screen.visible()

    def screen_text(self) -> str:
        """The window as one text; like `wait_for`'s, the cursor's row keeps its spaces up to the cursor."""
        with self._changed:
            lines = self._screen.visible()
            lines[self._screen.cursor.y] = lines[self._screen.cursor.y].ljust(self._screen.cursor.x)
            return "\n".join(lines)

    def scrollback(self) -> list[str]:
        """All lines ever shown and still there: what scrolled off the top, then the screen, each once and in order."""
        with self._changed:
            return self._screen.everything()

    def raw_output(self) -> bytes:
        """Every byte the program wrote, for tests of escape sequences."""
        with self._changed:
            return bytes(self._raw)

    def cursor(self) -> tuple[int, int]:
        """Column and row of the cursor, from 0."""
        with self._changed:
            return self._screen.cursor.x, self._screen.cursor.y

    # --- waiting -----------------------------------------------------------------------------------------------------

    def wait_for(self, pattern: str | re.Pattern[str], timeout_s: float = 20.0, *, count: int = 1) -> str:
        """Wait until a text or regular expression is seen, `count` times in all, on the screen or in the scrollback.

        A str is looked for as it stands, or else as an expression. Lines are joined with newlines and have no trailing
        spaces, except before the cursor; a line that the window wrapped is two lines. Returns everything shown. Raises
        AssertionError with it on timeout, or at once when the program has ended without showing the pattern.
        """
        with self._changed:
            self._changed.wait_for(lambda: occurrences(pattern, self._screen.text()) >= count or self._ended, timeout_s)
            text = self._screen.text()
            ended = self._ended
        if self._error is not None:
            raise AssertionError("the terminal could not show what the program wrote") from self._error
        if occurrences(pattern, text) < count:
            how = "the program ended without" if ended else f"waited {timeout_s} s for"
            raise AssertionError(f"{how} {pattern!r} ({count} times); on the terminal:\n{text}")
        return text

    def wait_until(self, condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
        """Wait for something else, such as a file. Raises AssertionError, with everything shown, on timeout."""
        if not wait_until(condition, timeout_s):
            raise AssertionError(f"waited {timeout_s} s for a condition\n" + "\n".join(self.scrollback()))

    @property
    def has_ended(self) -> bool:
        """Whether the program, and whoever else held its terminal, has closed it."""
        with self._changed:
            return self._ended

    def exit_code(self, timeout_s: float = 20.0) -> int:
        """Wait for the end of the program; negative for death by a signal. Raises AssertionError on timeout."""
        self._waiter.join(timeout_s)
        if self._waiter.is_alive():
            raise AssertionError(f"not ended after {timeout_s} s; on the terminal:\n" + "\n".join(self.scrollback()))
        self._reader.join(_END_GRACE_S)
        exit_status, signal_status = self._process.exitstatus, self._process.signalstatus
        return int(exit_status) if signal_status is None else -int(signal_status)

    # --- the process -------------------------------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        """The program's process id, which is also its session's."""
        pid: int = self._process.pid
        return pid

    def children(self) -> list[Process]:
        """The processes that the program has started, directly or not, and that are alive."""
        return processes_of(self._run_id, self.pid)

    def assert_no_children(self, timeout_s: float = 5.0) -> None:
        """Wait until no process of the program is left but itself. Raises AssertionError that lists them."""
        if not wait_until(lambda: not self.children(), timeout_s):
            raise AssertionError(f"left behind: {self.children()}")

    def close(self) -> None:
        """Kill whatever is left of the program and give the pty back."""
        kill_run(self._run_id, self.pid)
        self._waiter.join(_END_GRACE_S)
        self._reader.join(_END_GRACE_S)
        self._child.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, text: str) -> None:
        data = text.encode()
        while data:
            data = data[os.write(self._child.child_fd, data) :]

    def _read(self) -> None:
        """Feed the screen until the program, and whoever else holds its terminal, has closed it."""
        while True:
            try:
                data = os.read(self._child.child_fd, 65536)
            except OSError:  # EIO: Linux's way to say that the other side is closed
                data = b""
            with self._changed:
                self._raw += data
                try:
                    self._stream.feed(data)
                except Exception as error:
                    self._error = error
                self._ended = not data or self._error is not None
                self._changed.notify_all()
                if self._ended:
                    return
