"""Text out of pieces: paragraphs, list items and listings, with white space as a reader would see it."""

from __future__ import annotations

import re


class Writer:
    """Collects a text. Words flow into the paragraph at hand until it is ended."""

    def __init__(self) -> None:
        self._blocks: list[tuple[str, bool]] = []  # the text, and whether it stands right below the one before
        self._line: list[str] = []
        self._items: list[str] = []  # markers of the list items that are open; "" once it has been written

    def add(self, text: str) -> None:
        """More of the paragraph at hand."""
        self._line.append(text)

    def end(self) -> None:
        """End the paragraph at hand."""
        text = " ".join("".join(self._line).split())
        self._line.clear()
        if text:
            self._put(text)

    def put(self, text: str) -> None:
        """A block that stays as it is (a table, a listing)."""
        self.end()
        if text.strip():
            self._put(text)

    def open_item(self, marker: str) -> None:
        """What follows belongs to an item of a list."""
        self.end()
        self._items.append(marker or "-")

    def close_item(self) -> None:
        """The item is complete."""
        self.end()
        self._items.pop()

    def text(self) -> str:
        """Everything, as Markdown."""
        self.end()
        parts: list[str] = []
        for text, is_tight in self._blocks:
            if parts:
                parts.append("\n" if is_tight else "\n\n")
            parts.append(text)
        return "".join(parts)

    def line(self) -> str:
        """Everything in one line."""
        self.end()
        return " ".join(" ".join(text for text, _ in self._blocks).split())

    def _put(self, text: str) -> None:
        depth = len(self._items)
        marker = self._items[-1] if self._items else ""
        if marker:
            self._items[-1] = ""
            text = f"{marker} {text}"
        indent = "  " * (depth - 1 if marker else depth)
        if indent:
            text = "\n".join(indent + line for line in text.split("\n"))
        self._blocks.append((text, bool(marker)))


def fenced(code: str, language: str = "") -> str:
    """`code` as a listing, within a fence that does not occur in it."""
    longest = max((len(run) for run in re.findall(r"`{3,}", code)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{code}\n{fence}"


def as_table(table: list[list[str]]) -> str:
    """Rows of cells as a Markdown table, the first one as its head; "" if all cells are empty."""
    filled = [row for row in table if any(row)]
    if not filled:
        return ""
    width = max(len(row) for row in filled)
    if width == 1:
        return "\n".join(row[0] for row in filled)
    lines = ["| " + " | ".join([*row, *[""] * (width - len(row))]) + " |" for row in filled]
    return "\n".join([lines[0], "|" + "---|" * width, *lines[1:]])
