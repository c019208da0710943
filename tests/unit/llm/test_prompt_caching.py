"""Cache marks: where they go, which of them really leave the machine, and what comes back."""

from __future__ import annotations

import copy
import json
import os
from typing import Any

import pytest

from agent.core.prompt_caching import HF_ROUTER_SESSION_ID_HEADER, with_prompt_cache_params, with_prompt_caching
from agent.llm.calls import CallHooks, CallRequest, complete
from agent.llm.client import LLMClient
from agent.llm.failures import LLMCallError
from agent.llm.params import _resolve_llm_params
from agent.llm.prompt_caching import CacheTtl
from agent.llm.stream import LLMResult
from tests.fakes import reply
from tests.fakes.anthropic_server import FakeAnthropic
from tests.fakes.http_base import HttpFake
from tests.fakes.openai_server import FakeOpenAI

OPUS = "anthropic/claude-opus-4-8"
MARK = {"type": "ephemeral"}


def tool(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}


def calling(*ids: str) -> dict[str, Any]:
    calls = [{"id": one, "type": "function", "function": {"name": "b", "arguments": "{}"}} for one in ids]
    return {"role": "assistant", "content": None, "tool_calls": calls}


def result(call_id: str, text: str = "out") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": text}


SYSTEM = {"role": "system", "content": "You are."}
USER = {"role": "user", "content": "go"}
TOOLS = [tool("a"), tool("b")]
STEPS = [SYSTEM, USER, calling("c1", "c2"), result("c1"), result("c2"), calling("c3"), result("c3")]


def marked(messages: Any) -> list[int]:
    return [at for at, message in enumerate(messages) if "cache_control" in json.dumps(message)]


@pytest.mark.parametrize(
    "model", [OPUS, "bedrock/us.anthropic.claude-opus-4-8", "openrouter/anthropic/claude-opus-4.8"]
)
def test_four_marks_the_second_last_where_the_previous_request_ended(model: str) -> None:
    messages, tools = with_prompt_caching(STEPS, TOOLS, {"model": model})
    assert marked(messages) == [0, 4, 6]
    assert marked(tools) == [1]
    assert messages[0]["content"] == [{"type": "text", "text": "You are.", "cache_control": MARK}]
    assert messages[6] == result("c3") | {"cache_control": MARK}
    assert with_prompt_caching(STEPS, TOOLS, model) == (messages, tools)


def test_the_marks_of_one_request_are_found_again_by_the_next() -> None:
    """The last mark of each request is the second last of the one that follows."""
    for end in (2, 5):
        now, _ = with_prompt_caching(STEPS[:end], TOOLS, OPUS)
        then, _ = with_prompt_caching(STEPS[: end + (3 if end == 2 else 2)], TOOLS, OPUS)
        assert marked(now)[-1] in marked(then)


@pytest.mark.parametrize(
    ("messages", "places"),
    [
        ([USER], [0]),
        ([SYSTEM, USER], [0, 1]),
        ([SYSTEM, USER, calling("c1"), result("c1", "")], [0, 1]),  # empty text cannot be marked
        ([SYSTEM, {"role": "user", "content": [{"type": "image_url"}]}], [0]),
        ([SYSTEM, calling("c1"), result("c1")], [0, 2]),
        ([], []),
    ],
)
def test_short_and_odd_histories(messages: list[dict[str, Any]], places: list[int]) -> None:
    assert marked(with_prompt_caching(messages, [], OPUS)[0]) == places


def test_a_list_of_blocks_is_marked_at_its_last_text() -> None:
    blocks = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}, {"type": "image_url", "image_url": "x"}]
    (message,), _ = with_prompt_caching([{"role": "user", "content": blocks}], [], OPUS, ttl="1h")
    assert message["content"][1] == {"type": "text", "text": "b", "cache_control": MARK | {"ttl": "1h"}}
    assert [message["content"][0], message["content"][2]] == [blocks[0], blocks[2]]


