"""What a person would see: pyte's terminal with scrollback, made to behave like a real one where it does not."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from typing import Any

import pyte
from pyte.screens import Char
from wcwidth import wcwidth

_HISTORY_LINES = 100_000
_ALTERNATE_SCREEN_MODES = {47, 1047, 1049}


class Screen(pyte.HistoryScreen):
    """A screen and everything that scrolled off its top.

    Differences from pyte: zero-width characters that do not combine (ZWJ, variation selectors) do not swallow the text
    after them; lines cut off by making the window lower go to the scrollback; scrolling inside a region that does not
    start at the top leaves the scrollback alone; the alternate screen exists; private status queries are ignored.
    """

    def __init__(self, columns: int, rows: int, answer: Callable[[str], None]) -> None:
        """`answer` takes what the terminal sends to the program by itself: the replies to its queries."""
        self._answer = answer
        self._main_screen: tuple[dict[int, Any], int, int] | None = None
        super().__init__(columns, rows, history=_HISTORY_LINES)

    def visible(self) -> list[str]:
        """The rows of the screen, without trailing spaces."""
        return [_row_text(self.buffer[y]) for y in range(self.lines)]

    def everything(self) -> list[str]:
        """The scrollback, then the screen."""
        return [_row_text(row) for row in self.history.top] + self.visible()

    def text(self) -> str:
        """Everything as one text; the cursor's row keeps its spaces up to the cursor, so that a prompt can be found."""
        lines = self.everything()
        at = len(self.history.top) + self.cursor.y
        lines[at] = lines[at].ljust(self.cursor.x)
        return "\n".join(lines)

    def write_process_input(self, data: str) -> None:
        """Pyte's hook for answers to queries."""
        self._answer(data)

    def report_device_status(self, mode: int = 0, **kwargs: Any) -> None:
        """Cursor position and status; pyte raises TypeError on the private form."""
        if not kwargs.get("private"):
            super().report_device_status(mode)

    def draw(self, data: str) -> None:
        """Text; pyte drops the rest of it at the first character it cannot place."""
        super().draw("".join(char for char in data if wcwidth(char) > 0 or _combines(char)))

    def index(self) -> None:
        """A line feed at the bottom; only lines that leave at the top of the screen are history."""
        if self._main_screen is None and (self.margins is None or self.margins.top == 0):
            super().index()
        else:
            pyte.Screen.index(self)

    def resize(self, lines: int | None = None, columns: int | None = None) -> None:
        """A window made lower drops empty rows below the cursor first, then pushes rows into the scrollback."""
        rows = lines or self.lines
        surplus = max(0, self.cursor.y + 1 - rows) if rows < self.lines else 0
        if surplus and self._main_screen is None:
            self.history.top.extend(self.buffer[y] for y in range(surplus))
        moved = {y - surplus: row for y, row in self.buffer.items() if surplus <= y < surplus + rows}
        cursor_y = self.cursor.y - surplus
        super().resize(lines, columns)
        for row in moved.values():
            for x in [x for x in row if x >= self.columns]:
                del row[x]
        self.buffer.clear()
        self.buffer.update(moved)
        self.cursor.y = cursor_y
        self.cursor.x = min(self.cursor.x, self.columns - 1)

    def set_mode(self, *modes: int, **kwargs: Any) -> None:
        """Entering the alternate screen puts the main one aside."""
        super().set_mode(*modes, **kwargs)
        if kwargs.get("private") and _ALTERNATE_SCREEN_MODES & set(modes) and self._main_screen is None:
            self._main_screen = (dict(self.buffer), self.cursor.x, self.cursor.y)
            self.buffer.clear()

    def reset_mode(self, *modes: int, **kwargs: Any) -> None:
        """Leaving the alternate screen brings the main one back."""
        super().reset_mode(*modes, **kwargs)
        if kwargs.get("private") and _ALTERNATE_SCREEN_MODES & set(modes) and self._main_screen is not None:
            rows, self.cursor.x, self.cursor.y = self._main_screen
            self._main_screen = None
            self.buffer.clear()
            self.buffer.update(rows)


def _combines(char: str) -> bool:
    """Accents and other marks that pyte joins to the character before them."""
    return unicodedata.combining(char) > 0


def _row_text(row: Mapping[int, Char]) -> str:
    """A row as text: untouched cells are spaces, the second cell of a wide character is nothing."""
    width = max(row, default=-1) + 1
    return "".join(row[x].data if x in row else " " for x in range(width)).rstrip()
