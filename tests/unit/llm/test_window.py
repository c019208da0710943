"""Whose word is taken for the context window."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.llm.client import LLMClient
from agent.llm.window import Window, resolve_window
from tests.fakes.http_base import HttpFake
from tests.fakes.openai_server import FakeOpenAI


async def window(model: str, environ: dict[str, str] | None = None, configured: int | None = None) -> Window:
    environ = environ or {}
    client = LLMClient("hf_token", environ)
    return await resolve_window(model, configured=configured, environ=environ, client=client)


async def test_the_setting_comes_first(openai_server: FakeOpenAI) -> None:
    environ = {"VLLM_BASE_URL": openai_server.url}
    assert await window("vllm/m", environ, 9000) == Window(9000, "the setting context_window")
    assert openai_server.requests == []


async def test_a_local_server_is_asked(openai_server: FakeOpenAI) -> None:
    openai_server.models = ({"id": "m", "max_model_len": 40_960},)
    found = await window("vllm/m", {"VLLM_BASE_URL": openai_server.url})
    assert (found.tokens, found.source, found.warning) == (40_960, "vLLM", "")


async def test_a_local_server_that_does_not_say(openai_server: FakeOpenAI) -> None:
    found = await window("vllm/m", {"VLLM_BASE_URL": openai_server.url})
    assert (found.tokens, found.source) == (32_768, "a guess")
    assert "context_window" in found.warning


@pytest.mark.parametrize(("tokens", "warned"), [(4096, True), (63_999, True), (64_000, False)])
async def test_a_small_ollama_window_names_the_variable(tokens: int, warned: bool) -> None:
    with HttpFake() as ollama:
        ollama.route("GET", "/api/ps", {"models": [{"name": "qwen3:latest", "context_length": tokens}]})
        found = await window("ollama/qwen3", {"OLLAMA_BASE_URL": ollama.url})
    assert found.tokens == tokens
    assert ("OLLAMA_CONTEXT_LENGTH" in found.warning) == warned


async def test_an_unknown_ollama_window_names_the_variable() -> None:
    with HttpFake() as ollama:
        ollama.route("GET", "/api/ps", {"models": []})
        ollama.route("POST", "/api/show", {})
        found = await window("ollama/qwen3", {"OLLAMA_BASE_URL": ollama.url})
    assert found.tokens == 32_768
    assert "OLLAMA_CONTEXT_LENGTH" in found.warning


def serving(name: str, tokens: int | None, **changes: Any) -> dict[str, Any]:
    return {"provider": name, "status": "live", "context_length": tokens, "supports_tools": True} | changes


@pytest.mark.parametrize(
    ("tag", "tokens"),
    [
        (":big", 262_144),
        ("", 131_072),  # the smallest of those that may be chosen
        (":fastest", 131_072),
        (":quiet", 200_000),
        (":elsewhere", 200_000),
    ],
)
async def test_the_routers_catalog(openai_server: FakeOpenAI, tag: str, tokens: int) -> None:
    providers = [
        serving("big", 262_144),
        serving("small", 131_072),
        serving("no-tools", 8192, supports_tools=False),
        serving("dead", 4096, status="error"),
        serving("quiet", None),
    ]
    openai_server.models = ({"id": "org/model", "providers": providers},)
    found = await window(f"org/model{tag}", {"HF_ROUTER_BASE_URL": openai_server.base_url})
    assert found.tokens == tokens


async def test_a_router_that_is_away(openai_server: FakeOpenAI) -> None:
    openai_server.route("GET", "/v1/models", {}, status=503)
    found = await window("org/model", {"HF_ROUTER_BASE_URL": openai_server.base_url})
    assert (found.tokens, found.source) == (200_000, "a guess")


async def test_litellms_table_for_models_it_serves() -> None:
    assert (await window("anthropic/claude-sonnet-4-5")).source == "litellm's table"
    assert (await window("anthropic/claude-opus-4-8")).tokens == 1_000_000
    assert await window("anthropic/claude-unheard-of") == Window(200_000, "a guess")


async def test_a_script_may_have_a_window(tmp_path: Path) -> None:
    path = tmp_path / "script.jsonl"
    path.write_text('{"window": 32000}\n{"text": "a"}')
    assert (await window(f"replay/{path}")).tokens == 32_000
    assert (await window("replay/demo")).tokens == 200_000
