"""What all formats share: arguments, thoughts, text and numbers that JSON can hold."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agent.protocol.messages import FunctionCall, assistant_message
from agent.redaction.redactor import Redactor
from agent.traces.saying import arguments_of, compact_json, decodable, number, redacted_arguments, thoughts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": [1, {"b": "c"}]}', {"a": [1, {"b": "c"}]}),
        *((text, {"_raw": text}) for text in ("[1]", "null", '"x"', "{", "", '{"a": NaN}', '{"a": 1e999}')),
        *((text, {"_raw": text}) for text in ('{"a":' * depth + "1" + "}" * depth for depth in (100, 100_000))),
    ],
)
def test_arguments_are_an_object_that_can_be_written_again(text: str, expected: dict[str, Any]) -> None:
    found = arguments_of(text)
    assert found == expected
    assert redacted_arguments(FunctionCall("bash", text), Redactor()) == expected
    compact_json(found)


def test_secrets_in_arguments_are_replaced_also_where_they_are_no_object() -> None:
    secret = "ghp_" + "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF3hJ6"
    for text in (f'{{"a": "{secret}"}}', f'["{secret}"]', f'{{"_raw": "{secret}"}}', f'{{"a": "{secret}'):
        assert secret not in json.dumps(redacted_arguments(FunctionCall("bash", text), Redactor()))


@pytest.mark.parametrize(
    ("blocks", "reasoning", "expected"),
    [
        ((), "plain", [("plain", "")]),
        (({"type": "thinking", "thinking": "so", "signature": "c2ln"},), "plain", [("so", "c2ln")]),
        (({"type": "thinking", "thinking": "so", "signature": None},), None, [("so", "")]),
        (({"type": "redacted_thinking", "data": "b3BhcXVl"},), "plain", [("plain", "")]),
        (("no block",), None, []),
    ],
)
def test_thoughts_of_every_form(blocks: Any, reasoning: str | None, expected: list[tuple[str, str]]) -> None:
    message = assistant_message("ok", thinking_blocks=blocks, reasoning_content=reasoning)
    assert list(thoughts(message)) == expected


def test_half_a_surrogate_pair_is_replaced_and_a_whole_one_is_joined() -> None:
    assert decodable("a\ud800b \ud83d\ude00 é") == "a\ufffdb \U0001f600 é"
    assert compact_json({"\udfff": "\ud83d\ude00"}) == '{"\\ufffd":"\\ud83d\\ude00"}'


@pytest.mark.parametrize("value", [True, None, "3", float("nan"), float("inf"), 10**400, 1e16, [1]])
def test_what_is_no_number_that_can_be_meant_counts_nothing(value: Any) -> None:
    assert number(value) == 0.0
    assert (number(3), number(-0.5)) == (3.0, -0.5)
