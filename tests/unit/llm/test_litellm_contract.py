"""What the tables say about litellm, held against the installed litellm over loopback: keys, addresses, error shapes.

These fail when an upgrade of litellm changes which variables it reads or how it wraps errors.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from agent.llm.classification import classify
from agent.llm.failures import FailureKind, LLMFailure
from agent.llm.litellm_backend import load
from agent.llm.params import _resolve_llm_params, resolve_route
from agent.llm.providers import PROVIDERS, RouteKind
from tests.fakes import reply
from tests.fakes.anthropic_server import FakeAnthropic
from tests.fakes.http_base import Exchange, HttpFake

pytestmark = pytest.mark.xdist_group("litellm")
K = FailureKind
LEAK = "sk-openai-must-not-travel"


class Answering(HttpFake):
    """Gives every request the same answer."""

    def __init__(self) -> None:
        super().__init__()
        self.answer: tuple[int, Any, dict[str, str]] = (400, {"error": {"message": "no"}}, {})

    async def respond(self, exchange: Exchange) -> None:
        status, value, headers = self.answer
        await exchange.json(status, value, headers)


@pytest.fixture
def server() -> Iterator[Answering]:
    with Answering() as fake:
        yield fake


async def call(model_id: str, **more: Any) -> BaseException:
    """The exception that one call of litellm with our parameters ends in."""
    litellm = load()
    params = _resolve_llm_params(model_id, "hf_session") | more
    messages = [{"role": "user", "content": "x"}]
    try:
        await litellm.acompletion(
            messages=messages, max_retries=0, drop_params=True, _skip_mcp_handler=True, timeout=5, **params
        )
    except Exception as error:
        return error
    finally:  # clients are kept per event loop, and this test's loop is about to end
        await litellm.close_litellm_async_clients()
        litellm.in_memory_llm_clients_cache.flush_cache()
    raise AssertionError("the call succeeded")


KEYED = [
    (provider.name, key_env)
    for provider in PROVIDERS
    for key_env in provider.key_envs
    if provider.kind is RouteKind.DIRECT and provider.base_url_envs and provider.name != "watsonx"
    if key_env != "AZURE_CLIENT_SECRET"  # needs azure-identity and a tenant
]


@pytest.mark.parametrize(("name", "key_env"), KEYED)
async def test_every_key_variable_of_the_table_is_the_one_that_travels(
    name: str, key_env: str, server: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = next(provider for provider in PROVIDERS if provider.name == name)
    monkeypatch.setenv("OPENAI_API_KEY", LEAK)
    monkeypatch.setenv("AZURE_API_VERSION", "2024-10-21")
    monkeypatch.setenv(key_env, "key-of-this-provider")
    monkeypatch.setenv(provider.base_url_envs[0], server.url)
    await call(f"{provider.prefixes[0]}/some-model")
    sent = [f"{request.headers} {request.query}" for request in server.requests]
    assert sent, "nothing arrived: litellm no longer reads this address variable"
    assert all("key-of-this-provider" in one for one in sent), "litellm no longer reads this key variable"
    assert not any(LEAK in one for one in sent)


@pytest.mark.parametrize("model_id", ["ollama/m", "vllm/org/m", "lm_studio/m", "llamacpp/m", "org/model:novita"])
async def test_local_servers_and_the_router_get_their_own_key(
    model_id: str, server: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", LEAK)
    monkeypatch.setenv("LOCAL_LLM_BASE_URL", server.url)
    monkeypatch.setenv("HF_ROUTER_BASE_URL", f"{server.url}/v1")
    await call(model_id)
    (request,) = server.requests
    expected = "hf_session" if model_id.startswith("org/") else "sk-local-no-key-required"
    assert request.path == "/v1/chat/completions"
    assert request.headers["authorization"] == f"Bearer {expected}"
    assert request.json["model"] == resolve_route(model_id).litellm_model.removeprefix("openai/")


async def test_a_router_effort_reaches_the_body(server: Answering, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ROUTER_BASE_URL", f"{server.url}/v1")
    await call("org/model", **_resolve_llm_params("org/model", "hf_session", "high"))
    assert server.requests[0].json["reasoning_effort"] == "high"


async def test_an_anthropic_effort_reaches_the_body(server: Answering, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-x")
    monkeypatch.setenv("ANTHROPIC_API_BASE", server.url)
    await call("anthropic/claude-opus-4-8", **_resolve_llm_params("anthropic/claude-opus-4-8", None, "max"))
    body = server.requests[0].json
    assert (body["thinking"], body["output_config"]) == ({"type": "adaptive"}, {"effort": "max"})


def openai_body(message: str, code: str = "") -> dict[str, Any]:
    return {"error": {"message": message, "code": code, "type": code}}


SHAPES: list[tuple[int, Any, FailureKind]] = [
    (400, openai_body("maximum context length is 8192 tokens", "context_length_exceeded"), K.OVERFLOW),
    (413, openai_body("too large"), K.OVERFLOW),
    (429, openai_body("Slow down", "rate_limit_exceeded"), K.RATE_LIMIT),
    (429, openai_body("Look at your plan", "insufficient_quota"), K.CREDITS),
    (402, {"error": "You have exceeded your monthly included credits for Inference Providers."}, K.CREDITS),
    (401, openai_body("wrong key", "invalid_api_key"), K.AUTH),
    (403, {"error": "insufficient: sufficient permissions to call Inference Providers"}, K.HF_SCOPE),
    (404, openai_body("no such model", "model_not_found"), K.MODEL),
    (400, openai_body("not enabled", "model_not_supported"), K.PROVIDER),
    (422, openai_body("reasoning_effort: Input should be 'low'"), K.EFFORT),
    (400, openai_body("tools[0] is wrong"), K.BAD_REQUEST),
    (500, openai_body("boom"), K.TRANSIENT),
    (503, openai_body("busy"), K.TRANSIENT),
    (529, openai_body("Overloaded", "overloaded_error"), K.TRANSIENT),
    (502, b"<html>bad gateway</html>", K.TRANSIENT),
    (200, b"<html>hello</html>", K.TRANSIENT),
]


@pytest.mark.parametrize(("status", "body", "kind"), SHAPES)
@pytest.mark.parametrize("model_id", ["org/model", "anthropic/claude-opus-4-8", "mistral/m"])
async def test_error_shapes(
    model_id: str, status: int, body: Any, kind: FailureKind, server: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answer = (status, body, {"Retry-After": "3"})
    for name in ("ANTHROPIC_API_BASE", "MISTRAL_AZURE_API_BASE", "HF_ROUTER_BASE_URL"):
        monkeypatch.setenv(name, server.url)
    for name in ("ANTHROPIC_API_KEY", "MISTRAL_API_KEY"):
        monkeypatch.setenv(name, "some-secret-key-123")
    failure = of(await call(model_id), model_id)
    assert failure.kind is kind, failure
    if status != 200:  # a header beside a bogus success survives only on some of litellm's paths
        assert failure.retry_after_s == (3.0 if failure.retryable else None)
    assert "some-secret-key-123" not in failure.user_text + failure.detail


def of(error: BaseException, model_id: str) -> LLMFailure:
    return classify(error, route=resolve_route(model_id), environ=os.environ)


async def test_nothing_listening(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{holder.getsockname()[1]}"
        for name in ("OLLAMA_BASE_URL", "ANTHROPIC_API_BASE"):
            monkeypatch.setenv(name, url)
        monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-x")
        for model_id in ("ollama/qwen3", "anthropic/claude-opus-4-8"):
            failure = of(await call(model_id), model_id)
            assert failure.kind is K.LOCAL_REFUSED
            assert url in failure.user_text


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (reply.auth_error(), ": invalid x-api-key."),
        (reply.forbidden('it\'s "not" for you – no'), ': it\'s "not" for you – no.'),
        (reply.model_not_found("claude-x"), ": model: claude-x."),
        (reply.overloaded(), "is overloaded: Overloaded."),
        (reply.server_error(500), "is failing at the moment: The server had an error"),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
async def test_what_anthropic_says_is_read_without_its_wrapping(
    answer: reply.Reply, words: str, stream: bool, anthropic_server: FakeAnthropic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-x")
    monkeypatch.setenv("ANTHROPIC_API_BASE", anthropic_server.url)
    anthropic_server.script(answer)
    text = of(await call("anthropic/claude-opus-4-8", stream=stream), "anthropic/claude-opus-4-8").user_text
    assert words in text
    assert "b'" not in text
    assert "{" not in text
    assert "network" not in text


@pytest.mark.parametrize("url", ["notaurl", "htp://x.example/v1", "http://x.example:abc/v1"])
@pytest.mark.parametrize(
    ("model_id", "name"), [("openai/gpt-5.5", "OPENAI_BASE_URL"), ("anthropic/claude-opus-4-8", "ANTHROPIC_BASE_URL")]
)
async def test_an_address_that_is_none(model_id: str, name: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-x")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-x")
    monkeypatch.setenv(name, url)
    failure = of(await call(model_id), model_id)
    assert failure.kind is K.BAD_REQUEST, failure
    assert f"Set {name} to" in failure.user_text


@pytest.mark.parametrize(
    ("model_id", "key"), [("openai/gpt-5.5", "OPENAI_API_KEY"), ("anthropic/claude-opus-4-8", "ANTHROPIC_API_KEY")]
)
@pytest.mark.parametrize("form", ["127.0.0.1:{}", "http://u:secretpw@127.0.0.1:{}"])
async def test_a_proxy_that_is_not_there(model_id: str, key: str, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(key, "sk-x")
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HTTPS_PROXY", form.format(holder.getsockname()[1]))
        failure = of(await call(model_id), model_id)
    assert failure.kind is K.BAD_REQUEST, failure
    assert "Correct HTTPS_PROXY" in failure.user_text
    assert "secretpw" not in failure.user_text + failure.detail


@pytest.mark.parametrize(
    ("model_id", "name"),
    [
        ("openai/gpt-5.5", "OPENAI_API_KEY"),
        ("anthropic/claude-opus-4-8", "ANTHROPIC_API_KEY"),
        ("fireworks_ai/m", "FIREWORKS_API_KEY"),
        ("gemini/m", "GEMINI_API_KEY"),
    ],
)
async def test_a_missing_key(model_id: str, name: str) -> None:
    """Nothing is sent; litellm calls it an internal server error."""
    failure = of(await call(model_id), model_id)
    assert failure.kind is K.NO_CREDENTIALS, failure
    assert name in failure.user_text
