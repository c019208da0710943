"""The last words of a session about what goes on without it."""

from __future__ import annotations

from collections.abc import Sequence

from agent.protocol.events import WorkItem
from agent.protocol.money import format_usd
from agent.ui.sanitize import clip


def still_running_lines(items: Sequence[WorkItem]) -> list[str]:
    """What a person who leaves should know of: a line for each that still runs, and how it is ended."""
    return [_still_running(item) for item in items if not item.is_over]


def _still_running(item: WorkItem) -> str:
    where = "" if item.kind == "process" else f" on {item.flavor}"
    place = item.url or (item.place_id if item.place_id != item.id else None)
    facts = [f"{item.kind} {item.name}{where}", _price(item.usd_per_hour), place]
    text = ", ".join(clip(fact, 200) for fact in facts if fact)
    return f"Still running: {text}; 'ml-intern gc {item.id}' ends it"


def _price(usd_per_hour: float | None) -> str:
    if usd_per_hour is None:
        return "price unknown"
    return f"{format_usd(usd_per_hour)}/h" if usd_per_hour else "free"
