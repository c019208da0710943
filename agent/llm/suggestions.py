"""Models to suggest. No gate: any id with a route can be used."""

from __future__ import annotations

from agent.light_dataclass import dataclass


@dataclass(frozen=True, slots=True)
class SuggestedModel:
    """A model id and what to call it in a list."""

    id: str
    label: str


SUGGESTED_MODELS: tuple[SuggestedModel, ...] = (
    SuggestedModel("anthropic/claude-opus-4.8:fal-ai", "Claude Opus 4.8 (HF router)"),
    SuggestedModel("openai/gpt-5.5:fal-ai", "GPT-5.5 (HF router)"),
    SuggestedModel("moonshotai/Kimi-K2.6:novita", "Kimi K2.6 (HF router)"),
    SuggestedModel("MiniMaxAI/MiniMax-M2.7:novita", "MiniMax M2.7 (HF router)"),
    SuggestedModel("zai-org/GLM-5.1:novita", "GLM 5.1 (HF router)"),
    SuggestedModel("deepseek-ai/DeepSeek-V4-Pro:novita", "DeepSeek V4 Pro (HF router)"),
    SuggestedModel("anthropic/claude-opus-4-8", "Claude Opus 4.8 (Anthropic)"),
    SuggestedModel("anthropic/claude-opus-4-7", "Claude Opus 4.7 (Anthropic)"),
    SuggestedModel("anthropic/claude-opus-4-6", "Claude Opus 4.6 (Anthropic)"),
    SuggestedModel("openai/gpt-5.5", "GPT-5.5 (OpenAI)"),
    SuggestedModel("openai/gpt-5.4", "GPT-5.4 (OpenAI)"),
    SuggestedModel("bedrock/us.anthropic.claude-opus-4-8", "Claude Opus 4.8 (Amazon Bedrock)"),
    SuggestedModel("bedrock/us.anthropic.claude-opus-4-6-v1", "Claude Opus 4.6 (Amazon Bedrock)"),
)
