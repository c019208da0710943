"""The first tier: old results and long arguments become a note that names the file with the whole text.

Nothing is lost by it, so it comes before anything that costs money or knowledge. What cannot be kept is left alone.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from agent.context_manager.aids import Spill
from agent.context_manager.layout import Ruler, Step
from agent.context_manager.prompts import render
from agent.context_manager.tokens import estimate_text
from agent.protocol.messages import FunctionCall, Message, ToolCall, valid_text

WORTH_STUBBING_TOKENS = 150
"""A stub takes some 60 tokens itself."""

LONG_ARGUMENT_TOKENS = 100


def stub_oldest(groups: Sequence[Step], excess_tokens: int, spill: Spill, ruler: Ruler) -> list[Step]:
    """`groups` with stubs from the oldest message on, until `excess_tokens` are saved or nothing is left to stub.

    Blocking: it writes files.
    """
    result: list[Step] = []
    for step in groups:
        messages = []
        for message in step:
            shorter = _stubbed(message, spill) if excess_tokens > 0 else message
            if ruler(shorter) >= ruler(message):
                shorter = message
            excess_tokens -= ruler(message) - ruler(shorter)
            messages.append(shorter)
        result.append(tuple(messages))
    return result


def arguments_of(call: ToolCall) -> dict[str, Any]:
    """The arguments of `call` as an object; those of a broken call under one name."""
    try:
        arguments = json.loads(call.function.arguments)
    except ValueError:
        arguments = call.function.arguments
    return arguments if isinstance(arguments, dict) else {"arguments": arguments}


def value_text(value: object) -> str:
    """An argument as valid text: a string as it is, anything else as JSON."""
    return valid_text(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def with_arguments(call: ToolCall, arguments: dict[str, Any]) -> ToolCall:
    """`call` with other arguments."""
    return replace(call, function=FunctionCall(call.function.name, value_text(arguments)))


def argument_stub(text: str, path: Path | None) -> str:
    """What stands for `text` in a call."""
    return render("compaction/argument_stub", characters=f"{len(text):,}", path=path)


def _stubbed(message: Message, spill: Spill) -> Message:
    if message.role == "tool":
        return _stubbed_result(message, spill)
    calls = tuple(_stubbed_call(call, spill) for call in message.tool_calls)
    if all(new is old for new, old in zip(calls, message.tool_calls, strict=True)):
        return message
    # signed thinking vouches for the calls as they were
    return replace(message, tool_calls=calls, thinking_blocks=(), reasoning_content=None)


def _stubbed_result(message: Message, spill: Spill) -> Message:
    text = message.content or ""
    if estimate_text(text) < WORTH_STUBBING_TOKENS:
        return message
    tool = message.name or "tool"
    path = spill(text, tool)
    if path is None:
        return message
    return replace(message, content=render("compaction/result_stub", characters=f"{len(text):,}", path=path, tool=tool))


def _stubbed_call(call: ToolCall, spill: Spill) -> ToolCall:
    if estimate_text(call.function.arguments) < WORTH_STUBBING_TOKENS:
        return call
    short: dict[str, Any] = {}
    for name, value in arguments_of(call).items():
        text = value_text(value)
        long = estimate_text(text) > LONG_ARGUMENT_TOKENS
        path = spill(text, call.function.name) if long else None
        short[name] = argument_stub(text, path) if path else value
    return with_arguments(call, short) if short != arguments_of(call) else call
