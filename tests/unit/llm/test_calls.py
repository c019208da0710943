"""One model call over the real client and a loopback server: retries, healing, cuts, keys, cost."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field
from typing import Any

import pytest

from agent.llm.calls import CUT, CallHooks, CallRequest, Timeouts, complete
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
OPUS = "anthropic/claude-opus-4-8"
MESSAGES = ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"})


@dataclass
class Call:
    """A call with everything it said and waited."""

    shown: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    waits_s: list[float] = field(default_factory=list)
    text_came: asyncio.Event = field(default_factory=asyncio.Event)
    timeouts: Timeouts = field(default_factory=Timeouts)
    hooks: CallHooks = field(init=False)

    def __post_init__(self) -> None:
        async def show(text: str) -> None:
            self.shown.append(text)
            self.text_came.set()

        async def tell(text: str) -> None:
            self.notices.append(text)

        async def sleep(seconds: float) -> None:
            self.waits_s.append(seconds)

        self.hooks = CallHooks(
            on_text=show,
            on_notice=tell,
            sleep=sleep,
            jitter=lambda: 0.0,
            clock=lambda: sum(self.waits_s),
            timeouts=self.timeouts,
        )

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
    assert call.waits_s == [5, 15]
    assert ["(attempt 2 of 3)" in call.notices[0], "(attempt 3 of 3)" in call.notices[1]] == [True, True]


async def test_a_patient_call_survives_a_ten_minute_outage(openai_server: FakeOpenAI, vllm: dict[str, str]) -> None:
    openai_server.script(*(reply.server_error(503) for _ in range(12)), reply.text("back"))
    call = Call()
    assert (await call.make("vllm/m", vllm, patience_s=900)).content == "back"
    assert call.waits_s == [5, 15, *[60] * 10]
    assert "attempt 2, giving up 15 min after the first" in call.notices[0]


async def test_patience_has_an_end(openai_server: FakeOpenAI, vllm: dict[str, str]) -> None:
    openai_server.script_function(lambda _: reply.server_error(503))
    call = Call()
    with pytest.raises(LLMCallError):
        await call.make("vllm/m", vllm, patience_s=900)
    assert 840 < sum(call.waits_s) <= 900


async def test_a_local_server_that_is_gone_is_waited_for_only_if_it_was_there() -> None:
    with FakeOpenAI() as server:
        client = LLMClient(None, {"VLLM_BASE_URL": server.url})
        server.script(reply.text("here"))
        await complete(client, CallRequest("vllm/m", MESSAGES), Call().hooks)
    for one, waits_s in ((client, [5, 15]), (LLMClient(None, client.environ), [])):
        call = Call()
        with pytest.raises(LLMCallError) as raised:
            await complete(one, CallRequest("vllm/m", MESSAGES), call.hooks)
        assert raised.value.failure.kind is FailureKind.LOCAL_REFUSED
        assert call.waits_s == waits_s


async def test_patience_does_not_help_against_an_empty_purse(openai_server: FakeOpenAI, vllm: dict[str, str]) -> None:
    openai_server.script(reply.server_error(), reply.payment_required())
    call = Call()
    with pytest.raises(LLMCallError) as raised:
        await call.make("vllm/m", vllm, patience_s=900)
    assert raised.value.failure.kind is FailureKind.CREDITS
    assert len(call.waits_s) == 1


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


FAULTS_AFTER_TWO = [reply.cut_after, reply.ends_early_after, reply.stream_error_after]


@pytest.mark.parametrize("fault", FAULTS_AFTER_TWO)
@pytest.mark.parametrize("route", ["openai", "anthropic"])
async def test_calls_of_a_reply_without_text_are_not_run_when_it_breaks_but_asked_for_anew(
    openai_server: FakeOpenAI, anthropic_server: FakeAnthropic, vllm: dict[str, str], route: str, fault: Any
) -> None:
    server = openai_server if route == "openai" else anthropic_server
    broken = reply.calls(reply.Call("bash", {"command": "a"}), reply.Call("bash", {"command": "b"}))
    server.script(fault(3, broken), broken)
    model, environ = ("vllm/m", vllm) if route == "openai" else (OPUS, anthropic_environ(anthropic_server))
    call = Call()
    result = await call.make(model, environ)
    assert [one.function.arguments for one in result.tool_calls] == ['{"command": "a"}', '{"command": "b"}']
    assert call.waits_s == [5]


@pytest.mark.parametrize("fault", FAULTS_AFTER_TWO)
async def test_a_reply_that_breaks_after_text_and_a_call_keeps_the_text_alone(
    openai_server: FakeOpenAI, vllm: dict[str, str], fault: Any
) -> None:
    openai_server.script(fault(4, reply.call("bash", {"command": "echo " + "x" * 60}, text=("Let me ", "look."))))
    result = await Call().make("vllm/m", vllm)
    assert (result.content, result.tool_calls, result.finish_reason) == ("Let me look.", (), CUT)


async def test_only_whole_thoughts_survive_a_cut(anthropic_server: FakeAnthropic) -> None:
    whole = reply.thinking("A thought.", reply.text("one ", "two"))
    anthropic_server.script(reply.cut_after(2, whole), reply.cut_after(1, whole), reply.text("again"))
    environ = anthropic_environ(anthropic_server)
    after_text = await Call().make(OPUS, environ)
    assert after_text.finish_reason == CUT
    assert [block["thinking"] for block in after_text.thinking_blocks] == ["A thought."]
    after_thought = await Call().make(OPUS, environ)
    assert (after_thought.content, after_thought.thinking_blocks, after_thought.reasoning_content) == (
        "again",
        (),
        None,
    )


@pytest.mark.parametrize(
    "fault", [reply.cut_after(0), reply.half_head(), reply.stream_error_after(0), reply.server_error(502)]
)
@pytest.mark.parametrize("route", ["openai", "anthropic"])
async def test_an_answer_in_one_piece_is_retried_as_a_whole(
    openai_server: FakeOpenAI,
    anthropic_server: FakeAnthropic,
    vllm: dict[str, str],
    route: str,
    fault: reply.Reply,
) -> None:
    server = openai_server if route == "openai" else anthropic_server
    server.script(fault, reply.call("bash", {"command": "ls"}, text=("Let me ", "look.")))
    model, environ = ("vllm/m", vllm) if route == "openai" else (OPUS, anthropic_environ(anthropic_server))
    call = Call()
    result = await call.make(model, environ, stream=False)
    assert (call.shown, len(result.tool_calls)) == (["Let me look."], 1)
    assert len(call.waits_s) == 1


IMPATIENT = Timeouts(first_delta_s=0.3, idle_s=0.3, whole_s=0.3)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_silent_model_is_asked_three_times_however_patient_we_are(
    openai_server: FakeOpenAI, vllm: dict[str, str], stream: bool
) -> None:
    """Each time it may have done, and billed, all the work."""
    openai_server.script(reply.text("litellm is imported now"), *(reply.stall_before_headers() for _ in range(4)))
    await Call().make("vllm/m", vllm)
    call = Call(timeouts=IMPATIENT)
    with pytest.raises(LLMCallError) as raised:
        await call.make("vllm/m", vllm, patience_s=900, stream=stream)
    assert raised.value.failure.kind is FailureKind.TRANSIENT
    assert openai_server.remaining == 1
    await asyncio.to_thread(openai_server.wait_client_gone, 3)


async def test_replies_that_keep_breaking_are_asked_for_three_times(
    openai_server: FakeOpenAI, vllm: dict[str, str]
) -> None:
    openai_server.script_function(lambda _: reply.cut_after(2, reply.thinking("hm", reply.call("bash", {}))))
    call = Call()
    with pytest.raises(LLMCallError):
        await call.make("vllm/m", vllm, patience_s=900)
    assert len(openai_server.chat_requests) == call.hooks.lost_attempts == 3


async def test_a_stall_after_text_ends_the_reply_there(openai_server: FakeOpenAI, vllm: dict[str, str]) -> None:
    openai_server.script(reply.stall_after(1, reply.text("Hel", "lo")))
    result = await Call(timeouts=Timeouts(idle_s=0.3)).make("vllm/m", vllm)
    assert (result.content, result.finish_reason) == ("Hel", CUT)


@pytest.mark.parametrize("stream", [True, False])
async def test_counts_that_no_server_sent_are_not_made_up(
    openai_server: FakeOpenAI, vllm: dict[str, str], stream: bool
) -> None:
    openai_server.script(reply.text("a", "b", usage=None), reply.text("a", "b", usage_place="last_choice"))
    assert (await Call().make("vllm/m", vllm, stream=stream)).usage is None
    usage = (await Call().make("vllm/m", vllm, stream=stream)).usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens) == (100, 20)


async def test_a_short_answer_can_be_asked_for(
    openai_server: FakeOpenAI, anthropic_server: FakeAnthropic, vllm: dict[str, str]
) -> None:
    openai_server.script(reply.text("ok"), reply.text("ok"))
    await Call().make("vllm/m", vllm, max_tokens=500)
    await Call().make("vllm/m", vllm)
    assert [request.get("max_tokens") for request in openai_server.chat_requests] == [500, None]
    anthropic_server.script(reply.text("ok"), reply.text("ok"), reply.text("ok"))
    environ = anthropic_environ(anthropic_server)
    await Call().make(OPUS, environ, max_tokens=500)
    await Call().make(OPUS, environ)
    await Call().make("anthropic/claude-sonnet-4-5", environ, max_tokens=500, reasoning_effort="high")
    plain, default, thinking = anthropic_server.chat_requests
    assert (plain["max_tokens"], default["max_tokens"]) == (500, 64_000)
    assert thinking["max_tokens"] - thinking["thinking"]["budget_tokens"] >= 500


async def test_overflow_is_neither_retried_nor_hidden(openai_server: FakeOpenAI, vllm: dict[str, str]) -> None:
    openai_server.script(reply.context_overflow())
    with pytest.raises(LLMCallError) as raised:
        await Call().make("vllm/m", vllm)
    assert raised.value.failure.kind is FailureKind.OVERFLOW


async def test_a_refused_effort_is_lowered_without_using_up_a_retry(openai_server: FakeOpenAI) -> None:
    openai_server.script(
        reply.server_error(),
        reply.effort_error("high"),
        reply.server_error(),
        reply.effort_error("medium"),  # on the last attempt too
        reply.text("ok"),
    )
    call = Call()
    result = await call.make("org/model", router(openai_server), "hf_token_value", reasoning_effort="high")
    assert (result.content, result.effort_used) == ("ok", "low")
    assert efforts(openai_server) == ["high", "high", "medium", "medium", "low"]
    assert len(call.waits_s) == 2
    assert "asking again with medium" in call.notices[1]


async def test_an_effort_that_no_level_of_is_taken_is_left_out(openai_server: FakeOpenAI) -> None:
    openai_server.script(*(reply.effort_error() for _ in range(3)), reply.text("ok"))
    result = await Call().make("org/model", router(openai_server), "hf_token_value", reasoning_effort="high")
    assert result.effort_used is None
    assert efforts(openai_server) == ["high", "medium", "low", None]


async def test_a_model_without_effort_is_not_asked_level_by_level(openai_server: FakeOpenAI) -> None:
    openai_server.script(reply.error(400, "x", "This model does not support reasoning_effort"), reply.text("ok"))
    result = await Call().make("org/model", router(openai_server), "hf_token_value", reasoning_effort="high")
    assert result.effort_used is None
    assert efforts(openai_server) == ["high", None]


async def test_an_effort_that_was_never_sent_cannot_be_healed(openai_server: FakeOpenAI) -> None:
    openai_server.script(reply.effort_error("max"))
    with pytest.raises(LLMCallError) as raised:
        await Call().make("org/model", router(openai_server), "hf_token_value", reasoning_effort="max")
    assert raised.value.failure.kind is FailureKind.EFFORT


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


async def test_cancelling_ends_a_wait_between_attempts(openai_server: FakeOpenAI, vllm: dict[str, str]) -> None:
    openai_server.script(reply.rate_limited(retry_after_s=200))
    told = asyncio.Event()

    async def tell(text: str) -> None:
        told.set()

    hooks = CallHooks(on_text=tell, on_notice=tell)
    task = asyncio.create_task(complete(LLMClient(None, vllm), CallRequest("vllm/m", MESSAGES), hooks))
    await told.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(openai_server.chat_requests) == 1


def router(server: FakeOpenAI) -> dict[str, str]:
    return {"HF_ROUTER_BASE_URL": server.base_url}


def efforts(server: FakeOpenAI) -> list[str | None]:
    return [request.get("reasoning_effort") for request in server.chat_requests]


def anthropic_environ(server: FakeAnthropic) -> dict[str, str]:
    os.environ |= {"ANTHROPIC_API_KEY": "sk-ant-key", "ANTHROPIC_BASE_URL": server.url}  # where litellm looks
    return dict(os.environ)
