"""Request parameters, addresses and keys; above all that no key travels to somebody else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.llm.params import (
    LOCAL_API_KEY_DEFAULT,
    _resolve_llm_params,
    clean_hf_token,
    describe_route,
    is_loopback,
    missing_credentials,
    resolve_route,
    url_host,
)
from agent.llm.providers import PROVIDERS, RouteKind

ROUTER_URL = "https://router.huggingface.co/v1"


def params(model_id: str, token: str | None = None, **environ: str) -> dict[str, Any]:
    return _resolve_llm_params(model_id, token, environ=environ)


@pytest.mark.parametrize(
    "model_id",
    [
        "bedrock/us.anthropic.claude-opus-4-8",
        "anthropic/claude-opus-4-8",
        "openai/gpt-5.5",
        "gemini/gemini-3",
        "azure/x",
        "litellm_proxy/x",
    ],
)
def test_direct_providers_get_the_id_alone(model_id: str) -> None:
    assert params(model_id, "hf_token", OPENAI_API_KEY="sk-1", ANTHROPIC_API_KEY="sk-ant-2") == {"model": model_id}


def test_contract_of_the_dictionaries() -> None:
    assert _resolve_llm_params("openai/gpt-5.5", None, "xhigh", environ={}) == {
        "model": "openai/gpt-5.5",
        "reasoning_effort": "xhigh",
    }
    assert params("litellm/some/thing") == {"model": "some/thing"}
    assert params("org/model:novita", "hf_x") == {
        "model": "openai/org/model:novita",
        "api_base": ROUTER_URL,
        "api_key": "hf_x",
    }
    assert params("org/model") == {"model": "openai/org/model", "api_base": ROUTER_URL, "api_key": None}
    assert _resolve_llm_params("org/model", "hf_x", "minimal", environ={}) == {
        "model": "openai/org/model",
        "api_base": ROUTER_URL,
        "api_key": "hf_x",
        "extra_body": {"reasoning_effort": "low"},
    }
    assert params("ollama/qwen3") == {
        "model": "openai/qwen3",
        "api_base": "http://localhost:11434/v1",
        "api_key": LOCAL_API_KEY_DEFAULT,
    }


def test_the_process_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ROUTER_BASE_URL", "http://127.0.0.1:1/v1/")
    monkeypatch.setenv("HF_TOKEN", "hf_env")
    assert _resolve_llm_params("org/model") == {
        "model": "openai/org/model",
        "api_base": "http://127.0.0.1:1/v1",
        "api_key": "hf_env",
    }


@pytest.mark.parametrize(
    ("environ", "token", "expected"),
    [
        ({}, None, None),
        ({"HUGGING_FACE_HUB_TOKEN": "hf_old"}, None, "hf_old"),
        ({"HUGGING_FACE_HUB_TOKEN": "hf_old", "HF_TOKEN": "hf_env"}, None, "hf_env"),
        ({"HF_TOKEN": "hf_env"}, "hf_session", "hf_session"),
        ({"INFERENCE_TOKEN": "hf_inference", "HF_TOKEN": "hf_env"}, "hf_session", "hf_inference"),
        ({"INFERENCE_TOKEN": " \r\n", "HF_TOKEN": ""}, "\n", None),
        ({"HF_TOKEN": " hf_\renv\n"}, None, "hf_env"),
        ({"OPENAI_API_KEY": "sk-1", "ANTHROPIC_API_KEY": "sk-2"}, None, None),
    ],
)
def test_order_of_router_keys(environ: dict[str, str], token: str | None, expected: str | None) -> None:
    assert _resolve_llm_params("org/model", token, environ=environ)["api_key"] == expected


def test_billing_to_an_organisation() -> None:
    assert params("org/model", HF_BILL_TO="lab", INFERENCE_TOKEN="t")["extra_headers"] == {"X-HF-Bill-To": "lab"}
    assert "extra_headers" not in params("org/model", HF_BILL_TO="lab", HF_TOKEN="t")
    assert "extra_headers" not in params("org/model", HF_BILL_TO=" ", INFERENCE_TOKEN="t")
    assert "extra_headers" not in params("ollama/x", HF_BILL_TO="lab", INFERENCE_TOKEN="t")


LOCAL = [
    ("ollama", "OLLAMA", "http://localhost:11434/v1"),
    ("vllm", "VLLM", "http://localhost:8000/v1"),
    ("lm_studio", "LMSTUDIO", "http://127.0.0.1:1234/v1"),
    ("llamacpp", "LLAMACPP", "http://localhost:8080/v1"),
]


@pytest.mark.parametrize(("prefix", "env", "default"), LOCAL)
def test_addresses_and_keys_of_local_servers(prefix: str, env: str, default: str) -> None:
    model = f"{prefix}/m"
    assert params(model)["api_base"] == default
    assert params(model, **{f"{env}_BASE_URL": " "})["api_base"] == default
    assert params(model, LOCAL_LLM_BASE_URL="http://box:9/")["api_base"] == "http://box:9/v1"
    own = {f"{env}_BASE_URL": " http://own:1/v1/ ", "LOCAL_LLM_BASE_URL": "http://box:9"}
    assert params(model, **own)["api_base"] == "http://own:1/v1"
    assert params(model, **{f"{env}_BASE_URL": "own:1"})["api_base"] == "http://own:1/v1"
    assert params(model, LOCAL_LLM_API_KEY="shared")["api_key"] == "shared"
    assert params(model, **{f"{env}_API_KEY": "mine", "LOCAL_LLM_API_KEY": "shared"})["api_key"] == "mine"
    assert params(model, **{f"{env}_API_KEY": ""})["api_key"] == LOCAL_API_KEY_DEFAULT


ALL_KEYS = {name: f"secret-of-{name}" for provider in PROVIDERS for name in provider.key_envs}
EXAMPLES = [f"{prefix}/some-model" for provider in PROVIDERS for prefix in provider.prefixes if prefix != "huggingface"]


@pytest.mark.parametrize("model_id", [*EXAMPLES, "org/model", "anthropic/claude-opus-4.8:fal-ai", "openai/gpt-oss-20b"])
def test_no_key_of_one_provider_is_in_the_parameters_of_another(model_id: str) -> None:
    route = resolve_route(model_id)
    text = repr(_resolve_llm_params(model_id, None, "high", environ=ALL_KEYS))
    for name, secret in ALL_KEYS.items():
        if name not in route.provider.key_envs:
            assert secret not in text, name


@pytest.mark.parametrize("model_id", EXAMPLES)
def test_a_key_of_another_provider_is_no_credential(model_id: str) -> None:
    """litellm would fall back to OPENAI_API_KEY for half of these, and send it to a stranger."""
    route = resolve_route(model_id)
    if route.provider.is_local or route.provider.kind in (RouteKind.REPLAY, RouteKind.ANYTHING):
        assert missing_credentials(route, {}, None) is None
        return
    others = {name: value for name, value in ALL_KEYS.items() if name not in route.provider.key_envs}
    others = {name: value for name, value in others.items() if not name.startswith(("AWS", "GOOGLE", "VERTEX"))}
    problem = missing_credentials(route, others, "hf_token")
    assert problem is not None
    assert route.provider.label in problem
    for name in route.provider.key_envs:
        environ = others | {name: "x"} | dict.fromkeys(route.provider.required_envs, "https://x")
        assert missing_credentials(route, environ, None) is None, name


@pytest.mark.parametrize(
    ("model_id", "parts"),
    [
        (
            "anthropic/claude-opus-4-8",
            ["ANTHROPIC_API_KEY", "huggingface/anthropic/claude-opus-4.8:fal-ai", "HF_TOKEN"],
        ),
        ("openai/gpt-5.5", ["OPENAI_API_KEY", "huggingface/openai/gpt-5.5:fal-ai"]),
        (
            "bedrock/us.anthropic.claude-opus-4-6-v1",
            ["AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_REGION", "huggingface/anthropic/claude-opus-4.6:fal-ai"],
        ),
        ("gemini/x", ["GEMINI_API_KEY", "GOOGLE_API_KEY", "--model"]),
        ("vertex_ai/x", ["gcloud auth application-default login"]),
        ("org/model", ["HF_TOKEN", "hf auth login", "https://huggingface.co/settings/tokens"]),
        ("anthropic/claude-opus-4.8:fal-ai", ["HF_TOKEN", "anthropic/claude-opus-4-8", "ANTHROPIC_API_KEY"]),
        ("openai/gpt-5.5:fal-ai", ["HF_TOKEN", "openai/gpt-5.5", "OPENAI_API_KEY"]),
    ],
)
def test_a_missing_key_is_reported_with_both_ways_out(model_id: str, parts: list[str]) -> None:
    problem = missing_credentials(resolve_route(model_id), {}, None)
    assert problem is not None
    assert all(part in problem for part in parts), problem


@pytest.mark.parametrize(
    "model_id",
    ["anthropic/claude", "anthropic/nonsense", "openai/nonsense", "openai/ft:gpt-4o:my-org::id", "bedrock/anthropic.x"],
)
def test_a_made_up_model_has_no_counterpart_at_the_router(model_id: str) -> None:
    problem = missing_credentials(resolve_route(model_id), {}, None) or ""
    assert "KEY" in problem
    assert "huggingface/" not in problem


def test_a_dated_model_has_its_plain_name_at_the_router() -> None:
    for model_id in ("bedrock/us.anthropic.claude-3-7-sonnet-20250219-v1:0", "anthropic/claude-3-7-sonnet-latest"):
        problem = missing_credentials(resolve_route(model_id), {}, None) or ""
        assert "huggingface/anthropic/claude-3.7-sonnet:fal-ai" in problem


def test_a_proxy_without_address_is_incomplete() -> None:
    """litellm would send the proxy's key to api.openai.com."""
    route = resolve_route("litellm_proxy/m")
    assert "LITELLM_PROXY_API_BASE" in (missing_credentials(route, {"LITELLM_PROXY_API_KEY": "k"}, None) or "")


