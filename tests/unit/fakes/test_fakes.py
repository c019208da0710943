"""The fake model servers as the real litellm client sees them: answers, oddities, faults."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import httpx
import pytest

from tests.fakes.anthropic_server import FakeAnthropic
from tests.fakes.openai_server import FakeOpenAI
from tests.fakes.reply import (
    Call,
    Reply,
    auth_error,
    call,
    calls,
    context_overflow,
    cut_after,
    effort_error,
    error,
    forbidden,
    half_head,
    insufficient_quota,
    invalid_signature,
    model_not_found,
    overloaded,
    payment_required,
    rate_limited,
    server_error,
    stall_after,
    stall_before_headers,
    stream_error_after,
    text,
    thinking,
)

pytestmark = pytest.mark.xdist_group("litellm")

Fake = FakeOpenAI | FakeAnthropic

HI = [{"role": "user", "content": "hi"}]

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "bash",
            "description": "Run a command.",
            "parameters": {"type": "object", "properties": {"command": {"type": "string"}}},
        },
    }
]


@dataclass
class Got:
    """A streamed answer, put together; `calls` in the order in which their names came."""

    pieces: list[str] = field(default_factory=list)
    reasoning: str = ""
    signature: str = ""
    calls: list[dict[str, Any]] = field(default_factory=list)
    finish_reason: str | None = None
    usage: Any = None
    error: Exception | None = None

    def add(self, chunk: Any) -> None:
        self.usage = getattr(chunk, "usage", None) or self.usage
        for choice in chunk.choices:
            self.finish_reason = choice.finish_reason or self.finish_reason
            self.pieces += [choice.delta.content] if choice.delta.content else []
            self.reasoning += getattr(choice.delta, "reasoning_content", None) or ""
            for block in getattr(choice.delta, "thinking_blocks", None) or []:
                self.signature += block.get("signature") or ""
            for part in choice.delta.tool_calls or []:
                if part.function.name:
                    self.calls.append({"id": part.id, "index": part.index, "name": part.function.name, "arguments": ""})
                self.calls[-1]["arguments"] += part.function.arguments or ""


@pytest.fixture(params=["openai", "anthropic"])
def server(request: pytest.FixtureRequest) -> Fake:
    """Each of the two servers."""
    running: Fake = request.getfixturevalue(f"{request.param}_server")
    return running


Ask = Callable[..., Any]


@pytest.fixture
def ask(litellm: ModuleType) -> Ask:
    """Open an answer of a server: `await ask(server, stream=True)`."""

    async def send(server: Fake, *, stream: bool, **more: Any) -> Any:
        model = "openai/x" if isinstance(server, FakeOpenAI) else "anthropic/claude-x"
        options: dict[str, Any] = {"stream_options": {"include_usage": True}} if stream else {}
        options |= {"api_base": server.base_url, "api_key": "k", "messages": HI, "tools": TOOLS, "stream": stream}
        options |= {"max_retries": 0, "timeout": 20, "_skip_mcp_handler": True}
        return await litellm.acompletion(model=model, **options | more)

    return send


async def read(ask: Ask, server: Fake, **more: Any) -> Got:
    """A streamed answer to its end, or to its error."""
    got = Got()
    try:
        async for chunk in await ask(server, stream=True, **more):
            got.add(chunk)
    except Exception as error:
        got.error = error
    return got


# --- answers ---------------------------------------------------------------------------------------------------------


async def test_text_streams_in_its_pieces(server: Fake, ask: Ask) -> None:
    server.script(text("Hel", "lo ", "wörld"))
    got = await read(ask, server)
    assert (got.pieces, got.finish_reason, got.error) == (["Hel", "lo ", "wörld"], "stop", None)
    assert (got.usage.prompt_tokens, got.usage.completion_tokens) == (100, 20)


async def test_text_in_one_answer(server: Fake, ask: Ask) -> None:
    server.script(text("Hel", "lo"))
    answer = await ask(server, stream=False)
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("Hello", "stop")
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (100, 20)


SPOKEN = thinking(
    "hm", calls(Call("bash", {"command": "echo a longer command"}), Call("bash", {}, "mine"), text=("Ok",))
)


async def test_thoughts_text_and_calls_stream(server: Fake, ask: Ask) -> None:
    server.script(SPOKEN)
    got = await read(ask, server)
    assert (got.reasoning, got.pieces, got.finish_reason) == ("hm", ["Ok"], "tool_calls")
    assert [(c["id"], c["name"], c["arguments"]) for c in got.calls] == [
        ("call_1_0", "bash", '{"command": "echo a longer command"}'),
        ("mine", "bash", "{}"),
    ]
    assert got.signature == ("c2lnbmF0dXJl" if isinstance(server, FakeAnthropic) else "")


async def test_thoughts_text_and_calls_in_one_answer(server: Fake, ask: Ask) -> None:
    server.script(SPOKEN)
    message = (await ask(server, stream=False)).choices[0].message
    assert (message.reasoning_content, message.content) == ("hm", "Ok")
    assert [c.function.arguments for c in message.tool_calls] == ['{"command": "echo a longer command"}', "{}"]


async def test_redacted_thoughts_come_through(anthropic_server: FakeAnthropic, ask: Ask) -> None:
    anthropic_server.script(text("ok", redacted_thinking="b2s="))
    message = (await ask(anthropic_server, stream=False)).choices[0].message
    assert message.thinking_blocks == [{"type": "redacted_thinking", "data": "b2s="}]


async def test_cached_tokens_are_reported(server: Fake, ask: Ask) -> None:
    usage = {"prompt_tokens": 100, "completion_tokens": 5, "total_tokens": 105}
    server.script(text("x", usage=usage | {"prompt_tokens_details": {"cached_tokens": 60}}))
    got = await read(ask, server)
    assert (got.usage.prompt_tokens, got.usage.prompt_tokens_details.cached_tokens) == (100, 60)


async def test_requests_are_there_to_be_asserted_on(server: Fake, ask: Ask) -> None:
    server.script(text("x"))
    await read(ask, server)
    (request,) = server.requests
    key = request.headers.get("authorization") or request.headers.get("x-api-key")
    assert key in {"Bearer k", "k"}
    assert server.chat_requests[0]["model"] in {"x", "claude-x"}
    assert "hi" in str(server.chat_requests[0]["messages"])


async def test_a_function_may_answer(server: Fake, ask: Ask) -> None:
    server.script(text("scripted first"))
    server.script_function(lambda request: text(f"{len(request['messages'])} messages"))
    assert (await read(ask, server)).pieces == ["scripted first"]
    assert (await read(ask, server)).pieces == ["1 messages"]
    assert (await read(ask, server, messages=[*HI, {"role": "assistant", "content": "a"}, *HI])).pieces == [
        "3 messages"
    ]


async def test_an_unexpected_request_is_named(server: Fake, ask: Ask) -> None:
    server.script(text("only one"))
    await read(ask, server)
    got = await read(ask, server)
    assert getattr(got.error, "status_code", None) == 500
    assert "unexpected request: model call 2" in str(got.error)
    assert "hi" in str(got.error)
    assert server.remaining == 0


# --- oddities of OpenAI-style servers --------------------------------------------------------------------------------

TWO = calls(Call("bash", {"command": "a"}), Call("bash", {"command": "b"}))


def deltas(server: FakeOpenAI, reply: Reply, **options: Any) -> list[dict[str, Any]]:
    """The chunks on the wire, past any client."""
    server.script(reply)
    body = {"model": "x", "messages": HI, "stream": True, "stream_options": {"include_usage": True}} | options
    lines = httpx.post(f"{server.base_url}/chat/completions", json=body).text.split("\n\n")
    assert lines[-2:] == ["data: [DONE]", ""]
    return [httpx.Response(200, text=line.removeprefix("data: ")).json() for line in lines[:-2]]


def parts(chunks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All tool-call parts of some chunks."""
    return [part for c in chunks for choice in c["choices"] for part in choice["delta"].get("tool_calls", [])]


