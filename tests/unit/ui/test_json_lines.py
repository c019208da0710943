from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.protocol import events as e
from agent.ui.json_lines import JsonResultRenderer, StreamJsonRenderer, to_json
from tests.unit.ui.samples import HOSTILE, all_events


def result(*payloads: e.Payload, exit_code: int | None = None) -> dict[str, Any]:
    out = io.StringIO()
    ticks = iter([10.0, 12.3456])
    renderer = JsonResultRenderer(out, clock=lambda: next(ticks))
    for payload in payloads:
        renderer.handle(e.Event(payload))
        assert out.getvalue() == ""
    if exit_code is not None:
        renderer.finish(exit_code)
    renderer.close()
    renderer.close()
    [line] = out.getvalue().splitlines()
    data: dict[str, Any] = json.loads(line)
    return data


def call(cost_usd: float | None, kind: str = "main", **tokens: int) -> e.LLMCall:
    return e.LLMCall("m", kind, 100, "stop", cost_usd, cost_usd is not None, **tokens)


READY = e.Ready("ready", 5, "s1", "replay/demo")


def test_the_result_of_a_good_run() -> None:
    done = e.TurnComplete(3, "answer")
    calls = call(0.1, prompt_tokens=10, total_tokens=12), call(0.2, "compaction", prompt_tokens=5, cache_read_tokens=4)
    assert result(READY, e.Processing(), *calls, done, e.Shutdown(), exit_code=0) == {
        "session_id": "s1",
        "model": "replay/demo",
        "result": "answer",
        "stop_reason": "done",
        "is_error": False,
        "error": None,
        "error_kind": None,
        "iterations": 1,
        "usage": {
            "prompt_tokens": 15,
            "completion_tokens": 0,
            "total_tokens": 12,
            "cache_read_tokens": 4,
            "cache_creation_tokens": 0,
            "reasoning_tokens": 0,
        },
        "cost_usd": 0.3,
        "cost_known": True,
        "total_cost_usd": 0.3,
        "duration_s": 2.346,
        "denied_tools": [],
        "exit_code": 0,
    }


def test_an_unknown_cost_is_not_a_number() -> None:
    data = result(READY, call(0.1), call(None), e.TurnComplete(1, "x"), exit_code=0)
    assert (data["cost_usd"], data["cost_known"], data["total_cost_usd"]) == (None, False, None)
    job = e.ToolCharge("hf_jobs", "1", 2.0, 2.0, True)
    assert result(READY, call(0.5), job, e.TurnComplete(1, "x"), exit_code=0)["cost_usd"] == 2.5


def test_a_resumed_session_counts_what_it_had_cost() -> None:
    resumed = e.ResumeComplete("p", 2, 0, "m", None, False, False, session_id="s7", cost_usd=1.5)
    data = result(resumed, call(0.25), e.TurnComplete(1, "x"), exit_code=0)
    assert (data["session_id"], data["cost_usd"], data["total_cost_usd"]) == ("s7", 0.25, 1.75)
    data = result(replace(resumed, cost_known=False), call(0.25), e.TurnComplete(1, "x"), exit_code=0)
    assert (data["cost_usd"], data["total_cost_usd"]) == (0.25, None)


@pytest.mark.parametrize(
    ("payloads", "exit_code", "expected"),
    [
        ([e.ErrorRaised("bad key", "auth")], 3, ("error", True, "bad key", "auth", None, 3)),
        ([e.Interrupted()], 130, ("interrupted", True, None, None, None, 130)),
        ([e.TurnComplete(1, "so far", "iteration_limit")], 4, ("iteration_limit", True, None, None, "so far", 4)),
        ([e.TurnComplete(1, "so far", "budget")], 5, ("budget", True, None, None, "so far", 5)),
        ([e.ApprovalRequired((), 0)], 6, ("approval_required", True, None, None, None, 6)),
        ([e.ApprovalRequired((), 0), e.TurnComplete(1, "x")], 0, ("done", False, None, None, "x", 0)),
        ([e.TurnComplete(1, "x"), e.ErrorRaised("e", "k")], 1, ("error", True, "e", "k", None, 1)),
        ([e.SessionTerminated("gone", "It is over")], 1, ("error", True, "It is over", "gone", None, 1)),
        ([e.TurnComplete(1, "x")], None, ("done", False, None, None, "x", 0)),
        ([], None, (None, True, None, None, None, 1)),
    ],
)
def test_how_a_run_ended(payloads: list[e.Payload], exit_code: int | None, expected: tuple[Any, ...]) -> None:
    data = result(READY, *payloads, exit_code=exit_code)
    keys = ("stop_reason", "is_error", "error", "error_kind", "result", "exit_code")
    assert tuple(data[key] for key in keys) == expected


def test_denied_tools_are_named() -> None:
    states = ["approved", "rejected", "running"]
    changes = [e.ToolStateChange(str(i), f"tool{i}", state) for i, state in enumerate(states)]
    assert result(*changes, exit_code=6)["denied_tools"] == ["tool1"]


def test_the_latest_session_and_model_count() -> None:
    new = e.NewComplete("s2", "s1", 1, 2, None, False)
    data = result(READY, new, e.SettingsChanged("other/model", False), e.TurnComplete(1, "x"))
    assert (data["session_id"], data["model"]) == ("s2", "other/model")


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_every_event_is_one_ascii_line(text: str) -> None:
    out = io.StringIO()
    renderer = StreamJsonRenderer(out)
    events = all_events(text)
    for event in events:
        renderer.handle(event)
    renderer.close()
    lines = out.getvalue().split("\n")
    assert lines.pop() == ""
    assert out.getvalue().isascii()
    assert [json.loads(line) for line in lines] == [event.to_dict() for event in events]
    assert len(result(*(event.payload for event in events))) == 15


@given(
    st.recursive(
        st.none() | st.floats() | st.text() | st.integers(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_any_arguments_are_valid_json(value: Any) -> None:
    def refuse(name: str) -> None:
        raise AssertionError(name)

    event = e.Event(e.ToolCallStarted("t", {"x": value}, "1"))
    json.loads(to_json(event.to_dict()), parse_constant=refuse)


def test_what_json_does_not_know_becomes_text() -> None:
    assert json.loads(to_json({1: {2}, "e": ValueError("x"), "n": float("nan")})) == {"1": [2], "e": "x", "n": None}
