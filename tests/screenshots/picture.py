"""From what a program wrote to a terminal to an SVG of its screen, the same one every time."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

import pyte
from pyte.screens import Char
from rich.console import Console
from rich.style import Style
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from tests.e2e.screen import Screen


def _theme(ground: str, text: str, colours: str, bright: str) -> TerminalTheme:
    """Colours in hex; eight of each: black red green yellow blue magenta cyan white."""
    rows = ([(*bytes.fromhex(one),) for one in row.split()] for row in (ground, text, colours, bright))
    (ground_rgb,), (text_rgb,), normal, light = rows
    return TerminalTheme(ground_rgb, text_rgb, normal, light)  # type: ignore[arg-type]


DARK = _theme(
    "181a1f",
    "dcdfe4",
    "181a1f f07178 98c379 e5c07b 61afef c678dd 56bec8 dcdfe4",
    "6e7582 ff878c aad78c f5d291 82c3ff dc96f0 6ed2dc ffffff",
)
LIGHT = _theme(
    "ffffff",
    "24292f",
    "24292f be1e2d 116329 825a00 0950be 783cb4 146e78 6e7781",
    "57606a cf222e 1a7f37 9a6700 218bff a475f9 3192aa 8c959f",
)

# rich's own has its fonts fetched from the network.
_TEMPLATE = """\
<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{
font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", "Liberation Mono", monospace;
font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width;
}}
.{unique_id}-title {{ font: 16px ui-sans-serif, system-ui, sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath>
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""

_NAMES = {"brown": "yellow", "brightblack": "bright_black", "brightbrown": "bright_yellow"}
_ROW_CLIP = re.compile(r' clip-path="url\(#\S+-line-\d+\)"')
_LINE_END = re.compile(r"<text [^>]*>\n</text>")
_HEX = re.compile(r"[0-9a-f]{6}")


class Mask(NamedTuple):
    """What differs from run to run (`pattern`), and what the picture shows in its place."""

    pattern: re.Pattern[str]
    shown: str


class _DimScreen(Screen):
    """A screen that keeps what is dim, which pyte does not know, where pyte keeps what blinks."""

    def select_graphic_rendition(self, *attrs: int) -> None:
        """Colours and attributes."""
        is_dim = self.cursor.attrs.blink
        super().select_graphic_rendition(*attrs)
        left = iter(attrs or (0,))
        for attr in left:
            if attr in (38, 48):  # a colour follows: a number, or three
                for _ in range(1 if next(left, 5) == 5 else 3):
                    next(left, None)
            elif attr in (0, 2, 22):
                is_dim = attr == 2
        self.cursor.attrs = self.cursor.attrs._replace(blink=is_dim)


def screen_rows(raw: bytes, columns: int, rows: int, masks: Iterable[Mask]) -> list[Text]:
    """What stands on the screen after `raw` was written to it, from the first row to the last that is not empty."""
    screen = _DimScreen(columns, rows, lambda _answer: None)
    pyte.ByteStream(screen).feed(raw)
    lines = [[screen.buffer[y][x] for x in range(columns)] for y in range(rows)]
    if not screen.cursor.hidden:
        at = lines[screen.cursor.y]
        at[screen.cursor.x] = at[screen.cursor.x]._replace(reverse=True)
    masked = [_masked(line, masks)[:columns] for line in lines]
    while masked and all(cell.data.isspace() and not cell.reverse for cell in masked[-1]):
        masked.pop()
    return [_text(line) for line in masked]


def svg(rows: Sequence[Text], columns: int, name: str, title: str, theme: TerminalTheme) -> str:
    """A picture of the rows. `name` makes its style classes its own, where a page holds several pictures."""
    console = Console(
        record=True,
        width=columns,
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
        legacy_windows=False,
    )
    for row in rows:
        console.print(row, no_wrap=True, overflow="ignore", crop=False)
    picture = console.export_svg(title=title, theme=theme, code_format=_TEMPLATE, unique_id=name)
    # rich draws line ends, too, and clips every row, the last one to a path that it leaves out.
    picture = _LINE_END.sub("\n", _ROW_CLIP.sub("", picture))
    return "\n".join(line.strip() for line in picture.splitlines() if line.strip()) + "\n"


def _masked(cells: list[Char], masks: Iterable[Mask]) -> list[Char]:
    """The cells with what the masks say in place of what they match, in the style of its first cell."""
    for pattern, shown in masks:
        line = "".join(cell.data or "\0" for cell in cells)  # the second cell of a wide character is empty
        if len(line) != len(cells):
            continue  # combining characters: nothing of ours
        for match in reversed(list(pattern.finditer(line))):
            start, end = match.span()
            padding = [cells[-1]] * (end - start - len(shown))
            cells = [*cells[:start], *(cells[start]._replace(data=char) for char in shown), *cells[end:], *padding]
    return cells


def _text(cells: Sequence[Char]) -> Text:
    end = max((x + 1 for x, cell in enumerate(cells) if cell.reverse or not cell.data.isspace()), default=0)
    text = Text(end="")
    for style, alike in groupby(cells[:end], _style):
        text.append("".join(cell.data for cell in alike), style)
    return text


def _style(cell: Char) -> Style:
    return Style(
        color=_colour(cell.fg),
        bgcolor=_colour(cell.bg),
        bold=cell.bold,
        dim=cell.blink,
        italic=cell.italics,
        underline=cell.underscore,
        strike=cell.strikethrough,
        reverse=cell.reverse,
    )


def _colour(name: str) -> str | None:
    if name == "default":
        return None
    if _HEX.fullmatch(name):
        return f"#{name}"
    return _NAMES.get(name) or name.replace("bright", "bright_")
