"""The one owner of the terminal: what is printed goes into the scrollback, below it a few live lines and the composer.

    scrollback   append-only, written once, never touched again
    live lines   an unfinished answer, running tools, what is queued
    composer     what the person types, with the menu of completions
    status line

All of it is drawn by one prompt_toolkit application that runs for the whole session, in frames: what comes between two
frames is drawn together and sent in one write, so that nothing flickers however fast it comes.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import select
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any, Protocol, TextIO, cast

from prompt_toolkit.application.current import set_app
from prompt_toolkit.application.run_in_terminal import in_terminal
from prompt_toolkit.cursor_shapes import ModalCursorShapeConfig
from prompt_toolkit.enums import EditingMode
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.input import Input, create_input
from prompt_toolkit.input.typeahead import get_typeahead, store_typeahead
from prompt_toolkit.key_binding import KeyBindings, KeyPress, merge_key_bindings
from prompt_toolkit.keys import Keys
from prompt_toolkit.layout import HSplit, Layout, Window
from prompt_toolkit.output import ColorDepth, Output, create_output
from prompt_toolkit.styles import Style
from rich.console import Console
from rich.segment import Segment

from agent.ui.composer.composer import Composer
from agent.ui.composer.terminal_input import read_pastes_quickly
from agent.ui.inline import DEPTHS, FrameOutput, InlineApplication, LiveControl, reflows
from agent.ui.segments import fragments

try:
    import termios
except ImportError:  # Windows
    termios = None  # type: ignore[assignment]

logger = logging.getLogger(__name__)

FRAME_S, LONGEST_FRAME_S = 0.05, 0.15
"""The shortest and the longest time between two frames while there is something new to show."""
FRAME_SHARE = 30
"""In between, a frame is followed by a pause so many times as long: drawing takes hardly more than 3 % of the time."""
ESCAPE_WAIT_S = 0.05
"""How long after the byte of Esc the rest of a key's sequence (arrows) may come."""
CHORD_WAIT_S = 0.25
"""How long after Esc another key makes a chord with it (Esc Enter, what Alt-Enter sends)."""
MOST_LIVE_ROWS = 12
SETTLE_S = 0.1
"""How long after a change of the window's size nothing is drawn: others often follow, and terminals take their time."""


class View(Protocol):
    """What the screen shows below the scrollback, asked for in every frame."""

    def live_lines(self, width: int, rows: int) -> list[list[Segment]]:
        """At most `rows` lines of at most `width` columns."""

    def status_line(self, width: int) -> StyleAndTextTuples:
        """One line of at most `width` columns."""


