"""What every backend for OpenAI-style servers must do, checked through `LLMClient` with our own and with litellm.

Where a test says `OWN`, litellm (1.106) does something else.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from agent.llm.backends import BackendSetting
from agent.llm.client import LLMClient
from agent.llm.failures import FailureKind, LLMFailure
from agent.llm.params import resolve_route
from agent.llm.stream import LLMResult
from tests.fakes import reply
from tests.fakes.http_base import Exchange, HttpFake
from tests.fakes.openai_server import FakeOpenAI
from tests.unit.llm import asking
from tests.unit.llm.asking import HI
from tests.unit.llm.test_litellm_contract import SHAPES

pytestmark = pytest.mark.xdist_group("litellm")
K = FailureKind
TOOLS = [{"type": "function", "function": {"name": "bash", "description": "run", "parameters": {"type": "object"}}}]
MODELS = ["vllm/org/m", "org/model:novita", "openai/my-model"]
MARK = {"type": "ephemeral"}


@pytest.fixture(params=["auto", "litellm"])
def backend(request: pytest.FixtureRequest) -> BackendSetting:
    return request.param  # type: ignore[no-any-return]


class Answering(HttpFake):
    """Gives every request the same answer."""

    answer: tuple[int, Any, dict[str, str]] = (200, {}, {})

    async def respond(self, exchange: Exchange) -> None:
        await exchange.json(*self.answer)


@pytest.fixture
def answering() -> Iterator[Answering]:
    with Answering() as fake:
        yield fake


@pytest.fixture
def lead(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Sends all three kinds of routes to one address without `/v1`, each with its own key."""

    def to(url: str) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-openai")
        monkeypatch.setenv("HF_TOKEN", "hf_router")
        monkeypatch.setenv("VLLM_API_KEY", "sk-vllm")
        monkeypatch.setenv("VLLM_BASE_URL", url)
        for name in ("OPENAI_BASE_URL", "HF_ROUTER_BASE_URL"):
            monkeypatch.setenv(name, f"{url}/v1")

    return to


KEYS = {"vllm/org/m": "sk-vllm", "org/model:novita": "hf_router", "openai/my-model": "sk-openai"}


async def ask(backend: BackendSetting, model: str, session_id: str = "", **request: Any) -> LLMResult:
    client = LLMClient(session_id=session_id, backend=backend)
    try:
        return await asking.ask(client, model, **request)
    finally:
        await client.aclose()


async def failure_of(backend: BackendSetting, model: str, **request: Any) -> LLMFailure:
    return await asking.failure_of(LLMClient(backend=backend), model, **request)


# --- what is sent ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS)
async def test_path_key_and_body(
    backend: BackendSetting, model: str, openai_server: FakeOpenAI, lead: Callable[[str], None]
) -> None:
    lead(openai_server.url)
    openai_server.script(reply.text("ok"))
    await ask(backend, model, tools=TOOLS, max_tokens=9)
    (request,) = [one for one in openai_server.requests if one.method == "POST"]
    assert request.path == "/v1/chat/completions"
    assert request.headers["authorization"] == f"Bearer {KEYS[model]}"
    assert request.json == {
        "model": resolve_route(model).litellm_model.removeprefix("openai/"),
        "messages": HI,
        "tools": TOOLS,
        "tool_choice": "auto",
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": 9,
    }


