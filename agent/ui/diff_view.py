"""Unified diffs and other previews, coloured and bounded."""

from __future__ import annotations

import re
from posixpath import normpath

from rich.text import Text

from agent.ui.tool_lines import counted

_STYLES = (("+++ ", "diff.file"), ("--- ", "diff.file"), ("+", "diff.add"), ("-", "diff.remove"), ("@@", "diff.hunk"))
_FILE_LINES = re.compile(r"--- (?:a/)?([^\n]+)\n\+\+\+ (?:b/)?([^\n]+)\n(?=@@ )")
_HUNK = re.compile(r"^@@ ", re.MULTILINE)


def is_diff(text: str) -> bool:
    """Whether `text` is a unified diff."""
    return _HUNK.search(text) is not None


def without_file_lines(text: str, path: str) -> str:
    """A diff of one file without the lines that name it, where `path`, as the person reads it above, says it all."""
    names = _FILE_LINES.match(text)
    if names is None or not path or names[2] != normpath(path) or names[1] not in (names[2], "/dev/null"):
        return text
    return ("new file\n" if names[1] == "/dev/null" else "") + text[names.end() :]


def preview_text(text: str, max_lines: int, max_columns: int, hint: str = "") -> Text:
    """Harmless `text` (see sanitize) to print: at most `max_lines` lines, each cut after `max_columns`.

    Diffs are coloured by line, and end with no blank lines of context; everything else is muted. `hint` tells, where
    lines are left out, how to see them.
    """
    coloured = is_diff(text)
    lines = text.rstrip("\n").split("\n")
    while coloured and not lines[-1].strip():
        lines.pop()
    result = Text()
    for line in lines[:max_lines]:
        short = line if len(line) <= max_columns else _cut(line, max_columns)
        result.append(short + "\n", _style(line) if coloured else "muted")
    if len(lines) > max_lines:
        result.append(f"… {counted(len(lines) - max_lines, 'more line')}{hint}\n", "muted")
    result.right_crop(1)
    return result


def _style(line: str) -> str:
    return next((style for prefix, style in _STYLES if line.startswith(prefix)), "muted")


def _cut(line: str, columns: int) -> str:
    return f"{line[:columns]} … {counted(len(line) - columns, 'more character')}"
