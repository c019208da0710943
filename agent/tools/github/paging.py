"""Long answers in pieces: as many lines or entries as fit, and where the next piece begins. Nothing is cut unsaid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from agent.light_dataclass import dataclass
from agent.tools.github.limits import PAGE_LINES

T = TypeVar("T")

PAGE_CHARS = 18_000
MAX_LINE_CHARS = 2_000


@dataclass(frozen=True, slots=True)
class Window:
    """Lines `first` to `last` of `total`, counted from 1."""

    text: str
    first: int
    last: int
    total: int

    @property
    def next_line(self) -> int | None:
        """Where the next piece begins; None at the end."""
        return self.last + 1 if self.last < self.total else None


class RangeError(ValueError):
    """There are no such lines; the message says which there are."""


def lines_of(text: str) -> list[str]:
    """The lines of a file, at line feeds only; the last line feed begins no line."""
    lines = text.split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def window(lines: Sequence[str], start: int | None, end: int | None) -> Window:
    """Lines `start` to `end`, both included; by default 300 from the first one or from `start` on.

    What lies outside of the file is left off. Ends early where `PAGE_CHARS` are full; longer lines than
    `MAX_LINE_CHARS` are cut with their length. Raises RangeError if that leaves nothing.
    """
    total = len(lines)
    first = max(1, 1 if start is None else start)
    last = min(total, first + PAGE_LINES - 1 if end is None else end)
    if start is not None and end is not None and start > end:
        raise RangeError(f"line_start ({start}) is after line_end ({end}).")
    if first > last:
        raise RangeError(f"There are no such lines: there are {total:,}, numbered from 1.")
    shown: list[str] = []
    room = PAGE_CHARS
    for line in lines[first - 1 : last]:
        text = _cut(line)
        room -= len(text) + 1
        if room < 0 and shown:
            break
        shown.append(text)
    return Window("\n".join(shown), first, first + len(shown) - 1, total)


def page(found: Sequence[T], offset: int, limit: int, entry: Callable[[T], str]) -> tuple[list[str], int | None]:
    """The entries of what was found from `offset` on, at most `limit` and at most `PAGE_CHARS`, and the offset of the
    next ones. `entry` writes one, without cutting it."""
    shown: list[str] = []
    room = PAGE_CHARS
    for each in found[offset : offset + limit]:
        text = entry(each)
        room -= len(text) + 1
        if room < 0 and shown:
            break
        shown.append(text)
    following = offset + len(shown)
    return shown, following if following < len(found) else None


def _cut(line: str) -> str:
    if len(line) <= MAX_LINE_CHARS:
        return line
    return f"{line[:MAX_LINE_CHARS]} [... cut: this line has {len(line):,} characters]"
