"""The pieces of which the body of an approval panel is made. What they hold is spelled with `escaped` already."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from rich.text import Text

from agent.light_dataclass import dataclass
from agent.protocol.events import ApprovalItem
from agent.ui.diff_view import preview_text, without_file_lines
from agent.ui.sanitize import escaped
from agent.ui.tool_lines import compact_json, counted

MAX_LINES = 500
MAX_COLUMNS = 4000


@dataclass(frozen=True, slots=True)
class Code:
    """A script, to be shown whole and in the colours of its language."""

    text: str
    language: str


@dataclass(frozen=True, slots=True)
class Prose:
    """Text in Markdown."""

    text: str


@dataclass(frozen=True, slots=True)
class Fact:
    """A label and what it says; those that follow each other are aligned."""

    name: str
    value: str
    style: str = ""


Part = Text | Fact | Code | Prose


@dataclass(frozen=True, slots=True)
class Body:
    """What a call would do. `whole` is the text of which only the beginning is among the parts; empty: all is there."""

    parts: tuple[Part, ...]
    whole: str = ""


Formatter = Callable[[ApprovalItem], Body]


def joined(*bodies: Body | Part) -> Body:
    """One body of several, in order."""
    parts: list[Part] = []
    whole: list[str] = []
    for body in bodies:
        if isinstance(body, Body):
            parts += body.parts
            whole += [body.whole] if body.whole else []
        else:
            parts.append(body)
    return Body(tuple(parts), "\n\n".join(whole))


def fact(name: str, value: str, style: str = "") -> Fact:
    """`name: value`, on a line of its own however the value is written."""
    return Fact(escaped(name, False), escaped(value, False), style)


def facts(arguments: Mapping[str, Any], names: Mapping[str, str]) -> list[Fact]:
    """The arguments that are given, in the order of `names`, which maps them to the names for people."""
    return [fact(label, plain(arguments[name])) for name, label in names.items() if is_given(arguments.get(name))]


def is_given(value: Any) -> bool:
    """Whether an argument says anything; False and 0 do."""
    return value is not None and value != "" and value != [] and value != {}


def plain(value: Any) -> str:
    """A value as a person would write it: texts without quotes, lists without brackets, yes and no."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    if isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value):
        return ", ".join(value)
    return compact_json(value)


def preview(text: str, path: str = "") -> Body:
    """A diff or other preview, coloured, its first lines; `path` stands above it."""
    safe = escaped(text)
    shown = without_file_lines(safe, escaped(path, False))
    return Body((preview_text(shown, MAX_LINES, MAX_COLUMNS),), safe if _is_cut(shown, MAX_LINES) else "")


def beginning(text: str, max_lines: int = MAX_LINES) -> Body:
    """The first lines of a text, and how much more there is."""
    safe = escaped(text)
    if not _is_cut(safe, max_lines):
        return Body((Text(safe.rstrip("\n")),))
    lines = safe.rstrip("\n").split("\n")
    shown = Text("\n".join(line if len(line) <= MAX_COLUMNS else _cut(line) for line in lines[:max_lines]))
    if len(lines) > max_lines:
        shown.append(f"\n… {counted(len(lines) - max_lines, 'more line')}", "muted")
    return Body((shown,), safe)


def all_arguments(arguments: Mapping[str, Any]) -> Body:
    """Arguments as JSON, but texts of several lines as the lines they are."""
    long = {name: value for name, value in arguments.items() if isinstance(value, str) and "\n" in value}
    short = {name: value for name, value in arguments.items() if name not in long}
    return joined(
        *([beginning(_pretty_json(short))] if short or not long else []),
        *(joined(fact(str(name), ""), beginning(value)) for name, value in long.items()),
    )


def others(arguments: Mapping[str, Any], shown: Iterable[str]) -> Body:
    """Whatever is among the arguments besides those that are shown already: nothing may go unseen."""
    known = set(shown)
    rest = {str(name): value for name, value in arguments.items() if name not in known and is_given(value)}
    bodies = []
    for name, value in rest.items():
        lines = isinstance(value, str) and "\n" in value
        bodies.append(joined(fact(name, ""), beginning(value)) if lines else joined(fact(name, plain(value))))
    return joined(*bodies)


def _is_cut(text: str, max_lines: int) -> bool:
    lines = text.rstrip("\n").split("\n")
    return len(lines) > max_lines or any(len(line) > MAX_COLUMNS for line in lines[:max_lines])


def _cut(line: str) -> str:
    return f"{line[:MAX_COLUMNS]} … {counted(len(line) - MAX_COLUMNS, 'more character')}"


def _pretty_json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, indent=2, default=str)
    except (TypeError, ValueError, RecursionError):
        return repr(value)
