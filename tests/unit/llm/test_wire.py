"""The body of a request."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from agent.llm.client import LLMClient
from agent.llm.prompt_caching import with_prompt_caching
from agent.llm.wire import body_bytes
from agent.protocol.wire import WireObject
from tests.fakes import reply
from tests.fakes.openai_server import FakeOpenAI
from tests.unit.llm.asking import HI, ask

CALL = {"id": "c1", "type": "function", "function": {"name": "bash", "arguments": '{"command": "ls"}'}}
HISTORY: list[dict[str, Any]] = [*HI, {"role": "assistant", "content": None, "tool_calls": [CALL]}]


def body(model: str = "openai/m", extra: dict[str, Any] | None = None, **request: Any) -> Any:
    everything = {"messages": HISTORY, "tools": [], "tool_choice": "auto", "stream": True, "max_tokens": None} | request
    return json.loads(body_bytes({"model": model, "api_key": "k"} | (extra or {}), everything))


def test_what_is_not_asked_for_is_not_there() -> None:
    assert body() == {"model": "m", "stream": True, "stream_options": {"include_usage": True}, "messages": HISTORY}
    assert body(stream=False) == {"model": "m", "stream": False, "messages": HISTORY}


def test_extra_words_stand_beside_the_others() -> None:
    extra = {"extra_body": {"reasoning_effort": "low", "cache_control": {"type": "ephemeral"}}, "extra_headers": {}}
    sent = body(extra=extra, tools=[{"type": "function"}], tool_choice="none")
    assert (sent["reasoning_effort"], sent["cache_control"]) == ("low", {"type": "ephemeral"})
    assert (sent["tools"], sent["tool_choice"]) == ([{"type": "function"}], "none")
    assert not {"api_key", "extra_body", "extra_headers", "drop_params"} & sent.keys()


@pytest.mark.parametrize(
    ("model", "field"),
    [
        ("openai/m", "max_tokens"),
        ("openai/gpt-4.1", "max_tokens"),
        ("openai/openai/gpt-oss-120b", "max_tokens"),
        ("openai/org/o3d-large", "max_tokens"),
        ("openai/o3-mini", "max_completion_tokens"),
        ("openai/gpt-5.2", "max_completion_tokens"),
        ("openai/openai/gpt-5.5:fal-ai", "max_completion_tokens"),
    ],
)
def test_the_limit_goes_by_the_name_that_the_model_takes(model: str, field: str) -> None:
    assert {name for name in body(model, max_tokens=7) if name.startswith("max_")} == {field}


@pytest.mark.parametrize("arguments", ["", "{", "[]", "null", '"x"', "1", None, "[" * 100_000])
def test_arguments_that_are_no_object(arguments: Any) -> None:
    broken = copy.deepcopy(HISTORY)
    broken[1]["tool_calls"][0]["function"]["arguments"] = arguments
    (call,) = body(messages=broken)["messages"][1]["tool_calls"]
    assert call["function"] == {"name": "bash", "arguments": "{}"}
    assert broken[1]["tool_calls"][0]["function"]["arguments"] == arguments


def test_a_message_encoded_before_is_the_same_on_the_wire_and_kept() -> None:
    encoded = [WireObject(message) for message in HISTORY]
    assert body(messages=encoded) == body()
    kept = encoded[1].encoded
    assert kept is not None
    assert body(messages=encoded) == body()
    assert encoded[1].encoded is kept
    marked, _ = with_prompt_caching(encoded, [], "anthropic/claude-opus-4-8")
    assert marked[0]["content"] == [{"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}]
    assert encoded[0].encoded is not None
    assert b"cache_control" not in encoded[0].encoded


@pytest.mark.xdist_group("litellm")
@pytest.mark.parametrize("backend", ["auto", "litellm"])
async def test_every_backend_takes_encoded_messages(backend: Any, openai_server: FakeOpenAI) -> None:
    openai_server.script(reply.text("ok"))
    client = LLMClient(None, {"VLLM_BASE_URL": openai_server.url}, backend=backend)
    await ask(client, messages=[WireObject(message) for message in HI])
    assert openai_server.chat_requests[0]["messages"] == HI
