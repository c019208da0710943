"""The registry of slash commands.

A command is `async def name(app, argument)`; it acts through `app` (agent/cli/app.py) and prints through
`app.say`. Help and completion are made from what is registered here.
"""

from __future__ import annotations

import difflib
import inspect
import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Literal, get_args

from agent.light_dataclass import dataclass
from agent.ui.composer.completion import CommandHint
from agent.ui.sanitize import clip

if TYPE_CHECKING:
    from agent.cli.app import App

Run = Callable[["App", str], Awaitable[None]]
Group = Literal["Conversation", "Money", "Model and mode", "Workspace", "Program"]
GROUPS: tuple[Group, ...] = get_args(Group)
"""The headings of the help, in its order."""

_MOST_MEANT = 4
_NAME_COLUMNS = 40


@dataclass(frozen=True, slots=True)
class Command:
    """A registered command. `help` is one line, `details` what there is to say beyond it.

    `choices` are words that its argument can be; any other may be right, too. `aliases` are other names for it.
    """

    name: str
    usage: str
    help: str
    run: Run
    group: Group = "Conversation"
    choices: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    details: str = ""
    at_once: bool = False
    """Whether it runs beside a turn, instead of after it: it asks nothing of the submission loop."""


REGISTRY: dict[str, Command] = {}
"""The commands by name, without their aliases."""


def command(
    name: str,
    usage: str = "",
    *,
    group: Group = "Conversation",
    choices: tuple[str, ...] = (),
    aliases: tuple[str, ...] = (),
    at_once: bool = False,
) -> Callable[[Run], Run]:
    """Register the decorated function as `/name`. The first line of its docstring is its help, the rest the details."""

    def register(run: Run) -> Run:
        summary, _, details = inspect.cleandoc(run.__doc__ or "").partition("\n")
        REGISTRY[name] = Command(name, usage, summary, run, group, choices, aliases, details.strip(), at_once)
        return run

    return register


def command_hints() -> list[CommandHint]:
    """What the composer's completion needs to know of the commands."""
    return [CommandHint(one.name, one.usage, one.help, one.choices, one.aliases) for one in REGISTRY.values()]


def runs_at_once(text: str) -> bool:
    """Whether `text` is a command that need not wait for the end of a turn."""
    if not is_command(text):
        return False
    try:
        found, _ = find(text)
    except ValueError:
        return True  # what is wrong with it can be said now
    return found.at_once


def is_command(text: str) -> bool:
    """Whether `text` is meant as a command: `/word`, but not a prompt that begins with a path."""
    if not text.startswith("/"):
        return False
    word = text.split(maxsplit=1)[0]
    name = word[1:].lower()
    is_known = not name or _named(name) is not None
    return "/" not in name and (is_known or not os.path.exists(word))  # noqa: PTH110 - Path raises


def is_for_us(text: str) -> bool:
    """Whether a line is a command, a shell command (`!ls`) or a note (`#use uv`), and so not for the model."""
    is_note = text.startswith("#") and not text.startswith("##") and "\n" not in text
    return text.startswith("!") or is_note or is_command(text)


def find(text: str) -> tuple[Command, str]:
    """The command in `text` and its argument.

    Raises `ValueError` with suggestions for an unknown one.
    """
    word, *rest = text.split(maxsplit=1)
    name = word[1:].lower()
    if (known := _named(name)) is not None:
        return known, rest[0].strip() if rest else ""
    meant = _meant(name)
    hint = f" Did you mean {' or '.join(f'/{one}' for one in meant)}?" if meant else ""
    raise ValueError(f"There is no command /{clip(name, _NAME_COLUMNS)}.{hint} /help lists them all.")


async def carry_out(app: App, text: str) -> None:
    """Carry out the command in `text`, or say what is wrong with it."""
    try:
        command, argument = find(text)
    except ValueError as error:
        app.complain(str(error))
        return
    if argument and not command.usage:
        app.complain(f"/{command.name} takes no argument: say /{command.name} alone.")
        return
    await command.run(app, argument)


def _named(name: str) -> Command | None:
    aliased = (one for one in REGISTRY.values() if name in one.aliases)
    return REGISTRY.get(name) or next(aliased, None)


def _meant(name: str) -> list[str]:
    """The commands that begin like `name`, else the one most like it."""
    begun = sorted(known for known in REGISTRY if name and known.startswith(name))
    return begun[:_MOST_MEANT] or difflib.get_close_matches(name, REGISTRY, n=1, cutoff=0.5)
