"""Reading what services answer: whatever shape it has, what comes out is text, a number or a list of objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def rows(value: object) -> list[dict[str, Any]]:
    """The objects in a list; anything else is no row."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def record(value: object) -> dict[str, Any]:
    """An object, or an empty one."""
    return value if isinstance(value, dict) else {}


def texts(value: object) -> list[str]:
    """The texts in a list."""
    return [each for each in value if isinstance(each, str) and each.strip()] if isinstance(value, list) else []


def text(source: Mapping[str, Any], *names: str, max_chars: int = 300) -> str:
    """The first of `names` that has text, in one line and cut at `max_chars`; "" if none has."""
    found = next((source[name] for name in names if isinstance(source.get(name), str) and source[name].strip()), "")
    return clip(found, max_chars)


def number(source: Mapping[str, Any], name: str) -> int:
    """A count; 0 if there is none."""
    value = source.get(name)
    return int(value) if isinstance(value, (int, float)) and not isinstance(value, bool) and value == value else 0


def clip(value: str, max_chars: int) -> str:
    """`value` in one line, cut at a word's end if it is longer than `max_chars`."""
    head = value[: 10 * max_chars]  # of megabytes, no more than may be shown is looked at
    line = " ".join(head.split())
    if len(line) <= max_chars and len(head) == len(value):
        return line
    head = line[: max_chars - 1]
    return (head[: head.rfind(" ")] if " " in head[max_chars // 2 :] else head).rstrip() + "…"
