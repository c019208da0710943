"""Rows as they are shown: JSON cells of a bounded length, media as what it is instead of its signed address."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from agent.light_dataclass import dataclass
from agent.tools.datasets.asking import Json, on_one_line

_BUDGET_CHARS = 5_000
_LONGEST_CELL_CHARS, _SHORTEST_CELL_CHARS = 900, 40
_MOST_CELLS = 60
_MOST_CHARS = 6_000
_SIGNED = re.compile(r"^https?://\S*(/(cached-)?assets/|[?&](Signature|X-Amz-Signature)=)")
_MAX_DEPTH = 40


@dataclass(frozen=True, slots=True)
class Row:
    """A row: its number in the split, its cells by column, and the columns that the viewer has cut (then as text)."""

    number: int
    cells: Json
    cut: frozenset[str]

    def whole(self, column: str) -> Any:
        """The cell, None where it is cut or absent."""
        return None if column in self.cut else self.cells.get(column)


def read_rows(part: Json) -> list[Row]:
    """The rows of `/first-rows` or `/rows`, with addresses that change every hour taken out."""
    rows = part.get("rows")
    read = []
    for index, each in enumerate(rows if isinstance(rows, list) else []):
        if not isinstance(each, dict) or not isinstance(each.get("row"), dict):
            continue
        number, cut = each.get("row_idx"), each.get("truncated_cells")
        cells = {name: without_addresses(cell) for name, cell in each["row"].items()}
        names = frozenset(name for name in cut if isinstance(name, str)) if isinstance(cut, list) else frozenset[str]()
        read.append(Row(number if isinstance(number, int) else index, cells, names))
    return read


def without_addresses(value: Any, depth: int = 0) -> Any:
    """`value` with each signed address of the viewer (an image, a sound) replaced by what it is."""
    if depth > _MAX_DEPTH:
        return "…"
    if isinstance(value, list):
        return [without_addresses(each, depth + 1) for each in value]
    if isinstance(value, str):
        return "<file>" if _SIGNED.match(value) else value
    if not isinstance(value, dict):
        return value
    source = value.get("src")
    if isinstance(source, str) and _SIGNED.match(source):
        return _medium(value)
    return {name: without_addresses(each, depth + 1) for name, each in value.items()}


def _medium(value: Json) -> str:
    width, height, kind = value.get("width"), value.get("height"), value.get("type")
    if isinstance(width, int) and isinstance(height, int):
        return f"<image {width}x{height}>"
    return f"<{kind}>" if isinstance(kind, str) and re.fullmatch(r"[\w.+-]+/[\w.+-]+", kind) else "<file>"


def for_table(text: str) -> str:
    """`text` as a cell of a Markdown table: one line, no bar that would end the cell."""
    return text.replace("|", "\\|").replace("\r", " ").replace("\n", " ")


def as_json(value: Any) -> str:
    """On one line, in its own letters."""
    return json.dumps(value, ensure_ascii=False)


def shortened(text: str, limit: int, mark: str = "") -> str:
    """`text` cut at `limit` characters, with how long it is in all."""
    return text + mark if len(text) <= limit else f"{text[:limit]} … [cut: {len(text):,} characters]{mark}"


def sample_lines(rows: Sequence[Row], columns: Sequence[str], wanted: int) -> list[str]:
    """The table of the first `wanted` rows. Cells are the shorter the more there are; what is left out is said."""
    shown = rows[:wanted]
    most = max(1, _MOST_CELLS // max(1, len(shown)))
    names = list(columns[:most])
    limit = max(_SHORTEST_CELL_CHARS, min(_LONGEST_CELL_CHARS, _BUDGET_CHARS // max(1, len(shown) * len(names))))
    lines = []
    for row in shown:
        for name in names:
            if name in row.cells:
                mark = " [the viewer shows only the beginning]" if name in row.cut else ""
                text = for_table(shortened(as_json(row.cells[name]), limit, mark))
                lines.append(f"| {row.number} | {for_table(on_one_line(name, 80))} | {text} |")
    kept = ["| row | column | value |", "|---|---|---|", *within(lines, _MOST_CHARS, "cells")]
    if len(columns) > len(names):
        kept.append(f"[{len(columns) - len(names):,} more columns are not shown; fewer sample_rows show more of them]")
    return kept


def within(lines: Sequence[str], limit_chars: int, what: str) -> list[str]:
    """The first lines that fit into `limit_chars`, at least one, and how many do not."""
    kept: list[str] = []
    for line in lines:
        limit_chars -= len(line) + 1
        if limit_chars < 0 and kept:
            break
        kept.append(line)
    left = len(lines) - len(kept)
    return [*kept, f"[{left:,} of {len(lines):,} {what} are not shown here]"] if left else kept
