"""The rich console of interactive mode, made for what is at the other end."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import IO, Literal, TextIO, cast

from rich.console import Console
from rich.text import Text
from rich.theme import Theme

from agent.ui.streams import TextSink

_THEME = Theme(
    {
        # rich's own put code on a black ground, which is a blot on light terminals
        "markdown.code": "cyan",
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
        "tool.name": "cyan",
        "tool.ok": "green",
        "tool.fail": "red",
        "error": "red",
        "warning": "yellow",
        "diff.add": "green",
        "diff.remove": "red",
        "diff.hunk": "cyan",
        "diff.file": "bold",
    }
)

ColorSystem = Literal["auto", "standard", "256", "truecolor"]
_FORCED: dict[str, ColorSystem] = {"2": "256", "3": "truecolor"}
_DEFAULT_WIDTH = 80


def make_console(file: TextIO, environ: Mapping[str, str]) -> Console:
    """A console on `file` that never reads text as markup or emoji codes, nor fails for what it is given to print.

    Escape sequences are sent only to a terminal that is not `dumb`, or where FORCE_COLOR asks for them (1 to 3 choose
    the depth, 0 means none); NO_COLOR, if not empty, wins over everything and means no styles at all. Where the width
    cannot be asked for, it is COLUMNS or 80. The reader leaving is no error: `console.file.failure` tells.
    """
    sink = TextSink(file)
    is_terminal = sink.isatty()
    color_system = _color_system(is_terminal, environ)
    is_dumb = environ.get("TERM", "") in {"dumb", "unknown"}
    width = None if is_terminal and not is_dumb else _fixed_width(sink, environ)
    return Console(
        file=cast(IO[str], sink),
        force_terminal=is_terminal or color_system is not None,
        force_jupyter=False,
        color_system=color_system,
        no_color=color_system is None,
        width=width,
        height=None if width is None else 25,  # without it rich ignores the width of a dumb terminal
        theme=_THEME,
        markup=False,
        emoji=False,
        highlight=False,
        _environ=environ,
    )


def print_text(console: Console, text: Text, indent: int = 0, sign: Text | None = None) -> None:
    """Print text, wrapped to the width: every line after `indent` columns, the first one after `sign` instead."""
    for line in text.wrap(console, max(console.width - indent, 1), overflow="fold"):
        row = (sign or Text(" " * indent)).copy().append_text(line)
        row.rstrip()
        console.print(row, overflow="fold")
        sign = None


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
