"""The registry of slash commands.

A command is `async def name(app, argument)`; it acts through `app` (agent/cli/interactive.py) and prints through
`app.say`.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent.cli.interactive import App

Run = Callable[["App", str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Command:
    """A registered command."""

    name: str
    usage: str
    help: str
    run: Run


REGISTRY: dict[str, Command] = {}


def command(name: str, usage: str = "") -> Callable[[Run], Run]:
    """Register the decorated function as `/name`."""

    def register(run: Run) -> Run:
        REGISTRY[name] = Command(name, usage, (run.__doc__ or "").strip().splitlines()[0], run)
        return run

    return register


def is_command(text: str) -> bool:
    """Whether `text` is meant as a command: `/word`, but not a prompt that begins with a path."""
    if not text.startswith("/"):
        return False
    word = text.split(maxsplit=1)[0]
    return "/" not in word[1:] and (word[1:] in REGISTRY or len(word) == 1 or not os.path.exists(word))  # noqa: PTH110 - Path raises


def find(text: str) -> tuple[Command, str]:
    """The command in `text` and its argument. Raises `ValueError` with a suggestion for an unknown one."""
    word, _, argument = text[1:].partition(" ")
    name = word.strip().lower()
    if name in REGISTRY:
        return REGISTRY[name], argument.strip()
    near = difflib.get_close_matches(name, REGISTRY, n=1, cutoff=0.5)
    hint = f" Did you mean /{near[0]}?" if near else ""
    raise ValueError(f"There is no command /{name}.{hint} /help lists them all.")
