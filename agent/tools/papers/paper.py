"""A paper as it was read: its sections in order, how one is found, and what is shown of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from agent.light_dataclass import dataclass
from agent.tools.papers.fields import clip

MAX_SECTIONS = 2_000
"""Of a paper; what comes after is not read."""
CUT_NOTE = f"The page has more than {MAX_SECTIONS:,} sections: only that many were read."
_PREVIEW_CHARS = 280
_TOP_LEVEL = 2


@dataclass(frozen=True, slots=True)
class Section:
    """`id` is the paper's own number for it (`3.1`, `A`, `IV`; "" if it has none), `level` 2 to 4, `text` Markdown
    without that of the sections inside it, `anchor` its place in the page."""

    id: str
    title: str
    level: int
    text: str
    anchor: str = ""

    @property
    def heading(self) -> str:
        """Number and title."""
        return f"{self.id} {self.title}".strip()


@dataclass(frozen=True, slots=True)
class Paper:
    """`sections` in the order of the paper, the inner ones behind the one they are in. `note`: what the reader should
    know about where the text comes from."""

    title: str
    abstract: str
    sections: tuple[Section, ...]
    url: str
    note: str = ""

    def end_of(self, index: int) -> int:
        """The index behind the last section inside section `index`."""
        level = self.sections[index].level
        after = (i for i in range(index + 1, len(self.sections)) if self.sections[i].level <= level)
        return next(after, len(self.sections))

    def text_of(self, index: int) -> str:
        """The section's own text and that of all sections inside it, under their headings."""
        first, *inner = self.sections[index : self.end_of(index)]
        parts = [first.text]
        for section in inner:
            parts += [f"{'#' * section.level} {section.heading}", section.text]
        return "\n\n".join(part for part in parts if part)

    def address_of(self, index: int) -> str:
        """Where the section is on the web."""
        anchor = self.sections[index].anchor
        return f"{self.url}#{anchor}" if anchor else self.url

    def contents(self) -> str:
        """The abstract, and each section with its length and how it begins; of inner ones the title only."""
        lines = ["## Abstract", "", self.abstract or "(none found)", "", "## Sections", ""]
        for index, section in enumerate(self.sections):
            if section.level == _TOP_LEVEL:
                text = self.text_of(index)
                preview = clip(section.text or text, _PREVIEW_CHARS)
                lines.append(f"- **{section.heading}** ({len(text):,} characters): {preview}")
            else:
                lines.append(f"{'  ' * (section.level - _TOP_LEVEL)}- {section.heading}")
        return "\n".join(lines)


# --- numbers of sections ---------------------------------------------------------------------------------------------

_NUMBER_WORD = re.compile(r"^(?:appendix|chapter|section|part)\s+(?=[\dA-Z])", re.IGNORECASE)
_NUMBERED = re.compile(
    r"((?:appendix\s+)?[A-Z]?\d+(?:\.\d+)*|appendix\s+[A-Z]|[A-Z](?:\.\d+)+|[A-Z]\.)[.:]?\s+(\S.*)", re.I
)


def bare_number(tag: str) -> str:
    """A section's number out of what stands before its title: "Appendix A " is A."""
    return _NUMBER_WORD.sub("", tag.strip()).strip(" .:")


def numbered(heading: str) -> tuple[str, str]:
    """Number and title of a heading that has both in one text; the number is "" if there is none."""
    match = _NUMBERED.fullmatch(heading.strip())
    return (bare_number(match[1]), match[2]) if match else ("", heading.strip())


# --- finding a section -----------------------------------------------------------------------------------------------

_LABEL = re.compile(r"^(?:#+\s*)?(?:(?:section|sec\.?|appendix|app\.|chapter|chap\.?|part|§+)\s*(?=[\dA-Za-z]))?", re.I)
_NUMBER = re.compile(r"[A-Za-z]?\d+(?:(?:[.-][A-Za-z]?|[A-Za-z])\d+)*|[A-Za-z]\d*(?:[.-]\d+)*|[IVXLC]+(?:-[A-Z]\d*)?")
"""What can only be meant as a number: `3`, `3.1.2`, `A`, `b.2`, `S3`, `IV`, `III-A`. Each text in one way only."""
_MAX_NAME_CHARS = 200
"""Of what is looked up: no section is called longer."""
_ABSTRACT = frozenset({"abstract", "summary"})

Matcher = Callable[[Section, str], bool]


def is_abstract(wanted: str) -> bool:
    """Whether the abstract is asked for, which is no section."""
    return _plain(wanted) in _ABSTRACT


def find_sections(paper: Paper, wanted: str) -> Sequence[int]:
    """Indices of the sections that `wanted` names, the best first; empty if there is none.

    The number comes first, then the place in the page, the title, words of the title, and the beginning of a number.
    """
    if len(wanted) > _MAX_NAME_CHARS:
        return []
    asked = wanted.strip().lstrip("#").strip()
    bare = _LABEL.sub("", asked, count=1).strip().rstrip(".:").strip()
    is_number = _NUMBER.fullmatch(bare) is not None
    for matches, takes_numbers in _MATCHERS:
        if is_number and not takes_numbers:
            continue
        for text in dict.fromkeys((bare, asked)):
            if text and (found := [i for i, section in enumerate(paper.sections) if matches(section, text)]):
                return sorted(found, key=lambda i: (paper.sections[i].level, i))
    return []


def _has_number(section: Section, wanted: str) -> bool:
    return bool(section.id) and section.id.casefold() == wanted.casefold()


def _has_anchor(section: Section, wanted: str) -> bool:
    return bool(section.anchor) and section.anchor == wanted


def _has_title(section: Section, wanted: str) -> bool:
    plain = _plain(wanted)
    return bool(plain) and plain in (_plain(section.title), _plain(section.heading))


def _has_phrase(section: Section, wanted: str) -> bool:
    plain = _plain(wanted)
    return bool(plain) and f" {plain} " in f" {_plain(section.title)} "


def _has_words(section: Section, wanted: str) -> bool:
    words = _plain(wanted).split()
    return bool(words) and set(words) <= set(_plain(section.title).split())


def _number_begins(section: Section, wanted: str) -> bool:
    return section.id.casefold().startswith((f"{wanted}.".casefold(), f"{wanted}-".casefold()))


_MATCHERS: tuple[tuple[Matcher, bool], ...] = (
    (_has_number, True),
    (_has_anchor, True),
    (_has_title, True),
    (_has_phrase, False),
    (_has_words, False),
    (_number_begins, True),
)
"""In this order, and whether something that is a number may be looked for so: "A" is an appendix, not a word."""


def _plain(text: str) -> str:
    """The words of `text`, whatever stands between them."""
    return " ".join(re.findall(r"\w+", text.casefold()))
