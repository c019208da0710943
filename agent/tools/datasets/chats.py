"""Conversations in the rows at hand: roles, keys, tools, and whether their order is one to train on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from agent.light_dataclass import dataclass
from agent.tools.datasets.asking import Json, on_one_line
from agent.tools.datasets.columns import CHAT_FORMS, Column, messages_in
from agent.tools.datasets.samples import Row, as_json, shortened

_MAX_COLUMNS = 6
_MAX_ROLES = 12
_EXAMPLE_CONTENT_CHARS = 100
_EXAMPLE_CHARS = 900
_USUAL_ROLES = {
    "human": "user",
    "prompter": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "ai": "assistant",
    "developer": "system",
    "function": "tool",
    "observation": "tool",
    "tool_response": "tool",
    "function_response": "tool",
    "function_call": "assistant",
    "tool_call": "assistant",
}
_KNOWN_ROLES = frozenset(("system", "user", "assistant", "tool"))
_TOOL_KEYS = ("tool_calls", "function_call", "tool_call_id")
_SHOWN_KEYS = ("role", "content", "tool_calls", "tool_call_id", "name", "function_call")


@dataclass(frozen=True, slots=True)
class ChatFacts:
    """What the conversations of a column look like, in `read` rows; `unread` are cut, empty or something else.

    `roles` and `keys` are the dataset's own words. `faults` counts conversations, in our words. `odd_roles` tells that
    there are roles which chat templates do not know.
    """

    column: str
    read: int
    unread: int
    shortest: int = 0
    longest: int = 0
    roles: tuple[tuple[str, int], ...] = ()
    keys: tuple[str, ...] = ()
    with_system: int = 0
    with_tools: int = 0
    faulty: int = 0
    faults: tuple[tuple[str, int], ...] = ()
    odd_roles: bool = False
    example: str = ""


def read_chats(columns: Sequence[Column], rows: Sequence[Row]) -> tuple[ChatFacts, ...]:
    """The facts of each column with conversations."""
    return tuple(_facts(column.name, rows) for column in columns if column.form in CHAT_FORMS)[:_MAX_COLUMNS]


def usual_roles(messages: Sequence[Json]) -> list[str]:
    """The roles in the words of chat templates, where they have one for it."""
    return [_USUAL_ROLES.get(role.lower(), role.lower()) for role in map(_role, messages)]


def chat_lines(facts: ChatFacts) -> list[str]:
    """The section of one column, without its heading."""
    if not facts.read:
        return [f"- none of the {facts.unread} rows at hand has a whole conversation here"]
    more_roles = f", … {len(facts.roles):,} roles" if len(facts.roles) > _MAX_ROLES else ""
    roles = ", ".join(f"{on_one_line(role, 40)} ({count})" for role, count in facts.roles[:_MAX_ROLES])
    marks = " ".join(f"{key} {'✓' if key in facts.keys else '✗'}" for key in _SHOWN_KEYS)
    others = [on_one_line(key, 40) for key in facts.keys if key not in _SHOWN_KEYS][:12]
    more_keys = f"; others: {', '.join(others)}" if others else ""
    unread = f" ({facts.unread} more rows are cut, empty or something else)" if facts.unread else ""
    faults = "; ".join(f"{what}: {count}" for what, count in facts.faults) or "none found"
    return [
        f"- read: {facts.read} conversations{unread}, {facts.shortest} to {facts.longest} messages each",
        f"- roles (messages): {roles}{more_roles}",
        f"- keys of a message: {marks}{more_keys}",
        f"- with a system message: {facts.with_system} of {facts.read}; with tool calls or results: {facts.with_tools}",
        f"- problems (conversations): {faults}",
        f"- example: {facts.example}",
    ]


def _facts(column: str, rows: Sequence[Row]) -> ChatFacts:
    found = [messages for row in rows if (messages := messages_in(row.whole(column)))]
    if not found:
        return ChatFacts(column, 0, len(rows))
    faults = [_faults(messages, is_prompt=column.lower() == "prompt") for messages in found]
    counted = Counter(fault for each in faults for fault in each)
    roles = Counter(_role(message) for messages in found for message in messages)
    return ChatFacts(
        column,
        read=len(found),
        unread=len(rows) - len(found),
        shortest=min(map(len, found)),
        longest=max(map(len, found)),
        roles=tuple(sorted(roles.items(), key=lambda each: (-each[1], each[0]))),
        keys=tuple(sorted({key for messages in found for message in messages for key in message})),
        with_system=sum("system" in usual_roles(messages) for messages in found),
        with_tools=sum(any(map(_has_tools, messages)) for messages in found),
        faulty=sum(bool(each) for each in faults),
        faults=tuple(sorted(counted.items(), key=lambda each: (-each[1], each[0]))),
        odd_roles=any(not set(usual_roles(messages)) <= _KNOWN_ROLES for messages in found),
        example=_example(found),
    )


def _faults(messages: Sequence[Json], *, is_prompt: bool) -> list[str]:
    """What a chat template or a trainer would stumble over in one conversation."""
    roles = usual_roles(messages)
    spoken = [role for role in roles if role != "system"]
    pairs = list(pairwise(roles))
    checks = {
        "starts with the assistant": spoken[:1] == ["assistant"],
        "two users in a row": ("user", "user") in pairs,
        "two assistants in a row": ("assistant", "assistant") in pairs,
        "a system message that is not the first": "system" in roles[1:],
        "nobody but the system speaks": not spoken,
        "ends with the assistant": is_prompt and roles[-1:] == ["assistant"],
        "does not end with the assistant": not is_prompt and roles[-1:] != ["assistant"],
        "an empty message": any(not _content(each) and not _has_tools(each) for each in messages),
    }
    return [what for what, is_so in checks.items() if is_so]


def _role(message: Json) -> str:
    return str(next((message[key] for key in ("role", "from", "speaker", "author") if message.get(key)), "?")).strip()


def _content(message: Json) -> Any:
    content = next((message[key] for key in ("content", "value", "text", "message") if message.get(key)), None)
    return content.strip() if isinstance(content, str) else content


def _has_tools(message: Json) -> bool:
    return any(message.get(key) for key in _TOOL_KEYS) or usual_roles([message]) == ["tool"]


def _example(found: Sequence[Sequence[Json]]) -> str:
    """One message as JSON: one with tools, else the assistant's, else the first that is not the system's."""
    messages = [message for each in found for message in each]

    def rank(message: Json) -> int:
        if any(message.get(key) for key in _TOOL_KEYS):
            return 0
        return {"assistant": 1, "system": 3}.get(usual_roles([message])[0], 2)

    best = min(messages, key=rank)
    short = {
        key: shortened(value, _EXAMPLE_CONTENT_CHARS) if isinstance(value, str) else value
        for key, value in best.items()
        if value not in (None, [], "")
    }
    return shortened(as_json(short), _EXAMPLE_CHARS)
