"""The texts by which permission rules know a command."""

from __future__ import annotations

from agent.tools.shell.git import split_git
from agent.tools.shell.readonly import changes_execution
from agent.tools.shell.words import Word, render
from agent.tools.shell.wrappers import Call


def command_text(call: Call) -> str:
    """The command itself: no wrappers, no variables before it, no system directory, no global options of git."""
    words = call.words
    if call.program == "git":
        _, rest = split_git(call.arguments)
        while len(rest) > 1 and rest[0].text == "-c":
            rest = split_git(rest[2:])[1]
        words = (Word("git"), *rest)
    elif call.program:
        words = (Word(call.program), *call.arguments)
    return render(words)


def allow_text(call: Call) -> str:
    """The command with all that makes it more than it seems, so that a rule for `git log *` is none for that."""
    if call.unclear:
        return render(call.outer.words)
    words = call.words
    if call.program == "git":
        words = (Word("git"), *split_git(call.arguments)[1])
    elif call.program:
        words = (Word(call.program), *call.arguments)
    settings = [f"{name}=" for name in call.settings if changes_execution(name)]
    return " ".join([*settings, *call.powers, render(words)])


def spellings(call: Call) -> tuple[str, ...]:
    """Every text a rule that forbids may know the call by."""
    return (command_text(call), render(call.words), render(call.outer.words), allow_text(call))
