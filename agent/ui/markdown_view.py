"""Blocks of Markdown as terminal lines. rich does the work; here is what it drops, blots or tears."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any, ClassVar

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.markdown import (  # type: ignore[attr-defined]  # MarkdownIt: the only way to set up rich's parser
    CodeBlock,
    Heading,
    ListItem,
    Markdown,
    MarkdownElement,
    MarkdownIt,
    TableElement,
)
from rich.segment import Segment, Segments
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from agent.ui.markdown_stream import Block
from agent.ui.sanitize import visible

logger = logging.getLogger(__name__)

_CODE_THEME = "ansi_dark"  # the terminal's own colours, no background
_HIGHLIGHT_CHARS = 50_000
"""Code longer than this stays plain: colouring it takes longer than reading its beginning."""
_COLUMN_WIDTH = 6
"""A table with less room than this per column is shown row by row instead."""


def print_block(console: Console, block: Block) -> None:
    """Print one block, without a blank line before or after it. Whatever the text is, it is shown and never raises."""
    source = visible(block.text)
    if not source.strip():
        return
    try:
        segments = _trimmed(console, _code(console, block) if block.kind == "code" else PlainMarkdown(source))
    except Exception:  # a door to rich, markdown-it and pygments: the text matters more than its looks
        logger.exception("could not render a block of %d characters", len(source))
        segments = _trimmed(console, Text(source.strip("\n")))
    console.print(Segments(segments), end="")


def _trimmed(console: Console, renderable: RenderableType) -> list[Segment]:
    """The renderable's lines without the blanks that rich pads them with, and without blank lines around it."""
    rows = [_strip_end(line) for line in console.render_lines(renderable, console.options, pad=False)]
    start, end = 0, len(rows)
    while start < end and not rows[start]:
        start += 1
    while end > start and not rows[end - 1]:
        end -= 1
    return [segment for row in rows[start:end] for segment in (*row, Segment.line())]


def _strip_end(line: list[Segment]) -> list[Segment]:
    line = [segment for segment in line if not segment.control]
    while line:
        text = line[-1].text.rstrip()
        if text:
            line[-1] = Segment(text, line[-1].style)
            break
        line.pop()
    return line


def _code(console: Console, block: Block) -> Text:
    """The code between its fence lines, which stay, dimmed: they name the language and make it good to copy."""
    opening, closing = block.fence_lines
    shown = Text(visible(opening), "muted")
    if body := visible(block.body):
        shown = Text("\n").join([shown, highlighted(console, body, block.language)])
    return Text("\n").join([shown, Text(closing, "muted")]) if closing else shown


def highlighted(console: Console, code: str, language: str) -> Text:
    """`code` with colours, if the console has them and the language is known."""
    code = code.expandtabs(4)
    if console.color_system is None or not language or len(code) > _HIGHLIGHT_CHARS:
        return Text(code)
    text = Syntax("", language, theme=_CODE_THEME, background_color="default").highlight(code)
    if text.plain.endswith("\n") and not code.endswith("\n"):
        text.right_crop(1)
    text.no_wrap = False
    return text if text.plain == code else Text(code)


class _LeftHeading(Heading):
    LEVEL_ALIGN: ClassVar = dict.fromkeys(Heading.LEVEL_ALIGN, "left")


class _BareCode(CodeBlock):
    """Code inside a list or quote, without a padded ground."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        language = "" if self.lexer_name == "text" else self.lexer_name
        yield highlighted(console, str(self.text).rstrip(), language)


class _NumberedItem(ListItem):
    """List items whose numbers keep their point."""

    def render_number(self, console: Console, options: ConsoleOptions, number: int, last_number: int) -> RenderResult:
        width = len(str(last_number)) + 3
        lines = console.render_lines(self.elements, options.update(width=options.max_width - width), style=self.style)
        style = console.get_style("markdown.item.number")
        for index, line in enumerate(lines):
            yield Segment((f"{number}." if index == 0 else "").rjust(width - 1) + " ", style)
            yield from line
            yield Segment.line()


class _WholeTable(TableElement):
    """A table that folds long words instead of cutting them."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        header = [cell.content for cell in self.header.row.cells] if self.header and self.header.row else []
        rows = [[cell.content for cell in row.cells] for row in self.body.rows] if self.body else []
        if len(header) * _COLUMN_WIDTH > options.max_width:
            yield from (Text(" | ").join(row) for row in (header, *rows))
            return
        for element in super().__rich_console__(console, options):
            if isinstance(element, Table):
                for column in element.columns:
                    column.overflow = "fold"
            yield element


class PlainMarkdown(Markdown):
    """rich's Markdown without its losses: HTML, images, link targets and references are shown as text."""

    elements: ClassVar[dict[str, type[MarkdownElement]]] = {
        **Markdown.elements,
        "heading_open": _LeftHeading,
        "fence": _BareCode,
        "code_block": _BareCode,
        "list_item_open": _NumberedItem,
        "table_open": _WholeTable,
    }

    def __init__(self, source: str) -> None:
        super().__init__("", code_theme=_CODE_THEME, hyperlinks=False)
        parser = MarkdownIt("commonmark", {"html": False}).enable(["strikethrough", "table"])
        self.markup = source
        self.parsed = parser.disable("reference").parse(source)  # references point to other blocks, if anywhere
        _keep_as_text(self.parsed)


def _keep_as_text(tokens: Iterable[Any]) -> None:
    """Turn images, which rich puts in the wrong place, into text; free all text of control characters.

    The source has none any more, but entities may have brought some back.
    """
    for token in tokens:
        if token.type == "image":
            target = token.attrs.get("src", "")
            token.type, token.tag, token.children = "text", "", None
            token.content = f"{token.content or 'image'} ({target})"
        elif token.markup == "autolink":
            token.type = "text"  # rich would print the address twice
        if token.type == "text":
            token.content = visible(token.content)
        if token.children:
            _keep_as_text(token.children)
