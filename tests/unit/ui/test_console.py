from __future__ import annotations

import io
import os
import pty
import re

import pytest
from rich.text import Text

from agent.ui.console import ThemeName, make_console, set_theme


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("tty", "environ", "coloured"),
    [
        (True, {"TERM": "xterm"}, True),
        (False, {"TERM": "xterm"}, False),
        (True, {"TERM": "xterm", "NO_COLOR": "1"}, False),
        (True, {"TERM": "xterm", "NO_COLOR": ""}, True),
        (True, {"TERM": "dumb"}, False),
        (False, {"FORCE_COLOR": "1"}, True),
        (True, {"TERM": "xterm", "FORCE_COLOR": "0"}, False),
        (True, {"TERM": "dumb", "FORCE_COLOR": "3"}, True),
        (True, {"TERM": "xterm", "FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        (False, {"TERM": "xterm", "COLORTERM": "truecolor", "CI": "1"}, False),
    ],
)
def test_colours_go_where_they_are_wanted(tty: bool, environ: dict[str, str], coloured: bool) -> None:
    file = Terminal() if tty else io.StringIO()
    make_console(file, environ).print(Text("x", "bold red"))
    assert ("\x1b[" in file.getvalue()) == coloured


def test_the_width_is_the_terminal_s_or_columns_or_80() -> None:
    assert make_console(io.StringIO(), {}).width == 80
    assert make_console(io.StringIO(), {"COLUMNS": "40"}).width == 40
    assert make_console(io.StringIO(), {"COLUMNS": "0"}).width == 80
    assert make_console(Terminal(), {"COLUMNS": "40", "TERM": "dumb"}).width == 40


def test_a_dumb_terminal_has_its_own_width() -> None:
    import fcntl
    import struct
    import termios

    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 33, 0, 0))
    with os.fdopen(slave, "w") as file, os.fdopen(master):
        assert make_console(file, {"TERM": "dumb"}).width == 33


def test_text_is_only_text() -> None:
    file = io.StringIO()
    make_console(file, {}).print("[/usr/lib/x] [bold]b[/bold] :smile: 12 'a' \ud800")
    assert file.getvalue() == "[/usr/lib/x] [bold]b[/bold] :smile: 12 'a' ?\n"


def test_ascii_terminals_get_ascii() -> None:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding="ascii")
    make_console(file, {}).print("✓ bash … é")
    assert raw.getvalue() == b"+ bash ~ ?\n"


def test_the_width_follows_the_terminal() -> None:
    columns = [80]
    file = io.StringIO()
    console = make_console(file, {"COLUMNS": "30"}, force_terminal=True, width=lambda: columns[0])
    assert console.width == 80
    columns[0] = 20
    assert console.options.max_width == 20
    console.print(Text("word " * 8))
    assert max(len(line) for line in file.getvalue().split("\n")) <= 20


@pytest.mark.parametrize(
    ("theme", "environ", "is_light"),
    [
        ("auto", {}, False),
        ("auto", {"COLORFGBG": "0;15"}, True),
        ("auto", {"COLORFGBG": "0;default;7"}, True),
        ("auto", {"COLORFGBG": "15;0"}, False),
        ("light", {"COLORFGBG": "15;0"}, True),
        ("dark", {"COLORFGBG": "0;15"}, False),
    ],
)
def test_the_theme_goes_by_the_ground(theme: ThemeName, environ: dict[str, str], is_light: bool) -> None:
    assert make_console(io.StringIO(), environ, theme).is_light == is_light


def test_a_theme_has_only_the_terminal_s_own_colours() -> None:
    from agent.ui.markdown_stream import Block
    from agent.ui.markdown_view import print_block

    code = Block("code", '```py\nclass A:  # c\n    x = "s" + f(1)\n    @d\n    def g(self): raise E\n```\n', "py")
    for theme, unreadable in (("dark", ()), ("light", ("33", "93", "96", "97", "92"))):
        file = io.StringIO()
        console = make_console(file, {"FORCE_COLOR": "3"})
        set_theme(console, theme)
        for style in ("warning", "tool.name", "tool.ok", "diff.hunk", "markdown.code", "error"):
            console.print(Text("x", style))
        print_block(console, code)
        codes = {code for run in re.findall(r"\x1b\[([0-9;]*)m", file.getvalue()) for code in run.split(";")}
        assert not codes & {"38", "48", *unreadable}
