"""What a session has used and cost, added up from its events: pure functions of the event stream.

Facts: version 1 of the reference's summary. Numbers that are none (booleans, NaN, text) count as 0; a cost that nobody
knows counts as 0 too, and `data_quality` says so (defect 21). US dollars are rounded to 6 places.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import field
from datetime import datetime
from typing import Any

from agent.hub.hardware import space_price
from agent.light_dataclass import dataclass
from agent.traces.legacy.messages import aware_time
from agent.traces.saying import is_number, number

VERSION = 1
BILLING_SCOPE = "account_window_delta"
FROM_EVENTS = "app_telemetry_fallback"
"""Where the total comes from: nothing here reads the account's bill."""
_NO_BILL = {"source": None, "available": False, "error": None, "current_session": None}

_TOKENS = ("prompt_tokens", "completion_tokens", "total_tokens", "cache_read_tokens", "cache_creation_tokens")
_TURN_ENDS = {"turn_complete": "completed", "interrupted": "interrupted", "error": "errors"}

Events = Iterable[Mapping[str, Any]]


def event_created_at(event: Mapping[str, Any]) -> datetime | None:
    """When it happened; None: unknown."""
    return aware_time(event.get("timestamp") or event.get("created_at"))


def summarize_usage_events(events: Events, session_id: str | None = None) -> dict[str, Any]:
    """The summary of `events` ({timestamp, event_type, data}), as a JSON-ready object."""
    known = [(str(event.get("event_type")), _data(event), event) for event in events if isinstance(event, Mapping)]
    calls = [data for event_type, data, _ in known if event_type == "llm_call"]
    llm, jobs = _llm(calls), _jobs(known)
    sandboxes = summarize_sandbox_lifecycle(event for _, _, event in known)
    inference_usd = _usd(math.fsum(number(data.get("cost_usd")) for data in calls))
    app_total_usd = _usd(inference_usd + jobs["estimated_usd"] + sandboxes["estimated_usd"])
    return {
        "version": VERSION,
        "session_id": session_id,
        "billing_scope": BILLING_SCOPE,
        "total_usd": app_total_usd,
        "total_usd_source": FROM_EVENTS,
        "app_total_usd": app_total_usd,
        "hf_billing_total_usd": None,
        "app_telemetry": {
            "session_id": session_id,
            "total_usd": app_total_usd,
            "inference_usd": inference_usd,
            "hf_jobs_estimated_usd": jobs["estimated_usd"],
            "sandbox_estimated_usd": sandboxes["estimated_usd"],
            "llm_calls": llm["calls"],
            "hf_jobs_count": jobs["submits"],
            "sandbox_count": sandboxes["creates"],
            **llm["tokens"],
            "hf_jobs_billable_seconds_estimate": jobs["billable_seconds_estimate"],
            "sandbox_billable_seconds_estimate": sandboxes["billable_seconds_estimate"],
        },
        "hf_billing": dict(_NO_BILL),
        "llm": llm,
        "turns": _turns(known),
        "hf_jobs": jobs,
        "sandboxes": sandboxes,
        "data_quality": _quality(known, calls, jobs, sandboxes),
    }


def usage_metric_scalar_fields(metrics: Any) -> dict[str, Any]:
    """The ten figures of a summary that stand in a row of their own."""
    metrics = _mapping(metrics)
    llm, jobs, sandboxes = (_mapping(metrics.get(name)) for name in ("llm", "hf_jobs", "sandboxes"))
    billed = metrics.get("hf_billing_total_usd")
    return {
        "usage_total_usd": number(metrics.get("total_usd")),
        "usage_total_usd_source": str(metrics.get("total_usd_source") or FROM_EVENTS),
        "usage_app_total_usd": number(metrics.get("app_total_usd")),
        "usage_hf_billing_total_usd": None if billed is None else number(billed),
        "usage_llm_calls": int(number(llm.get("calls"))),
        "usage_total_tokens": int(number(_mapping(llm.get("tokens")).get("total_tokens"))),
        "usage_hf_job_submits": int(number(jobs.get("submits"))),
        "usage_hf_job_status_snapshots": int(number(jobs.get("status_snapshots"))),
        "usage_sandbox_creates": int(number(sandboxes.get("creates"))),
        "usage_sandbox_pairs": int(number(sandboxes.get("pairs"))),
    }


# --- parts -----------------------------------------------------------------------------------------------------------

Known = list[tuple[str, Mapping[str, Any], Mapping[str, Any]]]


def _llm(calls: list[Mapping[str, Any]]) -> dict[str, Any]:
    tokens = {name: int(math.fsum(number(data.get(name)) for data in calls)) for name in _TOKENS}
    tokens["total_tokens"] = int(
        math.fsum(
            number(data.get("total_tokens"))
            or number(data.get("prompt_tokens")) + number(data.get("completion_tokens"))
            for data in calls
        )
    )
    return {
        "calls": len(calls),
        "calls_by_kind": dict(Counter(str(data.get("kind") or "main") for data in calls)),
        "calls_by_model": dict(Counter(str(data.get("model") or "unknown") for data in calls)),
        "tokens": tokens,
    }


def _turns(known: Known) -> dict[str, int]:
    ends = Counter(_TURN_ENDS[event_type] for event_type, _, _ in known if event_type in _TURN_ENDS)
    return {"total": ends.total(), **{name: ends[name] for name in _TURN_ENDS.values()}}


