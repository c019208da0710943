"""Commands about what runs outside of this program."""

from __future__ import annotations

import asyncio
from collections import deque
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from agent.cli.commands.registry import command
from agent.protocol.events import WorkItem
from agent.protocol.money import format_usd
from agent.ui.sanitize import clip, visible
from agent.ui.tool_lines import elapsed_text

if TYPE_CHECKING:
    from agent.cli.app import App

LOG_LINES = 40
_COLUMNS, _NAME_COLUMNS = 80, 40
_WORDS = ("logs", "cancel")
_USAGE = "Say /jobs, /jobs logs ID [LINES] or /jobs cancel ID."


@command("jobs", "[logs ID [LINES] | cancel ID]", group="Workspace", choices=_WORDS, at_once=True)
async def jobs(app: App, argument: str) -> None:
    """Show the jobs, sandboxes and background work of this session, their output, or end one.

    ID is the one shown first in the list, the place's own id, or the beginning of either. `ml-intern ps` shows what
    runs for all sessions of this machine.
    """
    word, *rest = argument.split() or [""]
    if not word:
        app.say(jobs_text(app.status.work, datetime.now(UTC)))
        return
    if word not in _WORDS or not rest:
        app.complain(_USAGE)
        return
    item = found(app.status.work, rest[0])
    if item is None:
        app.complain(f"There is no {clip(rest[0], 40)} in this session. /jobs shows what there is.")
    elif word == "logs":
        lines = int(rest[1]) if len(rest) > 1 and rest[1].isdecimal() else LOG_LINES
        app.say(await asyncio.to_thread(_log_text, item, lines))
    else:
        end = await app.cancel_work(item.id)
        (app.say if end.worked else app.complain)(visible(end.text, False))


def found(items: tuple[WorkItem, ...], wanted: str) -> WorkItem | None:
    """The one that `wanted` is an id, or an unambiguous beginning of an id, of."""
    exact = [item for item in items if wanted in (item.id, item.place_id)]
    near = exact or [item for item in items if item.id.startswith(wanted) or item.place_id.startswith(wanted)]
    return near[0] if len(near) == 1 else None


def jobs_text(items: tuple[WorkItem, ...], now: datetime) -> str:
    """What there is, a line each with what it costs, then its address and its latest figures and output; then the sum.

    The first lines are aligned, and at most 80 columns wide.
    """
    if not items:
        return "Nothing runs outside of this program."
    stages = max(len(_stage(item)) for item in items)
    lines = [line for item in items for line in _lines(item, stages, now)]
    return "\n".join([*lines, *_sum(items)])


def _lines(item: WorkItem, stages: int, now: datetime) -> list[str]:
    what = item.name if item.kind == "process" else f"{clip(item.name, _NAME_COLUMNS)} on {item.flavor}"
    head = f"{item.id}  {_stage(item):<{stages}}  {item.kind:<7}  {what}"
    cost = ", ".join(filter(None, [_cost_text(item), _time_text(item, now)]))
    room = _COLUMNS - len(cost) - 2
    told = item.last_line
    figures = "  ".join(f"{name} {value:.6g}" for name, value in item.metrics.items() if name not in told)
    place = item.url or (item.place_id if item.place_id != item.id else "")
    below = [place, clip(figures, 200), clip(told, 200)]
    return [f"{clip(head, room)}  {cost}", *(f"  {visible(line, False)}" for line in below if line)]


def _stage(item: WorkItem) -> str:
    """The stage; a machine that somebody has ended is not cancelled, but deleted."""
    return "deleted" if item.kind == "sandbox" and item.stage == "canceled" else item.stage


def _cost_text(item: WorkItem) -> str:
    return price_text(item.usd_per_hour) if item.cost_usd is None else format_usd(item.cost_usd)


def _time_text(item: WorkItem, now: datetime) -> str:
    """How long it has run, or ran; empty where it has not begun."""
    if item.started_at is None:
        return ""
    try:
        began = datetime.fromisoformat(item.started_at)
        ended = datetime.fromisoformat(item.ended_at) if item.ended_at else now
        return elapsed_text((ended - began).total_seconds())
    except (ValueError, TypeError):
        return ""


def _sum(items: tuple[WorkItem, ...]) -> list[str]:
    """What all that runs costs, and what can be done about it."""
    prices = [item.usd_per_hour for item in items if not item.is_over]
    if not prices:
        return []
    unknown = f", and {prices.count(None)} whose price is not known" if None in prices else ""
    total = format_usd(sum(price for price in prices if price is not None))
    return [f"Together {total} an hour{unknown}. /jobs logs ID shows its output, /jobs cancel ID ends it."]


def price_text(usd_per_hour: float | None) -> str:
    """A price per hour in words."""
    return "price unknown" if usd_per_hour is None else f"{format_usd(usd_per_hour)}/h" if usd_per_hour else "free"


def _log_text(item: WorkItem, lines: int) -> str:
    if item.log_path is None:
        return "There is no output of it here."
    try:
        with Path(item.log_path).open(encoding="utf-8", errors="replace") as file:
            last = deque(file, maxlen=max(1, lines))
    except FileNotFoundError:
        return "It has printed nothing yet."
    except OSError as error:
        return f"Its output cannot be read: {error.strerror or error}"
    return visible("".join(last).rstrip("\n")) or "It has printed nothing yet."
