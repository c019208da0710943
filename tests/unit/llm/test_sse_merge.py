"""Merging small events: nothing is lost, nothing moves, nothing waits, and what is not understood stays as it is."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.llm.sse_merge import EventMerger

TEXTS = ("content", "reasoning_content", "reasoning", "text", "thinking")


def chunk(delta: Any, finish_reason: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "choices": [choice], **more}


def block(delta: Any, index: int = 0) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": delta}


def sse(*events: Any, end: str = "\n", name: str = "") -> bytes:
    """Events on the wire; a str stands for itself."""
    head = f"event: {name}{end}" if name else ""
    texts = (event if isinstance(event, str) else f"{head}data: {json.dumps(event)}{end}{end}" for event in events)
    return "".join(texts).encode()


def merged(reads: Iterable[bytes]) -> bytes:
    merger = EventMerger()
    return b"".join(merger.feed(read) for read in reads)


def parsed(data: bytes) -> list[tuple[str, Any]]:
    """What a plain reader of server-sent events makes of `data`: names and JSON, in order."""
    events: list[tuple[str, Any]] = []
    name, lines = "", list[str]()
    for line in data.decode(errors="replace").replace("\r\n", "\n").split("\n"):
        if line.startswith("event:"):
            name = line.removeprefix("event:").strip()
        elif line.startswith("data:"):
            lines.append(line.removeprefix("data:").strip())
        elif not line and lines:
            payload = "\n".join(lines)
            events.append((name, json.loads(payload) if payload.startswith("{") else payload))
            name, lines = "", []
    return events


def delta_of(event: Any) -> dict[str, Any]:
    """The part of an event that carries text; empty if there is none."""
    try:
        found = event["choices"][0]["delta"] if "choices" in event else event["delta"]
    except (KeyError, IndexError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}


def story(data: bytes) -> list[Any]:
    """The events with neighbouring text joined: what merging must not change."""
    told: list[Any] = []
    for name, event in parsed(data):
        delta = delta_of(event)
        texts = {key: delta.pop(key) for key in TEXTS if isinstance(delta.get(key), str) and delta[key]}
        if isinstance(event, dict):
            event.pop("created", None)
        if told and texts and told[-1][:2] == (name, event) and told[-1][2].keys() == texts.keys():
            told[-1][2].update({key: told[-1][2][key] + text for key, text in texts.items()})
        else:
            told.append((name, event, texts))
    return told


WORDS = st.text(max_size=6)
DELTAS = st.one_of(
    WORDS.map(lambda text: {"content": text}),
    WORDS.map(lambda text: {"content": text, "role": "assistant", "tool_calls": None}),
    WORDS.map(lambda text: {"reasoning_content": text, "reasoning": text}),
    st.just({"tool_calls": [{"index": 0, "function": {"arguments": "{"}}]}),
    st.just({"content": "a", "tool_calls": [{"index": 0, "function": {"arguments": "{"}}]}),
    st.just({"content": ["part"]}),
    st.none(),
)
EVENTS = st.one_of(
    st.builds(chunk, DELTAS, st.sampled_from([None, None, None, "stop"])),
    st.builds(chunk, DELTAS, created=st.integers(0, 3)),
    st.builds(chunk, DELTAS, usage=st.sampled_from([None, {"total_tokens": 3}])),
    st.builds(chunk, DELTAS, id=st.sampled_from("ab"), error=st.sampled_from([None, {"message": "no"}])),
    st.builds(block, WORDS.map(lambda text: {"type": "text_delta", "text": text}), st.integers(0, 1)),
    st.builds(block, WORDS.map(lambda text: {"type": "thinking_delta", "thinking": text})),
    st.just(block({"type": "input_json_delta", "partial_json": "{"})),
    st.just(block({"type": "signature_delta", "signature": "s"})),
    st.sampled_from([": ping\n\n", "data: [DONE]\n\n", "\n", "retry: 5\n\n"]),
    st.fixed_dictionaries({"choices": st.sampled_from([[], [1], None, {}])}),
)
WIRE = st.lists(
    st.builds(
        sse, EVENTS, end=st.sampled_from(["\n", "\n", "\r\n"]), name=st.sampled_from(["", "content_block_delta"])
    ),
    max_size=30,
).map(b"".join)
CUTS = st.lists(st.integers(0, 5000), max_size=10)


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    points = sorted({0, len(data), *(point % (len(data) + 1) for point in cuts)})
    return [data[start:end] for start, end in itertools.pairwise(points)]


@given(WIRE, CUTS)
def test_a_reader_finds_the_same_however_the_network_cuts_it(data: bytes, cuts: list[int]) -> None:
    assert story(merged(cut(data, cuts))) == story(data)


@given(st.binary(max_size=300), CUTS)
def test_bytes_of_any_other_kind_pass_unchanged(data: bytes, cuts: list[int]) -> None:
    assert merged(cut(data, cuts)) == data


@given(WIRE, CUTS)
def test_nothing_is_held_back(data: bytes, cuts: list[int]) -> None:
    merger, came, went = EventMerger(), b"", b""
    for read in cut(data, cuts):
        came, went = came + read, went + merger.feed(read)
        assert story(went) == story(came)


def test_neighbours_become_one_with_the_fields_of_the_first() -> None:
    more = {"system_fingerprint": "f", "usage": None}
    events = [
        chunk({"content": text}, **more) | {"created": n, "obfuscation": "x" * n} for n, text in enumerate("añ😀")
    ]
    ((_, event),) = parsed(merged([sse(*events)]))
    assert event == chunk({"content": "añ😀"}, **more) | {"created": 0, "obfuscation": ""}


def test_anthropic_text_of_one_block_becomes_one_and_keeps_its_name() -> None:
    events = [block({"type": "text_delta", "text": text}, index) for text, index in (("a", 0), ("b", 0), ("c", 1))]
    named = parsed(merged([sse(*events, end="\r\n", name="content_block_delta")]))
    assert [(name, event["index"], event["delta"]["text"]) for name, event in named] == [
        ("content_block_delta", 0, "ab"),
        ("content_block_delta", 1, "c"),
    ]


def test_a_letter_cut_in_its_bytes_and_the_event_around_it_pass_as_they_are() -> None:
    event = 'data: {"choices": [{"index": 0, "delta": {"content": "é"}}]}\n\n'.encode()
    middle = event.index(b"\xc3") + 1
    merger = EventMerger()
    assert merger.feed(event[:middle]) == event[:middle]
    assert merger.feed(event[middle:] + event + event).startswith(event[middle:])


@pytest.mark.parametrize(
    "beside",
    [
        {"choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"}]},
        {"choices": [{"index": 0, "delta": {"content": "a"}, "logprobs": {"content": []}}]},
        {"choices": [{"index": 0, "delta": {"content": "a", "tool_calls": [{"index": 0}]}}]},
        {"choices": [{"index": 0, "delta": {"content": "a"}}, {"index": 1, "delta": {"content": "b"}}]},
        {"choices": [{"index": 0, "delta": {"content": "a"}}], "usage": {"total_tokens": 1}},
        {"choices": [{"index": 0, "delta": {"content": "a"}}], "error": {"message": "no"}},
    ],
)
def test_text_beside_something_else_is_left_alone_even_among_its_like(beside: dict[str, Any]) -> None:
    data = sse(beside, beside)
    assert merged([data]) == data
