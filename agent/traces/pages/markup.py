"""Texts of a session as HTML in which nothing of them is obeyed: blocks, diffs, and Markdown.

Everything returned here is `Markup`: made by this module, with all text of others escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping, Sequence
from functools import cache
from itertools import groupby
from typing import TYPE_CHECKING, Any

from agent.traces.pages.wording import Cleaner, is_costly

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token
    from markupsafe import Markup

LINKED = ("https://", "http://", "mailto:")
_SCROLLED_CHARS = 2_000
_EXPANSION, _SMALL_CHARS = 6, 2_000
"""How many times longer than its text HTML may be; hostile text makes more of it."""
_FIRST_HEADING, _LAST_HEADING = 4, 6
_DIFF_TAGS = {"+": "ins", "-": "del", "@": "b"}


class Writer:
    """Writes clean texts as HTML, of each at most `limit` characters."""

    def __init__(self, cleaner: Cleaner, limit: int) -> None:
        """`cleaner` has made the texts, and judges what becomes visible of them only as HTML."""
        self._cleaner = cleaner
        self._limit = limit

    def block(self, text: str) -> Markup:
        """`text` as it is, in lines."""
        from markupsafe import Markup

        return Markup("").join(self._pre(piece) for piece in self._pieces(text))

    def words(self, text: str) -> Markup:
        """`text` within a paragraph: a note, the words of a person."""
        from markupsafe import escape

        return escape("\n".join(self._pieces(text)))

    def diff(self, text: str) -> Markup:
        """A unified diff, with its lines marked."""
        from markupsafe import Markup

        return Markup("").join(_diff(piece) or self._pre(piece) for piece in self._pieces(text))

    def prose(self, text: str) -> Markup:
        """Markdown. Links lead to the web or a mail program, images are not loaded, HTML is shown as text."""
        if len(text) > self._limit or is_costly(text):
            return self.block(text)
        from markupsafe import Markup

        reader = _markdown()
        tokens = reader.parse(text)
        plain = "\n".join(_plain(token) for token in tokens)
        if self._cleaner.hides_more(plain):  # `hf\_…`, `&#104;f_…`: a secret that only Markdown spells out
            return self.block(self._cleaner.text(plain))
        _put_headings_in_order(tokens)
        html = reader.renderer.render(tokens, reader.options, {})
        if len(html) > _EXPANSION * len(text) + _SMALL_CHARS:
            return self.block(text)
        return Markup('<div class="prose" dir="auto">{}</div>').format(Markup(html))

    def _pre(self, text: str) -> Markup:
        from markupsafe import Markup

        focus = Markup(' tabindex="0"') if len(text) > _SCROLLED_CHARS else ""
        return Markup("<pre{}>\n{}</pre>").format(focus, text)  # a line feed after the tag is no part of the text

    def _pieces(self, text: str) -> Iterable[str]:
        """`text`, or what begins and ends it with a word about the rest."""
        missing = len(text) - self._limit
        if missing <= self._limit // 10:
            return [text]
        tail = self._limit // 3
        head = self._limit - tail
        return [text[:head], f"[… {missing:,} of {len(text):,} characters are not on this page …]", text[-tail:]]


def is_linked(url: str) -> bool:
    """Whether a link to `url` is made."""
    return url.casefold().startswith(LINKED)


# --- diffs -----------------------------------------------------------------------------------------------------------


def _diff(text: str) -> Markup | None:
    """The lines of a diff, those next to each other of one kind together; None if that would become too much."""
    from markupsafe import Markup

    groups = [(tag, "\n".join(lines)) for tag, lines in groupby(text.rstrip("\n").split("\n"), _diff_tag)]
    if 12 * len(groups) > (_EXPANSION - 1) * len(text) + _SMALL_CHARS:
        return None
    body = (Markup("<{0}>{1}</{0}>").format(tag, lines) for tag, lines in groups)
    focus = Markup(' tabindex="0"') if len(text) > _SCROLLED_CHARS else ""
    return Markup('<pre class="diff"{}>{}</pre>').format(focus, Markup("").join(body))


def _diff_tag(line: str) -> str:
    return "i" if line.startswith(("+++ ", "--- ")) else _DIFF_TAGS.get(line[:1], "span")


# --- Markdown --------------------------------------------------------------------------------------------------------


@cache
def _markdown() -> MarkdownIt:
    from markdown_it import MarkdownIt

    reader = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    reader.validateLink = is_linked  # type: ignore[method-assign]
    reader.add_render_rule("link_open", _open_link)
    reader.add_render_rule("image", _name_image)
    reader.add_render_rule("table_open", lambda *_: '<div class="table"><table>\n')
    reader.add_render_rule("table_close", lambda *_: "</table></div>\n")
    return reader


def _open_link(
    _renderer: Any, tokens: Sequence[Token], index: int, _options: Any, _env: MutableMapping[str, Any]
) -> str:
    return str(_link(str(tokens[index].attrs.get("href", ""))))


def _name_image(
    _renderer: Any, tokens: Sequence[Token], index: int, _options: Any, _env: MutableMapping[str, Any]
) -> str:
    token = tokens[index]
    from markupsafe import escape

    return f"{_link(str(token.attrs.get('src', '')))}[image: {escape(token.content)}]</a>"


def _link(url: str) -> Markup:
    from markupsafe import Markup

    return Markup('<a href="{}" target="_blank" rel="noopener noreferrer nofollow">').format(url)


def _plain(token: Token) -> str:
    """What of `token` a reader gets to see, with the addresses behind it."""
    own = token.content if not token.children else ""
    urls = "".join(f"\n{token.attrs[name]}\n" for name in ("href", "src") if name in token.attrs)
    is_break = token.type in {"softbreak", "hardbreak"}
    return own + ("\n" if is_break else "") + "".join(map(_plain, token.children or ())) + urls


def _put_headings_in_order(tokens: Sequence[Token]) -> None:
    """Headings of an answer stand below those of the page, and no level is left out."""
    levels: list[int] = []
    for token in tokens:
        if token.type == "fence":
            token.info = ""
        if token.type == "heading_open":
            level = int(token.tag[1:])
            while levels and levels[-1] >= level:
                levels.pop()
            levels.append(level)
        if token.type in {"heading_open", "heading_close"}:
            token.tag = f"h{min(_FIRST_HEADING - 1 + len(levels), _LAST_HEADING)}"
