"""What history is made of: our own `Message` and `ToolCall`.

Duck-compatible with `litellm.Message` (`role`, `content`, `tool_calls[i].function.name`, `.get()`, `.model_dump()`),
so that code written for one reads the other, but plain, frozen and cheap. They are turned into provider dictionaries in
one place only: `Message.to_wire`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import field
from datetime import UTC, datetime
from typing import Any, Literal

from agent.light_dataclass import dataclass
from agent.protocol.wire import WireObject

Role = Literal["system", "user", "assistant", "tool"]

Origin = Literal["person", "steering", "model", "tool", "guard", "repair", "summary", "shell", "system"]
"""Who wrote a message. `person` begins a turn, `steering` is what the person added while it ran. `guard`, `repair` and
`summary` are ours: undo and titles must not take them for the person. So is `shell`, which tells of a command that the
person ran: it belongs to the turn that it follows, is undone with it, and compaction may summarise it."""

SYNTHETIC_ORIGINS: frozenset[Origin] = frozenset({"guard", "repair", "summary", "shell"})


def valid_text(text: str) -> str:
    """`text` with lone surrogates replaced: they cannot be sent as UTF-8 and would break every later request."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """The function part of a tool call. `arguments` is JSON text, always an object once it is in history."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One tool call of an assistant message. `id` is unique within the session."""

    id: str
    function: FunctionCall
    type: Literal["function"] = "function"

    def to_wire(self) -> dict[str, Any]:
        """The OpenAI chat form of this call."""
        return {
            "id": self.id,
            "type": self.type,
            "function": {"name": self.function.name, "arguments": self.function.arguments},
        }


def new_id() -> str:
    """A fresh random id (32 hex digits)."""
    return os.urandom(16).hex()


def utc_now() -> datetime:
    """The current time, aware, in UTC."""
    return datetime.now(UTC)


def utc_stamp(time: datetime) -> str:
    """`time`, which is aware, as ISO 8601 in UTC with milliseconds and `Z`."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the conversation, as it stays in history.

    `thinking_blocks` are Anthropic's signed blocks, kept verbatim because the provider refuses a tool follow-up without
    them; `reasoning_content` is plain reasoning text of other providers. Both are sent back only where asked for.
    """

    role: Role
    content: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None
    thinking_blocks: tuple[dict[str, Any], ...] = ()
    reasoning_content: str | None = None
    origin: Origin = "person"
    id: str = field(default_factory=new_id)
    created_at: datetime = field(default_factory=utc_now)

    @property
    def is_synthetic(self) -> bool:
        """True for messages written by us, not by the person, the model or a tool."""
        return self.origin in SYNTHETIC_ORIGINS

    @property
    def begins_turn(self) -> bool:
        """True for the message of the person that a turn answers."""
        return self.role == "user" and self.origin == "person"

    def to_wire(self, *, replay_thinking: bool = False) -> WireObject:
        """The OpenAI chat form sent to a provider: a fresh one.

        `replay_thinking` adds signed thinking blocks and reasoning text (Anthropic and Bedrock Claude need them; strict
        OpenAI-style servers answer 400 to them).
        """
        wire = WireObject(role=self.role, content=self.content)
        if self.tool_calls:
            wire["tool_calls"] = [call.to_wire() for call in self.tool_calls]
        if self.tool_call_id is not None:
            wire["tool_call_id"] = self.tool_call_id
        if self.name is not None:
            wire["name"] = self.name
        if replay_thinking and self.thinking_blocks:
            wire["thinking_blocks"] = [dict(block) for block in self.thinking_blocks]
        if replay_thinking and self.reasoning_content:
            wire["reasoning_content"] = self.reasoning_content
        return wire

    def model_dump(self, **_: Any) -> dict[str, Any]:
        """Everything a reader of a saved session needs, as JSON-ready data."""
        return self.to_wire(replay_thinking=True) | {
            "id": self.id,
            "origin": self.origin,
            "created_at": self.created_at.isoformat(timespec="milliseconds"),
        }

    def get(self, key: str, default: Any = None) -> Any:
        """Attribute access in dictionary form, as on `litellm.Message`."""
        return getattr(self, key, default)


def user_message(text: str, origin: Origin = "person") -> Message:
    """A user message; `origin` tells the person's own words from ours."""
    return Message(role="user", content=text, origin=origin)


def assistant_message(text: str | None, tool_calls: tuple[ToolCall, ...] = (), **extra: Any) -> Message:
    """An assistant message from the model. `extra` goes to `Message` (thinking blocks, reasoning)."""
    return Message(role="assistant", content=text, tool_calls=tool_calls, origin="model", **extra)


def tool_message(call: ToolCall, text: str, origin: Origin = "tool") -> Message:
    """The result of `call`, as the model will read it."""
    return Message(role="tool", content=text, tool_call_id=call.id, name=call.function.name, origin=origin)


def place_of_result(messages: Sequence[Message], call_id: str | None) -> int:
    """Index for the result of `call_id`: behind the message with the call, among its results in call order."""
    for start in range(len(messages) - 1, -1, -1):
        order = [call.id for call in messages[start].tool_calls]
        if call_id in order:
            break
    else:
        return len(messages)
    rank, place = order.index(call_id), start + 1
    while place < len(messages) and messages[place].role == "tool":
        earlier = messages[place].tool_call_id
        if earlier in order and order.index(earlier) > rank:
            break
        place += 1
    return place
