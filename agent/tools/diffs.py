"""Unified diffs of whole files, quick for large ones."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Literal

CONTEXT_LINES = 3
MAX_COMPARED = 4_000_000
"""Line count of the one changed region times that of the other. Above it difflib, being quadratic, is not asked."""
MAX_DIFF_LINES = 2_000

_Tag = Literal["replace", "delete", "insert", "equal"]
_Opcode = tuple[_Tag, int, int, int, int]


def unified_diff(old: str | None, new: str, name: str) -> str:
    """The change from `old` (None: no file yet) to `new`, "" if there is none. Lines end at line feeds only.

    More than 2,000 lines are cut, with a note. CR LF line ends do not show when both sides have them.
    """
    if old is not None and "\r\n" in old and "\r\n" in new:
        old, new = old.replace("\r\n", "\n"), new.replace("\r\n", "\n")
    before, after = _lines(old or ""), _lines(new)
    if before == after:
        return ""
    a, b = ("", "") if name.startswith("/") else ("a/", "b/")
    header = ["--- /dev/null" if old is None else f"--- {a}{name}", f"+++ {b}{name}"]
    body = list(_hunks(before, after))
    if len(body) > MAX_DIFF_LINES:
        body = [*body[:MAX_DIFF_LINES], f"... {len(body) - MAX_DIFF_LINES:,} more lines of this diff are not shown"]
    return "\n".join([*header, *body])


def _lines(text: str) -> list[str]:
    """Lines with their line feed, so that a missing one at the end counts as a difference."""
    lines = text.split("\n")
    return [line + "\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])


class _Matcher(difflib.SequenceMatcher[str]):
    """difflib's grouping of changes into hunks, over our own comparison."""

    def __init__(self, before: list[str], after: list[str]) -> None:
        super().__init__(None)
        self._found = _opcodes(before, after)

    def get_opcodes(self) -> list[_Opcode]:
        """The changes from `before` to `after`."""
        return self._found


def _opcodes(before: list[str], after: list[str]) -> list[_Opcode]:
    """Like difflib's, but equal beginnings and ends are cut off first."""
    head, shorter = 0, min(len(before), len(after))
    while head < shorter and before[head] == after[head]:
        head += 1
    tail = 0
    while tail < shorter - head and before[-1 - tail] == after[-1 - tail]:
        tail += 1
    old, new = before[head : len(before) - tail], after[head : len(after) - tail]
    codes: list[_Opcode] = [("equal", 0, head, 0, head)] if head else []
    if len(old) * len(new) > MAX_COMPARED:
        codes.append(("replace", head, head + len(old), head, head + len(new)))
    else:
        found = difflib.SequenceMatcher(None, old, new).get_opcodes()
        codes += [(tag, head + i, head + j, head + k, head + m) for tag, i, j, k, m in found]
    if tail:
        codes.append(("equal", len(before) - tail, len(before), len(after) - tail, len(after)))
    return codes


def _hunks(before: list[str], after: list[str]) -> Iterator[str]:
    for group in _Matcher(before, after).get_grouped_opcodes(CONTEXT_LINES):
        first, last = group[0], group[-1]
        yield f"@@ -{_range(first[1], last[2])} +{_range(first[3], last[4])} @@"
        for tag, i, j, k, m in group:
            if tag == "equal":
                yield from _marked(" ", before[i:j])
                continue
            yield from _marked("-", before[i:j])
            yield from _marked("+", after[k:m])


def _range(start: int, stop: int) -> str:
    """Lines start..stop (from 0, stop excluded) in the words of a hunk header, which counts from 1."""
    length = stop - start
    if length == 1:
        return f"{start + 1}"
    return f"{start + 1 if length else start},{length}"


def _marked(mark: str, lines: list[str]) -> Iterator[str]:
    for line in lines:
        if line.endswith("\n"):
            yield mark + line[:-1]
        else:
            yield mark + line
            yield "\\ No newline at end of file"
