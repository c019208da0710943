"""One model call over the real client and a loopback server: retries, healing, cuts, keys, cost."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field
from typing import Any

import pytest

from agent.llm.calls import CUT, CallHooks, CallRequest, complete
from agent.llm.client import LLMClient
from agent.llm.failures import FailureKind, LLMCallError
from agent.llm.stream import LLMResult
from tests.fakes import reply
from tests.fakes.anthropic_server import FakeAnthropic
from tests.fakes.openai_server import FakeOpenAI

TOOL = {
    "type": "function",
    "function": {
        "name": "bash",
        "description": "run",
        "parameters": {"type": "object", "properties": {"command": {"type": "string"}}},
    },
}
MESSAGES = ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"})


@dataclass
class Call:
    """A call with everything it said and waited."""

    shown: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    waits_s: list[float] = field(default_factory=list)
    text_came: asyncio.Event = field(default_factory=asyncio.Event)
    hooks: CallHooks = field(init=False)

    def __post_init__(self) -> None:
        async def show(text: str) -> None:
            self.shown.append(text)
            self.text_came.set()

        async def tell(text: str) -> None:
            self.notices.append(text)

        async def sleep(seconds: float) -> None:
            self.waits_s.append(seconds)

        self.hooks = CallHooks(on_text=show, on_notice=tell, sleep=sleep, jitter=lambda: 0.0)

    async def make(self, model: str, environ: dict[str, str], hf_token: str | None = None, **changes: Any) -> LLMResult:
        request: dict[str, Any] = {"model": model, "messages": MESSAGES, "tools": (TOOL,)} | changes
        return await complete(LLMClient(hf_token, environ), CallRequest(**request), self.hooks)


@pytest.fixture
def vllm(openai_server: FakeOpenAI) -> dict[str, str]:
    return {"VLLM_BASE_URL": openai_server.url}


async def test_text_calls_and_usage_of_a_local_server(openai_server: FakeOpenAI, vllm: dict[str, str]) -> None:
    openai_server.script(reply.call("bash", {"command": "ls"}, text=("Let me ", "look.")))
    call = Call()
    result = await call.make("vllm/m", vllm)
    assert "".join(call.shown) == result.content == "Let me look."
    assert [(c.function.name, c.function.arguments) for c in result.tool_calls] == [("bash", '{"command": "ls"}')]
    assert result.usage is not None
    assert result.cost_usd == 0.0


async def test_transient_errors_are_retried_twice_then_reported(
    openai_server: FakeOpenAI, vllm: dict[str, str]
) -> None:
    openai_server.script(reply.server_error(), reply.server_error(503), reply.server_error(502))
    call = Call()
    with pytest.raises(LLMCallError) as raised:
        await call.make("vllm/m", vllm)
    assert raised.value.failure.kind is FailureKind.TRANSIENT
    assert len(openai_server.chat_requests) == 3  # ours alone: the client underneath must not retry as well
    assert len(call.waits_s) == len(call.notices) == 2


async def test_retry_after_is_honoured(openai_server: FakeOpenAI, vllm: dict[str, str]) -> None:
    openai_server.script(reply.rate_limited(retry_after_s=7), reply.text("ok"))
    call = Call()
    assert (await call.make("vllm/m", vllm)).content == "ok"
    assert [7 <= wait <= 8 for wait in call.waits_s] == [True]


async def test_an_exhausted_quota_is_not_retried(openai_server: FakeOpenAI, vllm: dict[str, str]) -> None:
    openai_server.script(reply.insufficient_quota())
    call = Call()
    with pytest.raises(LLMCallError) as raised:
        await call.make("vllm/m", vllm)
    assert raised.value.failure.kind is FailureKind.CREDITS
    assert call.waits_s == []


@pytest.mark.parametrize("fault", [reply.half_head(), reply.cut_after(0)])
async def test_a_connection_lost_before_any_text_is_retried(
    openai_server: FakeOpenAI, vllm: dict[str, str], fault: reply.Reply
) -> None:
    openai_server.script(fault, reply.text("second try"))
    call = Call()
    assert (await call.make("vllm/m", vllm)).content == "second try"
    assert "".join(call.shown) == "second try"


async def test_a_connection_lost_after_text_keeps_it_and_says_so(
    openai_server: FakeOpenAI, vllm: dict[str, str]
) -> None:
    openai_server.script(reply.cut_after(2, reply.text("one ", "two ", "three")))
    call = Call()
    result = await call.make("vllm/m", vllm)
    assert (result.content, result.finish_reason) == ("one two ", CUT)
    assert "".join(call.shown) == "one two "


@pytest.mark.parametrize("route", ["openai", "anthropic"])
async def test_a_stream_that_ends_too_early_is_no_whole_answer(
    openai_server: FakeOpenAI, anthropic_server: FakeAnthropic, vllm: dict[str, str], route: str
) -> None:
    server = openai_server if route == "openai" else anthropic_server
    server.script(reply.ends_early_after(1, reply.text("The accuracy is 0.9", "25.")))
    model, environ = (
        ("vllm/m", vllm) if route == "openai" else ("anthropic/claude-opus-4-8", anthropic_environ(anthropic_server))
    )
    result = await Call().make(model, environ)
    assert (result.content, result.finish_reason) == ("The accuracy is 0.9", CUT)


async def test_overflow_is_neither_retried_nor_hidden(openai_server: FakeOpenAI, vllm: dict[str, str]) -> None:
    openai_server.script(reply.context_overflow())
    with pytest.raises(LLMCallError) as raised:
        await Call().make("vllm/m", vllm)
    assert raised.value.failure.kind is FailureKind.OVERFLOW


async def test_a_refused_effort_is_healed_once_without_using_up_a_retry(openai_server: FakeOpenAI) -> None:
    openai_server.script(reply.effort_error("high"), reply.server_error(), reply.server_error(), reply.text("ok"))
    environ = {"HF_ROUTER_BASE_URL": openai_server.base_url}
    call = Call()
    result = await call.make("org/model", environ, "hf_token_value", reasoning_effort="high")
    assert result.content == "ok"
    assert [request.get("reasoning_effort") for request in openai_server.chat_requests] == ["high", None, None, None]
    assert len(call.waits_s) == 2


async def test_refused_thinking_is_stripped_once(anthropic_server: FakeAnthropic) -> None:
    anthropic_server.script(reply.invalid_signature(), reply.text("ok"))
    thought = {
        "role": "assistant",
        "content": "hm",
        "thinking_blocks": [{"type": "thinking", "thinking": "x", "signature": "bad"}],
    }
    call = Call()
    messages = (*MESSAGES, thought, {"role": "user", "content": "and?"})
    result = await call.make("anthropic/claude-opus-4-8", anthropic_environ(anthropic_server), messages=messages)
    assert result.content == "ok"
    first, second = (str(request["messages"]) for request in anthropic_server.chat_requests)
    assert "thinking" in first
    assert "thinking" not in second


async def test_signed_thinking_comes_back_whole(anthropic_server: FakeAnthropic) -> None:
    anthropic_server.script(reply.thinking("A long thought.", reply.call("bash", {})))
    result = await Call().make("anthropic/claude-opus-4-8", anthropic_environ(anthropic_server))
    (block,) = result.thinking_blocks
    assert (block["thinking"], bool(block["signature"])) == ("A long thought.", True)
    assert result.tool_calls[0].function.arguments in ("", "{}")


async def test_cost_of_a_known_model_and_of_an_unknown_one(
    anthropic_server: FakeAnthropic, openai_server: FakeOpenAI
) -> None:
    anthropic_server.script(reply.text("ok"))
    known = await Call().make("anthropic/claude-sonnet-4-5", anthropic_environ(anthropic_server))
    assert known.cost_usd is not None
    assert known.cost_usd > 0
    openai_server.script(reply.text("ok"))
    unknown = await Call().make("org/model", {"HF_ROUTER_BASE_URL": openai_server.base_url}, "hf_token_value")
    assert unknown.cost_usd is None


async def test_a_missing_key_is_reported_before_anything_is_sent(openai_server: FakeOpenAI) -> None:
    environ = {"HF_ROUTER_BASE_URL": openai_server.base_url, "OPENAI_API_KEY": "sk-other"}
    with pytest.raises(LLMCallError) as raised:
        await Call().make("org/model", environ)
    assert raised.value.failure.kind is FailureKind.NO_CREDENTIALS
    assert openai_server.requests == []


async def test_cancelling_closes_the_connection_and_keeps_what_came(
    openai_server: FakeOpenAI, vllm: dict[str, str]
) -> None:
    openai_server.script(reply.stall_after(1, reply.text("Hel", "lo")))
    call = Call()
    task = asyncio.create_task(call.make("vllm/m", vllm))
    await call.text_came.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.to_thread(openai_server.wait_client_gone)
    assert call.hooks.assembler.text == "Hel"


def anthropic_environ(server: FakeAnthropic) -> dict[str, str]:
    os.environ |= {"ANTHROPIC_API_KEY": "sk-ant-key", "ANTHROPIC_BASE_URL": server.url}  # where litellm looks
    return dict(os.environ)
