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
    app.say("  Esc or Ctrl-C stops a turn, Ctrl-C twice leaves; Ctrl-D leaves.")
    app.say("  What you type while a turn runs is passed on to it.")


@command("compact", "[what to keep]")
async def compact(app: App, argument: str) -> None:
    """Shorten the conversation to make room."""
    await app.operate(OpType.COMPACT, {"instructions": argument} if argument else None)


@command("new")
async def new(app: App, _argument: str) -> None:
    """Begin a new conversation."""
    await app.operate(OpType.NEW, {"clear_screen": False})


@command("clear")
async def clear(app: App, _argument: str) -> None:
    """Begin a new conversation on a clear screen."""
    await app.operate(OpType.NEW, {"clear_screen": True})


@command("rename", "TITLE")
async def rename(app: App, argument: str) -> None:
    """Give this session a title to find it by."""
    if not argument:
        app.complain("Say which title: /rename TITLE.")
        return
    await app.operate(OpType.RENAME, {"title": argument})


@command("quit")
async def leave(app: App, _argument: str) -> None:
    """Leave (also /exit, exit, quit)."""
    app.leave()
