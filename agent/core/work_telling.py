"""The events that tell of work elsewhere."""

from __future__ import annotations

from datetime import datetime

from agent.core.work_costs import billed_s
from agent.core.work_entry import Entry
from agent.protocol.events import HfJobComplete, HfJobSubmit, Payload, SandboxCreate, SandboxDestroy, ToolStateChange

_PUSHES = {"yes": True, "no": False}


def state_change(entry: Entry, *, is_told: bool = False) -> ToolStateChange:
    """At which stage the work is that a call has started. `is_told`: a line or a result tells the person of it, so that
    this one does without the address that makes it a line of its own."""
    handle = entry.handle
    return ToolStateChange(
        tool_call_id=entry.lease.tool_call_id,
        tool=entry.tool,
        state=entry.status.stage,
        jobUrl=handle.url if handle is not None and not is_told else None,
        namespace=(handle.namespace if handle is not None else None) or entry.lease.namespace,
    )


def submitted(entry: Entry, now: datetime) -> list[Payload]:
    """The record that it was made; nothing for a process on this machine."""
    lease, handle = entry.lease, entry.handle
    if handle is None or lease.kind == "process":
        return []
    if lease.kind == "sandbox":
        return [SandboxCreate(handle.id, lease.flavor, round((now - lease.created_at).total_seconds(), 3))]
    notes = lease.notes
    return [
        HfJobSubmit(
            job_id=handle.id,
            job_url=handle.url or "",
            flavor=lease.flavor,
            timeout=f"{lease.timeout_s:.0f}s" if lease.timeout_s is not None else "",
            job_type=notes.get("job_type", ""),
            image=notes.get("image", ""),
            namespace=handle.namespace or lease.namespace or "",
            push_to_hub=_PUSHES.get(notes.get("push_to_hub", "")),
        )
    ]


def job_complete(entry: Entry) -> HfJobComplete | None:
    """The record of its end; None for a process on this machine."""
    lease, handle, status = entry.lease, entry.handle, entry.status
    if lease.kind != "job":
        return None
    ended = status.ended_at or lease.created_at
    return HfJobComplete(
        job_id=handle.id if handle is not None else "",
        flavor=lease.flavor,
        final_status=status.word or status.stage,
        wall_time_s=max(0.0, (ended - (status.started_at or lease.created_at)).total_seconds()),
        billable_seconds_estimate=billed_s(status, until=ended) or 0.0,
        price_usd_per_hour=lease.usd_per_hour,
        estimated_cost_usd=entry.cost_usd,
        cost_estimate_source=lease.price_source or "unknown",
    )


def destroyed(entry: Entry) -> SandboxDestroy:
    """The record of a sandbox's end."""
    lease, handle = entry.lease, entry.handle
    lifetime_s = ((entry.status.ended_at or lease.created_at) - lease.created_at).total_seconds()
    return SandboxDestroy(handle.id if handle is not None else "", lease.flavor, max(0.0, lifetime_s), entry.cost_usd)
