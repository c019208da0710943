"""Growing Markdown, cut where it may be cut: into blocks that can be rendered one by one and appended.

Linear in the text, whatever the chunks: each line is looked at once. The rules are CommonMark's as far as they decide
what belongs together: fenced code (also inside list items), lists with their indented continuations, and everything
else up to a blank line.
"""

from __future__ import annotations

import re
from itertools import chain
from typing import Literal

from agent.light_dataclass import dataclass

_FENCE = re.compile(r"(`{3,})([^`]*)$|(~{3,})(.*)$")
_MARKER = re.compile(r"([-+*]|(\d{1,9})[.)])(?=[ \t]|$)")
_HEADING = re.compile(r"#{1,6}(?:[ \t]|$)")
_UNDERLINE = re.compile(r"(?:=+|-+)[ \t]*$")
_MAX_DEPTH = 50  # lists within lists; a bound, so that a line of markers cannot make every later line slow
CODE_PIECE_LINES = 20
"""Code longer than this comes in several blocks, so that the beginning can be read while the rest is being written."""
LIST_PIECE_LINES = 12
LIST_PIECE_CHARS = 1_200
"""A list with more than this before its newest item is cut there, for the same reason."""


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of the source, complete in itself. The texts of all blocks, joined, are the source.

    A block with an `opening` goes on with the code of the block before it, whose fence that line has opened. One with a
    `number` goes on with the list that the block before it ends in (`is_cut`): its first item has that number, if the
    items have numbers.
    """

    kind: Literal["markdown", "code"]
    text: str
    language: str = ""
    opening: str = ""
    number: int | None = None
    is_cut: bool = False

    @property
    def goes_on(self) -> bool:
        """Whether it belongs right below the block before it."""
        return bool(self.opening) or self.number is not None

    @property
    def body(self) -> str:
        """The code without its fence lines and without the fence's indentation; of Markdown, the text itself."""
        return "\n".join(self._parts()[1])

    @property
    def fence_lines(self) -> tuple[str, str]:
        """The opening and the closing line of code, without blanks around them; empty where there is none."""
        opening, _, closing = self._parts()
        return opening, closing

    @property
    def has_body(self) -> bool:
        """Whether there is any line, be it a blank one, between the fence lines."""
        return bool(self._parts()[1])

    def _parts(self) -> tuple[str, list[str], str]:
        lines = self.text.split("\n")
        if self.kind == "markdown":
            return "", lines, ""
        if not lines[-1]:
            lines.pop()
        first = self.opening or lines.pop(0)
        indent, rest = _measure(first)
        fence = _opened_by(rest, indent, 0)
        closing = lines.pop().strip() if fence and lines and fence.closed_by(*_measure(lines[-1])) else ""
        return "" if self.opening else first.strip(), [_dedent(line, indent) for line in lines], closing


@dataclass(frozen=True, slots=True)
class Pending:
    """The block that is still coming, as far as it has come; `is_cut`: only the end of it."""

    block: Block
    is_cut: bool


@dataclass(frozen=True, slots=True)
class _Fence:
    char: str
    length: int
    offset: int
    """First column of the container it stands in: 0, or where the content of its list item starts."""
    language: str

    def closed_by(self, indent: int, rest: str) -> bool:
        run = rest.rstrip(" \t")
        return indent - self.offset <= 3 and len(run) >= self.length and run == self.char * len(run)


