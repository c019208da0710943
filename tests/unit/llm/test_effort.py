"""Reasoning effort: which levels each family takes, and how they are written."""

from __future__ import annotations

from typing import Any

import pytest

from agent.llm.effort import EFFORT_LEVELS
from agent.llm.params import (
    UnsupportedEffortError,
    _resolve_llm_params,
    effort_levels,
    resolve_route,
    validate_effort,
)


def adaptive(level: str) -> dict[str, Any]:
    return {"thinking": {"type": "adaptive"}, "output_config": {"effort": level}}


def plain(level: str) -> dict[str, Any]:
    return {"reasoning_effort": level}


def body(level: str) -> dict[str, Any]:
    return {"extra_body": {"reasoning_effort": level}}


NO = None
# what each of minimal, low, medium, high, xhigh, max becomes
ADAPTIVE = [adaptive("low"), adaptive("low"), adaptive("medium"), adaptive("high"), adaptive("xhigh"), adaptive("max")]
PLAIN = [plain("low"), plain("low"), plain("medium"), plain("high"), NO, NO]
OPENAI = [plain("minimal"), plain("low"), plain("medium"), plain("high"), plain("xhigh"), NO]
GOOGLE = [plain("minimal"), plain("low"), plain("medium"), plain("high"), NO, NO]
ROUTER = [body("low"), body("low"), body("medium"), body("high"), NO, NO]
NOTHING = [NO] * 6

FAMILIES = [
    ("anthropic/claude-opus-4-8", ADAPTIVE),
    ("anthropic/claude-opus-4-6", ADAPTIVE),
    ("anthropic/claude-opus-4-10", ADAPTIVE),
    ("anthropic/claude-sonnet-5", ADAPTIVE),
    ("anthropic/claude-future", ADAPTIVE),
    ("anthropic/claude-sonnet-4-5-20250929", PLAIN),
    ("anthropic/claude-haiku-4-5", PLAIN),
    ("anthropic/claude-opus-4-1-20250805", PLAIN),
    ("anthropic/claude-opus-4-20250514", PLAIN),
    ("anthropic/claude-4-sonnet-20250514", PLAIN),
    ("anthropic/claude-sonnet-4", PLAIN),
    ("anthropic/claude-3-7-sonnet-latest", PLAIN),
    ("anthropic/claude-3-5-haiku-20241022", NOTHING),
    ("anthropic/claude-3-opus-20240229", NOTHING),
    ("anthropic/claude-2.1", NOTHING),
    ("bedrock/us.anthropic.claude-opus-4-6-v1", ADAPTIVE),
    ("bedrock/us.anthropic.claude-opus-4-8", ADAPTIVE),
    ("bedrock/us.anthropic.claude-sonnet-4-20250514-v1:0", PLAIN),
    ("bedrock/anthropic.claude-3-7-sonnet-20250219-v1:0", PLAIN),
    ("bedrock/anthropic.claude-v2:1", NOTHING),
    ("bedrock/us.deepseek.r1-v1:0", PLAIN),
    ("openai/gpt-5.5", OPENAI),
    ("openrouter/anthropic/claude-opus-4.8", OPENAI),
    ("gemini/gemini-3-pro", GOOGLE),
    ("vertex_ai/gemini-3-pro", GOOGLE),
    ("mistral/magistral-medium", PLAIN),
    ("azure/my-deployment", PLAIN),
    ("litellm/chutes/x", PLAIN),
    ("anthropic/claude-opus-4.8:fal-ai", ROUTER),
    ("moonshotai/Kimi-K2.6", ROUTER),
    ("ollama/qwen3", NOTHING),
    ("vllm/Qwen/Qwen3", NOTHING),
    ("replay/demo", NOTHING),
]


@pytest.mark.parametrize(("model_id", "expected"), FAMILIES)
def test_levels_and_wire_forms(model_id: str, expected: list[dict[str, Any] | None]) -> None:
    without = _resolve_llm_params(model_id, environ={})
    for level, params in zip(EFFORT_LEVELS, expected, strict=True):
        assert _resolve_llm_params(model_id, None, level, environ={}) == without | (params or {})
        if params is None:
            with pytest.raises(UnsupportedEffortError):
                _resolve_llm_params(model_id, None, level, strict=True, environ={})
        else:
            assert _resolve_llm_params(model_id, None, level, strict=True, environ={}) == without | params


@pytest.mark.parametrize("model_id", [model_id for model_id, _ in FAMILIES])
def test_no_preference_asks_for_nothing(model_id: str) -> None:
    asked = _resolve_llm_params(model_id, None, None, strict=True, environ={})
    assert not asked.keys() & {"reasoning_effort", "thinking", "output_config", "extra_body"}


@pytest.mark.parametrize(
    ("model_id", "level", "text"),
    [
        ("openai/gpt-5.5", "max", "OpenAI doesn't accept effort='max'"),
        ("org/model", "xhigh", "HF Router"),
        ("ollama/qwen3", "low", "reasoning_effort"),
        ("openai/gpt-5.5", "hgih", "minimal, low, medium, high, xhigh"),
    ],
)
def test_refusals_name_the_provider_and_the_levels(model_id: str, level: str, text: str) -> None:
    with pytest.raises(UnsupportedEffortError) as caught:
        _resolve_llm_params(model_id, None, level, strict=True, environ={})
    assert text in str(caught.value)


def test_an_adaptive_effort_is_never_in_the_extra_body() -> None:
    """litellm would send it to Anthropic literally."""
    assert "extra_body" not in _resolve_llm_params("anthropic/claude-opus-4-8", None, "max", environ={})


def test_two_resolutions_share_nothing() -> None:
    first = _resolve_llm_params("anthropic/claude-opus-4-8", None, "high", environ={})
    first["thinking"]["type"] = "changed"
    assert _resolve_llm_params("anthropic/claude-opus-4-8", None, "high", environ={})["thinking"] == {
        "type": "adaptive"
    }
    assert resolve_route("anthropic/claude-opus-4-8") == resolve_route("anthropic/claude-opus-4-8")


@pytest.mark.parametrize(
    ("model_id", "levels"),
    [
        ("openai/gpt-5.5", ("minimal", "low", "medium", "high", "xhigh")),
        ("anthropic/claude-opus-4-8", ("low", "medium", "high", "xhigh", "max")),
        ("org/model", ("low", "medium", "high")),
        ("ollama/qwen3", ()),
    ],
)
def test_a_level_can_be_checked_before_it_is_asked_for(model_id: str, levels: tuple[str, ...]) -> None:
    assert effort_levels(model_id) == levels
    validate_effort(model_id, None)
    for level in levels:
        validate_effort(model_id, level)
    for level in set(EFFORT_LEVELS) - set(levels) - ({"minimal"} if levels else set()):  # minimal counts as low
        with pytest.raises(UnsupportedEffortError) as caught:
            validate_effort(model_id, level)
        assert ", ".join(levels) in str(caught.value)