@pytest.mark.parametrize("model", ["openai/gpt-5.5", "gemini/g", "bedrock/us.deepseek.r1-v1:0", "openrouter/x-ai/grok"])
def test_what_needs_no_marks_comes_back_itself(model: str) -> None:
    params = {"model": model}
    messages, tools = with_prompt_caching(STEPS, TOOLS, params)
    assert messages is STEPS
    assert tools is TOOLS
    assert with_prompt_cache_params(params, session_id="s") is params


def test_nothing_handed_in_is_changed() -> None:
    messages, tools, params = copy.deepcopy(STEPS), copy.deepcopy(TOOLS), router_params("anthropic/claude-opus-4.8:fal")
    before = copy.deepcopy(params)
    with_prompt_caching(messages, tools, OPUS)
    with_prompt_cache_params(params, session_id="s", environ={})
    assert (messages, tools, params) == (STEPS, TOOLS, before)


def router_params(model: str, **more: Any) -> dict[str, Any]:
    return _resolve_llm_params(model, "hf_token", environ={}) | more


def test_the_router_learns_the_session() -> None:
    params = router_params("org/model", extra_headers={"X-HF-Bill-To": "team"})
    headers = with_prompt_cache_params(params, session_id="s" * 300, environ={})["extra_headers"]
    assert headers == {"X-HF-Bill-To": "team", HF_ROUTER_SESSION_ID_HEADER: "s" * 256}
    assert with_prompt_cache_params(params, environ={}) is params


def test_claude_and_gpt_at_fal_get_their_own_words() -> None:
    claude = with_prompt_cache_params(
        router_params("anthropic/claude-opus-4.8:fal-ai", extra_body={"reasoning_effort": "high"}), environ={}
    )
    assert claude["extra_body"] == {"reasoning_effort": "high", "cache_control": MARK}
    gpt = with_prompt_cache_params(router_params("openai/gpt-5.5:fal-ai"), session_id="s", environ={})
    assert gpt["extra_body"] == {"prompt_cache_retention": "24h", "prompt_cache_key": "s"}
    other = router_params("anthropic/claude-opus-4.8:novita-falx")
    assert with_prompt_cache_params(other, environ={}) is other


@pytest.mark.parametrize(
    ("messages", "places"),
    [
        ([SYSTEM, USER], [0]),
        (STEPS, [1]),
        ([SYSTEM, USER, {"role": "user", "content": " "}, calling("c"), result("c")], [1]),
        ([USER], []),
    ],
)
def test_claude_at_fal_takes_one_message_before_the_last(messages: list[dict[str, Any]], places: list[int]) -> None:
    params = router_params("anthropic/claude-opus-4.8:fal-ai")
    found, tools = with_prompt_caching(messages, TOOLS, params, environ={})
    assert marked(found) == places
    assert marked(tools) == [1]


# --- over the wire ---------------------------------------------------------------------------------------------------


async def ask(client: LLMClient, model: str, messages: list[dict[str, Any]] = STEPS) -> LLMResult:
    async def ignore(text: str) -> None:
        pass

    return await complete(client, CallRequest(model, messages, TOOLS), CallHooks(ignore, ignore))


@pytest.mark.parametrize("ttl", ["5m", "1h"])
async def test_marks_reach_anthropic_and_its_cache_is_reported(anthropic_server: FakeAnthropic, ttl: CacheTtl) -> None:
    os.environ |= {"ANTHROPIC_API_KEY": "sk-ant-key", "ANTHROPIC_BASE_URL": anthropic_server.url}
    details = {"cached_tokens": 600, "cache_write_tokens": 300}
    usage = {"prompt_tokens": 1000, "completion_tokens": 10, "prompt_tokens_details": details}
    anthropic_server.script(reply.text("ok", usage=usage))
    answered = await ask(LLMClient(cache_ttl=ttl), OPUS)
    body = anthropic_server.chat_requests[0]
    mark = MARK if ttl == "5m" else MARK | {"ttl": "1h"}
    assert body["tools"][-1]["cache_control"] == mark
    assert body["system"][-1]["cache_control"] == mark
    results = [block for message in body["messages"] for block in message["content"] if block["type"] == "tool_result"]
    assert [json.dumps(mark) in json.dumps(block) for block in results] == [False, True, True]
    assert json.dumps(body).count("cache_control") == 4
    assert answered.usage is not None
    assert (answered.usage.cache_read_tokens, answered.usage.cache_creation_tokens) == (600, 300)
    assert answered.usage.prompt_tokens == 1000


