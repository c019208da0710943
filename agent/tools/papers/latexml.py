"""Pages that LaTeXML has made of papers (arXiv's HTML, ar5iv) read into sections.

Blocking, about 0.1 s for a megabyte: call it in a thread. Class names as LaTeXML writes them
(https://math.nist.gov/~BMiller/LaTeXML/manual/); ar5iv's older pages have `div` where newer ones have `section`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import field
from typing import TYPE_CHECKING

from agent.light_dataclass import dataclass
from agent.tools.papers.paper import CUT_NOTE, MAX_SECTIONS, Paper, Section, bare_number, numbered
from agent.tools.papers.writer import Writer, as_table, fenced
from agent.web.html_depth import MAX_DEPTH, is_too_deep

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode

_SECTIONS = frozenset(
    "ltx_part ltx_chapter ltx_section ltx_appendix ltx_subsection ltx_subsubsection ltx_acknowledgements".split()
)
_SKIPPED_CLASSES = frozenset(
    "ltx_bibliography ltx_index ltx_glossary ltx_TOC ltx_authors ltx_dates ltx_page_header ltx_page_footer "
    "ltx_page_logo ltx_pagination ltx_listing_data ltx_note_mark ltx_tag_note ltx_tag_listingline ltx_ERROR "
    "ltx_title_document ltx_rdf".split()
)
_SKIPPED_TAGS = frozenset("script style nav header footer button svg head template noscript object iframe".split())
_BLOCK_TAGS = frozenset(
    "p div section article figure figcaption caption blockquote ul ol dl dt dd table tbody thead tr center hr".split()
)
_HEADINGS = frozenset("h1 h2 h3 h4 h5 h6".split())
_HIDING = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_COMMENT_BREAK = re.compile(r"(?<!\\)%[ \t]*\n\s*")
_DEEPEST_LEVEL = 4
_MAX_DEPTH = 120
"""Of elements within elements. Papers have some 40; what is deeper than this is not read."""
_MAX_SPAN, _MAX_CELLS = 50, 20_000
_FRONT = "Text before the first section"
_FRONT_CHARS = 200


class PageError(ValueError):
    """A page that is not made to be read."""


def read_page(html: str, url: str) -> Paper | None:
    """The paper in `html`, or None if there is none (another page, a conversion that failed). Raises PageError."""
    from selectolax.lexbor import LexborHTMLParser

    if is_too_deep(html):
        raise PageError(f"the page has elements within elements, more than {MAX_DEPTH:,} of them")
    tree = LexborHTMLParser(html)
    root = tree.css_first("article.ltx_document") or tree.css_first(".ltx_document") or tree.css_first("article")
    if root is None:
        return None
    reader = _Reader()
    reader.read(root)
    sections = tuple(draft.section() for draft in reader.drafts)
    front = reader.front.text()
    if front and (len(front) >= _FRONT_CHARS or not sections):
        sections = (Section("", _FRONT, 2, front), *sections)
    heading = root.css_first("h1.ltx_title_document") or root.css_first("h1")
    title = "" if heading is None else reader.line(heading, _NOT_IN_TITLES)
    abstract = reader.abstract.text()
    note = CUT_NOTE if reader.is_cut else ""
    return Paper(title, abstract, sections, url, note) if any(section.text for section in sections) else None


@dataclass(slots=True)
class _Draft:
    """A section while it is read."""

    id: str
    title: str
    level: int
    anchor: str
    writer: Writer = field(default_factory=Writer)

    def section(self) -> Section:
        return Section(self.id, self.title, self.level, self.writer.text(), self.anchor)


class _Reader:
    """Walks through a page once, and sends each word where it belongs."""

    def __init__(self, skipped: frozenset[str] = _SKIPPED_CLASSES, depth: int = 0) -> None:
        self.front = Writer()
        self.abstract = Writer()
        self.drafts: list[_Draft] = []
        self.is_cut = False
        self._writer = self.front
        self._skipped = skipped
        self._level = 1
        self._depth = depth

    def read(self, node: LexborNode) -> None:
        """All that is inside `node`."""
        if self._depth >= _MAX_DEPTH:
            return
        self._depth += 1
        for child in node.iter(include_text=True):
            self._visit(child)
        self._depth -= 1

    def line(self, node: LexborNode, skipped: frozenset[str] = _SKIPPED_CLASSES) -> str:
        """What is inside `node`, in one line; nothing of it goes into the paper."""
        inner = _Reader(skipped, self._depth)
        inner.read(node)
        return inner.front.line()

    def _visit(self, node: LexborNode) -> None:
        tag = node.tag or ""
        if tag == "-text":
            self._writer.add(node.text_content or "")
            return
        if tag.startswith("-") or tag in _SKIPPED_TAGS:
            return
        attributes = node.attributes
        classes = (attributes.get("class") or "").split()
        if (
            not self._skipped.isdisjoint(classes)
            or "hidden" in attributes
            or _HIDING.search(attributes.get("style") or "")
        ):
            return
        handle = next((_BY_CLASS[name] for name in classes if name in _BY_CLASS), None) or _BY_TAG.get(tag)
        if handle is not None:
            handle(self, node)
        elif tag in _BLOCK_TAGS:
            self._block(node)
        else:
            self.read(node)

    def _block(self, node: LexborNode) -> None:
        self._writer.end()
        self.read(node)
        self._writer.end()

    # --- parts of a paper --------------------------------------------------------------------------------------------

    def _section(self, node: LexborNode) -> None:
        heading = next((child for child in node.iter() if child.tag in _HEADINGS), None)
        if self._level >= _DEEPEST_LEVEL or heading is None:
            self._block(node)
            return
        if len(self.drafts) >= MAX_SECTIONS:
            self.is_cut = True
            return
        tag = heading.css_first(".ltx_tag")
        number, title = ("" if tag is None else bare_number(self.line(tag))), self.line(heading, _NOT_IN_TITLES)
        if tag is None:
            number, title = numbered(title)
        outer = self._writer
        outer.end()
        draft = _Draft(number, title or "(untitled)", self._level + 1, node.attributes.get("id") or "")
        self.drafts.append(draft)
        self._writer, self._level = draft.writer, self._level + 1
        heading.decompose()
        self.read(node)
        self._writer.end()
        self._writer, self._level = outer, self._level - 1

    def _abstract(self, node: LexborNode) -> None:
        outer, self._writer = self._writer, self.abstract
        for child in list(node.iter()):
            if child.tag in _HEADINGS:
                child.decompose()
        self._block(node)
        self._writer = outer

    def _heading(self, node: LexborNode) -> None:
        """Of a theorem, a proof or a paragraph: no section of its own."""
        if text := self.line(node, _SKIPPED_CLASSES | {"ltx_note"}):
            self._writer.put(f"**{text}**")

    def _note(self, node: LexborNode) -> None:
        content = node.css_first(".ltx_note_content") or node
        if text := self.line(content):
            self._writer.add(f" [footnote: {text}]")

    def _item(self, node: LexborNode) -> None:
        tag = next((child for child in node.iter() if "ltx_tag" in _classes(child)), None)
        marker = "-"
        if tag is not None:
            text = self.line(tag)
            marker = text if any(letter.isalnum() for letter in text) else "-"
            tag.decompose()
        self._writer.open_item(marker)
        self.read(node)
        self._writer.close_item()

    # --- formulas, tables, listings ----------------------------------------------------------------------------------

    def _math(self, node: LexborNode) -> None:
        if not (formula := _formula(node)):
            return
        if node.attributes.get("display") == "block":
            self._writer.put(f"$${formula}$$")
        else:
            self._writer.add(f"${formula}$")

    def _picture(self, node: LexborNode) -> None:
        """Old pages have formulas as pictures; other pictures have their caption."""
        if "ltx_Math" in _classes(node) and (formula := _cleaned(node.attributes.get("alt") or "")):
            self._writer.add(f"${formula}$")

    def _equations(self, node: LexborNode) -> None:
        self._writer.end()
        for row in _own(node, "tr", "ltx_eqn_row"):
            formulas = [formula for each in row.css("math, img.ltx_Math") if (formula := _formula(each))]
            number = row.css_first(".ltx_tag_equation, .ltx_tag_equationgroup")
            if formulas:
                label = f" {self.line(number)}" if number is not None else ""
                self._writer.put(f"$${' '.join(formulas)}$${label}")
            else:
                self._writer.put(self.line(row))

    def _table(self, node: LexborNode) -> None:
        self._writer.put(as_table(self._cells(node)))

    def _cells(self, node: LexborNode) -> list[list[str]]:
        """The table's rows. A cell that spans several has empty ones beside and below it."""
        table: list[list[str]] = []
        below: dict[int, int] = {}  # column -> how many rows a cell above still reaches down
        left = _MAX_CELLS
        for row in _own(node, "tr", "ltx_tr"):
            cells: list[str] = []
            for cell in row.iter():
                if cell.tag not in ("td", "th") and _classes(cell).isdisjoint(("ltx_td", "ltx_th")):
                    continue
                while below.get(len(cells), 0) > 0:
                    below[len(cells)] -= 1
                    cells.append("")
                start, width = len(cells), _span(cell, "colspan")
                cells += [self.line(cell).replace("|", "\\|"), *[""] * (width - 1)]
                below.update(dict.fromkeys(range(start, start + width), _span(cell, "rowspan") - 1))
            for column in range(len(cells), max(below, default=-1) + 1):
                below[column] = max(0, below.get(column, 0) - 1)
            left -= len(cells)
            if left < 0:
                return [*table, ["[the rest of this table is not shown]"]]
            table.append(cells)
        return table

    def _listing(self, node: LexborNode) -> None:
        lines = [_code_of(line) for line in _own(node, "", "ltx_listingline")] or [_code_of(node)]
        names = (name for name in sorted(_classes(node)) if name.startswith("ltx_lst_language_"))
        language = next(names, "").removeprefix("ltx_lst_language_").lower()
        code = "\n".join(line.rstrip() for line in lines).strip("\n")
        if code.strip():
            self._writer.put(fenced(code, language))

    def _preformatted(self, node: LexborNode) -> None:
        if code := _code_of(node).strip("\n"):
            self._writer.put(fenced(code))

    def _line_break(self, _node: LexborNode) -> None:
        self._writer.add(" ")


