"""Lists of papers and the like as text: numbered entries, and their details as far as there is room."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from agent.light_dataclass import dataclass

T = TypeVar("T")

MAX_LIST_CHARS = 17_000


@dataclass(frozen=True, slots=True)
class Window:
    """The part of a list that was asked for."""

    offset: int
    limit: int

    def to_fetch(self, at_most: int) -> int:
        """How many to ask a service for that gives no more than `at_most`."""
        return min(self.offset + self.limit, at_most)

    def of(self, items: Sequence[T]) -> Sequence[T]:
        """That part of `items`, which begin at the beginning."""
        return items[self.offset : self.offset + self.limit]

    def advice(self, shown: int, *, there_is_more: bool) -> str:
        """How to see the next ones, if there are any."""
        return f"More: offset={self.offset + shown}." if there_is_more and shown else ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One of a list: lines that are always shown, and details that give way when the list becomes long."""

    head: Sequence[str]
    details: Sequence[str] = ()


def listed(entries: Sequence[Entry], what_details: str, max_chars: int = MAX_LIST_CHARS) -> str:
    """All entries; the details of the first ones, as many as fit in `max_chars`, and a line saying where they end."""
    room = max_chars - sum(len(line) + 1 for entry in entries for line in entry.head)
    parts: list[str] = []
    first_without = 0
    for number, entry in enumerate(entries, 1):
        needed = sum(len(line) + 1 for line in entry.details)
        has_room = not first_without and needed <= room
        if not has_room and entry.details:
            first_without = first_without or number
        room -= needed
        parts.append("\n".join([*entry.head, *(entry.details if has_room else ())]))
    if first_without:
        parts.append(
            f"[{what_details} left out from entry {first_without} of this list on; a smaller limit shows them]"
        )
    return "\n\n".join(parts)
