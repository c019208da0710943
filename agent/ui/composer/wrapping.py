"""Lines broken between words, which prompt_toolkit breaks anywhere."""

from __future__ import annotations

from collections.abc import Iterator

from agent.ui.sanitize import cell_width


def word_wrapped(text: str, width: int) -> list[str]:
    """`text`, one visible line, in lines of at most `width` columns; a word that is longer is broken where it must."""
    lines, line = [], ""
    for word in text.split(" "):
        longer = f"{line} {word}" if line else word
        if cell_width(longer) <= width:
            line = longer
            continue
        if line:
            lines.append(line)
        *whole, line = _pieces(word, width)
        lines += whole
    return [*lines, line]


def _pieces(word: str, width: int) -> Iterator[str]:
    piece = ""
    for char in word:
        if piece and cell_width(piece + char) > width:
            yield piece
            piece = ""
        piece += char
    yield piece
