"""Taking up work that an earlier run has left: what its lease says, and how that is told."""

from __future__ import annotations

from collections.abc import Mapping

from agent.core.work_entry import Entry
from agent.core.work_news import outcome
from agent.protocol.compute import Stage, Status
from agent.protocol.money import format_usd


def take_state(entry: Entry, charged: Mapping[str, float]) -> None:
    """Put `entry` in the state that its lease tells of. `charged`: US dollars by lease id, as the journal has them; the
    lease may have missed the last of them (a full disk, a kill)."""
    lease = entry.lease
    entry.bill.charged_usd = max(lease.charged_usd, charged.get(lease.id, 0.0))
    if lease.state == "ended":
        entry.status = Status(_stage_in(lease.stage), ended_at=lease.ended_at)
        entry.cost_usd, entry.is_over = lease.cost_usd, True
        entry.bill.is_paid = not entry.is_metered and lease.id in charged
    elif lease.handle is not None:
        entry.status = Status("running")


def found_line(entry: Entry) -> str:
    """How it was found, in a line for the person and the model."""
    price = entry.lease.usd_per_hour
    rate = f", {format_usd(price)}/h" if price else "" if price == 0 else ", price unknown"
    lines = f", {entry.log.count} lines of output so far" if entry.log.count else ""
    if entry.is_over:
        how = outcome(entry.status, entry.cost_usd)
        return f"Ended meanwhile: {entry.label}, lease {entry.id}: {how}{lines}"
    if entry.handle is None:
        return f"In doubt: {entry.label}: whether it was started is not known yet; it is looked for{rate}"
    url = f", {entry.handle.url}" if entry.handle.url else ""
    return f"Still running: {entry.label}, lease {entry.id}: {entry.status.stage}{lines}{rate}{url}"


def _stage_in(word: str) -> Stage:
    stages: tuple[Stage, ...] = ("completed", "failed", "canceled")
    return next((stage for stage in stages if stage == word), "gone")
