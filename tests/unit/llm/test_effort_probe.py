"""Probing efforts over the real client."""

from __future__ import annotations

import asyncio
import os

import pytest

from agent.llm.client import LLMClient
from agent.llm.effort_probe import ProbeOutcome, probe_effort
from agent.llm.failures import FailureKind, LLMCallError
from tests.fakes import reply
from tests.fakes.anthropic_server import FakeAnthropic
from tests.fakes.openai_server import FakeOpenAI


async def probe_router(server: FakeOpenAI, preference: str | None) -> ProbeOutcome:
    client = LLMClient("hf_token", {"HF_ROUTER_BASE_URL": server.base_url}, "session-1")
    return await probe_effort(client, "org/model", preference)


def anthropic_client(server: FakeAnthropic) -> LLMClient:
    os.environ |= {"ANTHROPIC_API_KEY": "sk-ant-key", "ANTHROPIC_BASE_URL": server.url}
    return LLMClient()


async def test_no_preference_sends_nothing(openai_server: FakeOpenAI) -> None:
    assert await probe_router(openai_server, None) == ProbeOutcome(None)
    assert openai_server.requests == []


async def test_the_wanted_level_works(openai_server: FakeOpenAI) -> None:
    openai_server.script(reply.text("pong"))
    outcome = await probe_router(openai_server, "high")
    assert (outcome.effort, outcome.note, outcome.conclusive) == ("high", "", True)
    (request,) = openai_server.chat_requests
    assert request["reasoning_effort"] == "high"
    assert request["max_tokens"] == 64
    assert request["messages"] == [{"role": "user", "content": "ping"}]
    assert not request.get("stream")
    sent = next(one for one in openai_server.requests if one.method == "POST")
    assert sent.headers["x-hf-session-id"] == "session-1"
    (call,) = outcome.calls
    assert (call.content, call.effort_used) == ("pong", "high")
    assert call.usage is not None


async def test_levels_the_family_lacks_cost_no_request(openai_server: FakeOpenAI) -> None:
    openai_server.script(reply.text("pong"))
    outcome = await probe_router(openai_server, "max")
    assert outcome.effort == "high"
    assert "using high" in outcome.note
    assert len(openai_server.chat_requests) == 1


async def test_refused_levels_lead_downwards(openai_server: FakeOpenAI) -> None:
    openai_server.script(reply.effort_error("high"), reply.effort_error("medium"), reply.text("pong"))
    assert (await probe_router(openai_server, "xhigh")).effort == "low"
    assert [request["reasoning_effort"] for request in openai_server.chat_requests] == ["high", "medium", "low"]


async def test_a_model_that_takes_none(openai_server: FakeOpenAI) -> None:
    openai_server.script(*(reply.effort_error() for _ in range(3)))
    outcome = await probe_router(openai_server, "high")
    assert (outcome.effort, outcome.conclusive, outcome.calls) == (None, True, ())
    assert "no reasoning effort" in outcome.note


async def test_a_model_that_cannot_think_is_asked_once(openai_server: FakeOpenAI) -> None:
    openai_server.script(reply.error(400, "x", "thinking is not supported by this model"))
    assert (await probe_router(openai_server, "high")).effort is None
    assert len(openai_server.chat_requests) == 1


@pytest.mark.parametrize("fault", [reply.server_error(), reply.rate_limited(), reply.half_head(), reply.overloaded()])
async def test_trouble_at_the_provider_says_nothing_about_the_effort(
    openai_server: FakeOpenAI, fault: reply.Reply
) -> None:
    openai_server.script(fault)
    outcome = await probe_router(openai_server, "high")
    assert (outcome.effort, outcome.conclusive) == ("high", False)
    assert outcome.note
    assert len(openai_server.chat_requests) == 1


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (reply.auth_error(), FailureKind.AUTH),
        (reply.payment_required(), FailureKind.CREDITS),
        (reply.model_not_found(), FailureKind.MODEL),
    ],
)
async def test_a_model_that_cannot_be_used_is_an_error(
    openai_server: FakeOpenAI, fault: reply.Reply, kind: FailureKind
) -> None:
    openai_server.script(fault)
    with pytest.raises(LLMCallError) as raised:
        await probe_router(openai_server, "high")
    assert raised.value.failure.kind is kind


async def test_an_adaptive_level_is_really_sent(anthropic_server: FakeAnthropic) -> None:
    anthropic_server.script(reply.effort_error("max"), reply.text("pong"))
    outcome = await probe_effort(anthropic_client(anthropic_server), "anthropic/claude-opus-4-8", "max")
    assert outcome.effort == "xhigh"
    assert [request["output_config"] for request in anthropic_server.chat_requests] == [
        {"effort": "max"},
        {"effort": "xhigh"},
    ]


async def test_a_level_that_litellm_would_drop_does_not_count_as_accepted(anthropic_server: FakeAnthropic) -> None:
    outcome = await probe_effort(anthropic_client(anthropic_server), "anthropic/claude-future", "max")
    assert (outcome.effort, outcome.conclusive) == (None, True)
    assert anthropic_server.chat_requests == []


async def test_the_answer_limit_exceeds_a_thinking_budget(anthropic_server: FakeAnthropic) -> None:
    anthropic_server.script(reply.text("pong"))
    client = anthropic_client(anthropic_server)
    assert (await probe_effort(client, "anthropic/claude-sonnet-4-5", "high")).effort == "high"
    (request,) = anthropic_server.chat_requests
    assert request["max_tokens"] > request["thinking"]["budget_tokens"] > 0


async def test_cancelling_closes_the_connection(openai_server: FakeOpenAI) -> None:
    openai_server.script(reply.stall_before_headers())
    task = asyncio.create_task(probe_router(openai_server, "high"))
    await asyncio.to_thread(openai_server.wait_stalled)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.to_thread(openai_server.wait_client_gone)


async def test_a_local_server_is_asked_for_one_token_and_takes_no_effort(openai_server: FakeOpenAI) -> None:
    openai_server.script(reply.text("pong"))
    client = LLMClient(None, {"VLLM_BASE_URL": openai_server.url})
    outcome = await probe_effort(client, "vllm/m", None)
    assert (outcome.effort, outcome.note, outcome.conclusive) == (None, "", True)
    assert openai_server.chat_requests[0]["max_tokens"] == 1


async def test_a_local_server_that_is_not_there_cannot_be_used() -> None:
    client = LLMClient(None, {"VLLM_BASE_URL": "http://127.0.0.1:9"})
    with pytest.raises(LLMCallError) as raised:
        await probe_effort(client, "vllm/m", "high")
    assert raised.value.failure.kind is FailureKind.LOCAL_REFUSED
