from __future__ import annotations

from agent.cli.status import Status
from agent.protocol import events as e


def seen(*payloads: e.Payload, status: Status | None = None) -> Status:
    status = status or Status()
    for payload in payloads:
        status.see(e.Event(payload))
    return status


def call(cost_usd: float | None, kind: str = "main", charged_usd: float = 0.0) -> e.LLMCall:
    return e.LLMCall(
        "m", kind, 1, "stop", cost_usd, cost_usd is not None, 10, 5, 15, cache_read_tokens=4, charged_usd=charged_usd
    )


def test_costs_are_kept_by_kind_and_the_unknown_stays_unknown() -> None:
    now = seen(call(0.5), call(None, charged_usd=0.2), call(0.1, "compaction")).conversation
    assert now.cost_usd == 0.6
    assert not now.cost_known
    main = now.usage["main"]
    assert (main.calls, main.prompt_tokens, main.cached_tokens, main.completion_tokens) == (2, 20, 8, 10)
    assert (main.unknown_calls, main.unknown_usd) == (1, 0.2)
    tools = seen(
        e.ToolCharge("hf_jobs", "1", None, 3.0, False), e.ToolCharge("hf_jobs", "2", 2.0, 2.0, True)
    ).conversation
    assert (tools.cost_usd, tools.unknown_usd, tools.cost_known, tools.model_calls) == (2.0, 3.0, False, 0)
    assert (now.model_calls, now.prompt_tokens, now.total_tokens) == (3, 10, 45)


def test_turns_are_counted_once_whatever_is_approved_in_them() -> None:
    status = Status()
    for text in ("one", "two", "three"):
        status.submitted(text)
        seen(e.Processing(), e.ApprovalRequired((), 0), e.Processing(), e.TurnComplete(4, "x"), status=status)
    assert status.conversation.prompts == ["one", "two", "three"]
    seen(e.UndoComplete(3, 2, "two"), status=status)
    assert status.conversation.prompts == ["one"]
    seen(e.UndoComplete(0, 0, None, ("a.py",)), status=status)
    assert status.conversation.prompts == ["one"]


def test_a_resumed_or_new_conversation_has_its_own_figures() -> None:
    status = seen(e.Ready("", 1, "s1", "m"), call(None), e.Renamed("first"))
    resumed = e.ResumeComplete(
        *("p", 8, 0, "m2", None, False, False, "s2", "second"),
        prompts=("a", "b"),
        prompt_tokens=70,
        cost_usd=2.0,
        window_tokens=9_000,
    )
    assert seen(resumed).window_tokens == 9_000
    now = seen(resumed, call(0.5), status=status).conversation
    assert (status.model_name, now.session_id, now.title) == ("m2", "s2", "second")
    assert (now.prompts, now.cost_usd, now.cost_known) == (["a", "b"], 2.5, True)
    fresh = seen(e.NewComplete("s3", "s2", 1, 1, None, False), status=status).conversation
    assert (fresh.session_id, fresh.title, fresh.prompts, fresh.cost_usd) == ("s3", "", [], 0.0)


def test_settings_and_budget_are_the_latest() -> None:
    status = seen(e.SettingsChanged("m", True, "low", mode="yolo"), e.BudgetStatus(1.0, 0.0, 0.0, 2.0))
    assert (status.model_name, status.yolo_mode, status.reasoning_effort) == ("m", True, "low")
    assert status.budget.cap_usd == 2.0


def test_steering_waits_until_it_is_taken_in() -> None:
    status = Status(steering=["a", "b", "a"])
    assert seen(e.Steered("a"), e.Steered("never sent"), status=status).steering == ["b", "a"]


def test_the_mode_starts_as_given_and_is_the_latest() -> None:
    status = Status(mode="plan")
    assert (status.mode, status.yolo_mode) == ("plan", False)
    seen(e.SettingsChanged("m", False, None, ("mode",), "auto-edit"), status=status)
    assert (status.mode, status.yolo_mode) == ("auto-edit", False)