class MarkdownStream:
    """Takes text as it comes, gives back blocks as soon as they are complete."""

    def __init__(self) -> None:
        self._partial: list[str] = []
        """Pieces of the line that is still coming."""
        self._partial_length = 0
        self._reset()

    def _reset(self) -> None:
        self._begin_block()
        self._code: _Fence | None = None
        """The fence that this block is."""
        self._opening = ""
        """The line that opened that fence, once a piece of the code has been given away."""
        self._close_list()

    def _begin_block(self) -> None:
        self._lines: list[str] = []
        """Lines of the block being built."""
        self._has_content = False
        self._length = 0
        """Characters in those lines."""
        self._number: int | None = None
        """Of its first item, once a piece of the list has been given away."""

    def _close_list(self) -> None:
        self._list: tuple[str, int] | None = None
        """The outermost list: what marks its items, and the number of its last item."""
        self._items: list[int] = []
        """Open list items, outermost first: the column where the content of each starts."""
        self._nested: _Fence | None = None
        """An open fence inside the innermost open item."""
        self._in_paragraph = False
        self._quoted = False
        """Whether that paragraph is one of a block quote."""
        self._item_is_empty = False
        self._after_blank = False

    def feed(self, text: str) -> list[Block]:
        """Take the next piece of text; the blocks that it completes."""
        blocks: list[Block] = []
        start = 0
        while (end := text.find("\n", start)) >= 0:
            self._partial.append(text[start : end + 1])
            self._take(self._whole_line(), blocks)
            start = end + 1
        if start < len(text):
            self._partial.append(text[start:])
            self._partial_length += len(text) - start
        return blocks

    def flush(self) -> list[Block]:
        """The text is over: the rest of it. The stream can be used again for another text."""
        blocks: list[Block] = []
        if self._partial:
            self._take(self._whole_line(), blocks)
        self._emit(blocks)
        return blocks

    def _whole_line(self) -> str:
        line = "".join(self._partial)
        self._partial.clear()
        self._partial_length = 0
        return line

    def pending(self, max_chars: int) -> Pending | None:
        """What has come of the block that is not complete, at most (nearly) the last `max_chars` characters of it.

        A cut text begins at a line of code, and moves on only every `max_chars // 2` characters: what is wrapped from
        there does not wrap differently with each chunk. Costs no more for a longer text.
        """
        length = self._length + self._partial_length
        if not length:
            return None
        step = max(max_chars // 2, 1)
        start = -(-max(length - max_chars, 0) // step) * step
        text = self._last(length - start)
        fence = self._code
        if not self._lines and start == 0:
            indent, rest = _measure(text)
            fence = fence or _opened_by(rest, indent, 0)
        if fence is None:
            return Pending(Block("markdown", text, number=None if start > 0 else self._number), start > 0)
        opening = self._opening
        if start > 0:
            opening = opening or self._lines[0]
            text = text[text.find("\n") + 1 :]
        return Pending(Block("code", text, fence.language, opening), start > 0)

    @property
    def goes_on(self) -> bool:
        """Whether what is coming belongs to code or a list whose beginning has been given away."""
        return bool(self._opening) or self._number is not None

    def _last(self, count: int) -> str:
        """The last `count` characters that have come."""
        pieces, found = [], 0
        for piece in chain(reversed(self._partial), reversed(self._lines)):
            if found >= count:
                break
            pieces.append(piece)
            found += len(piece)
        return "".join(reversed(pieces))[max(found - count, 0) :]

    def _emit(self, blocks: list[Block]) -> None:
        self._give_away(blocks)
        self._reset()

    def _give_away(self, blocks: list[Block], *, is_cut: bool = False) -> None:
        """The lines so far become a block; what is open stays so."""
        if self._lines:
            text = "".join(self._lines)
            kind: Literal["markdown", "code"] = "code" if self._code else "markdown"
            language = self._code.language if self._code else ""
            blocks.append(Block(kind, text, language, self._opening, self._number, is_cut))
        self._begin_block()

    def _emit_piece(self, fence: _Fence, blocks: list[Block]) -> None:
        """Give away the code so far; its fence stays open."""
        opening = self._opening or self._lines[0]
        self._emit(blocks)
        self._code, self._opening = fence, opening

    def _add(self, line: str) -> None:
        self._lines.append(line)
        self._length += len(line)

    def _take(self, line: str, blocks: list[Block]) -> None:
        indent, rest = _measure(line.rstrip("\r\n"))
        if self._code is not None:
            self._add(line)
            if self._code.closed_by(indent, rest):
                self._emit(blocks)
            elif rest and len(self._lines) >= CODE_PIECE_LINES:  # blanks at the end of all code are not shown
                self._emit_piece(self._code, blocks)
        elif not rest:
            self._take_blank(line, blocks)
        elif self._nested is not None and indent >= self._nested.offset:
            self._add(line)
            if self._nested.closed_by(indent, rest):
                self._nested = None
        else:
            self._nested = None  # if one was open, its item has ended here, and the fence with it
            self._take_content(line, indent, rest, blocks)

    def _take_blank(self, line: str, blocks: list[Block]) -> None:
        self._add(line)
        if self._nested is not None:
            return
        self._in_paragraph = False
        if self._item_is_empty:  # an item may start with one blank line at most
            self._items.pop()
            self._item_is_empty = False
        self._after_blank = True
        if self._has_content and not self._items:
            self._emit(blocks)

    def _take_content(self, line: str, indent: int, rest: str, blocks: list[Block]) -> None:
        open_items, after_blank = self._items, self._after_blank
        self._after_blank = self._item_is_empty = False
        inner = [offset for offset in open_items if offset <= indent]
        fence = self._open_items(indent, rest, inner)
        if fence is not None and fence.offset == 0 and not self._items:
            self._emit(blocks)
            self._code = fence
        elif open_items and after_blank and not self._items:
            self._give_away(blocks)  # the list is over: what follows stands on its own
        else:
            self._nested = fence
            if self._items and not inner and self._items is not open_items:
                self._take_item(rest, self._list if open_items else None, blocks)
        self._add(line)
        self._has_content = True

    def _take_item(self, rest: str, before: tuple[str, int] | None, blocks: list[Block]) -> None:
        """A line begins an outermost item; `before`: the list that was open, which is cut here if it is long."""
        marker = _MARKER.match(rest)
        assert marker is not None
        sign = marker[0][-1]
        if before is None or before[0] != sign:
            self._list = sign, int(marker[2] or 0)
            return
        self._list = sign, before[1] + 1
        is_long = len(self._lines) >= LIST_PIECE_LINES or self._length >= LIST_PIECE_CHARS
        if is_long and not self._item_is_empty:  # an empty item may take no row: nothing would stand above what follows
            self._give_away(blocks, is_cut=True)
            self._number = self._list[1]

    def _open_items(self, indent: int, rest: str, inner: list[int]) -> _Fence | None:
        """Update the open items for a line with content; the fence it opens, if any.

        `inner` are the open items that the line is indented enough to be part of.
        """
        same_container = len(inner) == len(self._items) and not self._quoted
        while True:
            relative = indent - (inner[-1] if inner else 0)
            if relative <= 3 and (fence := _opened_by(rest, indent, inner[-1] if inner else 0)):
                self._items, self._in_paragraph = inner, False
                return fence
            marker = None if relative > 3 or _is_rule(rest) or len(inner) >= _MAX_DEPTH else _MARKER.match(rest)
            if marker is None or (self._in_paragraph and same_container and not _may_interrupt(marker, rest)):
                break
            self._in_paragraph = False
            content_at, rest = _after_marker(indent, rest, marker)
            if not rest or content_at - indent - len(marker[0]) > 4:  # nothing, or indented code, in the item
                inner = [*inner, indent + len(marker[0]) + 1]
                self._items, self._item_is_empty = inner, not rest
                return None
            inner = [*inner, content_at]
            indent, same_container = content_at, False
            self._items = inner
        self._take_text(relative, rest, inner)
        return None

    def _take_text(self, relative: int, rest: str, inner: list[int]) -> None:
        """A line that opens neither an item nor a fence."""
        inside = len(inner) == len(self._items)
        is_quote = relative <= 3 and rest[0] == ">"
        under_text = inside and self._in_paragraph and not self._quoted
        is_underline = under_text and relative <= 3 and _UNDERLINE.match(rest) is not None
        is_other = relative <= 3 and (_is_rule(rest) or _HEADING.match(rest) is not None)
        if not inside and not (self._in_paragraph and not is_other and not is_quote):
            self._items = inner  # not a lazy continuation of the paragraph in the deeper item
            self._in_paragraph = False
        continues = self._in_paragraph or relative <= 3
        self._quoted = is_quote or (self._in_paragraph and self._quoted)
        self._in_paragraph = continues and not is_other and not is_underline


def _measure(line: str) -> tuple[int, str]:
    """Columns of indentation (tab stops of 4), and the line without it and without a line end."""
    rest = line.lstrip(" \t")
    lead = line[: len(line) - len(rest)]
    return len(lead.expandtabs(4)), rest.rstrip("\r\n")


def _after_marker(indent: int, rest: str, marker: re.Match[str]) -> tuple[int, str]:
    """The column where the content after a list marker starts, and that content."""
    tail = rest[marker.end() :]
    content = tail.lstrip(" \t")
    gap = tail[: len(tail) - len(content)]
    at = indent + marker.end()
    return at + len((" " * (at % 4) + gap).expandtabs(4)) - at % 4, content


def _opened_by(rest: str, indent: int, offset: int) -> _Fence | None:
    match = _FENCE.match(rest) if indent - offset <= 3 else None
    if match is None:
        return None
    run, info = match[1] or match[3], (match[2] if match[1] else match[4]) or ""
    words = info.split(maxsplit=1)
    return _Fence(run[0], len(run), offset, words[0].strip("{}.,:") if words else "")


def _is_rule(rest: str) -> bool:
    """A thematic break: three or more of one of `- * _`, blanks between them allowed."""
    if rest[0] not in "-*_":
        return False
    run = rest.replace(" ", "").replace("\t", "")
    return len(run) >= 3 and run == run[0] * len(run)


def _may_interrupt(marker: re.Match[str], rest: str) -> bool:
    """Whether a list may begin in the middle of a paragraph: not with an empty item, and only with number 1."""
    return bool(rest[marker.end() :].strip()) and (marker[2] is None or int(marker[2]) == 1)


def _dedent(line: str, indent: int) -> str:
    """`line` without up to `indent` leading blanks."""
    blanks = len(line) - len(line.lstrip(" "))
    return line[min(blanks, indent) :].rstrip("\r")
