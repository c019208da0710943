"""Jupyter notebooks as Markdown: the cells in their order, without what they have put out. Pure (use a thread)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from agent.light_dataclass import dataclass

_HIDDEN_TAGS = frozenset({"hide", "hidden", "remove", "hide-cell", "hide_cell", "remove-cell", "remove_cell"})
_LANGUAGE = re.compile(r"[A-Za-z0-9+#_.-]{1,30}")
_PICTURE = re.compile(r"data:(image/[A-Za-z0-9.+-]{1,30});base64,[A-Za-z0-9+/=\s]{64,}")
_ERROR_CHARS = 200


class NotebookError(Exception):
    """The text is no notebook; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Notebook:
    """A notebook as Markdown, with the numbers of cells shown and of those that ask not to be."""

    markdown: str
    shown: int
    hidden: int


def as_markdown(text: str) -> Notebook:
    """The notebook in `text` (nbformat 3 to 5). Errors that cells ended with are named; other output is left out.

    Raises NotebookError.
    """
    try:
        book = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise NotebookError(f"it is no JSON ({str(error)[:100]})") from error
    cells = _cells(book)
    language = _language(book)
    visible = [cell for cell in cells if not _tags(cell) & _HIDDEN_TAGS]
    parts = [part for cell in visible if (part := _cell(cell, language))]
    return Notebook("\n\n".join(parts), len(visible), len(cells) - len(visible))


def _cells(book: Any) -> list[Mapping[str, Any]]:
    cells = book.get("cells") if isinstance(book, dict) else None
    if cells is None and isinstance(book, dict) and isinstance(book.get("worksheets"), list):  # nbformat 3
        sheets = [sheet for sheet in book["worksheets"] if isinstance(sheet, dict)]
        cells = [cell for sheet in sheets for cell in sheet.get("cells") or ()]
    if not isinstance(cells, list) or not all(isinstance(cell, dict) for cell in cells):
        raise NotebookError("it has no list of cells")
    return cells


def _language(book: Mapping[str, Any]) -> str:
    """The kernel's language, as it is written behind a fence."""
    about = _mapping(book.get("metadata"))
    for section, name in (("kernelspec", "language"), ("language_info", "name")):
        found = _mapping(about.get(section)).get(name)
        if isinstance(found, str) and _LANGUAGE.fullmatch(found):
            return found.lower()
    return "python"


def _tags(cell: Mapping[str, Any]) -> set[str]:
    tags = _mapping(cell.get("metadata")).get("tags")
    return {tag.lower() for tag in tags if isinstance(tag, str)} if isinstance(tags, list) else set()


def _cell(cell: Mapping[str, Any], language: str) -> str:
    source = _text(cell.get("source", cell.get("input"))).strip("\n")
    kind = cell.get("cell_type")
    if not source.strip():
        return ""
    if kind == "markdown":
        return _PICTURE.sub(r"(\1 left out)", source)
    if kind == "heading":  # nbformat 3
        level = cell.get("level")
        return f"{'#' * (level if isinstance(level, int) and 1 <= level <= 6 else 1)} {source}"
    if kind != "code":
        return _fenced(source, "")
    return "\n\n".join((_fenced(source, language), *_errors(cell)))


def _errors(cell: Mapping[str, Any]) -> list[str]:
    """What the cell ended with when it was last run, if that was an error."""
    outputs = cell.get("outputs")
    return [
        f"[This cell ended with {_one_line(each.get('ename'))}: {_one_line(each.get('evalue'))}]"
        for each in (outputs if isinstance(outputs, list) else ())
        if isinstance(each, dict) and each.get("output_type") in ("error", "pyerr")
    ]


def _fenced(source: str, language: str) -> str:
    longest = max((len(run) for run in re.findall("`{3,}", source)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{source}\n{fence}"


def _text(source: Any) -> str:
    """A cell's text: notebooks keep it whole or as a list of lines."""
    if isinstance(source, list):
        return "".join(line for line in source if isinstance(line, str))
    return source if isinstance(source, str) else ""


def _one_line(value: Any) -> str:
    return " ".join(str(value or "").split())[:_ERROR_CHARS]


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