def _jobs(known: Known) -> dict[str, Any]:
    submits = [data for event_type, data, _ in known if event_type == "hf_job_submit"]
    ends = [data for event_type, data, _ in known if event_type == "hf_job_complete"]
    costs = [_job_cost_usd(data) for data in ends]
    return {
        "submits": len(submits),
        "status_snapshots": len(ends),
        "flavors": dict(Counter(str(data.get("flavor") or "unknown") for data in [*submits, *ends])),
        "statuses": dict(Counter(str(data.get("final_status") or "unknown").lower() for data in ends)),
        "billable_seconds_estimate": _seconds(ends, "billable_seconds_estimate"),
        "estimated_usd": _usd(math.fsum(cost or 0.0 for cost in costs)),
        "unknown_costs": costs.count(None),
    }


def _job_cost_usd(data: Mapping[str, Any]) -> float | None:
    """What is written, else price and time multiplied; None: unknown."""
    if is_number(data.get("estimated_cost_usd")):
        return number(data["estimated_cost_usd"])
    if is_number(data.get("price_usd_per_hour")):
        return number(data["price_usd_per_hour"]) * number(data.get("billable_seconds_estimate")) / 3600
    return None


@dataclass(slots=True)
class _Sandboxes:
    creates: int = 0
    destroys: int = 0
    pairs: int = 0
    seconds: float = 0.0
    usd: float = 0.0
    unknown_costs: int = 0
    hardware: Counter[str] = field(default_factory=Counter)
    up: dict[str, list[Mapping[str, Any]]] = field(default_factory=dict)

    def create(self, event: Mapping[str, Any], data: Mapping[str, Any]) -> None:
        self.creates += 1
        self.hardware[str(data.get("hardware") or "unknown")] += 1
        self.up.setdefault(str(data.get("sandbox_id")), []).append(event)

    def destroy(self, event: Mapping[str, Any], data: Mapping[str, Any]) -> None:
        self.destroys += 1
        begun = self.up.get(str(data.get("sandbox_id")))
        if not begun:
            return
        create = begun.pop()
        self.pairs += 1
        lifetime_s = _lifetime_s(create, event)
        hardware = str(data.get("hardware") or _data(create).get("hardware") or "")
        cost = _sandbox_cost_usd(data.get("estimated_cost_usd"), hardware, lifetime_s)
        self.seconds += lifetime_s or 0.0
        self.usd += cost or 0.0
        self.unknown_costs += cost is None


def summarize_sandbox_lifecycle(events: Events) -> dict[str, Any]:
    """Sandboxes that came and went. One that still runs costs nothing yet; an end belongs to the last beginning."""
    found = _Sandboxes()
    for event in events:
        if event.get("event_type") == "sandbox_create":
            found.create(event, _data(event))
        elif event.get("event_type") == "sandbox_destroy":
            found.destroy(event, _data(event))
    return {
        "creates": found.creates,
        "destroys": found.destroys,
        "pairs": found.pairs,
        "active": sum(map(len, found.up.values())),
        "hardware": dict(found.hardware),
        "billable_seconds_estimate": round(found.seconds, 3),
        "estimated_usd": _usd(found.usd),
        "unknown_costs": found.unknown_costs,
    }


def _lifetime_s(create: Mapping[str, Any], destroy: Mapping[str, Any]) -> float | None:
    """As it was measured, else between the two events; a machine was up before its creation was reported complete."""
    if is_number(_data(destroy).get("lifetime_s")):
        return max(0.0, number(_data(destroy)["lifetime_s"]))
    begun, ended = event_created_at(create), event_created_at(destroy)
    if begun is None or ended is None:
        return None
    return max(0.0, (ended - begun).total_seconds() + number(_data(create).get("create_latency_s")))


def _sandbox_cost_usd(told: Any, hardware: str, lifetime_s: float | None) -> float | None:
    price = space_price(hardware)
    if price is not None and lifetime_s is not None:
        return price * lifetime_s / 3600
    return number(told) if is_number(told) else None


def _quality(
    known: Known,
    calls: list[Mapping[str, Any]],
    jobs: Mapping[str, Any],
    sandboxes: Mapping[str, Any],
) -> dict[str, Any]:
    unknown_calls = sum(not _has_known_cost(data) for data in calls)
    unknown = unknown_calls + jobs["unknown_costs"] + sandboxes["unknown_costs"]
    return {
        "events": len(known),
        "events_without_time": sum(event_created_at(event) is None for _, _, event in known),
        "cost_known": unknown == 0,
        "llm_calls_with_unknown_cost": unknown_calls,
        "hf_jobs_with_unknown_cost": jobs["unknown_costs"],
        "hf_jobs_without_end": max(0, jobs["submits"] - jobs["status_snapshots"]),
        "sandboxes_with_unknown_cost": sandboxes["unknown_costs"],
        "sandboxes_without_end": sandboxes["active"],
        "hf_billing_available": False,
    }


def _has_known_cost(data: Mapping[str, Any]) -> bool:
    """The reference wrote 0 for a price that it did not know."""
    if isinstance(data.get("cost_known"), bool):
        return data["cost_known"] is True
    return number(data.get("cost_usd")) > 0 or not any(number(data.get(name)) for name in _TOKENS)


def _data(event: Mapping[str, Any]) -> Mapping[str, Any]:
    return _mapping(event.get("data"))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _seconds(items: list[Mapping[str, Any]], name: str) -> float:
    return round(math.fsum(number(data.get(name)) for data in items), 3)


def _usd(value: float) -> float:
    return round(value, 6)
