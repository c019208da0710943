"""A session as one row of a dataset."""

from __future__ import annotations

import json

from agent.traces.legacy.row import row
from tests.unit.traces.legacy import reference_files as legacy


def test_a_row_has_scalars_and_json_text() -> None:
    made = row(legacy.snapshot())
    assert set(made) == {
        *("session_id", "user_id", "session_start_time", "session_end_time", "model_name", "total_cost_usd"),
        *("messages", "events", "tools", "usage_metrics"),
        *("usage_total_usd", "usage_total_usd_source", "usage_app_total_usd", "usage_hf_billing_total_usd"),
        *("usage_llm_calls", "usage_total_tokens", "usage_hf_job_submits", "usage_hf_job_status_snapshots"),
        *("usage_sandbox_creates", "usage_sandbox_pairs"),
    }
    assert json.loads(made["messages"]) == legacy.messages()
    assert json.loads(made["events"]) == legacy.events()
    assert json.loads(made["usage_metrics"])["llm"]["calls"] == 3  # the file had none
    assert (made["total_cost_usd"], made["usage_total_usd"], made["usage_llm_calls"]) == (0.1, 0.1, 3)


def test_rows_have_the_same_types_whatever_is_missing() -> None:
    full, empty = row(legacy.snapshot()), row({})
    assert list(full) == list(empty)
    assert {name: type(empty[name]) for name in empty if empty[name] is not None} == {
        name: type(full[name]) for name in empty if empty[name] is not None
    }