def test_the_login_counts_for_the_router_only() -> None:
    assert missing_credentials(resolve_route("org/model"), {}, "hf_x") is None
    assert missing_credentials(resolve_route("org/model"), {"HF_TOKEN": "hf_x"}, None) is None
    assert missing_credentials(resolve_route("openai/gpt-5.5"), {}, "hf_x") is not None


def test_aws_is_missing_only_when_nothing_hints_at_it(tmp_path: Path) -> None:
    route = resolve_route("bedrock/us.anthropic.claude-opus-4-8")
    home = {"HOME": str(tmp_path)}
    assert missing_credentials(route, home, None) is not None
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_REGION", "AWS_ROLE_ARN", "AWS_BEARER_TOKEN_BEDROCK"):
        assert missing_credentials(route, home | {name: "x"}, None) is None
    assert missing_credentials(route, home | {"AWS_PROFILE": ""}, None) is not None
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text("[default]\nregion = us-east-1\n")
    assert missing_credentials(route, home, None) is None


@pytest.mark.parametrize(
    ("model_id", "environ", "is_missing"),
    [
        ("litellm/chutes/x", {}, False),
        ("litellm/chutes/x", {"OPENAI_API_KEY": "k"}, True),
        ("litellm/chutes/x", {"OPENAI_API_KEY": "k", "CHUTES_API_KEY": "k"}, False),
        ("litellm/lambda_ai/x", {"OPENAI_API_KEY": "k", "LAMBDA_AI_API_KEY": "k"}, True),
        ("litellm/lambda_ai/x", {"OPENAI_API_KEY": "k", "LAMBDA_API_KEY": "k"}, False),
        ("litellm/openai/x", {"OPENAI_API_KEY": "k"}, False),
        ("litellm/openai/x", {}, True),
        ("litellm/zai/x", {"OPENAI_API_KEY": "k"}, True),
        ("litellm/gpt-4o", {"OPENAI_API_KEY": "k"}, False),
        ("litellm/hosted_vllm/x", {"OPENAI_API_KEY": "k"}, False),
    ],
)
def test_the_escape_hatch_does_not_give_openais_key_away(
    model_id: str, environ: dict[str, str], is_missing: bool
) -> None:
    assert (missing_credentials(resolve_route(model_id), environ, None) is not None) is is_missing