def test_indexes_and_ids_are_as_asked(openai_server: FakeOpenAI) -> None:
    normal = parts(deltas(openai_server, TWO))
    assert [part.get("index") for part in normal] == [0, 0, 1, 1]
    assert [part.get("id") for part in normal] == ["call_1_0", None, "call_1_1", None]
    assert {part["index"] for part in parts(deltas(openai_server, TWO.but(tool_index="zero")))} == {0}
    assert not any("index" in part for part in parts(deltas(openai_server, TWO.but(tool_index="missing"))))
    assert not any("id" in part for part in parts(deltas(openai_server, TWO.but(tool_ids="missing"))))
    duplicate = parts(deltas(openai_server, TWO.but(tool_ids="duplicate")))
    assert [part["id"] for part in duplicate if "id" in part] == ["call_duplicate"] * 2


def test_a_call_may_come_whole_or_in_given_fragments(openai_server: FakeOpenAI) -> None:
    assert len(parts(deltas(openai_server, TWO.but(whole_calls=True)))) == 2
    given = parts(deltas(openai_server, calls(Call("bash", fragments=('{"comm', 'and": "', 'a"}')))))
    assert [part["function"]["arguments"] for part in given] == ["", '{"comm', 'and": "', 'a"}']


def test_usage_is_where_it_is_asked_for(openai_server: FakeOpenAI) -> None:
    own = deltas(openai_server, text("x"))[-1]
    assert (own["choices"], own["usage"]["total_tokens"]) == ([], 120)
    last = deltas(openai_server, text("x", usage_place="last_choice"))[-1]
    assert (last["choices"][0]["finish_reason"], last["usage"]["total_tokens"]) == ("stop", 120)
    assert not any("usage" in chunk for chunk in deltas(openai_server, text("x", usage=None)))
    assert not any("usage" in chunk for chunk in deltas(openai_server, text("x"), stream_options=None))


