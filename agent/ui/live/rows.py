"""Rows of styled text: what a live region is made of."""

from __future__ import annotations

from rich.console import Console, RenderableType
from rich.segment import Segment
from rich.text import Text

Row = list[Segment]
"""One line on the screen: text segments with their styles, no line end, no blanks at its end."""


def rendered_rows(console: Console, renderable: RenderableType, width: int) -> list[Row]:
    """The rows that `renderable` takes, each of at most `width` cells."""
    options = console.options.update_width(max(width, 1))
    rows = console.render_lines(renderable, options, pad=False)
    return [_without_end(Segment.adjust_line_length(row, width, pad=False)) for row in rows]


def cut_row(console: Console, text: Text, width: int) -> Row:
    """`text`, which must be one line, as one row: cut with an ellipsis where it is too long."""
    text = text.copy()
    text.truncate(width, overflow="ellipsis")
    text.end = ""
    return _without_end(list(text.render(console)))


def wrapped_rows(console: Console, text: Text, width: int, indent: int = 0) -> list[Row]:
    """`text` wrapped, every row after `indent` blanks."""
    margin = [Segment(" " * indent)] if indent else []
    return [[*margin, *row] if row else [] for row in rendered_rows(console, text, max(width - indent, 1))]


def _without_end(row: Row) -> Row:
    """Free of control segments and of the blanks that rich pads with."""
    row = [segment for segment in row if not segment.control]
    while row:
        text = row[-1].text.rstrip()
        if text:
            row[-1] = Segment(text, row[-1].style)
            break
        row.pop()
    return row
