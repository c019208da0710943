"""Blocks of Markdown as terminal lines. rich does the work; here is what it drops, blots or tears."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from copy import copy
from functools import cache
from typing import Any, ClassVar, cast

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.markdown import (  # type: ignore[attr-defined]  # MarkdownIt: the only way to set up rich's parser
    CodeBlock,
    Heading,
    ListElement,
    ListItem,
    Markdown,
    MarkdownElement,
    MarkdownIt,
    TableElement,
)
from rich.segment import Segment, Segments
from rich.syntax import Syntax, SyntaxTheme
from rich.table import Table
from rich.text import Text

from agent.ui.console import code_theme
from agent.ui.live.rows import Row, rendered_rows
from agent.ui.markdown_stream import Block, MarkdownStream
from agent.ui.sanitize import visible

logger = logging.getLogger(__name__)

_HIGHLIGHT_CHARS = 50_000
"""Code longer than this stays plain: colouring it takes longer than reading its beginning."""
_PROSE = re.compile(r"\n*+(?:[^\W\d_](?:[^\W_]|[ ,;:.!?'\"%()/-])*+(?<!  )(?:\n|\Z))++[ \n]*+")
"""Lines that begin with a letter and have nothing in them that Markdown could mean: these need no parser."""
_LINE_END = re.compile(" *\n")
_LISTS = frozenset({"bullet_list_open", "ordered_list_open"})
_USUAL_LAST_NUMBER = 10
"""The numbers of a list that comes in pieces stand as if it ended here; those that are longer make it wider."""
_COLUMN_WIDTH = 6
"""A table with less room than this per column is shown row by row instead."""


def print_block(console: Console, block: Block, *, plain: bool = False) -> None:
    """Print one block, without a blank line before or after it. Whatever the text is, it is shown and never raises.

    `plain`: nothing is drawn with lines, for those who hear it.
    """
    print_rows(console, block_rows(console, block, console.width, plain=plain))


def print_rows(console: Console, rows: list[Row]) -> None:
    """Print rows as they are."""
    if rows:
        console.print(Segments(segment for row in rows for segment in (*row, Segment.line())), end="")


def markdown_rows(console: Console, text: str, width: int, *, plain: bool = False) -> list[Row]:
    """The rows of a whole text, with a blank one between its blocks."""
    stream, rows = MarkdownStream(), list[Row]()
    for block in (*stream.feed(text), *stream.flush()):
        if new := block_rows(console, block, width, plain=plain):
            rows += [*([[]] if rows and not block.goes_on else []), *new]
    return rows


def block_rows(console: Console, block: Block, width: int, *, plain: bool = False) -> list[Row]:
    """The rows of a block, each of at most `width` cells, without blanks at their ends nor blank rows around them."""
    source = visible(block.text)
    if not source.strip():
        return []
    try:
        renderable = _renderable(console, block, source, plain)
        return _trimmed(console, renderable, width, keep_start=bool(block.opening), keep_end=block.is_cut)
    except Exception:  # a door to rich, markdown-it and pygments: the text matters more than its looks
        logger.exception("could not render a block of %d characters", len(source))
        return _trimmed(console, Text(source.strip("\n")), width)


def _renderable(console: Console, block: Block, source: str, plain: bool) -> RenderableType:
    if block.kind == "code":
        return _code(console, block)
    if _PROSE.fullmatch(source):
        return Text(_LINE_END.sub(" ", source.strip(" \n")))
    markdown = copy(_blank_markdown(plain, code_theme(console)))  # making one anew takes as long as rendering it
    markdown.take(source, block.number, is_cut=block.is_cut)
    return markdown


def code_rows(console: Console, code: str, language: str, width: int) -> list[Row]:
    """The rows of lines of code without fences; `code` must be harmless (see sanitize)."""
    return rendered_rows(console, highlighted(console, code, language), width)


def _trimmed(
    console: Console, renderable: RenderableType, width: int, *, keep_start: bool = False, keep_end: bool = False
) -> list[Row]:
    """The renderable's rows without the blank ones around them, unless those belong to what comes in pieces."""
    rows = rendered_rows(console, renderable, width)
    start, end = 0, len(rows)
    while start < end and not rows[start] and not keep_start:
        start += 1
    while end > start and not rows[end - 1] and not keep_end:
        end -= 1
    return rows[start:end]


