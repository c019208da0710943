"""rich's styled text as prompt_toolkit's, for lines that are live."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from prompt_toolkit.formatted_text import StyleAndTextTuples
from rich.color import Color, ColorType
from rich.segment import Segment
from rich.style import Style

_ANSI = (
    "ansiblack ansired ansigreen ansiyellow ansiblue ansimagenta ansicyan ansigray ansibrightblack ansibrightred "
    "ansibrightgreen ansibrightyellow ansibrightblue ansibrightmagenta ansibrightcyan ansiwhite"
).split()
_ATTRIBUTES = ("bold", "dim", "italic", "underline", "blink", "reverse", "strike")


def fragments(line: Iterable[Segment], has_colour: bool = True) -> StyleAndTextTuples:
    """A line as prompt_toolkit wants it; without styles unless `has_colour`."""
    return [(style_text(segment.style) if has_colour else "", segment.text) for segment in line]


@lru_cache(maxsize=512)
def style_text(style: Style | None) -> str:
    """A rich style in prompt_toolkit's words, e.g. `fg:ansicyan bold`."""
    if style is None:
        return ""
    words = [name for name in _ATTRIBUTES if getattr(style, name)]
    words += [f"fg:{_colour(style.color)}"] if style.color and not style.color.is_default else []
    words += [f"bg:{_colour(style.bgcolor)}"] if style.bgcolor and not style.bgcolor.is_default else []
    return " ".join(words)


def _colour(colour: Color) -> str:
    if colour.type == ColorType.STANDARD and colour.number is not None:
        return _ANSI[colour.number]
    return colour.get_truecolor().hex
