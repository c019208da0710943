"""Which model researches."""

from __future__ import annotations

import pytest

from agent.core.sub_agent_model import at_most_high, research_model


@pytest.mark.parametrize(
    ("main", "used"),
    [
        ("anthropic/claude-opus-4-8", "anthropic/claude-sonnet-4-6"),
        ("anthropic/claude-sonnet-5", "anthropic/claude-sonnet-5"),
        ("anthropic/claude-haiku-4-5", "anthropic/claude-haiku-4-5"),
        ("bedrock/us.anthropic.claude-opus-4-6-v1", "bedrock/us.anthropic.claude-sonnet-4-6"),
        ("bedrock/eu.anthropic.claude-opus-4-6-v1", "bedrock/eu.anthropic.claude-sonnet-4-6"),
        ("bedrock/jp.anthropic.claude-opus-4-6-v1", "bedrock/jp.anthropic.claude-sonnet-4-6"),
        ("bedrock/global.anthropic.claude-opus-4-6-v1", "bedrock/global.anthropic.claude-sonnet-4-6"),
        ("bedrock/anthropic.claude-opus-4-6-v1", "bedrock/anthropic.claude-sonnet-4-6"),
        ("bedrock/converse/eu.anthropic.claude-opus-4-6-v1", "bedrock/converse/eu.anthropic.claude-sonnet-4-6"),
        ("bedrock/amazon.nova-pro-v1:0", "bedrock/amazon.nova-pro-v1:0"),
        ("huggingface/anthropic/claude-opus-4-8:fal-ai", "huggingface/anthropic/claude-opus-4-8:fal-ai"),
        ("anthropic/claude-opus-4-8:fal-ai", "anthropic/claude-opus-4-8:fal-ai"),
        ("moonshotai/Kimi-K2.6:novita", "moonshotai/Kimi-K2.6:novita"),
        ("openai/gpt-5.2", "openai/gpt-5.2"),
        ("ollama/qwen3", "ollama/qwen3"),
        ("replay/demo", "replay/demo"),
    ],
)
def test_the_model_goes_with_the_sessions_own(main: str, used: str) -> None:
    """Also outside of the United States: the region's prefix is kept."""
    assert research_model(main, None) == used
    assert research_model(main, "vllm/mine") == "vllm/mine"


@pytest.mark.parametrize(("effort", "used"), [("max", "high"), ("xhigh", "high"), ("high", "high"), ("low", "low")])
def test_effort_is_high_at_most(effort: str, used: str) -> None:
    assert at_most_high(effort) == used
    assert at_most_high(None) is None
