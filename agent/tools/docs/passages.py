"""A page of Markdown in passages: pieces of one section each, small enough to be shown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import field

from agent.light_dataclass import dataclass

MAX_PASSAGE_CHARS = 1_800
MAX_HEADINGS = 5_000
"""Of a page; what looks like one after that is text."""
_HEADING = re.compile(r"^ {0,3}(#{1,6})[ \t]+(\S.{0,400})")
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})")
_ANCHOR = re.compile(r"\[\[([^\[\]]+)\]\]")
_NOT_IN_SLUG = re.compile(r"[^\w\- ]+")


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a page. `content` is the page's own text: all of them in order are the page. Lines count from 1."""

    heading: str
    content: str
    first_line: int
    last_line: int


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading: its words, the anchors that may name it, its depth (1 to 6), and where it begins, in characters."""

    words: str
    anchors: tuple[str, ...]
    level: int
    offset: int


@dataclass(slots=True)
class _Fences:
    """Whether we are in a block of code, where a # begins a comment."""

    _open: str = ""

    def has(self, line: str) -> bool:
        """Whether `line`, the next one, belongs to a block of code."""
        mark = found[1] if (found := _FENCE.match(line)) else ""
        if not self._open:
            self._open = mark
            return bool(mark)
        if mark.startswith(self._open) and not line.strip(" \t\n`~"):
            self._open = ""
        return True


@dataclass(slots=True)
class _Collected:
    heading: str = ""
    first_line: int = 1
    lines: list[str] = field(default_factory=list)
    chars: int = 0
    has_body: bool = False

    def add(self, line: str) -> None:
        self.lines.append(line)
        self.chars += len(line)

    def cut(self, count: int) -> Passage:
        """The first `count` lines as a passage; the others stay."""
        content = "".join(self.lines[:count])
        passage = Passage(self.heading, content, self.first_line, self.first_line + count - 1)
        del self.lines[:count]
        self.chars -= len(content)
        self.first_line += count
        return passage


def passages_of(text: str) -> Iterator[Passage]:
    """`text` in passages of at most 1,800 characters that begin at headings, else at blank lines where possible."""
    fences, collected, headings = _Fences(), _Collected(), 0
    for number, line in enumerate(_lines(text), 1):
        is_text = fences.has(line) or headings >= MAX_HEADINGS
        words = None if is_text or not (found := _HEADING.match(line)) else _words(found[2])
        headings += words is not None
        if words is not None and collected.has_body:
            if collected.lines:
                yield collected.cut(len(collected.lines))
            collected = _Collected(first_line=number)
        if collected.lines and collected.chars + len(line) > MAX_PASSAGE_CHARS:
            yield collected.cut(_good_end(collected.lines))
            if collected.lines and collected.chars + len(line) > MAX_PASSAGE_CHARS:
                yield collected.cut(len(collected.lines))
        if words is not None:
            collected.heading = words
        elif line.strip():
            collected.has_body = True
        if len(line) <= MAX_PASSAGE_CHARS:
            collected.add(line)
            continue
        for start in range(0, len(line), MAX_PASSAGE_CHARS):
            yield Passage(collected.heading, line[start : start + MAX_PASSAGE_CHARS], number, number)
        collected = _Collected(collected.heading, number + 1, has_body=True)
    if collected.lines:
        yield collected.cut(len(collected.lines))


def headings_of(text: str) -> Iterator[Heading]:
    """All headings of a page, in order."""
    fences, offset = _Fences(), 0
    for line in _lines(text):
        if not fences.has(line) and (found := _HEADING.match(line)):
            words = _words(found[2])
            anchors = (*_ANCHOR.findall(found[2]), slug_of(words), words)
            yield Heading(words, anchors, len(found[1]), offset)
        offset += len(line)


def heading_offset(text: str, fragment: str) -> int | None:
    """Where the heading begins that `fragment` (the part of an address after #) names; None if there is none."""
    wanted = fragment.strip().lower()
    for heading in headings_of(text):
        if wanted in (anchor.strip().lower() for anchor in heading.anchors):
            return heading.offset
    return None


def slug_of(words: str) -> str:
    """The anchor that a heading gets on a page."""
    return _NOT_IN_SLUG.sub("", words.lower()).strip().replace(" ", "-")


def _words(raw: str) -> str:
    return _ANCHOR.sub("", raw).strip().rstrip("#").strip()


def _good_end(lines: list[str]) -> int:
    """How many of `lines` to take: up to the last blank one, if that is not too near to the beginning."""
    for count in range(len(lines), len(lines) // 2, -1):
        if not lines[count - 1].strip():
            return count
    return len(lines)


def _lines(text: str) -> Iterator[str]:
    """The lines with their ends. Only \\n ends one, so that a line's number is the same for everybody."""
    start = 0
    while start < len(text):
        end = text.find("\n", start) + 1 or len(text)
        yield text[start:end]
        start = end
