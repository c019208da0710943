"""The form of a journal: one record per line.

| kind | data |
|---|---|
| `start` | id, parent, user, cwd, version, model, effort, cap_usd, headless, pid; agent: the tool of a sub-agent |
| `message` | see `dump_message` |
| `event` | event_type, data (without what a message holds) |
| `context` | reason, and `first_removed`: the id from which on history was taken back, or `messages`: the new history |
| `place` | git_branch, tools: the SHA-256 of the list that agent/sessions/tool_lists.py keeps |
| `model` | model, effort |
| `cap` | cap_usd |
| `title` | title, by: `person` or `auto` |
| `files` | {path: {size_bytes, sha256} or null} |
| `checkpoint` | of agent/sessions/checkpoints.py |
| `running` | calls: [{id, name}] |
| `resume` | cwd, version, pid |
| `gap` | records: how many are missing here, because the disk refused them for too long |
| `end` | turns |

A journal that was made of a session file of the retired ml-intern has `imported` in its `start` ({path, sha256}) and in
its `end` (true).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeGuard, get_args

from agent.light_dataclass import dataclass
from agent.protocol.messages import FunctionCall, Message, Role, ToolCall
from agent.redaction.cutting import beginning
from agent.sessions.errors import JournalFormatError

VERSION = 1
"""The journal format written here. Raise it only when older programs would misread new files: unknown kinds of records
and unknown fields are ignored by every version."""

TAKEN_BACK = frozenset({"undo", "rewind"})
"""Reasons of `context` records after which the plan made in the removed turns is void."""

TITLE_CHARS = 72

_ROLES = frozenset(get_args(Role))


@dataclass(frozen=True, slots=True)
class Record:
    """One line of a journal. `seq` counts from 1; `ts` is UTC, ISO 8601 with milliseconds and `Z`."""

    seq: int
    ts: str
    kind: str
    data: dict[str, Any]


def dump_record(record: Record) -> bytes:
    """`record` as a line of a journal, with its end."""
    whole = {"v": VERSION, "seq": record.seq, "ts": record.ts, "kind": record.kind, "data": record.data}
    return (json.dumps(whole, separators=(",", ":"), default=str) + "\n").encode("ascii")


def parse_record(line: bytes) -> Record | None:
    """The record in `line`, or None if it holds none. Raises `JournalFormatError` for one of a newer format."""
    try:
        raw = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(raw, dict):
        return None
    version = raw.get("v")
    if isinstance(version, int) and version > VERSION:
        raise JournalFormatError(version, VERSION)
    seq, ts, kind, data = raw.get("seq"), raw.get("ts"), raw.get("kind"), raw.get("data")
    if isinstance(seq, int) and isinstance(kind, str) and isinstance(data, dict) and _is_time(ts):
        return Record(seq, ts, kind, data)
    return None


def _is_time(ts: Any) -> TypeGuard[str]:
    try:
        return isinstance(ts, str) and ts.endswith("Z") and bool(datetime.fromisoformat(ts))
    except ValueError:
        return False


def dump_message(message: Message) -> dict[str, Any]:
    """`message` as JSON-ready data that `load_message` turns into an equal one."""
    data = message.model_dump() | {"created_at": message.created_at.isoformat()}
    if message.reasoning_content is not None:  # the wire form leaves empty text out
        data["reasoning_content"] = message.reasoning_content
    return data


def load_message(data: Mapping[str, Any]) -> Message:
    """The message in `data`. Raises `ValueError` if it is none."""
    try:
        message = Message(
            role=data["role"],
            content=data["content"],
            tool_calls=tuple(map(_load_call, data.get("tool_calls", ()))),
            tool_call_id=data.get("tool_call_id"),
            name=data.get("name"),
            thinking_blocks=tuple(data.get("thinking_blocks", ())),
            reasoning_content=data.get("reasoning_content"),
            origin=data["origin"],
            id=data["id"],
            created_at=datetime.fromisoformat(data["created_at"]),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a message: {error!r}") from error
    is_text = isinstance(message.content, str) or message.content is None
    if message.role not in _ROLES or not is_text or not isinstance(message.id, str):
        raise ValueError("not a message")
    return message


def _load_call(data: Mapping[str, Any]) -> ToolCall:
    function = data["function"]
    return ToolCall(data["id"], FunctionCall(function["name"], function["arguments"]))


def shortened(text: str) -> str:
    """`text` as a title: one line of at most `TITLE_CHARS` characters, with an ellipsis where it was cut."""
    return beginning(" ".join(text.split()), TITLE_CHARS)