@pytest.mark.parametrize("model", MODELS[:2])
async def test_the_openai_key_goes_to_nobody_else(
    backend: BackendSetting, model: str, openai_server: FakeOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-openai-must-not-travel")
    monkeypatch.setenv("VLLM_BASE_URL", openai_server.url)
    monkeypatch.setenv("HF_ROUTER_BASE_URL", openai_server.base_url)
    openai_server.script(reply.text("ok"))
    if model.startswith("vllm/"):
        await ask(backend, model)
        assert openai_server.requests[0].headers["authorization"] == "Bearer sk-local-no-key-required"
    else:
        assert (await failure_of(backend, model)).kind is K.NO_CREDENTIALS
        assert openai_server.requests == []


async def test_an_answer_in_one_piece_is_asked_for_without_stream(
    backend: BackendSetting, openai_server: FakeOpenAI, lead: Callable[[str], None]
) -> None:
    lead(openai_server.url)
    openai_server.script(reply.thinking("hm", reply.call("bash", {"a": "é"}, text=("Let me ", "look."))))
    result = await ask(backend, "vllm/m", stream=False, tools=TOOLS)
    assert not openai_server.chat_requests[0].get("stream")
    assert "stream_options" not in openai_server.chat_requests[0]
    assert (result.content, result.reasoning_content) == ("Let me look.", "hm")
    assert [(call.function.name, call.function.arguments) for call in result.tool_calls] == [
        ("bash", '{"a": "\\u00e9"}')
    ]
    assert result.usage is not None
    assert (result.usage.total_tokens, result.finish_reason) == (120, "tool_calls")


async def test_history_is_sent_as_it_is_but_for_broken_arguments(
    backend: BackendSetting, openai_server: FakeOpenAI, lead: Callable[[str], None]
) -> None:
    lead(openai_server.url)
    openai_server.script(reply.text("ok"))

    def with_arguments(arguments: str) -> list[dict[str, Any]]:
        call = {"id": "c1", "type": "function", "function": {"name": "bash", "arguments": arguments}}
        asked = {"role": "assistant", "content": "é 😀", "tool_calls": [call], "reasoning_content": "hm"}
        return [*HI, asked, {"role": "tool", "tool_call_id": "c1", "content": "out", "name": "bash"}]

    messages = with_arguments("[1")
    await ask(backend, "vllm/m", messages=messages)
    assert openai_server.chat_requests[0]["messages"] == with_arguments("{}")
    assert messages == with_arguments("[1")


async def test_the_router_gets_effort_session_and_the_words_of_fal(
    backend: BackendSetting, openai_server: FakeOpenAI, lead: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    lead(openai_server.url)
    monkeypatch.setenv("HF_BILL_TO", "my-org")
    monkeypatch.setenv("INFERENCE_TOKEN", "hf_inference")
    openai_server.script(reply.text("ok"), reply.text("ok"))
    system = {"role": "system", "content": "Be brief."}
    for model in ("huggingface/anthropic/claude-opus-4.8:fal-ai", "huggingface/openai/gpt-5.5:fal-ai"):
        await ask(backend, model, "session-1", messages=[system, *HI], tools=TOOLS, reasoning_effort="high")
    claude, gpt = (request.json for request in openai_server.requests)
    for request in openai_server.requests:
        assert request.headers["x-hf-session-id"] == "session-1"
        assert request.headers["x-hf-bill-to"] == "my-org"
        assert request.headers["authorization"] == "Bearer hf_inference"
        assert request.json["reasoning_effort"] == "high"
    assert claude["cache_control"] == MARK
    assert claude["messages"][0]["content"] == [{"type": "text", "text": "Be brief.", "cache_control": MARK}]
    assert claude["tools"] == [TOOLS[0] | {"cache_control": MARK}]
    assert (gpt["prompt_cache_retention"], gpt["prompt_cache_key"]) == ("24h", "session-1")


async def test_an_address_of_ones_own_gets_the_effort_as_openai_does(
    backend: BackendSetting, openai_server: FakeOpenAI, lead: Callable[[str], None]
) -> None:
    lead(openai_server.url)
    openai_server.script(reply.text("ok"), reply.text("ok"))
    await ask(backend, "openai/my-model", reasoning_effort="low", max_tokens=5)
    await ask(backend, "openai/o3", reasoning_effort="low", max_tokens=5)
    mine, theirs = openai_server.chat_requests
    assert (mine["reasoning_effort"], mine["max_tokens"]) == ("low", 5)
    assert (theirs["reasoning_effort"], theirs["max_completion_tokens"]) == ("low", 5)


# --- what comes back -------------------------------------------------------------------------------------------------

TWO_CALLS = (reply.Call("bash", {"command": "a"}), reply.Call("bash", {"command": "b" * 60}))


@pytest.mark.parametrize(
    "answer",
    [
        reply.calls(*TWO_CALLS),
        reply.calls(*TWO_CALLS, tool_index="zero"),
        reply.calls(*TWO_CALLS, tool_index="missing"),
        reply.calls(*TWO_CALLS, tool_ids="missing"),
        reply.calls(*TWO_CALLS, tool_ids="duplicate"),
        reply.calls(*TWO_CALLS, whole_calls=True),
        reply.calls(*TWO_CALLS, whole_calls=True, tool_index="zero"),
    ],
)
async def test_parallel_calls_however_they_are_told_apart(
    backend: BackendSetting, answer: reply.Reply, openai_server: FakeOpenAI, lead: Callable[[str], None]
) -> None:
    lead(openai_server.url)
    openai_server.script(answer)
    result = await ask(backend, "vllm/m", tools=TOOLS)
    assert [call.function.arguments for call in result.tool_calls] == [call.raw_arguments for call in TWO_CALLS]
    assert len({call.id for call in result.tool_calls}) == 2


@pytest.mark.parametrize("place", ["own_chunk", "last_choice"])
async def test_text_thoughts_and_usage_of_a_stream(
    backend: BackendSetting, place: Any, openai_server: FakeOpenAI, lead: Callable[[str], None]
) -> None:
    lead(openai_server.url)
    usage = {
        "prompt_tokens": 50,
        "completion_tokens": 7,
        "total_tokens": 57,
        "prompt_tokens_details": {"cached_tokens": 40},
        "completion_tokens_details": {"reasoning_tokens": 3},
    }
    answer = reply.text("Hel", "lo ", "wörld", usage=usage, usage_place=place)
    openai_server.script(reply.thinking("I think.", answer), answer.but(usage=None))
    result = await ask(backend, "vllm/m")
    assert (result.content, result.reasoning_content, result.finish_reason) == ("Hello wörld", "I think.", "stop")
    assert result.usage is not None
    assert (result.usage.prompt_tokens, result.usage.cache_read_tokens, result.usage.reasoning_tokens) == (50, 40, 3)
    assert (await ask(backend, "vllm/m")).usage is None


@pytest.mark.parametrize("stream", [True, False])
async def test_a_length_that_was_reached_is_told(
    backend: BackendSetting, stream: bool, openai_server: FakeOpenAI, lead: Callable[[str], None]
) -> None:
    lead(openai_server.url)
    openai_server.script(reply.text("a", finish_reason="length"))
    assert (await ask(backend, "vllm/m", stream=stream)).finish_reason == "length"


# --- what goes wrong -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("status", "body", "kind"), SHAPES)
async def test_error_shapes(
    backend: BackendSetting,
    model: str,
    stream: bool,
    status: int,
    body: Any,
    kind: FailureKind,
    answering: Answering,
    lead: Callable[[str], None],
) -> None:
    lead(answering.url)
    answering.answer = (status, body, {"Retry-After": "3"})
    failure = await failure_of(backend, model, stream=stream)
    assert failure.kind is kind, failure
    if status != 200:
        assert failure.retry_after_s == (3.0 if failure.retryable else None)
    assert KEYS[model] not in failure.user_text + failure.detail
    assert "{" not in failure.user_text


@pytest.mark.parametrize(
    "fault", [reply.half_head(), reply.cut_after(0), reply.cut_after(2), reply.ends_early_after(1)]
)
async def test_a_connection_that_breaks_is_worth_another_try(
    backend: BackendSetting, fault: reply.Reply, openai_server: FakeOpenAI, lead: Callable[[str], None]
) -> None:
    lead(openai_server.url)
    openai_server.script(fault)
    failure = await failure_of(backend, "vllm/m")
    assert failure.kind is K.TRANSIENT
    assert "No proper answer from vLLM" in failure.user_text


async def test_an_error_in_the_middle_is_the_servers(
    backend: BackendSetting, openai_server: FakeOpenAI, lead: Callable[[str], None]
) -> None:
    lead(openai_server.url)
    openai_server.script(reply.stream_error_after(1))
    failure = await failure_of(backend, "vllm/m")
    assert failure.kind is K.TRANSIENT
    assert "Overloaded" in failure.user_text


@pytest.mark.parametrize("model", MODELS)
async def test_nothing_listening(backend: BackendSetting, model: str, lead: Callable[[str], None]) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{holder.getsockname()[1]}"
        lead(url)
        failure = await failure_of(backend, model)
    assert failure.kind is K.LOCAL_REFUSED
    assert url in failure.user_text


@pytest.mark.parametrize("url", ["notaurl", "htp://x.example/v1", "http://x.example:abc/v1", "http:///v1"])
@pytest.mark.parametrize(
    ("model", "name"), [("openai/my-model", "OPENAI_BASE_URL"), ("org/model", "HF_ROUTER_BASE_URL")]
)
async def test_an_address_that_is_none(
    backend: BackendSetting,
    model: str,
    name: str,
    url: str,
    lead: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lead("http://127.0.0.1:9")
    monkeypatch.setenv(name, url)
    failure = await failure_of(backend, model)
    assert failure.kind is K.BAD_REQUEST, failure
    assert f"Set {name} to" in failure.user_text


@pytest.mark.parametrize("form", ["127.0.0.1:{}", "http://u:secretpw@127.0.0.1:{}"])
@pytest.mark.parametrize("model", ["org/model", "openai/my-model"])
async def test_a_proxy_that_is_not_there(
    backend: BackendSetting, model: str, form: str, lead: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    lead("https://model.example")
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HTTPS_PROXY", form.format(holder.getsockname()[1]))
        failure = await failure_of(backend, model)
    assert failure.kind is K.BAD_REQUEST, failure
    assert "Correct HTTPS_PROXY" in failure.user_text
    assert "secretpw" not in failure.user_text + failure.detail


@pytest.mark.parametrize("key", ["sk-line\nbreak", "sk-schlüssel", "sk-ключ"])
async def test_a_key_that_cannot_be_sent_is_not_shown(
    backend: BackendSetting,
    key: str,
    openai_server: FakeOpenAI,
    lead: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lead(openai_server.url)
    monkeypatch.setenv("VLLM_API_KEY", key)
    failure = await failure_of(backend, "vllm/m")
    assert key not in failure.user_text + failure.detail
    assert openai_server.requests == []
    if backend == "auto":  # OWN: litellm speaks of a connection error, or of a codec
        assert failure.kind is K.AUTH
        assert "VLLM_API_KEY" in failure.user_text


# --- stopping --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cancel", [True, False])
async def test_leaving_an_answer_closes_the_connection_and_the_client_goes_on(
    backend: BackendSetting, cancel: bool, openai_server: FakeOpenAI, lead: Callable[[str], None]
) -> None:
    lead(openai_server.url)
    openai_server.script(reply.stall_after(1, reply.text("Hel", "lo")), reply.text("again"))
    client = LLMClient(backend=backend)
    deltas = client.acompletion(model="vllm/m", messages=HI)
    while not (await anext(deltas)).text:
        pass
    if cancel:
        waiting = asyncio.ensure_future(anext(deltas))
        await asyncio.to_thread(openai_server.wait_stalled)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    await deltas.aclose()
    await asyncio.to_thread(openai_server.wait_client_gone)
    texts = [delta.text async for delta in client.acompletion(model="vllm/m", messages=HI)]
    assert "".join(texts) == "again"
    await client.aclose()