@pytest.mark.parametrize(
    ("model_id", "environ", "expected"),
    [
        ("ollama/qwen3", {}, "model ollama/qwen3 via Ollama at localhost:11434"),
        ("org/model:novita", {}, "model org/model:novita via HF Router at router.huggingface.co"),
        ("anthropic/claude-opus-4-8", {}, "model anthropic/claude-opus-4-8 via Anthropic at api.anthropic.com"),
        ("openai/x", {"OPENAI_BASE_URL": "https://u:pw-secret@gw.example:8443/v1/key-1"}, "OpenAI at gw.example:8443"),
        ("bedrock/x", {"AWS_REGION": "eu-west-1"}, "Amazon Bedrock at bedrock-runtime.eu-west-1.amazonaws.com"),
        ("bedrock/x", {}, "model bedrock/x via Amazon Bedrock"),
        ("vllm/m", {"VLLM_BASE_URL": "http://[::1]:8000"}, "vLLM at [::1]:8000"),
        ("replay/demo", {}, "model replay/demo via replay script"),
        ("azure/x", {"AZURE_API_BASE": "https://me.openai.azure.com"}, "Azure OpenAI at me.openai.azure.com"),
    ],
)
def test_one_line_says_where_requests_go(model_id: str, environ: dict[str, str], expected: str) -> None:
    line = describe_route(resolve_route(model_id), environ | ALL_KEYS)
    assert line.endswith(expected)
    assert "secret" not in line
    assert "key-1" not in line


@given(st.text(max_size=40))
def test_a_bad_address_breaks_nothing(url: str) -> None:
    environ = {"VLLM_BASE_URL": url, "OPENAI_BASE_URL": url, "HF_ROUTER_BASE_URL": url}
    for model_id in ("vllm/m", "openai/m", "org/m"):
        assert isinstance(describe_route(resolve_route(model_id), environ), str)
        assert _resolve_llm_params(model_id, environ=environ)["model"]


def test_loopback() -> None:
    for url in ("http://localhost", "http://127.0.0.1:8/x", "http://[::1]:80", "http://0.0.0.0:1"):
        assert is_loopback(url), url
    for url in ("http://localhost.evil.com", "http://127.evil.com", "https://api.openai.com", "", "nonsense"):
        assert not is_loopback(url), url
    assert url_host("http://h:bad/") == ""


def test_clean_hf_token() -> None:
    assert clean_hf_token(" hf_a\r\nb \n") == "hf_ab"
    assert clean_hf_token("\r\n ") is None
    assert clean_hf_token(None) is None
