"""The terminal without anything live, for screen readers and simple terminals: lines are printed, lines are read.

The terminal itself edits the line that is being typed; nothing that was printed is ever drawn again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TextIO

from agent.ui.composer.composer import Actions


class PlainComposer:
    """What is being typed: the terminal has it until Enter, so that it is always empty here."""

    quiet_since_s = float("-inf")

    def __init__(self, actions: Actions, out: TextIO) -> None:
        self.actions = actions
        self._out = out
        self._prompt = "> "

    @property
    def text(self) -> str:
        """Nothing, as far as we can see."""
        return ""

    @text.setter
    def text(self, text: str) -> None:
        """A line that was not used after all; it cannot be put back under the person's hands."""
        if text:
            self.print(f"(not sent) {text}\n")

    def clear(self) -> None:
        """Nothing to clear."""

    def begin_question(self, prompt: str, initial: str = "") -> None:
        """Ask; `initial` cannot be offered for editing."""
        self._prompt = prompt
        self.show_prompt()

    def end_question(self) -> None:
        """The next line is a request again."""
        self._prompt = "> "

    def keep_draft(self) -> None:
        """Nothing is kept of a line that was not sent."""

    def show_prompt(self) -> None:
        """Print what stands before the line that is waited for."""
        self.print(self._prompt)

    def print(self, text: str) -> None:
        """Print at once."""
        with contextlib.suppress(OSError, ValueError):  # the terminal has gone: its end is read
            self._out.write(text)
            self._out.flush()


class PlainScreen:
    """The plain counterpart of `agent.ui.screen.Screen`, with the same methods."""

    def __init__(self, composer: PlainComposer, source: int | None = None) -> None:
        """`source` is the descriptor that lines are read from, if not that of stdin."""
        self._composer = composer
        self._source = source if source is not None else sys.stdin.fileno() if sys.stdin else -1
        self.echoes = self._source >= 0 and os.isatty(self._source)
        """Whether the terminal shows what is typed by itself."""
        self._unread = b""
        self._is_released = False
        self._on_closed: Callable[[], None] = lambda: None
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def claimed(self) -> Iterator[None]:
        """The terminal stays as it is."""
        yield

    @contextlib.asynccontextmanager
    async def running(self, on_closed: Callable[[], None]) -> AsyncIterator[None]:
        """Inside the block lines are read. `on_closed()` is called when no more can come."""
        self._on_closed = on_closed
        loop = asyncio.get_running_loop()
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(signal.SIGINT, self._interrupt)
        self._listen(loop)
        try:
            yield
        finally:
            self._deafen(loop)
            with contextlib.suppress(NotImplementedError):
                loop.remove_signal_handler(signal.SIGINT)

    def _interrupt(self) -> None:
        if not self._is_released:
            self._composer.actions.interrupt()

    def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._thread is not None:
            return
        try:
            loop.add_reader(self._source, lambda: self._take(_read(self._source)))
        except (OSError, ValueError, NotImplementedError):  # a file, or Windows: a thread may wait for it
            self._thread = threading.Thread(target=self._read_on, args=(loop,), name="stdin", daemon=True)
            self._thread.start()

    def _deafen(self, loop: asyncio.AbstractEventLoop) -> None:
        with contextlib.suppress(OSError, ValueError, NotImplementedError):
            loop.remove_reader(self._source)

    def _read_on(self, loop: asyncio.AbstractEventLoop) -> None:
        data: bytes | None = b"?"
        while data:
            data = _read(self._source)
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(self._take, data)

    def _take(self, data: bytes | None) -> None:
        if not data:
            if data is not None and self.echoes:  # Ctrl-D; a terminal goes on after it
                self._composer.actions.leave()
            else:
                self._deafen(asyncio.get_running_loop())
                self._on_closed()
            return
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            self._composer.actions.submit(line.decode("utf-8", "replace").rstrip("\r"))

    @contextlib.asynccontextmanager
    async def released(self) -> AsyncIterator[None]:
        """Inside the block the terminal belongs to another program."""
        loop = asyncio.get_running_loop()
        self._deafen(loop)
        self._is_released = True
        try:
            yield
        finally:
            self._is_released = False
            self._listen(loop)

    def prompt(self) -> None:
        """A line is waited for."""
        self._composer.show_prompt()

    def refresh(self) -> None:
        """Nothing is live."""

    def restyle(self) -> None:
        """Nothing has a style of its own."""

    def suspend(self) -> None:
        """The terminal does that by itself."""

    def send_out(self, sequence: str) -> None:
        """Write something for the terminal itself, which shows nothing and moves nothing."""
        self._composer.print(sequence)


def _read(source: int) -> bytes | None:
    """What has come; nothing at an end of file, None where there will never be anything again."""
    try:
        return os.read(source, 65536)
    except OSError:  # a terminal that has gone
        return None
