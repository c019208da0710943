"""The keyboard while the agent works: keys are read but not shown, so nothing typed lands in the middle of its output.

Esc and Ctrl-C stop the work, a line ended with Enter goes to whoever listens, and what is half typed is kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator

from prompt_toolkit.input import Input
from prompt_toolkit.input.typeahead import clear_typeahead, store_typeahead
from prompt_toolkit.key_binding import KeyPress
from prompt_toolkit.keys import Keys
from prompt_toolkit.output import Output
from prompt_toolkit.utils import is_dumb_terminal

ESCAPE_WAIT_S = 0.1
"""How long after the byte of Esc the rest of a key's sequence (arrows, Alt) may come."""


class Keyboard:
    """Reads keys inside `listening`. Where there is no terminal, or on Windows, it hears nothing.

    `on_escape` and `on_interrupt` are called for Esc and Ctrl-C. A pasted text is part of one line, its line breaks
    included.
    """

    def __init__(
        self,
        source: Input,
        output: Output,
        *,
        on_escape: Callable[[], None],
        on_interrupt: Callable[[], None],
    ) -> None:
        self._source = source
        self._output = output
        self._on_escape = on_escape
        self._on_line: Callable[[str], None] = lambda _: None
        self._line = ""
        self._flush_timer: asyncio.TimerHandle | None = None
        self._actions: dict[str, Callable[[], None]] = {
            Keys.ControlC: on_interrupt,
            Keys.ControlM: self._end_line,
            Keys.ControlJ: self._end_line,
            Keys.ControlH: self._rub_out,
            Keys.ControlU: self._clear,
            Keys.ControlZ: self._suspend,
        }

    def take_line(self) -> str:
        """What is typed so far of a line that was not ended; it is the caller's now."""
        line, self._line = self._line, ""
        return line

    @contextlib.contextmanager
    def listening(self, on_line: Callable[[str], None]) -> Iterator[None]:
        """Read keys inside the block, and call `on_line` with every line that is ended with Enter.

        The terminal is as before afterwards, however the block is left.
        """
        if not _is_terminal(self._source):
            yield
            return
        self._on_line = on_line
        with self._source.raw_mode(), self._bracketed_paste(), self._source.attach(self._read):
            try:
                yield
            finally:
                self._stop_timer()
                store_typeahead(self._source, self._source.read_keys())  # pressed just now: for the next prompt

    @contextlib.contextmanager
    def _bracketed_paste(self) -> Iterator[None]:
        """The terminal marks what is pasted, so that its line breaks are not taken for Enter."""
        if is_dumb_terminal():
            yield
            return
        self._output.enable_bracketed_paste()
        self._output.flush()
        try:
            yield
        finally:
            self._output.disable_bracketed_paste()
            self._output.flush()

    # --- keys ---------------------------------------------------------------------------------------------------------

    def _read(self) -> None:
        self._stop_timer()
        self._take(self._source.read_keys())
        self._flush_timer = asyncio.get_running_loop().call_later(ESCAPE_WAIT_S, self._flush)

    def _flush(self) -> None:
        """No more comes: an Esc that may have been the beginning of another key is the key Esc."""
        self._take(self._source.flush_keys())

    def _stop_timer(self) -> None:
        if self._flush_timer is not None:
            self._flush_timer.cancel()
            self._flush_timer = None

    def _take(self, keys: list[KeyPress]) -> None:
        coming = iter(keys)
        for press in coming:
            if press.key == Keys.Escape:
                self._take_escape(next(coming, None))
            elif press.key == Keys.BracketedPaste:
                self._line += press.data.replace("\r\n", "\n").replace("\r", "\n")
            elif action := self._actions.get(press.key):
                action()
            elif not isinstance(press.key, Keys) and press.key.isprintable():
                self._line += press.key

    def _take_escape(self, other: KeyPress | None) -> None:
        """Esc alone; or, with a key that came along with it, that key with Alt."""
        if other is None or other.key == Keys.Escape:
            self._on_escape()
        elif other.key == Keys.ControlC:
            self._actions[Keys.ControlC]()
        elif other.key in (Keys.ControlM, Keys.ControlJ):
            self._line += "\n"

    def _end_line(self) -> None:
        if text := self.take_line().strip():
            self._on_line(text)

    def _rub_out(self) -> None:
        self._line = self._line[:-1]

    def _clear(self) -> None:
        self._line = ""

    def _suspend(self) -> None:
        """Ctrl-Z, which the terminal does not send as a signal while keys are read one by one."""
        with self._source.cooked_mode():
            os.kill(0, signal.SIGTSTP)


def drop_typed_ahead(source: Input) -> None:
    """Forget keys pressed before now: a question must not be answered by what was typed before it was asked."""
    clear_typeahead(source)
    with contextlib.suppress(ImportError, OSError, ValueError):
        import termios

        with contextlib.suppress(termios.error):
            termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)


def _is_terminal(source: Input) -> bool:
    with contextlib.suppress(OSError, ValueError, NotImplementedError):
        return sys.platform != "win32" and os.isatty(source.fileno())
    return False