_NOT_IN_TITLES = (_SKIPPED_CLASSES - {"ltx_title_document"}) | {"ltx_tag", "ltx_note"}

_BY_CLASS: dict[str, Callable[[_Reader, LexborNode], None]] = {
    **dict.fromkeys(_SECTIONS, _Reader._section),
    "ltx_abstract": _Reader._abstract,
    "ltx_note": _Reader._note,
    "ltx_item": _Reader._item,
    "ltx_eqn_table": _Reader._equations,
    "ltx_tabular": _Reader._table,
    "ltx_listing": _Reader._listing,
}
_BY_TAG: dict[str, Callable[[_Reader, LexborNode], None]] = {
    **dict.fromkeys(_HEADINGS, _Reader._heading),
    "math": _Reader._math,
    "img": _Reader._picture,
    "li": _Reader._item,
    "pre": _Reader._preformatted,
    "br": _Reader._line_break,
}


# --- small parts -----------------------------------------------------------------------------------------------------


def _classes(node: LexborNode) -> frozenset[str]:
    return frozenset((node.attributes.get("class") or "").split())


def _formula(node: LexborNode) -> str:
    return _cleaned(node.attributes.get("alttext") or node.attributes.get("alt") or "")


def _cleaned(tex: str) -> str:
    """LaTeXML breaks long formulas with comment signs, which must not swallow the rest of a joined line."""
    return " ".join(_COMMENT_BREAK.sub("", tex).split()).removeprefix("\\displaystyle").strip()


