"""A session as one row of a dataset: scalars, and JSON text for what has parts, so that all rows have one schema."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from agent.traces.legacy.usage_metrics import summarize_usage_events, usage_metric_scalar_fields
from agent.traces.saying import number

_SCALARS = ("session_id", "user_id", "session_start_time", "session_end_time", "model_name")
_PARTS = ("messages", "events", "tools")


def row(trajectory: Mapping[str, Any]) -> dict[str, Any]:
    """The row for a session object (see agent/traces/legacy/snapshot.py), redacted as that is."""
    events = [event for event in trajectory.get("events") or () if isinstance(event, Mapping)]
    session_id = trajectory.get("session_id")
    metrics = trajectory.get("usage_metrics") or summarize_usage_events(events, session_id=session_id)
    return {
        **{name: trajectory.get(name) for name in _SCALARS},
        "total_cost_usd": number(trajectory.get("total_cost_usd")),
        **{name: _json(trajectory.get(name) or []) for name in _PARTS},
        "usage_metrics": _json(metrics),
        **usage_metric_scalar_fields(metrics),
    }


def _json(value: Any) -> str:
    return json.dumps(value, allow_nan=False)