@pytest.mark.parametrize("raw", ['{"command": ', "[]", "null", '"text"', "{'a': 1}"])
async def test_raw_arguments_arrive_as_given(server: Fake, ask: Ask, raw: str) -> None:
    server.script(call("bash", raw))
    assert [c["arguments"] for c in (await read(ask, server)).calls] == [raw]


async def test_empty_arguments_arrive_empty(openai_server: FakeOpenAI, ask: Ask) -> None:
    openai_server.script(call("bash", ""))
    assert [c["arguments"] for c in (await read(ask, openai_server)).calls] == [""]


async def test_the_client_takes_all_oddities(openai_server: FakeOpenAI, ask: Ask) -> None:
    for changes in ({"tool_index": "zero"}, {"tool_index": "missing"}, {"tool_ids": "missing"}, {"whole_calls": True}):
        openai_server.script(TWO.but(**changes))
        assert [c["arguments"] for c in (await read(ask, openai_server)).calls] == [
            '{"command": "a"}',
            '{"command": "b"}',
        ]


async def test_models_are_listed(openai_server: FakeOpenAI) -> None:
    openai_server.models = [{"id": "m", "max_model_len": 4096}]
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"{openai_server.base_url}/models")
    assert answer.json()["data"] == [{"id": "m", "max_model_len": 4096}]


# --- faults ----------------------------------------------------------------------------------------------------------


