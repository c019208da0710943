"""A prompt_toolkit application that is drawn below the scrollback, frame by frame: the hooks that this takes."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prompt_toolkit.application import Application
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.layout.controls import GetLinePrefixCallable, UIContent, UIControl
from prompt_toolkit.output import ColorDepth
from prompt_toolkit.output.vt100 import Vt100_Output

logger = logging.getLogger(__name__)

_BEGIN_FRAME, _END_FRAME = "\x1b[?2026h", "\x1b[?2026l"
"""Terminals that know them (others ignore them) show a frame only when it is complete."""
_REFLOWING = (
    "TMUX VTE_VERSION KITTY_WINDOW_ID ALACRITTY_WINDOW_ID WEZTERM_PANE KONSOLE_VERSION WT_SESSION GHOSTTY_RESOURCES_DIR"
).split()
"""Environment variables of terminals that wrap lines anew when the window becomes narrower."""
_REFLOWING_PROGRAMS = frozenset({"iTerm.app", "Apple_Terminal", "vscode", "WezTerm", "ghostty"})
DEPTHS = {
    "standard": ColorDepth.DEPTH_4_BIT,
    "256": ColorDepth.DEPTH_8_BIT,
    "truecolor": ColorDepth.DEPTH_24_BIT,
    "windows": ColorDepth.DEPTH_4_BIT,
}
"""rich's colour systems in prompt_toolkit's words."""


def reflows(environ: Mapping[str, str]) -> bool:
    """Whether the terminal wraps what it shows anew when its window becomes narrower, as far as is known."""
    return any(environ.get(name) for name in _REFLOWING) or environ.get("TERM_PROGRAM") in _REFLOWING_PROGRAMS


class LiveControl(UIControl):
    """Rows that are asked for once a frame."""

    def __init__(self, rows: Callable[[], list[StyleAndTextTuples]]) -> None:
        self._ask = rows
        self._rows: list[StyleAndTextTuples] = []

    def renew(self) -> bool:
        """A new frame begins. Whether the rows are others than before.

        What cannot be made into rows is logged, and the rest of the screen goes on.
        """
        before = self._rows
        try:
            self._rows = self._ask()
        except Exception:  # a frame must not fail for what it shows
            logger.exception("no live rows")
            self._rows = []
        return self._rows != before

    def preferred_height(
        self, width: int, max_available_height: int, wrap_lines: bool, get_line_prefix: GetLinePrefixCallable | None
    ) -> int:
        """As many as there are."""
        return len(self._rows)

    def create_content(self, width: int, height: int) -> UIContent:
        """The rows as they are."""
        rows = self._rows
        return UIContent(get_line=lambda index: rows[index], line_count=len(rows), show_cursor=False)


class InlineApplication(Application[None]):
    """An application whose every redraw is a frame of its owner's: `draw_frame(draw)` is to call `draw`.

    When the window has another size `on_resize()` is called, and the owner is to call `go_to_top` before it draws.

    Stands on names that are private to prompt_toolkit (3.0): `_redraw`, `_on_resize`, `_running_in_terminal`, and the
    renderer's `_cursor_pos` and `_last_size`.
    """

    def __init__(
        self,
        draw_frame: Callable[[Callable[[], None]], None],
        on_resize: Callable[[], None],
        *,
        is_reflowed: bool = False,
        **options: Any,
    ) -> None:
        """`is_reflowed`: the terminal wraps lines anew when it becomes narrower."""
        self._draw_frame = draw_frame
        self._tell_resize = on_resize
        self._is_reflowed = is_reflowed
        self.depth = ColorDepth.DEPTH_1_BIT
        super().__init__(color_depth=lambda: self.depth, **options)

    @property
    def can_draw(self) -> bool:
        """Whether the terminal is ours now."""
        return self.is_running and not self._running_in_terminal and not self.is_done

    def redraw(self) -> None:
        """Draw a frame at once."""
        self._redraw()

    def _redraw(self, render_as_done: bool = False) -> None:
        """Also called after each key: nothing that was printed before may come after it."""
        if render_as_done or not self.can_draw:
            super()._redraw(render_as_done)
        else:
            self._draw_frame(super()._redraw)

    def has_shrunk(self) -> bool:
        """Whether what is live now takes fewer rows than are drawn."""
        drawn, size = self.renderer.last_rendered_screen, self.output.get_size()
        wanted = self.layout.container.preferred_height(size.columns, size.rows).preferred
        return drawn is not None and drawn.height > min(size.rows, wanted)

    @property
    def is_resized(self) -> bool:
        """Whether the window has another size than what is live was drawn for."""
        return self.renderer._last_size not in (None, self.output.get_size())

    def go_to_top(self) -> None:
        """Erase what is live, and put the cursor where it began, wherever the terminal has moved that."""
        if extra := self._wrapped_rows(self.output.get_size().columns):
            self.output.cursor_up(extra)
        self.renderer.erase()

    def _wrapped_rows(self, columns: int) -> int:
        """How many more rows the lines above the cursor take, where the terminal has wrapped them to so many columns.

        Right only for rows that were drawn once since they were last erased: some terminals (tmux) go on counting the
        length that a row has had before.
        """
        drawn, size, cursor = self.renderer.last_rendered_screen, self.renderer._last_size, self.renderer._cursor_pos
        if not self._is_reflowed or drawn is None or size is None or not 0 < columns < size.columns:
            return 0
        buffer = drawn.data_buffer
        ends = (max((x for x, cell in buffer[row].items() if cell.char != " "), default=0) for row in range(cursor.y))
        return sum(end // columns for end in ends) + cursor.x // columns

    def _on_resize(self) -> None:
        self._tell_resize()


class FrameOutput(Vt100_Output):
    """A terminal to which a frame is sent in one piece."""

    _is_held = False

    def flush(self) -> None:
        """Send what is written, unless a frame is being drawn."""
        if not self._is_held:
            super().flush()

    @contextlib.contextmanager
    def frame(self) -> Iterator[None]:
        """What is written inside the block is sent at its end."""
        self.flush()
        self._is_held = True
        try:
            yield
        finally:
            self._is_held = False
            if self._buffer:
                self._buffer = [_BEGIN_FRAME, *self._buffer, _END_FRAME]
            self.flush()
