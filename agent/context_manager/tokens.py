"""Counting tokens without a tokenizer: an estimate by kinds of characters, which the provider's own counts correct.

Bytes alone mislead: a token holds five letters of English, but hardly more than one character of base64. Weighing each
kind of character costs some milliseconds a megabyte, and a real tokenizer hundreds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from agent.protocol.messages import Message

MESSAGE_OVERHEAD_TOKENS = 4
"""What the wire form adds to a message or a call: role, separators, ids."""

BLOCK_BYTES = 4096
"""Text is judged in blocks of this size, so that a key or an image in the middle of prose is seen for what it is."""

SPACE, LOWER, UPPER, DIGIT, PUNCTUATION, TWO_BYTES, THREE_BYTES, FOUR_BYTES, CONTINUATION = range(9)

TOKENS_PER_CHARACTER = {
    SPACE: 0.12,
    LOWER: 0.23,
    UPPER: 0.45,
    DIGIT: 0.65,
    PUNCTUATION: 0.45,
    TWO_BYTES: 0.8,  # Cyrillic 0.5, Arabic 0.9
    THREE_BYTES: 1.1,  # Chinese 1.0, Korean and Hindi 1.3
    FOUR_BYTES: 2.4,  # emoji 2.8
}
"""Fitted to what two public tokenizers make of prose, code, logs, tables and a dozen scripts."""

DENSE_TOKENS_PER_BYTE = 0.65
"""For base64 and hexadecimal text, which no tokenizer has words for: they make 0.56 to 0.72 of it."""


def _kind(byte: int) -> int:
    if byte >= 0x80:
        return CONTINUATION if byte < 0xC0 else TWO_BYTES if byte < 0xE0 else THREE_BYTES if byte < 0xF0 else FOUR_BYTES
    character = chr(byte)
    if character.isalpha():
        return UPPER if character.isupper() else LOWER
    return DIGIT if character.isdigit() else SPACE if character.isspace() else PUNCTUATION


_KINDS = bytes(_kind(byte) for byte in range(256))


def estimate_text(text: str) -> int:
    """Estimated tokens of `text`: a little high for most texts, and hardly ever low by more than a quarter."""
    if not text:
        return 0
    kinds = text.encode("utf-8", "replace").translate(_KINDS)
    blocks = (kinds[start : start + BLOCK_BYTES] for start in range(0, len(kinds), BLOCK_BYTES))
    return int(sum(map(_block_tokens, blocks))) + 1


def _block_tokens(kinds: bytes) -> float:
    counts = {kind: kinds.count(kind) for kind in TOKENS_PER_CHARACTER}
    if _is_dense(counts, len(kinds)):
        return DENSE_TOKENS_PER_BYTE * len(kinds)
    return sum(weight * counts[kind] for kind, weight in TOKENS_PER_CHARACTER.items())


def _is_dense(counts: Mapping[int, int], size_bytes: int) -> bool:
    """Letters and digits mixed, without the gaps that words, numbers and code have."""
    mixed = counts[UPPER] + counts[DIGIT]
    solid = mixed + counts[LOWER]
    return solid > 0.93 * size_bytes and mixed > 0.3 * size_bytes and counts[LOWER] > 0.1 * size_bytes


def estimate_message(message: Message) -> int:
    """Estimated tokens of one message, calls and thinking included."""
    tokens = MESSAGE_OVERHEAD_TOKENS + estimate_text(message.content or "")
    for call in message.tool_calls:
        tokens += MESSAGE_OVERHEAD_TOKENS + estimate_text(call.function.name) + estimate_text(call.function.arguments)
    return tokens + estimate_thinking(message)


def estimate_thinking(message: Message) -> int:
    """Estimated tokens of the signed thinking of `message`."""
    texts = (block.get("thinking") or block.get("data") or "" for block in message.thinking_blocks)
    return sum(estimate_text(str(text)) for text in texts)


def estimate_tools(tools: Sequence[Mapping[str, Any]]) -> int:
    """Estimated tokens of the tool specifications."""
    return estimate_text(json.dumps(list(tools), ensure_ascii=False)) if tools else 0
