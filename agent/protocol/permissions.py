"""Permission rules: `bash(git push *)`, `write(src/**)`, `mcp_*`. What they mean, without knowing any tool.

A rule is a tool name, which may hold `*`, and optionally a pattern in parentheses for what the call is about:
- the words of a command or another text: `*` stands for any text, and ` *` at the end for nothing as well, so that
  `git push *` also covers a bare `git push`;
- a path: `*` and `?` within one component, `**` for any number of components, `~` for the home directory, a relative
  pattern from the workspace, a `/` at the end for everything below. A pattern without `/` names files in any directory.
Which of the two a tool's calls are is for the caller to say.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from agent.light_dataclass import dataclass

_RULE = re.compile(r"\s*(?P<tool>[^\s()]+)\s*(?:\((?P<pattern>.*)\))?\s*", re.DOTALL)
_TOOL = re.compile(r"[\w.*?:/-]+")


@dataclass(frozen=True, slots=True)
class PermissionRule:
    """One rule. `pattern` is None where it is about every call of the tool."""

    tool: str
    pattern: str | None = None

    @classmethod
    def parse(cls, text: str) -> PermissionRule:
        """The rule written as `tool` or `tool(pattern)`. Raises ValueError with a message for whoever wrote it."""
        if not isinstance(text, str):
            raise ValueError(f'a permission rule is text such as "bash(git push *)", not {type(text).__name__}')
        if not text.strip():
            raise ValueError("a permission rule cannot be empty")
        match = _RULE.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is not a permission rule: write tool or tool(pattern)")
        tool, pattern = match["tool"], match["pattern"]
        if not _TOOL.fullmatch(tool):
            raise ValueError(f"{text!r}: {tool!r} is not a tool name")
        if pattern is None:
            return cls(tool)
        pattern = pattern.strip()
        if not pattern:
            raise ValueError(f"{text!r}: the pattern is empty; write {tool} for all calls")
        return cls(tool, None if pattern in {"*", "**"} else pattern)

    def __str__(self) -> str:
        return self.tool if self.pattern is None else f"{self.tool}({self.pattern})"

    def is_for(self, tool: str) -> bool:
        """Whether the rule is about this tool at all."""
        return fnmatchcase(tool, self.tool)

    def matches_words(self, text: str, *, any_case: bool = False) -> bool:
        """Whether the pattern fits a command or another text. White space of any length counts as one blank."""
        if self.pattern is None:
            return True
        pattern, words = _squeeze(self.pattern), _squeeze(text)
        if any_case:
            pattern, words = pattern.casefold(), words.casefold()
        if pattern.endswith(" *") and _fits(pattern[:-2], words):
            return True
        return _fits(pattern, words)

    def covers_words(self, texts: Sequence[str]) -> bool:
        """Whether the pattern fits every text, and there is at least one."""
        return self.pattern is None or (bool(texts) and all(self.matches_words(text) for text in texts))

    def matches_path(self, path: str | Path, workspace: Path, home: Path | None = None) -> bool:
        """Whether the pattern fits the path as written or with its links followed: for rules that forbid or ask."""
        if self.pattern is None:
            return True
        base = home or Path.home()
        patterns = self._path_patterns(workspace, base, anywhere=True)
        return any(_path_fits(p, spelling) for p in patterns for spelling in _spellings(path, workspace, base))

    def covers_path(self, path: str | Path, workspace: Path, home: Path | None = None) -> bool:
        """Whether the pattern fits the path as written and with its links followed: for rules that allow.

        A pattern without `/` allows files below the workspace only.
        """
        if self.pattern is None:
            return True
        base = home or Path.home()
        patterns = self._path_patterns(workspace, base, anywhere=False)
        spellings = _spellings(path, workspace, base)
        # An unresolvable path (a loop of links) has one spelling only and is not covered.
        return len(spellings) == 2 and all(any(_path_fits(p, spelling) for p in patterns) for spelling in spellings)

    def _path_patterns(self, workspace: Path, home: Path, *, anywhere: bool) -> list[list[str]]:
        """The pattern as absolute components, with the part before its first wildcard as written and resolved."""
        pattern = (self.pattern or "").replace("\\", "/") if os.sep == "\\" else self.pattern or ""
        if pattern == "~" or pattern.startswith("~/"):
            pattern = str(home) + pattern[1:]
        if pattern.endswith("/"):
            pattern += "**"
        if "/" not in pattern:
            pattern = f"**/{pattern}"
            if anywhere:
                return [_components("/" + pattern)]
        pattern = pattern if pattern.startswith("/") else f"{workspace}/{pattern.removeprefix('./')}"
        parts = _components(os.path.normpath(pattern))
        fixed = next((i for i, part in enumerate(parts) if "*" in part or "?" in part), len(parts))
        resolved = _resolve(Path("/", *parts[:fixed]))
        return [parts] if resolved is None else [parts, [*_components(str(resolved)), *parts[fixed:]]]


def _squeeze(text: str) -> str:
    return " ".join(text.split())


def _fits(pattern: str, text: str) -> bool:
    """`*` is any text, everything else itself. Linear in the text, whatever the pattern."""
    first, *rest = pattern.split("*")
    if not rest:
        return text == first
    if not text.startswith(first):
        return False
    at, last = len(first), rest.pop()
    for part in rest:
        found = text.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return len(text) - at >= len(last) and text.endswith(last)


def _path_fits(pattern: list[str], parts: list[str]) -> bool:
    """Compare components; `**` fits any number of them. Goes back to the last `**` only, which is enough."""
    p = t = 0
    star, mark = -1, 0
    while t < len(parts):
        if p < len(pattern) and pattern[p] == "**":
            star, mark, p = p, t, p + 1
        elif p < len(pattern) and _component_fits(pattern[p], parts[t]):
            p, t = p + 1, t + 1
        elif star >= 0:
            mark += 1
            p, t = star + 1, mark
        else:
            return False
    return all(part == "**" for part in pattern[p:])


def _component_fits(pattern: str, part: str) -> bool:
    # Brackets are letters here: paths hold them more often than people mean a set of characters.
    return pattern == part or fnmatchcase(part, pattern.replace("[", "[[]"))


def _components(path: str) -> list[str]:
    return [part for part in path.split("/") if part]


def _spellings(path: str | Path, workspace: Path, home: Path) -> list[list[str]]:
    """The path's components as written and with its links followed."""
    text = str(path)
    if not text or "\0" in text:
        return []
    if text == "~" or text.startswith("~/"):
        text = str(home) + text[1:]
    absolute = os.path.normpath(os.path.join(workspace, text))  # noqa: PTH118 - `..` is to be resolved in the text
    resolved = _resolve(Path(workspace, text))
    spellings = [_components(Path(absolute).as_posix())]
    if resolved is not None:
        spellings.append(_components(resolved.as_posix()))
    return spellings


def _resolve(path: Path) -> Path | None:
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError):
        return None
