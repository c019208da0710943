"""Commands that take turns back: what was said in them, what they did to files, or both."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.cli.commands.registry import command
from agent.protocol.events import UndoComplete
from agent.protocol.operations import OpType
from agent.ui.sanitize import clip

if TYPE_CHECKING:
    from agent.cli.app import App

_WHAT = {"": "both", "both": "both", "chat": "chat", "files": "files"}
_PROMPT_COLUMNS = 60


@command("undo", "[chat|files]")
async def undo(app: App, argument: str) -> None:
    """Take back the last turn, in the chat and the files."""
    if (what := _WHAT.get(argument.lower())) is None:
        app.complain("Say /undo, /undo chat or /undo files.")
        return
    await app.operate(OpType.UNDO, {"turns": 1, "what": what})


@command("rewind", "[n] [chat|files]")
async def rewind(app: App, argument: str) -> None:
    """Go back to before turn n; without n: asks which."""
    number, _, rest = argument.partition(" ")
    if not number.isdecimal():
        number, rest = "", argument
    if (what := _WHAT.get(rest.strip().lower())) is None:
        app.complain("Say /rewind, or a turn and what to restore: /rewind 3, /rewind 3 chat, /rewind 3 files.")
        return
    count = len(app.status.conversation.prompts)
    if not count:
        app.say("There is no turn to go back to.")
        return
    if not number:
        _list_turns(app)
        number = await app.ask("Rewind to before which turn? (Enter: none)") or ""
    if not number:
        app.say("Nothing is rewound.")
    elif not number.isdecimal() or not 1 <= int(number) <= count:
        app.complain(f"There is no turn {clip(number, 20)}; the turns are 1 to {count}.")
    else:
        await _take_back(app, count - int(number) + 1, what)


def _list_turns(app: App) -> None:
    prompts = app.status.conversation.prompts
    width = len(str(len(prompts)))
    for number, prompt in enumerate(prompts, 1):
        app.say(f"{number:>{width}}  {clip(prompt, _PROMPT_COLUMNS)}")


async def _take_back(app: App, turns: int, what: str) -> None:
    """Undo so many turns; what the person had asked for in the first of them can then be put differently."""
    end = await app.operate(OpType.UNDO, {"turns": turns, "what": what})
    if isinstance(end, UndoComplete) and end.removed_messages and end.prompt:
        app.draft(end.prompt)
