"""Messages of a session file of the reference (OpenAI chat form) as our own.

Facts: a message has role, content (text, blocks or null), tool_calls, tool_call_id, name and what its provider called
its reasoning; some files give it a `timestamp`. What cannot be read is counted and left out.
"""

from __future__ import annotations

import json
import re
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import field
from datetime import UTC, datetime
from typing import Any, get_args

from agent.light_dataclass import dataclass
from agent.protocol.messages import FunctionCall, Message, Origin, Role, ToolCall

_UNKNOWN_TIME = datetime.fromtimestamp(0, UTC)
_NAMESPACE = uuid.UUID("6d6c2d69-6e74-4572-8e00-73657373696f")
_OWN_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TOOL_NAME_CHARS = 64
_NO_TOOL_NAME = re.compile(r"[^A-Za-z0-9_-]")
"""What providers refuse in the name of a tool: one such call in the history, and they refuse every later request."""
_CALL_ID_CHARS = 200
_GUARD = "[SYSTEM:"
"""How the notes begin that the reference's guards put into the history as if the person had written them."""
_ORIGINS: Mapping[str, Origin] = {"user": "person", "assistant": "model", "tool": "tool", "system": "system"}


@dataclass(frozen=True, slots=True)
class LegacyMessage:
    """A message, and when it was said if the file tells; `message.created_at` means nothing yet."""

    message: Message
    time: datetime | None


@dataclass(slots=True)
class LegacyMessages:
    """All that could be read. `dropped` counts the rest; `call_ids` has our ids of the calls that the file knows by one
    id, in order: providers that count from 0 in each answer use the same ids again."""

    said: list[LegacyMessage] = field(default_factory=list)
    dropped: int = 0
    call_ids: dict[str, list[str]] = field(default_factory=dict)


def aware_time(value: Any) -> datetime | None:
    """The time in `value`, ISO 8601; one without an offset is local time, as the reference writes it. None: no time."""
    if not isinstance(value, str):
        return None
    try:
        return datetime.fromisoformat(value).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None


def read_messages(raw: Sequence[Any], session_id: str, notes: Sequence[Any] = ()) -> LegacyMessages:
    """The messages in `raw`. Ids come from what a message says, so that a file gives the same ones each time.

    `notes` is what our own files (agent/traces/legacy/snapshot.py) say of each message besides: id, origin, time.
    """
    return _Reader(session_id).read(raw, notes if len(notes) == len(raw) else [None] * len(raw))


class _Reader:
    def __init__(self, session_id: str) -> None:
        self._session_id = session_id
        self._found = LegacyMessages()
        self._open: dict[str, ToolCall] = {}
        self._ids: set[str] = set()
        self._call_ids: set[str] = set()
        self._seen: Counter[str] = Counter()

    def read(self, raw: Sequence[Any], notes: Sequence[Any]) -> LegacyMessages:
        for item, note in zip(raw, notes, strict=True):
            try:
                self._add(item, note if isinstance(note, dict) else {})
            except (KeyError, TypeError, ValueError):
                self._found.dropped += 1
        return self._found

    def _add(self, item: Mapping[str, Any], note: Mapping[str, Any]) -> None:
        role: Role = item["role"]
        if role not in _ORIGINS:
            raise ValueError("no role")
        content = text_of(item.get("content"))
        calls = self._calls(item.get("tool_calls")) if role == "assistant" else ()
        if not content and not calls and role != "tool":
            raise ValueError("nothing was said")
        call = self._open.pop(_call_id(item), None) if role == "tool" else None
        if role == "tool" and call is None:
            raise ValueError("a result without a call")
        message = Message(
            role=role,
            content=(content or "") if role == "tool" else content,
            tool_calls=calls,
            tool_call_id=call.id if call else None,
            name=call.function.name if call else None,
            thinking_blocks=_thinking(item.get("thinking_blocks")) if role == "assistant" else (),
            reasoning_content=_reasoning(item) if role == "assistant" else None,
            origin=_origin(role, content or "", note.get("origin")),
            id=self._id(item, note.get("id")),
            created_at=_UNKNOWN_TIME,
        )
        time = aware_time(note.get("time")) or aware_time(item.get("timestamp"))
        self._found.said.append(LegacyMessage(message, time))

    def _id(self, item: Mapping[str, Any], own: Any) -> str:
        if isinstance(own, str) and _OWN_ID.fullmatch(own) and own not in self._ids:
            self._ids.add(own)
            return own
        said = json.dumps(item, sort_keys=True)
        self._seen[said] += 1
        found = uuid.uuid5(_NAMESPACE, f"{self._session_id}\n{self._seen[said]}\n{said}").hex
        self._ids.add(found)
        return found

    def _calls(self, raw: Any) -> tuple[ToolCall, ...]:
        calls = []
        for item in raw if isinstance(raw, list) else ():
            function = item.get("function") if isinstance(item, dict) else None
            name = function.get("name") if isinstance(function, dict) else None
            if not isinstance(function, dict) or not isinstance(name, str) or not name:
                self._found.dropped += 1
                continue
            their_id = item.get("id")
            their_id = their_id if isinstance(their_id, str) and 0 < len(their_id) <= _CALL_ID_CHARS else "call"
            short = _NO_TOOL_NAME.sub("_", name)[:_TOOL_NAME_CHARS]
            call = ToolCall(self._new_call_id(their_id), FunctionCall(short, _arguments(function.get("arguments"))))
            self._open[their_id] = call
            self._found.call_ids.setdefault(their_id, []).append(call.id)
            calls.append(call)
        return tuple(calls)

    def _new_call_id(self, their_id: str) -> str:
        call_id, number = their_id, 1
        while call_id in self._call_ids:
            number += 1
            call_id = f"{their_id}-{number}"
        self._call_ids.add(call_id)
        return call_id


def text_of(content: Any) -> str | None:
    """Content as text: blocks are joined by line ends, those that are no text come as JSON. Raises ValueError."""
    if content is None or isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(map(_block_text, content))
    raise ValueError("not a content")


def _block_text(block: Any) -> str:
    if isinstance(block, str):
        return block
    text = block.get("text") if isinstance(block, dict) else None
    return text if isinstance(text, str) else json.dumps(block)


def _call_id(item: Mapping[str, Any]) -> str:
    call_id = item.get("tool_call_id")
    return call_id if isinstance(call_id, str) else "call"


def _arguments(value: Any) -> str:
    """The arguments of a call as the text of a JSON object; what is none comes under `_raw`."""
    if isinstance(value, dict):
        return json.dumps(value)
    if value is None or value == "":
        return "{}"
    try:
        if isinstance(value, str) and isinstance(json.loads(value), dict):
            return value
    except (ValueError, RecursionError):
        pass
    return json.dumps({"_raw": value})


def _thinking(value: Any) -> tuple[dict[str, Any], ...]:
    """Signed blocks as they are; none at all if one was redacted: its signature is not good any more, and a provider
    refuses the whole history for it."""
    blocks = [block for block in value if isinstance(block, dict)] if isinstance(value, list) else []
    was_redacted = any("[REDACTED" in json.dumps(block) for block in blocks)
    return () if was_redacted else tuple(blocks)


def _reasoning(item: Mapping[str, Any]) -> str | None:
    found = (item.get(key) for key in ("reasoning_content", "reasoning"))
    return next((value for value in found if isinstance(value, str) and value), None)


def _origin(role: str, content: str, own: Any) -> Origin:
    if own in get_args(Origin):
        known: Origin = own
        return known
    if role == "user" and content.startswith(_GUARD):
        return "guard"
    return _ORIGINS[role]
