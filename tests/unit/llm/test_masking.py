"""Keys are taken out of texts; everything else stays."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.llm.masking import mask_secrets


@pytest.mark.parametrize(
    "text",
    [
        "model anthropic/claude-opus-4-8 via Anthropic at api.anthropic.com",
        "max_tokens=64000, prompt tokens: 128000, token count 12",
        "Unsupported parameter key: reasoning_effort",
        "Qwen/Qwen3-Coder-480B-A35B-Instruct-FP8 and us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "a task-list-of-things, risk-averse, scikit-learn",
        "set ANTHROPIC_API_KEY (https://console.anthropic.com/settings/keys)",
        "0b1c3e5e-1f6a-4c53-9b0e-0a6f1c1d2e3f",
        "xai-org/grok-2",
    ],
)
def test_ordinary_text_stays(text: str) -> None:
    assert mask_secrets(text, {"PATH": "/usr/bin:/bin", "AWS_REGION": "us-east-1", "X_TOKEN": "short"}) == text


def test_passwords_in_addresses() -> None:
    assert mask_secrets("http://me:hunter2@host/v1", {}) == "http://***@host/v1"


@given(st.text(max_size=200), st.text(min_size=8, max_size=30).filter(lambda s: s.strip() == s and "*" not in s))
def test_masking_is_idempotent_and_complete(text: str, secret: str) -> None:
    environ = {"SOME_API_KEY": secret}
    once = mask_secrets(f"{text} {secret} {text}", environ)
    assert mask_secrets(once, environ) == once


@pytest.mark.parametrize(
    "text",
    [
        "Incorrect API key provided: sk-ab***yz12. You can find",
        "header 'x-api-key: 0a1b2c3d4e5f' is invalid",
        '{"error": {"message": "bad", "api_key": "0a1b2c3d4e5f"}}',
        "password='0a1b2c3d4e5f' of postgres://me:0a1b2c3d4e5f@h",
        "provided: sk-proj-0a1b2c3d4e5f0a1b2c3d4e5f*****yz12",
    ],
)
def test_keys_of_others(text: str) -> None:
    masked = mask_secrets(text, {})
    assert "0a1b2c3d" not in masked and "yz12" not in masked
    assert "***" in masked and "[REDACTED" not in masked