def _code(console: Console, block: Block) -> Text:
    """The code between its fence lines, which stay, dimmed: they name the language and make it good to copy."""
    opening, closing = block.fence_lines
    parts = [Text(visible(opening), "muted")] if opening else []
    if block.has_body:
        parts.append(highlighted(console, visible(block.body), block.language))
    if closing:
        parts.append(Text(closing, "muted"))
    return Text("\n").join(parts)


def highlighted(console: Console, code: str, language: str) -> Text:
    """`code` with colours, if the console has them and the language is known."""
    code = code.expandtabs(4)
    if console.color_system is None or not language or len(code) > _HIGHLIGHT_CHARS:
        return Text(code)
    text = Syntax("", language, theme=code_theme(console), background_color="default").highlight(code)
    text.no_wrap = False
    extra = len(text.plain) - len(code)
    if extra > 0:
        text.right_crop(extra)
    return text if text.plain == code else Text(code)


class _LeftHeading(Heading):
    LEVEL_ALIGN: ClassVar = dict.fromkeys(Heading.LEVEL_ALIGN, "left")


class _BareCode(CodeBlock):
    """Code inside a list or quote, without a padded ground."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        language = "" if self.lexer_name == "text" else self.lexer_name
        yield highlighted(console, str(self.text).rstrip(), language)


class _List(ListElement):
    """A list that may come in pieces: then nobody knows its last number yet."""

    is_piece = False

    @classmethod
    def create(cls, markdown: Markdown, token: Any) -> ListElement:
        element = super().create(markdown, token)
        assert isinstance(element, _List)
        element.is_piece = bool(token.meta.get("is_piece"))
        return element

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if not self.is_piece or self.list_type == "bullet_list_open":
            yield from super().__rich_console__(console, options)
            return
        for number, item in enumerate(self.items, self.list_start or 0):
            yield from item.render_number(console, options, number, max(number, _USUAL_LAST_NUMBER))


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

    is_drawn: ClassVar[bool] = True

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        header = [cell.content for cell in self.header.row.cells] if self.header and self.header.row else []
        rows = [[cell.content for cell in row.cells] for row in self.body.rows] if self.body else []
        if self.is_drawn and len(header) * _COLUMN_WIDTH <= options.max_width:
            yield from self._drawn(console, options)
        else:
            yield from (Text(" | ").join(row) for row in (header, *rows))

    def _drawn(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for element in super().__rich_console__(console, options):
            if isinstance(element, Table):
                for column in element.columns:
                    column.overflow = "fold"
            yield element


class _WordTable(_WholeTable):
    """A table row by row, with no lines drawn."""

    is_drawn: ClassVar[bool] = False


class _WordRule(MarkdownElement):
    """A thematic break that is typed, not drawn."""

    new_line = False

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text("* * *\n")


class PlainMarkdown(Markdown):
    """rich's Markdown without its losses: HTML, images, link targets and references are shown as text."""

    elements: ClassVar[dict[str, type[MarkdownElement]]] = {
        **Markdown.elements,
        "heading_open": _LeftHeading,
        "fence": _BareCode,
        "code_block": _BareCode,
        "bullet_list_open": _List,
        "ordered_list_open": _List,
        "list_item_open": _NumberedItem,
        "table_open": _WholeTable,
    }

    def take(self, source: str, number: int | None = None, *, is_cut: bool = False) -> None:
        """Become this text; `number` and `is_cut` are those of its `Block`."""
        self.markup = source
        self.parsed = _parser().parse(source)
        _keep_as_text(self.parsed)
        lists = [token for token in self.parsed if token.level == 0 and token.type in _LISTS]
        if is_cut and lists:
            lists[-1].meta["is_piece"] = True
        if number is not None and lists:
            lists[0].meta["is_piece"] = True
            lists[0].attrs["start"] = number


class _WordMarkdown(PlainMarkdown):
    """The same without any line drawn."""

    elements: ClassVar[dict[str, type[MarkdownElement]]] = {
        **PlainMarkdown.elements,
        "table_open": _WordTable,
        "hr": _WordRule,
    }


@cache
def _blank_markdown(plain: bool, theme: str | SyntaxTheme) -> PlainMarkdown:
    # what rich takes for the name of a theme may be a theme as well: it only hands it on
    return (_WordMarkdown if plain else PlainMarkdown)("", code_theme=cast(str, theme), hyperlinks=False)


@cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False}).enable(["strikethrough", "table"])
    return parser.disable("reference")  # references point to other blocks, if anywhere


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
