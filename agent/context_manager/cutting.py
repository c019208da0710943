"""The last tier: the largest texts lose their middle, all to the same length, as far as needed.

Unlike the other tiers this one always gets there, whatever it is given. What is cut is kept in a file where possible.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import groupby

from agent.context_manager.aids import Spill
from agent.context_manager.layout import Ruler, last_reply
from agent.context_manager.prompts import render
from agent.context_manager.stubs import argument_stub, with_arguments
from agent.context_manager.tokens import estimate_text, estimate_thinking
from agent.light_dataclass import dataclass
from agent.protocol.messages import Message

_MAX_TOKENS_PER_MESSAGE = 50_000

BARE_MARK = " […] "


@dataclass(frozen=True, slots=True)
class Part:
    """Something that can be cut: the text of the message at `index`, its thinking, or the arguments of a call.

    `reluctance`: 0 for what tools and the model said, 1 for calls and summaries, 2 for the words of the person and for
    what a provider wants back unchanged.
    """

    index: int
    tokens: int
    reluctance: int
    is_thinking: bool = False
    call: int | None = None


def cut_text(text: str, most_tokens: int, note: str = BARE_MARK) -> str:
    """`text`, or its beginning and end with `note` between them, in at most `most_tokens` (estimated).

    A note that would take more than half of the room gives way to a bare mark.
    """
    whole_tokens = estimate_text(text)
    if whole_tokens <= most_tokens:
        return text
    mark = note if 2 * estimate_text(note) <= most_tokens else BARE_MARK
    side = len(text) * max(0, most_tokens - estimate_text(mark)) // whole_tokens // 2
    while side:
        result = text[:side] + mark + text[-side:]
        if estimate_text(result) <= most_tokens:
            return result
        side = side * 3 // 4  # the ends are denser than the whole
    return mark


def cut_largest(
    items: Sequence[Message],
    room_tokens: int,
    spill: Spill,
    ruler: Ruler,
    *,
    protected: Collection[str],
    reluctance: int,
    floor_tokens: int,
) -> list[Message]:
    """`items` with the largest parts cut so that all take `room_tokens`; the first, the system prompt, stays.

    Only parts of at most `reluctance` are cut, and none below `floor_tokens`, so that the result may still be too long.
    `protected` are the ids of the person's messages with reluctance 2. Blocking: it writes files.
    """
    parts = [part for part in _parts(items, protected) if part.reluctance <= reluctance]
    fixed_tokens = ruler.total(items) - sum(part.tokens for part in parts)
    share = fair_share([part.tokens for part in parts], room_tokens - fixed_tokens)
    most = max(floor_tokens, min(share, _MAX_TOKENS_PER_MESSAGE))
    result = list(items)
    too_long = (part for part in parts if part.tokens > most)
    for index, chosen in groupby(too_long, key=lambda part: part.index):
        result[index] = _cut(items[index], list(chosen), most, spill)
    return result


def fair_share(sizes: Sequence[int], room: int) -> int:
    """The largest limit with which `sizes`, each cut to it, add up to `room` at most."""
    for count, size in zip(range(len(sizes), 0, -1), sorted(sizes), strict=True):
        if size * count > room:
            return max(0, room) // count
        room -= size
    return max(sizes, default=0)


def _parts(items: Sequence[Message], protected: Collection[str]) -> list[Part]:
    latest = last_reply(items)
    parts = []
    for index, message in enumerate(items[1:], 1):
        signed = message is latest and bool(message.thinking_blocks)
        text_reluctance = 2 if message.id in protected else 1 if message.origin == "summary" else 0
        parts.append(Part(index, estimate_text(message.content or ""), text_reluctance))
        parts.append(Part(index, estimate_thinking(message), 2 if signed else 0, is_thinking=True))
        parts += [
            Part(index, estimate_text(call.function.arguments), 2 if signed else 1, call=number)
            for number, call in enumerate(message.tool_calls)
        ]
    return parts


def _cut(message: Message, parts: Sequence[Part], most_tokens: int, spill: Spill) -> Message:
    calls, content, signed = list(message.tool_calls), message.content, True
    for part in parts:
        if part.call is not None:
            call, signed = calls[part.call], False
            path = spill(call.function.arguments, call.function.name)
            stub = argument_stub(call.function.arguments, path)
            calls[part.call] = with_arguments(call, {"arguments": cut_text(stub, most_tokens - 10)})
        elif part.is_thinking:
            signed = False
        else:
            text = content or ""
            path = spill(text, message.name or message.role)
            content = cut_text(text, most_tokens, render("compaction/cut", characters=f"{len(text):,}", path=path))
    message = replace(message, content=content, tool_calls=tuple(calls))
    return message if signed else replace(message, thinking_blocks=(), reasoning_content=None)
