"""Commands about the conversation itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.cli.commands.registry import REGISTRY, command
from agent.protocol.operations import OpType

if TYPE_CHECKING:
    from agent.cli.interactive import App


@command("help")
async def show_help(app: App, _argument: str) -> None:
    """List the commands."""
    entries = [(f"/{c.name} {c.usage}".strip(), c.help) for c in REGISTRY.values()]
    width = max(len(name) for name, _ in entries)
    app.say("\n".join(f"  {name.ljust(width)}  {text}" for name, text in entries))
    app.say("  Ctrl-C stops a turn, twice leaves; Ctrl-D leaves.")


@command("undo")
async def undo(app: App, _argument: str) -> None:
    """Take back the last turn from the conversation (files stay as they are)."""
    await app.operate(OpType.UNDO)


@command("compact")
async def compact(app: App, _argument: str) -> None:
    """Shorten the conversation to make room."""
    await app.operate(OpType.COMPACT)


@command("new")
async def new(app: App, _argument: str) -> None:
    """Begin a new conversation."""
    await app.operate(OpType.NEW, {"clear_screen": False})


@command("clear")
async def clear(app: App, _argument: str) -> None:
    """Begin a new conversation on a clear screen (the scrollback stays)."""
    await app.operate(OpType.NEW, {"clear_screen": True})


@command("quit")
async def leave(app: App, _argument: str) -> None:
    """Leave (also /exit, exit, quit)."""
    app.leave()