class Screen:
    """Use `running` around the session; print on a rich Console on `file`, which any thread may write to.

    Everything else belongs to the event loop.
    """

    def __init__(
        self,
        composer: Composer,
        view: View,
        *,
        stdout: TextIO,
        environ: Mapping[str, str],
        styles: Callable[[], Mapping[str, str]],
        vi_mode: bool = False,
        source: Input | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`styles()` are the style classes in force; `source` is the keyboard if not that of stdin."""
        self.file = cast(TextIO, _Above(self._write, stdout))
        self.console: Console | None = None
        """Whose colours the live lines have; set it before `running`."""
        self.echoes = False
        """The terminal does not show what is typed: the composer does, until it is sent."""
        self._composer = composer
        self._view = view
        self._clock = clock
        self._styles = styles
        self._output = _make_output(stdout, environ)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        self._pending: list[str] = []
        self._timer: asyncio.TimerHandle | None = None
        self._next_frame_s = 0.0
        self._settled_s = 0.0
        """Until then the window's size may still change."""
        source = source or create_input()
        read_pastes_quickly(source)
        self._live = LiveControl(self._live_rows)
        self._status = LiveControl(lambda: [self._view.status_line(self.columns)])
        self._app = InlineApplication(
            self._draw_frame,
            self._resized,
            is_reflowed=reflows(environ),
            layout=Layout(self._regions(), focused_element=composer.buffer),
            key_bindings=merge_key_bindings([composer.key_bindings, self._signals()]),
            editing_mode=EditingMode.VI if vi_mode else EditingMode.EMACS,
            cursor=ModalCursorShapeConfig() if vi_mode else None,
            input=source,
            output=self._output,
            style=Style.from_dict(dict(styles())),
            erase_when_done=True,
            terminal_size_polling_interval=0.5 if sys.platform == "win32" else None,
        )
        self._app.ttimeoutlen = ESCAPE_WAIT_S
        self._app.timeoutlen = ESCAPE_WAIT_S if vi_mode else CHORD_WAIT_S  # in vi, Esc is a key of its own

    def _regions(self) -> HSplit:
        live = Window(self._live, dont_extend_height=True, wrap_lines=False)
        status = Window(self._status, height=1, dont_extend_height=True, wrap_lines=False)
        return HSplit([live, self._composer.container, status])

    def _live_rows(self) -> list[StyleAndTextTuples]:
        """A blank row, then what is live."""
        size = self._output.get_size()
        lines = self._view.live_lines(size.columns, max(2, min(size.rows - 8, size.rows * 2 // 5, MOST_LIVE_ROWS)))
        has_colour = self.console is not None and self.console.color_system is not None
        gap: list[StyleAndTextTuples] = [] if lines and not lines[0] else [[]]
        return [*gap, *(fragments(line, has_colour) for line in lines)]

    def _signals(self) -> KeyBindings:
        """SIGINT does what Ctrl-C does, unless another program has the terminal: then it is meant for that."""
        bindings = KeyBindings()

        @bindings.add(Keys.SIGINT)
        def _(_event: Any) -> None:
            if self._app.can_draw:
                self._composer.actions.interrupt()

        return bindings

    # --- the session --------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def claimed(self) -> Iterator[None]:
        """Inside the block, which goes around `running`, nothing typed is echoed: the composer will show it.

        Ctrl-C is still a signal until `running`.
        """
        try:
            descriptor = self._app.input.fileno()
            before = termios.tcgetattr(descriptor)
        except (AttributeError, OSError, NotImplementedError, termios.error):  # Windows, or no terminal
            yield
            return
        quiet = [*before]
        quiet[0] &= ~termios.ICRNL
        quiet[3] &= ~(termios.ECHO | termios.ICANON)
        termios.tcsetattr(descriptor, termios.TCSANOW, quiet)
        if select.select([descriptor], [], [], 0)[0]:  # what was typed so far was echoed; the composer will show it
            self._write("\r\x1b[K")
        try:
            yield
        finally:
            with contextlib.suppress(termios.error):  # the terminal has gone
                termios.tcsetattr(descriptor, termios.TCSANOW, before)

    @contextlib.asynccontextmanager
    async def running(self, on_closed: Callable[[], None]) -> AsyncIterator[None]:
        """Inside the block the terminal is ours; afterwards it is as it was, with all that was printed.

        `on_closed()` is called when the terminal has gone.
        """
        self._loop, self._thread = asyncio.get_running_loop(), threading.get_ident()
        if self.console is not None and self.console.color_system:
            self._app.depth = DEPTHS.get(self.console.color_system, ColorDepth.DEPTH_1_BIT)
        await self._composer.prepare()
        begun = asyncio.Event()
        run = self._app.run_async(pre_run=lambda: self._begin(begun), set_exception_handler=False)
        task = asyncio.create_task(run, name="screen")
        task.add_done_callback(lambda _: begun.set())
        task.add_done_callback(lambda _: on_closed())
        try:
            await begun.wait()
            with contextlib.redirect_stdout(self.file), contextlib.redirect_stderr(self.file):
                yield
        finally:
            self._draw()
            if not begun.is_set():
                task.cancel()
            elif self._app.is_running and not self._app.is_done:
                self._app.exit()
            await asyncio.wait({task})
            self._forget_timer()
            self._loop = None
            self._write("")
            if not task.cancelled() and (error := task.exception()) is not None:
                logger.warning("the screen ended: %r", error)

    def _begin(self, begun: asyncio.Event) -> None:
        begun.set()
        self._composer.begin()
        early = [_unechoed(press) for press in self._app.input.read_keys()]
        store_typeahead(self._app.input, [*get_typeahead(self._app.input), *early])

    @contextlib.asynccontextmanager
    async def released(self) -> AsyncIterator[None]:
        """Inside the block the terminal belongs to another program (an editor); what is printed meanwhile waits."""
        self._draw()
        with set_app(self._app):
            async with in_terminal():
                yield
        self.refresh()

    def prompt(self) -> None:
        """A line is waited for: the composer is there all the time."""

    def suspend(self) -> None:
        """Ctrl-Z: into the background."""
        self._draw()
        with set_app(self._app):
            self._app.suspend_to_background()

    def restyle(self) -> None:
        """Other colours from now on."""
        self._app.style = Style.from_dict(dict(self._styles()))
        self.refresh()

    @property
    def columns(self) -> int:
        """Width of the terminal."""
        return self._output.get_size().columns

    # --- frames -------------------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """The live lines or the status line have changed: draw them, soon."""
        if self._loop is not None and self._timer is None and self._app.is_running:
            wait_s = max(0.0, self._next_frame_s - self._clock())
            self._timer = self._loop.call_later(wait_s, self._draw)

    def send_out(self, sequence: str) -> None:
        """Write something for the terminal itself, which shows nothing and moves nothing."""
        self._output.write_raw(sequence)
        self._output.flush()

    def _write(self, text: str) -> None:
        self._pending.append(text)
        if self._loop is None:  # not yet, or no longer, drawn in frames
            self._output.write_raw("".join(self._pending))
            self._output.flush()
            self._pending.clear()
        elif threading.get_ident() == self._thread:
            self.refresh()
        else:
            self._loop.call_soon_threadsafe(self.refresh)

    def _forget_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _draw(self) -> None:
        self._forget_timer()
        if self._app.can_draw:
            self._app.redraw()

    def _draw_frame(self, draw_live: Callable[[], None]) -> None:
        """Draw what was printed since the last frame, above what is live now."""
        started_s = self._clock()
        if self._app.is_resized and self._settled_s < started_s - SETTLE_S:
            self._resized()
        if started_s < self._settled_s:
            self.refresh()
            return
        try:
            with self._output.frame() if isinstance(self._output, FrameOutput) else contextlib.nullcontext():
                printed = self._take_whole_lines()
                self._status.renew()
                if self._live.renew() or printed or self._app.has_shrunk() or self._app.is_resized:
                    self._app.go_to_top()
                if printed:
                    self._output.write_raw(printed)
                draw_live()
        except OSError:  # the terminal has gone
            logger.warning("the terminal cannot be written to", exc_info=True)
            if not self._app.is_done:
                self._app.exit(exception=EOFError())
        took_s = self._clock() - started_s
        self._next_frame_s = self._clock() + min(max(FRAME_S, took_s * FRAME_SHARE), LONGEST_FRAME_S)

    def _resized(self) -> None:
        """The window has another size: draw when it has settled."""
        self._settled_s = self._next_frame_s = self._clock() + SETTLE_S
        self._forget_timer()
        self.refresh()

    def _take_whole_lines(self) -> str:
        """What was printed, up to its last line end: the live lines begin on a line of their own."""
        text = "".join(self._pending)
        end = text.rfind("\n") + 1
        self._pending[:] = [text[end:]] if text[end:] else []
        return text[:end]


class _Above(io.TextIOBase):
    """The file that stands for the scrollback."""

    def __init__(self, write: Callable[[str], None], stdout: TextIO) -> None:
        self._write_above = write
        self._stdout = stdout

    @property
    def encoding(self) -> str:  # type: ignore[override]  # io.TextIOBase has it as an attribute
        """What the terminal understands."""
        return self._stdout.encoding or "utf-8"

    def write(self, text: str) -> int:
        """Print, with the next frame."""
        if text:
            self._write_above(text)
        return len(text)

    def flush(self) -> None:
        """Nothing: frames come by themselves."""

    def isatty(self) -> bool:
        """It is drawn on a terminal."""
        return True

    def fileno(self) -> int:
        """The terminal's."""
        return self._stdout.fileno()


def _unechoed(press: KeyPress) -> KeyPress:
    """A key pressed before the terminal was ours: it has made a line feed of Enter then."""
    return KeyPress(Keys.ControlM, press.data) if press.key == Keys.ControlJ else press


def _make_output(stdout: TextIO, environ: Mapping[str, str]) -> Output:
    if sys.platform == "win32":
        return create_output(stdout)
    output = FrameOutput.from_pty(stdout, term=environ.get("TERM"))
    assert isinstance(output, FrameOutput)
    output.enable_cpr = False  # nobody needs to know where on the screen we are
    return output
