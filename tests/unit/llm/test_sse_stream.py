"""Reading a streamed answer in larger pieces: when it pauses, what it leaves alone, and that real clients use it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from agent.llm.client import LLMClient
from agent.llm.sse_stream import BURST_BYTES, MOST_GATHERED_BYTES, PAUSE_S, MergedStream, merge_events
from tests.fakes import reply
from tests.fakes.anthropic_server import FakeAnthropic
from tests.fakes.openai_server import FakeOpenAI
from tests.fakes.reply import Reply
from tests.fakes.scripted import Rendered, ScriptedModel

EVENT = b'data: {"choices": [{"index": 0, "delta": {"content": "a"}}]}\n\n'


class Reads(httpx.AsyncByteStream):
    """Gives one read after the other: all of them at once, or each when the last has been taken."""

    def __init__(self, reads: list[bytes], *, at_once: bool = False) -> None:
        self.reads, self.at_once, self.given, self.closed = reads, at_once, 0, False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for read in self.reads:
            self.given += 1
            yield read
            for _ in range(0 if self.at_once else 10):
                await asyncio.sleep(0)

    async def aclose(self) -> None:
        self.closed = True


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.pauses_s: list[float] = []

    def clock(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.pauses_s.append(seconds)
        self.now_s += seconds


async def read(time: Time, source: Reads, reader_s: float = 0.0) -> list[bytes]:
    """What comes out, for a reader that takes `reader_s` over each piece."""
    pieces = []
    stream = MergedStream(source, sleep=time.sleep, clock=time.clock)
    async for piece in stream:
        pieces.append(piece)
        time.now_s += reader_s
    await stream.aclose()
    assert source.closed
    return pieces


async def test_words_gather_after_the_second_read() -> None:
    time = Time()
    assert await read(time, Reads([EVENT] * 4)) == [EVENT] * 4
    assert time.pauses_s == pytest.approx([PAUSE_S] * 3)


async def test_what_is_there_already_comes_as_one_piece() -> None:
    """httpx gives each HTTP chunk by itself, although many have come with one read of the socket."""
    time = Time()
    (piece,) = await read(time, Reads([EVENT] * 4, at_once=True))
    assert piece.count(b"data:") == 1
    assert b'"aaaa"' in piece
    assert not time.pauses_s


async def test_a_server_waits_for_a_slow_reader() -> None:
    time, source = Time(), Reads([EVENT * 1000] * 100, at_once=True)
    stream = MergedStream(source, sleep=time.sleep, clock=time.clock)
    async for _ in stream:
        for _ in range(1000):
            await asyncio.sleep(0)
        break
    assert source.given * len(EVENT) * 1000 < 2 * MOST_GATHERED_BYTES
    await stream.aclose()


async def test_what_breaks_the_connection_comes_after_what_was_read() -> None:
    class Breaking(Reads):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield EVENT
            raise httpx.ReadError("reset")

    pieces = aiter(MergedStream(Breaking([])))
    assert await anext(pieces) == EVENT
    with pytest.raises(httpx.ReadError):
        await anext(pieces)


@pytest.mark.parametrize("end", [b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n', b"data: [DONE]\n\n"])
async def test_nothing_gathers_behind_the_end(end: bytes) -> None:
    time = Time()
    await read(time, Reads([EVENT, EVENT, end, EVENT, EVENT]))
    assert time.pauses_s == pytest.approx([PAUSE_S])


async def test_a_burst_is_read_without_a_pause() -> None:
    time = Time()
    pieces = await read(time, Reads([EVENT * (BURST_BYTES // len(EVENT) + 1)] * 3))
    assert [piece.count(b"data:") for piece in pieces] == [1, 1, 1]
    assert not time.pauses_s


async def test_a_reader_slower_than_the_pause_never_waits() -> None:
    time = Time()
    await read(time, Reads([EVENT] * 4), reader_s=PAUSE_S)
    assert not time.pauses_s


@pytest.mark.parametrize(
    ("status", "headers", "is_merged"),
    [
        (200, {"content-type": "text/event-stream; charset=utf-8"}, True),
        (200, {"content-type": "text/event-stream", "content-encoding": "gzip"}, False),
        (200, {"content-type": "application/json"}, False),
        (429, {"content-type": "text/event-stream"}, False),
        (200, {}, False),
    ],
)
def test_only_a_plain_stream_of_events_is_touched(status: int, headers: dict[str, str], is_merged: bool) -> None:
    response = httpx.Response(status, headers=headers, stream=Reads([]))
    merge_events(response)
    assert isinstance(response.stream, MergedStream) == is_merged


class AtOnce(ScriptedModel):
    """Sends each answer in one piece. To be mixed into a fake server."""

    def render(self, reply: Reply, request: dict[str, Any], number: int) -> Rendered:
        usual = super().render(reply, request, number)
        return Rendered(usual.opening + b"".join(usual.pieces) + usual.closing, [], b"", usual.whole)


class OpenAIAtOnce(AtOnce, FakeOpenAI):
    """An OpenAI-style server that does so."""


class AnthropicAtOnce(AtOnce, FakeAnthropic):
    """An Anthropic-style server that does so."""


ANSWER = reply.text(*(f"word{number} " for number in range(200)))


@pytest.mark.xdist_group("litellm")
@pytest.mark.parametrize(
    ("server", "model", "variables"),
    [
        (OpenAIAtOnce(), "vllm/m", {"VLLM_BASE_URL": "{}"}),
        (OpenAIAtOnce(), "org/model", {"HF_ROUTER_BASE_URL": "{}/v1", "HF_TOKEN": "hf_x"}),
        (AnthropicAtOnce(), "anthropic/claude-opus-4-8", {"ANTHROPIC_API_BASE": "{}", "ANTHROPIC_API_KEY": "sk-ant-x"}),
    ],
    ids=["local", "router", "anthropic"],
)
async def test_the_real_clients_hand_on_a_burst_in_few_pieces(
    server: ScriptedModel, model: str, variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server.script(ANSWER)
    with server:
        for name, value in variables.items():
            monkeypatch.setenv(name, value.format(server.url))
        deltas = LLMClient().acompletion(model=model, messages=[{"role": "user", "content": "x"}])
        everything = [delta async for delta in deltas]
    pieces = [delta.text for delta in everything if delta.text]
    assert "".join(pieces) == "".join(f"word{number} " for number in range(200))
    assert len(pieces) <= 10, "litellm no longer reads through our stream"
    assert [delta.finish_reason for delta in everything if delta.finish_reason] == ["stop"]
    assert [delta.usage.total_tokens for delta in everything if delta.usage] == [120]