ERRORS: dict[str, tuple[Reply, set[str], int | None]] = {
    "rate limit": (rate_limited(7), {"RateLimitError"}, 429),
    "quota": (insufficient_quota(), {"RateLimitError"}, 429),
    "server error": (server_error(), {"InternalServerError"}, 500),
    "unavailable": (server_error(503), {"ServiceUnavailableError"}, 503),
    "overloaded": (overloaded(), {"APIError", "InternalServerError"}, None),
    "key": (auth_error(), {"AuthenticationError"}, 401),
    "payment": (payment_required(), {"BadRequestError", "PaymentRequiredError"}, 402),
    "forbidden": (forbidden(), {"BadRequestError", "PermissionDeniedError"}, 403),
    "model": (model_not_found(), {"NotFoundError"}, 404),
    "overflow": (context_overflow(), {"ContextWindowExceededError"}, 400),
    "effort": (effort_error(), {"BadRequestError"}, 400),
    "signature": (invalid_signature(), {"BadRequestError"}, 400),
    "page": (error(400, "proxy", "", body=b"<html>no</html>"), {"BadRequestError"}, 400),
}
"""What each error becomes in litellm; None where its status differs between the two providers."""


@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
async def test_http_errors(server: Fake, ask: Ask, name: str, stream: bool) -> None:
    reply, names, status = ERRORS[name]
    server.script(reply)
    with pytest.raises(Exception) as caught:
        await ask(server, stream=stream)
    assert type(caught.value).__name__ in names
    assert status is None or caught.value.status_code == status  # type: ignore[attr-defined]
    assert len(server.requests) == 1


async def test_retry_after_reaches_the_client(server: Fake, ask: Ask) -> None:
    server.script(rate_limited(7))
    got = await read(ask, server)
    assert got.error.litellm_response_headers["retry-after"] == "7"  # type: ignore[union-attr]


async def test_a_cut_comes_after_exactly_so_many_pieces(server: Fake, ask: Ask) -> None:
    server.script(cut_after(2), cut_after(0))
    got = await read(ask, server)
    assert (got.pieces, type(got.error).__name__) == (["word0 ", "word1 "], "MidStreamFallbackError")
    assert (await read(ask, server)).pieces == []


async def test_a_cut_tool_call(server: Fake, ask: Ask) -> None:
    whole = call("bash", {"command": "a command that needs several fragments"})
    server.script(cut_after(2, whole))
    got = await read(ask, server)
    assert got.error is not None
    assert [c["arguments"] for c in got.calls] == ['{"command": "a command t']


async def test_an_error_inside_the_stream(server: Fake, ask: Ask) -> None:
    server.script(stream_error_after(1))
    got = await read(ask, server)
    assert got.pieces == ["word0 "]
    assert "Overloaded" in str(got.error)


@pytest.mark.parametrize("reply", [cut_after(1), half_head(), stream_error_after(0)], ids=["cut", "head", "error"])
async def test_faults_of_whole_answers_are_errors(server: Fake, ask: Ask, reply: Reply) -> None:
    server.script(reply)
    with pytest.raises(Exception):  # noqa: B017 - which one is the client's business
        await ask(server, stream=False)


async def test_a_stall_is_left_by_cancelling(server: Fake, ask: Ask) -> None:
    server.script(stall_after(1))
    stream = await ask(server, stream=True)
    while not (await anext(stream)).choices[0].delta.content:
        pass
    waiting = asyncio.ensure_future(anext(stream))
    await asyncio.to_thread(server.wait_stalled)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await stream.aclose()
    await asyncio.to_thread(server.wait_client_gone)


async def test_a_stall_before_the_headers(server: Fake, ask: Ask) -> None:
    server.script(stall_before_headers())
    waiting = asyncio.ensure_future(ask(server, stream=True))
    await asyncio.to_thread(server.wait_stalled)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await asyncio.to_thread(server.wait_client_gone)


async def test_a_stall_that_goes_on_is_whole(server: Fake, ask: Ask) -> None:
    server.script(stall_after(1))
    reading = asyncio.ensure_future(read(ask, server))
    await asyncio.to_thread(server.wait_stalled)
    server.resume()
    assert (await reading).pieces == ["word0 ", "word1 "]


async def test_a_fault_beyond_the_end_is_a_mistake_of_the_test(openai_server: FakeOpenAI, ask: Ask) -> None:
    openai_server.script(cut_after(5, text("short")))
    await read(ask, openai_server)
    with pytest.raises(ValueError, match="after 5 pieces"):
        openai_server.check()
    openai_server.forget_errors()
