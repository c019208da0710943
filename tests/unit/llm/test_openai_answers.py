"""What OpenAI-style servers really answer, as our own backend reads it over a real connection."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.llm.client import LLMClient
from agent.llm.failures import FailureKind, ProviderError
from agent.llm.openai_answer import chunk_delta
from agent.llm.stream import Assembler
from tests.fakes.http_base import Exchange, HttpFake
from tests.unit.llm.asking import ask, failure_of

K = FailureKind


class Raw(HttpFake):
    """Gives every request the same answer, in pieces of its own."""

    status = 200
    headers: dict[str, str] = {"Content-Type": "text/event-stream"}  # noqa: RUF012 - replaced, never changed
    pieces: tuple[bytes, ...] = ()

    @property
    def client(self) -> LLMClient:
        return LLMClient(None, {"VLLM_BASE_URL": self.url})

    async def respond(self, exchange: Exchange) -> None:
        await exchange.head(self.status, self.headers)
        for piece in self.pieces:
            await exchange.body(piece)
        await exchange.body(b"", last=True)


@pytest.fixture
def raw() -> Iterator[Raw]:
    with Raw() as server:
        yield server


def event(*deltas: Any, finish_reason: str | None = None, **more: Any) -> bytes:
    choices = [{"index": 0, "delta": delta, "finish_reason": finish_reason} for delta in deltas]
    return f"data: {json.dumps({'choices': choices, **more}, ensure_ascii=False)}\n\n".encode()


def called(call: dict[str, Any]) -> bytes:
    return event({"tool_calls": [call]})


STOP = event({}, finish_reason="stop")
DONE = b"data: [DONE]\n\n"
HELLO = event({"content": "hello"})


# --- what servers send -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        HELLO + STOP,
        HELLO + DONE,
        HELLO.replace(b"\n", b"\r\n") + STOP.replace(b"\n", b"\r\n"),
        HELLO.replace(b"data: ", b"data:") + STOP,
        b": ping\n\n" + HELLO + b"data: no JSON\n\ndata: [1]\n\ndata:\n\nretry: 10\nwhat is this\n\n" + STOP,
        b"event: message\nid: 1\n" + HELLO + STOP,
        event(None) + event({"content": None}) + b'data: {"choices": null}\n\ndata: {}\n\n' + HELLO + STOP,
        event("x") + event(3) + event({"content": 5, "tool_calls": "x"}, usage="much") + HELLO + STOP,
        event({"content": [{"type": "text", "text": "hel"}, {"type": "text", "text": "lo"}, None]}) + STOP,
        event({"content": "hello"}, finish_reason="stop", error=None),
        HELLO + STOP + event({"content": ""}) + DONE,
    ],
)
async def test_a_stream_is_read_whatever_is_in_it(raw: Raw, body: bytes) -> None:
    raw.pieces = (body,)
    assert (await ask(raw.client)).content == "hello"


@pytest.mark.parametrize("kind", ["text/plain", "application/octet-stream", "Text/Event-Stream; charset=latin-1", ""])
async def test_a_stream_is_read_whatever_it_is_called(raw: Raw, kind: str) -> None:
    raw.headers = {"Content-Type": kind} if kind else {}
    raw.pieces = (event({"content": "wörld"}), STOP)
    assert (await ask(raw.client)).content == "wörld"


async def test_it_does_not_matter_where_the_network_cuts(raw: Raw) -> None:
    body = event({"content": "a😀"}) + event({"content": "é\r\n"}) + STOP + DONE
    raw.pieces = tuple(body[at : at + 1] for at in range(len(body)))
    raw.headers = raw.headers | {"Content-Encoding": "identity"}
    assert (await ask(raw.client)).content == "a😀é\r\n"


@pytest.mark.parametrize("stream", [True, False])
async def test_whole_answer_and_stream_are_each_taken_for_the_other(raw: Raw, stream: bool) -> None:
    message = {"role": "assistant", "content": "hello", "tool_calls": [{"function": {"name": "f", "arguments": None}}]}
    answer = {"choices": [{"message": message, "finish_reason": "tool_calls"}], "usage": {"prompt_tokens": 3}}
    raw.headers, raw.pieces = {"Content-Type": "application/json"}, (json.dumps(answer).encode(),)
    result = await ask(raw.client, stream=stream)
    assert (result.content, [call.function.name for call in result.tool_calls]) == ("hello", ["f"])
    assert result.usage is not None
    raw.headers, raw.pieces = {"Content-Type": "text/event-stream"}, (HELLO, STOP, DONE)
    assert (await ask(raw.client, stream=stream)).content == "hello"


@pytest.mark.parametrize(
    ("pieces", "arguments"),
    [
        ([{"index": 0, "id": "1", "function": {"name": "f", "arguments": {"a": [1]}}}], '{"a": [1]}'),
        ([{"id": "1", "function": {"name": "f"}}, {"id": "1", "function": {"arguments": '{"a": 1}'}}], '{"a": 1}'),
        ([{"index": "0", "id": "1", "function": {"name": "f", "arguments": ""}}, {"function": None}, None], ""),
        ([{"index": 0, "id": None, "function": {"name": "f"}}, {"index": 0, "function": {"arguments": "{}"}}], "{}"),
    ],
)
async def test_calls_in_odd_forms(raw: Raw, pieces: list[Any], arguments: str) -> None:
    raw.pieces = (*(called(piece) for piece in pieces), STOP)
    (call,) = (await ask(raw.client)).tool_calls
    assert (call.function.name, call.function.arguments) == ("f", arguments)


async def test_thoughts_by_either_name_and_signed_ones(raw: Raw) -> None:
    blocks = [{"type": "thinking", "thinking": "signed", "signature": "s"}, {"type": "thinking", "thinking": 5}, None]
    raw.pieces = (event({"reasoning": "one "}), event({"reasoning_content": "two", "reasoning": "two"}))
    raw.pieces += (event({"thinking_blocks": blocks}), STOP)
    result = await ask(raw.client)
    assert result.reasoning_content == "one two"
    assert result.thinking_blocks == (blocks[0],)


async def test_usage_on_every_chunk_and_after_the_last(raw: Raw) -> None:
    raw.pieces = (
        event({"content": "a"}, usage={"prompt_tokens": 5, "completion_tokens": 1}),
        STOP,
        event(usage={"prompt_tokens": 5, "completion_tokens": 2, "cost": 0.25}),
        event(usage=None),
        DONE,
    )
    usage = (await ask(raw.client)).usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens, usage.cost_usd) == (5, 2, 0.25)


NAMES = """choices delta message content reasoning thinking_blocks tool_calls function arguments name index id usage
    prompt_tokens total_tokens cost type thinking signature text finish_reason error code status object""".split()
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=20,
)


@given(JSON, JSON, JSON)
def test_no_value_at_any_place_is_too_odd(chunk: Any, choice: Any, delta: Any) -> None:
    assembler = Assembler()
    for odd in (chunk, {"choices": chunk, "usage": choice}, {"choices": [choice]}, {"choices": [{"delta": delta}]}):
        if isinstance(odd, dict):
            with contextlib.suppress(ProviderError):
                assembler.add(chunk_delta(odd))
    assembler.result()


# --- what servers complain of ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        (b'data: {"error": {"message": "kaput", "code": 503}}\n\n', K.TRANSIENT, "kaput"),
        (b'data: {"error": "kaput"}\n\n', K.TRANSIENT, "kaput"),
        (b'data: {"object": "error", "message": "kaput", "code": 400}\n\n', K.BAD_REQUEST, "kaput"),
        (b'event: error\ndata: {"message": "kaput", "status": "429"}\n\n', K.RATE_LIMIT, "kaput"),
        (b'data: {"choices": [{"error": {"message": "kaput", "code": 502}}]}\n\n', K.TRANSIENT, "kaput"),
        (
            b'data: {"error": {"message": "maximum context length is 8192 tokens"}}\n\n',
            K.OVERFLOW,
            "maximum context length",
        ),
        (
            b'data: {"error": {"message": "bad reasoning_effort: invalid", "type": "invalid_request_error"}}\n\n',
            K.EFFORT,
            "bad reasoning_effort",
        ),
        (b"", K.TRANSIENT, "the stream ended"),
        (DONE[:4], K.TRANSIENT, "the stream ended"),
    ],
)
@pytest.mark.parametrize("start", [b"", HELLO])
async def test_an_error_inside_a_stream(raw: Raw, start: bytes, body: bytes, kind: FailureKind, words: str) -> None:
    raw.pieces = (start, body)
    failure = await failure_of(raw.client)
    assert failure.kind is kind, failure
    assert words in failure.user_text


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("kind", "body", "words"),
    [
        ("text/html", b"<!DOCTYPE html><h1>404 rate limit</h1>", "it sent a web page"),
        ("application/json", b"<html>", "it sent a web page"),
        ("application/json", b"", "an empty answer"),
        ("application/json", b'{"choices": []}', '{"choices": []}'),
        ("application/json", b'"fine"', "fine"),
    ],
)
async def test_what_is_no_answer_of_a_model_hints_at_the_address(
    raw: Raw, kind: str, body: bytes, words: str, stream: bool
) -> None:
    raw.headers, raw.pieces = {"Content-Type": kind}, (body,)
    failure = await failure_of(raw.client, stream=stream)
    assert failure.kind is K.TRANSIENT
    assert words in failure.user_text
    assert "VLLM_BASE_URL" in failure.user_text


async def test_the_words_of_a_refusal_are_the_servers(raw: Raw) -> None:
    raw.status, raw.headers = 400, {"Content-Type": "application/json"}
    raw.pieces = (json.dumps({"detail": [{"loc": ["body", "tools"], "msg": 'say "please"'}]}).encode(),)
    failure = await failure_of(raw.client)
    assert (failure.kind, 'say \\"please\\"' in failure.user_text) == (K.BAD_REQUEST, True)
    raw.pieces = (b"x" * 1_000_000,)
    assert len((await failure_of(raw.client)).user_text) < 1000
