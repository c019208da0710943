"""Assembly of streamed answers, with everything servers have been seen to do."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.llm.stream import Assembler, Delta, LLMResult, ToolDelta, Usage, extract_usage


def assemble(*deltas: Delta) -> LLMResult:
    assembler = Assembler()
    for delta in deltas:
        assembler.add(delta)
    return assembler.result()


def tools(*fragments: tuple[Any, ...]) -> list[tuple[str, str]]:
    result = assemble(*(Delta(tool_calls=(ToolDelta(*fragment),)) for fragment in fragments))
    return [(call.function.name, call.function.arguments) for call in result.tool_calls]


def test_fragments_of_parallel_calls_find_their_calls() -> None:
    assert tools(
        (0, "a", "read", ""),
        (1, "b", "bash", ""),
        (0, None, None, '{"x"'),
        (1, None, None, "{}"),
        (0, None, None, ":1}"),
    ) == [
        ("read", '{"x":1}'),
        ("bash", "{}"),
    ]


def test_all_at_index_zero_with_different_ids_are_different_calls() -> None:
    assert tools((0, "a", "read", "{}"), (0, "b", "bash", '{"c'), (0, "b", None, '":1}')) == [
        ("read", "{}"),
        ("bash", '{"c":1}'),
    ]


def test_a_missing_index_goes_by_id_or_to_the_latest_call() -> None:
    assert tools(
        (None, "a", "read", "{"), (None, "b", "bash", "{"), (None, "a", None, "}"), (None, None, None, "}")
    ) == [
        ("read", "{}"),
        ("bash", "{}"),
    ]


def test_a_name_sent_twice_is_not_doubled() -> None:
    assert tools((0, "a", "bash", ""), (0, "a", "bash", "{}")) == [("bash", "{}")]


def test_missing_ids_are_generated_and_unique() -> None:
    result = assemble(Delta(tool_calls=(ToolDelta(0, None, "a"), ToolDelta(1, None, "b"))))
    ids = [call.id for call in result.tool_calls]
    assert len(set(ids)) == 2
    assert all(ids)


def test_a_call_without_a_name_is_dropped() -> None:
    assert tools((0, "a", None, "{}")) == []


def test_signed_thinking_is_joined_and_an_unsigned_rest_is_not_replayed() -> None:
    result = assemble(
        Delta(thinking_blocks=({"type": "thinking", "thinking": "one "},)),
        Delta(thinking_blocks=({"type": "thinking", "thinking": "two"},)),
        Delta(thinking_blocks=({"type": "thinking", "thinking": "", "signature": "sig"},)),
        Delta(thinking_blocks=({"type": "redacted_thinking", "data": "xx"},)),
        Delta(thinking_blocks=({"type": "thinking", "thinking": "cut"},)),
    )
    assert result.thinking_blocks == (
        {"type": "thinking", "thinking": "one two", "signature": "sig"},
        {"type": "redacted_thinking", "data": "xx"},
    )


def test_usage_may_come_on_any_chunk_and_stays() -> None:
    result = assemble(Delta(usage=Usage(1, 2, 3)), Delta(text="a", finish_reason="stop"), Delta())
    assert result.usage == Usage(1, 2, 3)
    assert result.finish_reason == "stop"


@given(st.text(min_size=1), st.lists(st.integers(0, 200)))
def test_split_points_do_not_matter(text: str, cuts: list[int]) -> None:
    points = sorted({0, len(text), *(cut % len(text) for cut in cuts)})
    pieces = [text[a:b] for a, b in itertools.pairwise(points)]
    as_text = assemble(*(Delta(text=piece) for piece in pieces))
    as_arguments = assemble(
        Delta(tool_calls=(ToolDelta(0, "a", "t"),)), *(Delta(tool_calls=(ToolDelta(0, None, None, p),)) for p in pieces)
    )
    assert as_text.content == text
    assert as_arguments.tool_calls[0].function.arguments == text


@pytest.mark.parametrize("as_object", [False, True])
def test_usage_under_every_name(as_object: bool) -> None:
    def source(value: Any) -> Any:
        if not as_object or not isinstance(value, dict):
            return value
        return SimpleNamespace(**{name: source(item) for name, item in value.items()})

    anthropic = {
        "prompt_tokens": 10,
        "completion_tokens": 2,
        "cache_read_input_tokens": 4,
        "cache_creation_input_tokens": 3,
    }
    assert extract_usage(source(anthropic)) == Usage(10, 2, 12, 4, 3)
    openai = {
        "prompt_tokens": 10,
        "completion_tokens": 2,
        "total_tokens": 12,
        "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 3},
        "completion_tokens_details": {"reasoning_tokens": 1},
        "cost": 0.25,
    }
    assert extract_usage(source(openai)) == Usage(10, 2, 12, 4, 3, 1, 0.25)
    assert extract_usage(source({"total_tokens": 7})) == Usage(0, 0, 7)


@pytest.mark.parametrize(
    "junk", [None, {}, {"prompt_tokens": "many"}, {"prompt_tokens": True}, {"prompt_tokens": float("nan")}]
)
def test_junk_is_no_usage(junk: Any) -> None:
    assert extract_usage(junk) is None
