"""Steps as text: at length for the model that summarises them, and as an outline where there is no such model."""

from __future__ import annotations

import json
import re

from agent.context_manager.cutting import cut_text
from agent.context_manager.layout import Step
from agent.context_manager.stubs import arguments_of, value_text
from agent.protocol.messages import Message, ToolCall, valid_text

RESULT_TOKENS = 800
TEXT_TOKENS = 2_000
ARGUMENT_TOKENS = 300
"""Longest excerpts in a transcript. What matters in a long result is mostly at its ends; the whole is in a file."""

OUTLINE_ARGUMENT_TOKENS = 30
OUTLINE_TEXT_TOKENS = 60

_ENVELOPE = re.compile(r"<(?=/?\s*(?:transcript|summary|facts|wishes|request)\b)", re.IGNORECASE)


def enclosed(text: str) -> str:
    """`text` that is valid, and cannot close the envelope it is put in or pose as one of ours."""
    return _ENVELOPE.sub("&lt;", valid_text(text))


def transcript(step: Step, stubbed: Step) -> str:
    """`step` in full sentences. Where `stubbed` has a stub for a result, it follows: it names the file."""
    lines: list[str] = []
    for message, stub in zip(step, stubbed, strict=True):
        lines.append(_speech(message, TEXT_TOKENS, RESULT_TOKENS))
        if message.role == "tool" and stub is not message:
            lines.append(stub.content or "")
        lines += [_call(call, ARGUMENT_TOKENS) for call in message.tool_calls]
    return enclosed("\n".join(line for line in lines if line))


def outline(step: Step) -> list[str]:
    """`step` in a line or two: who spoke, which tools were called with what."""
    lines: list[str] = []
    for message in step:
        if message.role != "tool":
            lines.append(_speech(message, OUTLINE_TEXT_TOKENS, OUTLINE_TEXT_TOKENS))
        lines += [_call(call, OUTLINE_ARGUMENT_TOKENS) for call in message.tool_calls]
    return [f"- {' '.join(line.split())}" for line in lines if line]


def _speech(message: Message, text_tokens: int, result_tokens: int) -> str:
    if not message.content:
        return ""
    if message.role == "tool":
        return f"[result of {message.name or 'a tool'}] {cut_text(message.content, result_tokens)}"
    who = message.role if message.role != "user" else "program" if message.is_synthetic else "person"
    return f"[{who}] {cut_text(message.content, text_tokens)}"


def _call(call: ToolCall, argument_tokens: int) -> str:
    arguments = {name: cut_text(value_text(value), argument_tokens) for name, value in arguments_of(call).items()}
    text = json.dumps(arguments, ensure_ascii=False)
    return f"[call of {call.function.name}] {cut_text(text, 4 * argument_tokens)}"
