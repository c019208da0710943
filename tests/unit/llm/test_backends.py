"""Which backend serves which model."""

from __future__ import annotations

import pytest

from agent.llm.backends import BackendName, backend_name
from agent.llm.params import _resolve_llm_params, has_server, resolve_route

OWN, LITELLM, REPLAY = BackendName.OPENAI_COMPATIBLE, BackendName.LITELLM, BackendName.REPLAY
GATEWAY = {"OPENAI_BASE_URL": "https://gateway.example/v1"}


@pytest.mark.parametrize(
    ("model", "environ", "name"),
    [
        ("ollama/m", {}, OWN),
        ("vllm/org/gpt-5.5", {}, OWN),
        ("lm_studio/m", {}, OWN),
        ("llamacpp/m", {}, OWN),
        ("org/model:novita", {}, OWN),
        ("huggingface/openai/gpt-5.5:fal-ai", {}, OWN),
        ("openai/m", GATEWAY, OWN),
        ("openai/m", {"OPENAI_API_BASE": "http://localhost:8000"}, OWN),
        ("openai/m", {"OPENAI_BASE_URL": "notaurl"}, OWN),
        ("openai/gpt-5.2", GATEWAY, OWN),
        ("openai/gpt-4.1", GATEWAY, OWN),
        ("openai/deepseek-v4-pro", GATEWAY, OWN),
        ("openai/m", {}, LITELLM),
        ("openai/m", {"OPENAI_BASE_URL": "  "}, LITELLM),
        ("openai/m", {"OPENAI_BASE_URL": "https://API.openai.com/v1/"}, LITELLM),
        ("openai/m", {"OPENAI_BASE_URL": "https://eu.api.openai.com/v1"}, LITELLM),
        ("openai/m", {"OPENAI_BASE_URL": "https://api.openai.com.evil.example/v1"}, OWN),
        ("openai/gpt-5.5", GATEWAY, LITELLM),
        ("openai/gpt-5.1-codex", GATEWAY, LITELLM),
        ("openai/o3-pro", GATEWAY, LITELLM),
        ("openai/responses/m", GATEWAY, LITELLM),
        ("anthropic/claude-opus-4-8", {"ANTHROPIC_BASE_URL": "https://gateway.example"}, LITELLM),
        ("groq/m", {"GROQ_API_BASE": "https://gateway.example"}, LITELLM),
        ("litellm/openai/m", GATEWAY, LITELLM),
        ("replay/demo", {}, REPLAY),
    ],
)
def test_the_route_decides(model: str, environ: dict[str, str], name: BackendName) -> None:
    assert backend_name(resolve_route(model), environ) is name


@pytest.mark.parametrize("model", ["ollama/m", "org/model", "openai/m", "anthropic/claude-opus-4-8"])
def test_litellm_can_be_forced(model: str) -> None:
    assert backend_name(resolve_route(model), GATEWAY, "litellm") is LITELLM


def test_a_script_needs_no_server() -> None:
    assert backend_name(resolve_route("replay/demo"), {}, "litellm") is REPLAY
    assert [has_server(resolve_route(model)) for model in ("replay/demo", "ollama/m", "openai/m")] == [
        False,
        True,
        True,
    ]


def test_key_and_address_are_handed_over_to_an_address_of_ones_own_alone() -> None:
    keys = {"OPENAI_API_KEY": " sk-x "}
    own = _resolve_llm_params("openai/m", environ=keys | {"OPENAI_BASE_URL": "https://gateway.example/v1/"})
    assert own == {"model": "openai/m", "api_base": "https://gateway.example/v1", "api_key": "sk-x"}
    assert _resolve_llm_params("openai/m", environ=keys) == {"model": "openai/m"}
