"""Papers that come as Markdown read into sections: the Hub's pages of papers."""

from __future__ import annotations

import re

from agent.tools.papers.paper import CUT_NOTE, MAX_SECTIONS, Paper, Section, is_abstract, numbered

_HEADING = re.compile(r"(#{1,6})[ \t]+(.*)")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_LEFT_OUT = frozenset({"references", "bibliography"})
_FEWEST_SECTIONS = 2
"""A page with less than this has the abstract and links only."""


def read_markdown(markdown: str, url: str) -> Paper | None:
    """The paper in `markdown`, or None if it has no text of the paper. Blocking: call it in a thread."""
    title, abstract, sections = "", "", list[Section]()
    parts, is_cut = _parts(markdown)
    top = min((level for level, heading, _ in parts if level > 1), default=2)
    skipped_level = 0
    for level, heading, text in parts:
        if skipped_level and level > skipped_level:
            continue
        skipped_level = 0
        if level == 1 and not title:
            title = heading
        elif heading.casefold().strip(" .:") in _LEFT_OUT:
            skipped_level = level
        elif is_abstract(heading):
            abstract = text
        elif heading:
            number, name = numbered(heading)
            sections.append(Section(number, name, min(4, max(2, level - top + 2)), text))
    if len([section for section in sections if section.text]) < _FEWEST_SECTIONS:
        return None
    return Paper(title, abstract, tuple(sections), url, CUT_NOTE if is_cut else "")


def _parts(markdown: str) -> tuple[list[tuple[int, str, str]], bool]:
    """Level, heading and text in order, and whether there are more; what stands before the first has level 0."""
    parts: list[tuple[int, str, list[str]]] = [(0, "", [])]
    fence, is_cut = "", False
    for line in markdown.splitlines():
        if mark := _FENCE.match(line):
            if not fence:
                fence = mark[1]
            elif mark[1].startswith(fence) and not line.strip().strip(fence[0]):
                fence = ""
        heading = None if fence else _HEADING.fullmatch(line)
        is_cut = heading is not None and len(parts) > MAX_SECTIONS
        if is_cut:
            break
        if heading is not None:
            parts.append((len(heading[1]), heading[2].rstrip("#").strip(), []))
        else:
            parts[-1][2].append(line)
    return [(level, heading, "\n".join(lines).strip()) for level, heading, lines in parts], is_cut
