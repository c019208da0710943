"""What a session has used, added up from its events."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.traces.legacy.usage_metrics import (
    summarize_sandbox_lifecycle,
    summarize_usage_events,
    usage_metric_scalar_fields,
)
from tests.unit.traces.legacy import reference_files as legacy
from tests.unit.traces.legacy.reference_files import event


def test_a_session_of_the_reference() -> None:
    found = summarize_usage_events(legacy.events(), session_id="s")
    assert (found["version"], found["session_id"], found["billing_scope"]) == (1, "s", "account_window_delta")
    assert (found["total_usd"], found["total_usd_source"]) == (0.1, "app_telemetry_fallback")
    assert (found["app_total_usd"], found["hf_billing_total_usd"]) == (0.1, None)
    assert found["app_telemetry"] == {
        "session_id": "s",
        "total_usd": 0.1,
        "inference_usd": 0.1,
        "hf_jobs_estimated_usd": 0.0,
        "sandbox_estimated_usd": 0.0,
        "llm_calls": 3,
        "hf_jobs_count": 1,
        "sandbox_count": 0,
        "prompt_tokens": 3000,
        "completion_tokens": 150,
        "total_tokens": 3150,
        "cache_read_tokens": 1200,
        "cache_creation_tokens": 0,
        "hf_jobs_billable_seconds_estimate": 0.0,
        "sandbox_billable_seconds_estimate": 0.0,
    }
    assert found["llm"]["calls_by_kind"] == {"main": 3}
    assert found["llm"]["calls_by_model"] == {"huggingface/moonshotai/Kimi-K2": 3}
    assert found["turns"] == {"total": 2, "completed": 2, "interrupted": 0, "errors": 0}
    assert found["hf_jobs"]["flavors"] == {"a10g-small": 1}
    assert found["data_quality"]["cost_known"]
    assert found["data_quality"]["hf_jobs_without_end"] == 1


def test_an_unknown_cost_is_flagged() -> None:
    """Defect 21: it was a silent 0."""
    job = event(1, "hf_job_complete", flavor="h300", final_status="COMPLETED", estimated_cost_usd=None)
    found = summarize_usage_events([legacy.llm_call(1, 0.0), legacy.llm_call(2, 0.5), job])
    quality = found["data_quality"]
    assert not quality["cost_known"]
    assert (quality["llm_calls_with_unknown_cost"], quality["hf_jobs_with_unknown_cost"]) == (1, 1)
    assert found["total_usd"] == 0.5
    assert summarize_usage_events([legacy.llm_call(1, 0.0, cost_known=True)])["data_quality"]["cost_known"]


@pytest.mark.parametrize("nothing", [True, math.nan, math.inf, -math.inf, "1", None, [], 10**400, 1e300])
def test_numbers_that_are_none_count_as_0(nothing: Any) -> None:
    found = summarize_usage_events(
        [event(1, "llm_call", cost_usd=nothing, prompt_tokens=nothing, total_tokens=nothing)]
    )
    assert (found["total_usd"], found["llm"]["tokens"]["total_tokens"]) == (0.0, 0)
    json.dumps(found, allow_nan=False)


def test_sandboxes_are_paired_last_in_first_out() -> None:
    found = summarize_sandbox_lifecycle(
        [
            event(0, "sandbox_create", sandbox_id="a", hardware="cpu-basic", create_latency_s=4),
            event(10, "sandbox_create", sandbox_id="a", hardware="t4-small", create_latency_s=5),
            event(20, "sandbox_destroy", sandbox_id="a", hardware="t4-small"),  # 10 s and those before it was up
            event(21, "sandbox_destroy", sandbox_id="b", hardware="t4-small", lifetime_s=100),  # never came
            event(22, "sandbox_create", sandbox_id="c", hardware="a100-large", create_latency_s=1),
            event(30, "sandbox_destroy", sandbox_id="c", lifetime_s=3600),
        ]
    )
    assert (found["creates"], found["destroys"], found["pairs"], found["active"]) == (3, 3, 2, 1)
    assert found["billable_seconds_estimate"] == 3615
    assert found["estimated_usd"] == pytest.approx(0.4 * 15 / 3600 + 2.5)
    assert found["unknown_costs"] == 0


def test_a_sandbox_of_unknown_price_costs_what_was_told_or_is_unknown() -> None:
    def course(**end: Any) -> dict[str, Any]:
        created = event(0, "sandbox_create", sandbox_id="a", hardware="q9")
        return summarize_sandbox_lifecycle([created, event(9, "sandbox_destroy", sandbox_id="a", hardware="q9", **end)])

    assert (course()["estimated_usd"], course()["unknown_costs"]) == (0.0, 1)
    assert (course(estimated_cost_usd=2)["estimated_usd"], course(estimated_cost_usd=2)["unknown_costs"]) == (2.0, 0)


def test_jobs_cost_what_was_estimated_or_price_times_time() -> None:
    told = event(1, "hf_job_complete", flavor="t4-small", final_status="COMPLETED", estimated_cost_usd=1.25)
    counted = event(2, "hf_job_complete", flavor="x", price_usd_per_hour=2, billable_seconds_estimate=1800)
    jobs = summarize_usage_events([told, counted])["hf_jobs"]
    assert (jobs["estimated_usd"], jobs["billable_seconds_estimate"], jobs["status_snapshots"]) == (2.25, 1800, 2)
    assert jobs["statuses"] == {"completed": 1, "unknown": 1}


def test_the_scalars() -> None:
    assert usage_metric_scalar_fields(summarize_usage_events(legacy.events())) == {
        "usage_total_usd": 0.1,
        "usage_total_usd_source": "app_telemetry_fallback",
        "usage_app_total_usd": 0.1,
        "usage_hf_billing_total_usd": None,
        "usage_llm_calls": 3,
        "usage_total_tokens": 3150,
        "usage_hf_job_submits": 1,
        "usage_hf_job_status_snapshots": 0,
        "usage_sandbox_creates": 0,
        "usage_sandbox_pairs": 0,
    }
    assert usage_metric_scalar_fields(None)["usage_total_usd"] == 0.0


ANY = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.just([]) | st.just({})
TYPES = ["llm_call", "hf_job_submit", "hf_job_complete", "sandbox_create", "sandbox_destroy", "turn_complete"]
FIELDS = ["cost_usd", "total_tokens", "sandbox_id", "lifetime_s", "hardware", "create_latency_s", "estimated_cost_usd"]
EVENTS = st.lists(
    st.fixed_dictionaries(
        {"event_type": st.sampled_from(TYPES)},
        optional={"data": ANY | st.dictionaries(st.sampled_from(FIELDS), ANY), "timestamp": ANY},
    ),
    max_size=6,
)


@settings(max_examples=60, deadline=None)
@given(EVENTS)
def test_any_events_give_a_summary_that_json_can_hold(events: list[dict[str, Any]]) -> None:
    found = summarize_usage_events(events)
    json.dumps([found, usage_metric_scalar_fields(found)], allow_nan=False)
    assert found["sandboxes"]["pairs"] <= found["sandboxes"]["creates"]