def _own(node: LexborNode, tag: str, *names: str) -> Iterator[LexborNode]:
    """The elements of a kind inside `node`, but not those inside each other or inside a table within it."""
    waiting = [node.iter()]
    while waiting:
        child = next(waiting[-1], None)
        if child is None:
            waiting.pop()
        elif child.tag == tag or not _classes(child).isdisjoint(names):
            yield child
        elif len(waiting) < _MAX_DEPTH and child.tag != "table" and "ltx_tabular" not in _classes(child):
            waiting.append(child.iter())


def _span(cell: LexborNode, name: str) -> int:
    text = cell.attributes.get(name) or ""
    return min(max(int(text), 1), _MAX_SPAN) if text.isascii() and text.isdigit() and len(text) < 5 else 1


def _code_of(node: LexborNode) -> str:
    """Text with its white space; formulas in it as TeX, line numbers left out."""
    parts: list[str] = []
    waiting = [node.iter(include_text=True)]
    while waiting:
        child = next(waiting[-1], None)
        if child is None:
            waiting.pop()
        elif child.tag == "-text":
            parts.append(child.text_content or "")
        elif child.tag == "math":
            parts.append(f"${_formula(child)}$")
        elif child.tag == "br":
            parts.append("\n")
        elif len(waiting) < _MAX_DEPTH and _classes(child).isdisjoint(_SKIPPED_CLASSES):
            waiting.append(child.iter(include_text=True))
    return "".join(parts).replace("\xa0", " ")