async def test_a_marked_message_is_the_same_message(anthropic_server: FakeAnthropic) -> None:
    """What the provider caches of one request must be what the next request begins with."""

    def without_marks(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: without_marks(one) for name, one in value.items() if name != "cache_control"}
        return [without_marks(one) for one in value] if isinstance(value, list) else value

    os.environ |= {"ANTHROPIC_API_KEY": "sk-ant-key", "ANTHROPIC_BASE_URL": anthropic_server.url}
    anthropic_server.script(*(reply.text("ok") for _ in range(3)))
    for end in (2, 5, 7):
        await ask(LLMClient(), OPUS, STEPS[:end])
    bodies = [without_marks(body["messages"]) for body in anthropic_server.chat_requests]
    assert bodies[1][: len(bodies[0])] == bodies[0]
    assert bodies[2][: len(bodies[1])] == bodies[1]


async def test_marks_reach_bedrock() -> None:
    with HttpFake() as bedrock:
        os.environ |= {
            "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
            "AWS_BEDROCK_RUNTIME_ENDPOINT": bedrock.url,
        }
        with pytest.raises(LLMCallError):  # the request is all we want
            await ask(LLMClient(cache_ttl="1h"), "bedrock/us.anthropic.claude-opus-4-8")
        body = bedrock.requests[0].json
    point = {"cachePoint": {"type": "default", "ttl": "1h"}}
    assert (body["system"][-1], body["toolConfig"]["tools"][-1]) == (point, point)
    assert [message["content"][-1] == point for message in body["messages"]] == [False, False, True, False, True]


async def test_marks_reach_openrouter(openai_server: FakeOpenAI) -> None:
    os.environ |= {"OPENROUTER_API_KEY": "sk-or-key", "OPENROUTER_API_BASE": openai_server.base_url}
    openai_server.script(reply.text("ok"))
    await ask(LLMClient(), "openrouter/anthropic/claude-opus-4.8")
    (body,) = openai_server.chat_requests
    assert marked(body["messages"]) == [0, 4, 6]
    assert marked(body["tools"]) == [1]


@pytest.mark.parametrize("model", ["openai/gpt-5.5", "vllm/m", "org/model"])
async def test_no_mark_leaves_on_openai_routes(openai_server: FakeOpenAI, model: str) -> None:
    os.environ |= {
        "OPENAI_API_KEY": "sk-x",
        "OPENAI_BASE_URL": openai_server.base_url,
        "VLLM_BASE_URL": openai_server.url,
        "HF_ROUTER_BASE_URL": openai_server.base_url,
    }
    openai_server.script(reply.text("ok"))
    await ask(LLMClient("hf_token"), model)
    assert "cache" not in json.dumps(openai_server.chat_requests)


async def test_the_words_for_fal_reach_the_router(openai_server: FakeOpenAI) -> None:
    environ = {"HF_ROUTER_BASE_URL": openai_server.base_url}
    openai_server.script(reply.text("ok"), reply.text("ok"))
    client = LLMClient("hf_token", environ, "session-1")
    await ask(client, "openai/gpt-5.5:fal-ai")
    await ask(client, "anthropic/claude-opus-4.8:fal-ai")
    gpt, claude = openai_server.chat_requests
    assert (gpt["prompt_cache_retention"], gpt["prompt_cache_key"]) == ("24h", "session-1")
    assert claude["cache_control"] == MARK
    assert marked(claude["messages"]) == [1]
    headers = [request.headers for request in openai_server.requests if request.method == "POST"]
    assert [header["x-hf-session-id"] for header in headers] == ["session-1", "session-1"]
