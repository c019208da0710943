"""Making history shorter without breaking it. Mechanical tiers only, so it cannot fail and costs nothing.

Steps (an assistant message with all its results) are the units: a call and its result are never parted. The tiers, in
order, each only as far as needed: (1) old tool results become a stub, (2) old call arguments too, (3) the oldest steps
are left out with a note in their place, (4) the largest remaining results and texts are cut. The system prompt is never
touched; the first and the latest message of the person are cut only on demand, when a provider has refused the whole.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from agent.context_manager.tokens import estimate_message
from agent.protocol.messages import FunctionCall, Message, ToolCall, user_message

KEEP_LAST_MESSAGES = 6
WORTH_STUBBING_TOKENS = 60
LONGEST_ARGUMENT_CHARS = 200
LEFT_OUT = "[Earlier steps of this conversation were left out to save room: {count} messages.]"
CUT_MARK = "\n[… cut to save room: {count} characters …]\n"


def shorten(items: list[Message], room_tokens: int, *, cut_person: bool = False) -> list[Message] | None:
    """`items` brought to at most `room_tokens` (estimated) where possible; None when nothing could be shortened.

    With `cut_person` the person's own long messages may be cut as well.
    """
    best = items
    kept = set() if cut_person else _person_ids(items)
    cut_largest = partial(_cut_largest, kept=kept)
    for tier in (_stub_results, _stub_arguments, _drop_oldest, cut_largest):
        if _size(best) <= room_tokens:
            break
        candidate = tier(best, room_tokens)
        if _size(candidate) < _size(best):
            best = candidate
    return None if best is items else best


def _size(items: list[Message]) -> int:
    return sum(estimate_message(message) for message in items)


def _one_by_one(items: list[Message], room_tokens: int, shrink: Callable[[Message], Message]) -> list[Message]:
    """Apply `shrink` from the oldest message on until everything fits; the latest messages are left alone."""
    result = list(items)
    size = _size(items)
    for index in range(1, len(items) - KEEP_LAST_MESSAGES):
        if size <= room_tokens:
            break
        shorter = shrink(items[index])
        saved = estimate_message(items[index]) - estimate_message(shorter)
        if saved > 0:
            result[index] = shorter
            size -= saved
    return result


def _stub_results(items: list[Message], room_tokens: int) -> list[Message]:
    def shrink(message: Message) -> Message:
        if message.role != "tool" or estimate_message(message) < WORTH_STUBBING_TOKENS:
            return message
        return replace(message, content=f"[Result left out to save room: {len(message.content or '')} characters.]")

    return _one_by_one(items, room_tokens, shrink)


def _stub_arguments(items: list[Message], room_tokens: int) -> list[Message]:
    return _one_by_one(items, room_tokens, _with_short_arguments)


def _with_short_arguments(message: Message) -> Message:
    if not message.tool_calls or estimate_message(message) < WORTH_STUBBING_TOKENS:
        return message
    return replace(message, tool_calls=tuple(_short_call(call) for call in message.tool_calls), thinking_blocks=())


def _short_call(call: ToolCall) -> ToolCall:
    arguments = json.loads(call.function.arguments)
    short = {
        name: value
        if len(json.dumps(value)) <= LONGEST_ARGUMENT_CHARS
        else f"[left out to save room: {len(json.dumps(value))} characters]"
        for name, value in arguments.items()
    }
    return replace(call, function=FunctionCall(call.function.name, json.dumps(short)))


def _drop_oldest(items: list[Message], room_tokens: int) -> list[Message]:
    """Leave out whole steps from the oldest on, except the system prompt, the first request and the latest steps."""
    persons = [index for index, m in enumerate(items) if m.role == "user" and not m.is_synthetic]
    first = persons[0] if persons else 0
    kept_head = items[: first + 1]
    units = _units(items[first + 1 :])
    latest_request = items[persons[-1]] if len(persons) > 1 else None
    size, dropped = _size(items), 0
    while len(units) > 1 and size > room_tokens:
        unit = units.pop(0)
        size -= _size(unit)
        dropped += len(unit)
    if not dropped:
        return items
    rest = [message for unit in units for message in unit]
    if latest_request is not None and latest_request not in rest:
        rest.insert(0, latest_request)
    return [*kept_head, user_message(LEFT_OUT.format(count=dropped), "summary"), *rest]


def _units(items: list[Message]) -> list[list[Message]]:
    """`items` grouped so that an assistant message and its results stay together."""
    units: list[list[Message]] = []
    for message in items:
        if message.role == "tool" and units:
            units[-1].append(message)
        else:
            units.append([message])
    return units


def _person_ids(items: list[Message]) -> set[str]:
    """Ids of the first and the latest message of the person."""
    ids = [message.id for message in items if message.role == "user" and not message.is_synthetic]
    return {*ids[:1], *ids[-1:]}


def _cut_largest(items: list[Message], room_tokens: int, kept: set[str]) -> list[Message]:
    """Cut the largest texts, each to a fair share of the room, the system prompt and `kept` excepted."""
    result = list(items)
    size = _size(items)
    share_chars = max(400, 2 * max(0, room_tokens - estimate_message(items[0])) // max(1, len(items)))
    for index in sorted(range(1, len(items)), key=lambda i: -estimate_message(items[i])):
        if size <= room_tokens:
            break
        if items[index].id in kept:
            continue
        message = _with_short_arguments(result[index])
        text = message.content or ""
        if len(text) > share_chars:
            head, tail = text[: share_chars // 2], text[-share_chars // 2 :]
            message = replace(message, content=head + CUT_MARK.format(count=len(text) - share_chars) + tail)
        size -= estimate_message(result[index]) - estimate_message(message)
        result[index] = message
    return result
