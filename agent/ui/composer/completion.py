"""What may be meant: commands after a `/` at the start, their arguments, and files after an `@`."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from agent.light_dataclass import dataclass
from agent.ui.composer.files import FileIndex
from agent.ui.composer.ranking import matches_in_order

_LOOKED_BACK_CHARS = 1_000

_COMMAND = re.compile(r"/([\w-]*)\Z")
_ARGUMENT = re.compile(r"/([\w-]+)[ \t]+(\S*)\Z")
_MENTION = re.compile(r'(?:\A|(?<=\s))@(?:"(?P<quoted>[^"\n]*)|(?P<plain>[^\s"]*))\Z')


@dataclass(frozen=True, slots=True)
class CommandHint:
    """A slash command as the menu shows it.

    `name` comes without the slash, `usage` says what may follow the name (`[name]`, or nothing), `help` is one line,
    `choices` are words that the argument can be, `aliases` are other names, which the menu does not show.
    """

    name: str
    usage: str = ""
    help: str = ""
    choices: Sequence[str] = ()
    aliases: Sequence[str] = ()

    @property
    def takes_argument(self) -> bool:
        return bool(self.choices) or bool(self.usage.removeprefix(f"/{self.name}").strip())


class ComposerCompleter(Completer):
    """Completes where a command, its argument or a file is being typed, and nowhere else."""

    def __init__(self, commands: Callable[[], Sequence[CommandHint]], files: FileIndex) -> None:
        self._commands = commands
        self._files = files

    def wants(self, document: Document) -> bool:
        """Whether something that can be completed stands before the cursor. Cheap."""
        if _mention(document) is not None:
            return True
        before = _before_on_first_line(document)
        if before is None:
            return False
        return bool(_COMMAND.match(before) or self._choices(before))

    def is_fragment(self, document: Document) -> bool:
        """Whether the text is no more than a part of a command's name, with the cursor behind it."""
        typed = _COMMAND.match(document.text)
        if typed is None or not typed[1] or not document.is_cursor_at_the_end:
            return False
        name = typed[1].lower()
        return not any(name == hint.name or name in hint.aliases for hint in self._commands())

    def is_whole(self, text: str) -> bool:
        """Whether `text` is the name of a command to which nothing can be added."""
        return any(text == f"/{hint.name}" and not hint.takes_argument for hint in self._commands())

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        """The commands or choices for the text before the cursor; files come from `get_completions_async` only."""
        before = _before_on_first_line(document)
        if before is None or _mention(document) is not None:
            return
        if command := _COMMAND.match(before):
            yield from self._command_completions(command[1])
        elif found := self._choices(before):
            typed, choices = found
            for choice in matches_in_order(typed, ((choice.lower(), choice) for choice in choices)):
                yield Completion(choice, -len(typed))

    async def get_completions_async(
        self, document: Document, complete_event: CompleteEvent
    ) -> AsyncGenerator[Completion, None]:
        """All there is for the text before the cursor; files are looked for in a thread."""
        mention = _mention(document)
        if mention is None:
            for completion in self.get_completions(document, complete_event):
                yield completion
            return
        query = mention["quoted"] if mention["plain"] is None else mention["plain"]
        for path in await asyncio.to_thread(self._files.search, query):
            if path != query or not path.endswith("/"):
                yield Completion(_spelled(path), -len(mention[0]), display=path)

    def _command_completions(self, typed: str) -> Iterable[Completion]:
        hints = {hint.name: hint for hint in self._commands()}
        for name in matches_in_order(typed, ((name.lower(), name) for name in sorted(hints))):
            hint = hints[name]
            usage = hint.usage.removeprefix(f"/{name}").strip()
            yield Completion(
                f"/{name} " if hint.takes_argument else f"/{name}",
                -len(typed) - 1,
                display=f"/{name} {usage}".rstrip(),
                display_meta=hint.help,
            )

    def _choices(self, before: str) -> tuple[str, Sequence[str]] | None:
        """The argument typed so far and what it can be; None where no argument with choices is typed."""
        argument = _ARGUMENT.match(before)
        if argument is None:
            return None
        choices = next((hint.choices for hint in self._commands() if hint.name == argument[1].lower()), ())
        return (argument[2], choices) if choices else None


def _mention(document: Document) -> re.Match[str] | None:
    return _MENTION.search(document.current_line_before_cursor[-_LOOKED_BACK_CHARS:])


def _before_on_first_line(document: Document) -> str | None:
    """The text before the cursor where it is short enough for a command, on the first line."""
    before = document.text_before_cursor
    return before if before.startswith("/") and len(before) <= _LOOKED_BACK_CHARS and "\n" not in before else None


def _spelled(path: str) -> str:
    """`path` as a mention. After a directory one may go on typing, so nothing follows it where that works."""
    if any(char.isspace() for char in path):
        return f'@"{path}" '
    return f"@{path}" if path.endswith("/") else f"@{path} "
