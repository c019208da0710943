"""Commands about the conversation itself, and the help."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import TYPE_CHECKING

from agent.cli.commands.registry import GROUPS, REGISTRY, Command, command, find
from agent.protocol.operations import OpType

if TYPE_CHECKING:
    from agent.cli.app import App

KEYS = (
    ("Enter", "send; while a turn runs, pass it on to it"),
    ("Alt-Enter, \\ Enter", "a new line"),
    ("Tab", "complete a command, an argument or a @file"),
    ("Up", "earlier requests"),
    ("Ctrl-R", "search what was typed before"),
    ("Ctrl-G", "write in $EDITOR"),
    ("Ctrl-O", "show the last output in full"),
    ("Shift-Tab", "next mode"),
    ("Esc", "stop the turn"),
    ("Esc Esc", "rewind"),
    ("Ctrl-C", "stop the turn; twice: leave"),
    ("Ctrl-D", "leave"),
    ("Ctrl-Z", "put the program in the background; fg brings it back"),
    ("@file", "name a file"),
    ("!command", "run a command; its output goes to the model, too"),
    ("#note", "add a note to AGENTS.md"),
)
"""What the keyboard does, for the end of the help."""

_WIDEST_NAMES = 30
_NARROW_COLUMNS = 60


@command("help", "[command]", group="Program", aliases=("?",), at_once=True)
async def show_help(app: App, argument: str) -> None:
    """List the commands and keys, or tell about one command."""
    width = app.console.width
    if not argument:
        app.say(_all(width))
        return
    try:
        app.say(_about(find(f"/{argument.lstrip('/')}")[0], width))
    except ValueError as error:
        app.complain(str(error))


def _all(width: int) -> str:
    parts = []
    for group in GROUPS:
        members = [(_title(one), one.help) for _, one in sorted(REGISTRY.items()) if one.group == group]
        if members:
            parts.append(f"{group}\n{_table(members, width)}")
    parts.append(f"Keys\n{_table(KEYS, width)}")
    return "\n\n".join(parts)


def _about(one: Command, width: int) -> str:
    parts = [_title(one), _wrapped(one.help, width, 2)]
    parts += [_wrapped(paragraph, width, 2) for paragraph in one.details.split("\n\n") if paragraph]
    if one.choices:
        parts.append(_wrapped(f"For example: {', '.join(one.choices)}", width, 2))
    return "\n".join(parts)


def _title(one: Command) -> str:
    also = f" (also {', '.join(f'/{alias}' for alias in one.aliases)})" if one.aliases else ""
    return f"/{one.name} {one.usage}".rstrip() + also


def _table(rows: Iterable[tuple[str, str]], width: int) -> str:
    """Names and what they mean, aligned; below each other where there is no room for two columns."""
    is_narrow = width < _NARROW_COLUMNS
    indent = 6 if is_narrow else 2 + _WIDEST_NAMES + 2
    lines = []
    for name, text in rows:
        head, described = f"  {name}", _wrapped(text, width, indent)
        fits = not is_narrow and len(name) <= _WIDEST_NAMES
        lines.append(head.ljust(indent) + described[indent:] if fits else f"{head}\n{described}")
    return "\n".join(lines)


def _wrapped(text: str, width: int, indent: int) -> str:
    margin = " " * indent
    return textwrap.fill(text, max(width - 1, indent + 20), initial_indent=margin, subsequent_indent=margin)


@command("compact", "[what to keep]")
async def compact(app: App, argument: str) -> None:
    """Shorten the conversation to make room."""
    await app.operate(OpType.COMPACT, {"instructions": argument} if argument else None)


@command("new", aliases=("clear",))
async def new(app: App, _argument: str) -> None:
    """Begin a new conversation.

    What was said stays on the screen and is kept: /resume goes on with it.
    """
    await app.operate(OpType.NEW, {"clear_screen": False})


@command("rename", "TITLE")
async def rename(app: App, argument: str) -> None:
    """Give this session a title to find it by."""
    if not argument:
        app.complain("Say which title: /rename TITLE.")
        return
    await app.operate(OpType.RENAME, {"title": argument})


@command("quit", group="Program", aliases=("exit",))
async def leave(app: App, _argument: str) -> None:
    """Leave; the session is kept."""
    app.leave()
