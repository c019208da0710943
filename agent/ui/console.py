"""The rich console of interactive mode, made for what is at the other end."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import cache
from typing import IO, TYPE_CHECKING, Any, Literal, TextIO, cast

from rich.console import Console, ConsoleDimensions
from rich.style import Style
from rich.text import Text
from rich.theme import Theme

from agent.ui.streams import TextSink

if TYPE_CHECKING:
    from rich.syntax import SyntaxTheme  # pygments: not before code is shown

ThemeName = Literal["auto", "dark", "light"]

_ANY_GROUND = {
    # rich's own put code on a black ground, which is a blot on light terminals
    "markdown.h1": "bold",
    "markdown.h2": "bold",
    "markdown.h3": "bold",
    "markdown.h4": "bold dim",
    "markdown.block_quote": "dim",
    "markdown.item.bullet": "dim",
    "markdown.item.number": "dim",
    "markdown.link": "none",
    "markdown.link_url": "dim underline",
    "markdown.hr": "dim",
    "markdown.table.border": "dim",
    "markdown.table.header": "bold",
    "muted": "dim",
    "input": "bold",
    "tool.ok": "green",
    "tool.fail": "red",
    "error": "red",
    "diff.add": "green",
    "diff.remove": "red",
    "diff.file": "bold",
}
# Only the 16 colours that the person has chosen for their terminal.
_DARK = Theme(
    {**_ANY_GROUND, "markdown.code": "cyan", "tool.name": "cyan", "warning": "yellow", "diff.hunk": "cyan"},
)
_LIGHT = Theme(
    {**_ANY_GROUND, "markdown.code": "blue", "tool.name": "blue", "warning": "magenta", "diff.hunk": "blue"},
)
_READABLE_ON_WHITE = {"yellow": "green", "white": "default", "bright_blue": "blue", "bright_red": "red"}
_LIGHT_GROUNDS = frozenset({"7", "15"})

ColorSystem = Literal["auto", "standard", "256", "truecolor"]
_FORCED: dict[str, ColorSystem] = {"2": "256", "3": "truecolor"}
_DEFAULT_WIDTH, _DEFAULT_HEIGHT = 80, 25


class TerminalConsole(Console):
    """A console that knows its environment and ground, and whose width may follow a terminal that is resized."""

    def __init__(self, *args: Any, environ: Mapping[str, str], columns: Callable[[], int] | None, **named: Any) -> None:
        self.environ = environ
        self.is_light = False
        self._is_themed = False
        self._columns = columns
        super().__init__(*args, _environ=environ, **named)

    def use(self, theme: Theme) -> None:
        """Look styles up in `theme` from now on."""
        if self._is_themed:
            self.pop_theme()
        self.push_theme(theme)
        self._is_themed = True

    @property
    def size(self) -> ConsoleDimensions:
        """Columns and rows."""
        if self._columns is None:
            return super().size
        return ConsoleDimensions(max(self._columns(), 1), _DEFAULT_HEIGHT)

    @size.setter
    def size(self, new_size: tuple[int, int]) -> None:
        self.width, self.height = new_size


def make_console(
    file: TextIO,
    environ: Mapping[str, str],
    theme: ThemeName = "auto",
    *,
    force_terminal: bool | None = None,
    width: Callable[[], int] | None = None,
) -> TerminalConsole:
    """A console on `file` that never reads text as markup or emoji codes, nor fails for what it is given to print.

    Escape sequences are sent only to a terminal that is not `dumb`, or where FORCE_COLOR asks for them (1 to 3 choose
    the depth, 0 means none); NO_COLOR, if not empty, wins over everything and means no styles at all. `force_terminal`
    says whether a terminal is at the other end, None: `file` knows. `width` is asked for the columns whenever they are
    needed; without it they are the terminal's, or where that cannot be asked COLUMNS or 80. The reader leaving is no
    error: `console.file.failure` tells.
    """
    sink = TextSink(file)
    is_terminal = sink.isatty() if force_terminal is None else force_terminal
    color_system = _color_system(is_terminal, environ)
    is_dumb = environ.get("TERM", "") in {"dumb", "unknown"}
    fixed = None if width or (is_terminal and not is_dumb) else _fixed_width(sink, environ)
    console = TerminalConsole(
        file=cast(IO[str], sink),
        force_terminal=is_terminal or color_system is not None,
        force_jupyter=False,
        color_system=color_system,
        no_color=color_system is None,
        width=fixed,
        height=None if fixed is None else _DEFAULT_HEIGHT,  # without it rich ignores the width of a dumb terminal
        markup=False,
        emoji=False,
        highlight=False,
        environ=environ,
        columns=width,
    )
    set_theme(console, theme)
    return console


def set_theme(console: TerminalConsole, name: ThemeName) -> None:
    """Choose the colours for what is printed from now on; `auto` goes by COLORFGBG, and is dark where that is unset."""
    ground = console.environ.get("COLORFGBG", "").rpartition(";")[2]
    console.is_light = name == "light" or (name == "auto" and ground in _LIGHT_GROUNDS)
    console.use(_LIGHT if console.is_light else _DARK)


def code_theme(console: Console) -> str | SyntaxTheme:
    """The colours of code that go with the console's: only the terminal's own, on no ground."""
    return _light_code() if isinstance(console, TerminalConsole) and console.is_light else "ansi_dark"


@cache
def _light_code() -> SyntaxTheme:
    from rich.syntax import ANSI_LIGHT, ANSISyntaxTheme

    def readable(style: Style) -> Style:
        colour = _READABLE_ON_WHITE.get(style.color.name) if style.color else None
        return style + Style(color=colour) if colour else style

    return ANSISyntaxTheme({token: readable(style) for token, style in ANSI_LIGHT.items()})


def print_text(console: Console, text: Text, indent: int = 0, sign: Text | None = None) -> None:
    """Print text, wrapped to the width: every line after `indent` columns, the first one after `sign` instead."""
    rows = []
    for line in text.wrap(console, max(console.width - indent, 1), overflow="fold"):
        row = (sign or Text(" " * indent)).copy().append_text(line)
        row.rstrip()
        rows.append(row)
        sign = None
    console.print(Text("\n").join(rows), overflow="fold")


def output_failure(console: Console) -> OSError | ValueError | None:
    """Why nothing more can be shown on a console from `make_console` (`BrokenPipeError`: the reader has gone)."""
    return console.file.failure if isinstance(console.file, TextSink) else None


def _color_system(is_terminal: bool, environ: Mapping[str, str]) -> ColorSystem | None:
    if environ.get("NO_COLOR"):
        return None
    forced = environ.get("FORCE_COLOR", "").lower()
    if forced in {"0", "false", "no"}:
        return None
    if forced:
        return _FORCED.get(forced, "standard")
    return "auto" if is_terminal else None


def _fixed_width(sink: TextSink, environ: Mapping[str, str]) -> int:
    columns = environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns) > 0:
        return int(columns)
    try:
        return os.get_terminal_size(sink.fileno()).columns or _DEFAULT_WIDTH
    except (OSError, ValueError, AttributeError):
        return _DEFAULT_WIDTH
