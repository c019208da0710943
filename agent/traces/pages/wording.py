"""Words of a session made fit for a page: without secrets, without what nobody can see, and calls in one line each."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from agent.protocol.untrusted import readable
from agent.redaction.cutting import beginning
from agent.redaction.redactor import Redactor

SUMMARY_CHARS = 160
_MARKDOWN_CHARS = 40_000
_MARKDOWN_CELLS = 20_000
"""A table is filled up to as many cells in each row as its head has."""
_SERVER_TOOL = "mcp__"
_SAYS_WHAT = (
    "operation command script path query url dataset repo_id arxiv_id job_id task pattern hardware name".split()
)
"""The arguments that say what a call is about, best first."""
_HUNK = re.compile(r"^@@ -\d", re.MULTILINE)


class Cleaner:
    """Makes texts of a session fit to be shown: secrets are replaced, control and bidi characters are gone.

    Both ways around: a secret may be visible only once a terminal sequence is out of it, and one of several lines only
    before its line ends are changed. Raises what the redactor raises.
    """

    def __init__(self, redactor: Redactor) -> None:
        """`redactor` counts what it replaces."""
        self._redactor = redactor

    def text(self, text: str | None) -> str:
        """`text` without secrets, to be shown with its line breaks and tabs."""
        redacted = self._redactor.text(text or "")
        seen = readable(redacted)
        return seen if seen == redacted else self._redactor.text(seen)

    def line(self, text: str | None) -> str:
        """`text` on one line."""
        return " ".join(self.text(text).split())

    def data(self, value: Any) -> Any:
        """JSON-like `value` without secrets, its strings (and keys) to be shown as they are."""
        return self._each_text(self._redactor.data(value))

    def hides_more(self, shown: str) -> bool:
        """Whether `shown`, which was made of clean text, spells out a secret all the same."""
        return self._redactor.text(shown) != shown

    def _each_text(self, value: Any) -> Any:
        match value:
            case str():
                return self.text(value)
            case Mapping():
                return {self.text(str(key)): self._each_text(item) for key, item in value.items()}
            case list() | tuple():
                return [self._each_text(item) for item in value]
            case _:
                return value


def tool_title(tool: str) -> str:
    """What people call a tool: `files: read_file` for `mcp__files__read_file`, others by their name."""
    server, _, name = tool.removeprefix(_SERVER_TOOL).partition("__")
    return f"{server}: {name}" if tool.startswith(_SERVER_TOOL) and server and name else tool


def call_summary(arguments: Mapping[str, Any]) -> str:
    """What a call is about in one line, made of clean `arguments`; empty where none of them tells."""
    words = [arguments[name] for name in _SAYS_WHAT if isinstance(arguments.get(name), str)]
    return shortened(": ".join(filter(None, (_first_line(word) for word in words[:2]))))


def _first_line(text: str) -> str:
    first, _, more = text.strip().partition("\n")
    return f"{first.strip()} …" if more else first


def shortened(text: str, chars: int = SUMMARY_CHARS) -> str:
    """`text` on one line of at most so many characters, with an ellipsis where it was cut."""
    return beginning(" ".join(text[:10_000].split()), chars)


def value_text(value: Any) -> str:
    """An argument as a person would write it: text as it is, anything else as indented JSON."""
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False, default=str)


def is_costly(markdown: str) -> bool:
    """Whether a text is so long, or so many times a table's cell or a quote, that it takes seconds to read as Markdown.

    Nobody writes such answers, but somebody may make a model do it.
    """
    lines = markdown.split("\n")
    marks = max(max(line.count("|"), line.count(">")) for line in lines)
    return len(markdown) > _MARKDOWN_CHARS or marks * len(lines) > _MARKDOWN_CELLS


def is_diff(text: str | None) -> bool:
    """Whether `text` is a unified diff."""
    return text is not None and _HUNK.search(text) is not None


def duration_text(seconds: float) -> str:
    """`0.4 s`, `34 s`, `2 min 05 s`, `1 h 02 min`."""
    if seconds < 9.95:
        return f"{max(seconds, 0.0):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
