"""Counting tokens without a tokenizer: an estimate, corrected by what the provider reports."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from agent.protocol.messages import Message

BYTES_PER_TOKEN = 3.6
"""UTF-8 bytes per token: prose has about 4.3, code 3.3, CJK text 3; an estimate may be high, not low."""

MESSAGE_OVERHEAD_TOKENS = 4


def estimate_text(text: str) -> int:
    """Estimated tokens of `text`."""
    return int(len(text.encode("utf-8", "replace")) / BYTES_PER_TOKEN) + 1 if text else 0


def estimate_message(message: Message) -> int:
    """Estimated tokens of one message, calls and thinking included."""
    tokens = MESSAGE_OVERHEAD_TOKENS + estimate_text(message.content or "")
    for call in message.tool_calls:
        tokens += MESSAGE_OVERHEAD_TOKENS + estimate_text(call.function.name) + estimate_text(call.function.arguments)
    for block in message.thinking_blocks:
        tokens += estimate_text(str(block.get("thinking") or block.get("data") or ""))
    return tokens


def estimate_tools(tools: Sequence[Mapping[str, Any]]) -> int:
    """Estimated tokens of the tool specifications."""
    return estimate_text(json.dumps(list(tools), ensure_ascii=False)) if tools else 0
