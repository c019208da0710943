"""Kept sessions as text and JSON. What comes from a session cannot move the cursor."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from agent.protocol.messages import Message, ToolCall
from agent.protocol.money import format_usd
from agent.sessions.index import SessionInfo
from agent.sessions.reader import read_records
from agent.sessions.records import dump_message
from agent.sessions.restore import RestoredSession
from agent.traces.saying import arguments_of
from agent.ui.sanitize import clip, visible
from agent.ui.tool_lines import call_summary, counted, tool_title

WIDTH = 80

# --- text ------------------------------------------------------------------------------------------------------------


def list_text(sessions: Sequence[SessionInfo], *, numbered: bool = False, with_cwd: bool = False) -> str:
    """One line for each session, `with_cwd` another that says where it ran; at most 80 columns."""
    lines = [f"{'  #  ' if numbered else ''}{'last used':<16}  {'id':<8}  turns  title"]
    for number, info in enumerate(sessions, 1):
        place = f"{number:>3}  " if numbered else ""
        head = f"{place}{_minute(info.last_used)}  {clip(info.id[:8], 8):<8}  {info.turns:>5}  "
        title = f"(running) {info.title}" if info.is_running else info.title
        lines.append(head + clip(title, WIDTH - len(head)))
        if with_cwd:
            lines.append("  " + clip(info.cwd, WIDTH - 2))
    return "\n".join(lines)


def head_text(info: SessionInfo, restored: RestoredSession) -> str:
    """The facts of a session, one a line."""
    files = files_changed(restored)
    facts = {
        "title": info.title,
        "id": info.id,
        "forked from": info.parent,
        "state": "running" if info.is_running else "closed" if restored.ended else "was cut off",
        "model": info.model,
        "effort": restored.reasoning_effort,
        "directory": info.cwd,
        "started": _minute(info.started),
        "last used": _minute(info.last_used),
        "turns": str(info.turns),
        "cost": _cost(info),
        "files changed": ", ".join(files) if files else None,
        "unreadable": counted(restored.dropped, "record") if restored.dropped else None,
        "file": str(info.path),
    }
    return "\n".join(f"{name + ':':<15}{visible(value, keep_newlines=False)}" for name, value in facts.items() if value)


def conversation_text(restored: RestoredSession) -> str:
    """What was said: prompts and answers in full, tool calls in one line each."""
    return "\n\n".join(_said(message) for message in _spoken(restored))


def _said(message: Message) -> str:
    text = visible((message.content or "").strip())
    if message.role == "user":
        return "\n".join(f"> {line}".rstrip() for line in text.split("\n"))
    calls = [f"  * {_call_line(call, WIDTH - 4)}" for call in message.tool_calls]
    return "\n".join([text, *calls] if text else calls)


def _call_line(call: ToolCall, width: int) -> str:
    name = clip(tool_title(call.function.name), width)
    arguments = arguments_of(call.function.arguments)
    return f"{name} {call_summary(call.function.name, arguments, max(0, width - len(name) - 1))}".rstrip()


def _spoken(restored: RestoredSession) -> Iterator[Message]:
    """The messages of the person and of the model that say something."""
    for message in restored.transcript:
        says_something = (message.content or "").strip() or message.tool_calls
        if message.role in {"user", "assistant"} and not message.is_synthetic and says_something:
            yield message


def files_changed(restored: RestoredSession) -> list[str]:
    """The files that its turns have changed, but for those taken back, as far as the checkpoints tell."""
    turns = {mark.id for mark in restored.turns} | {None}
    kept = [data for data in restored.checkpoints if data.get("turn_id") in turns]
    return list(dict.fromkeys(path for data in kept for path in data.get("paths") or () if isinstance(path, str)))


def _minute(time: datetime) -> str:
    return f"{time.astimezone():%Y-%m-%d %H:%M}"


def _cost(info: SessionInfo) -> str:
    return format_usd(info.cost_usd) + ("" if info.cost_known else " at most (some prices are unknown)")


# --- JSON ------------------------------------------------------------------------------------------------------------


def as_json(value: Any) -> str:
    """`value` as indented JSON in ASCII: harmless on a terminal."""
    return json.dumps(value, indent=2)


def session_json(info: SessionInfo, restored: RestoredSession | None = None) -> dict[str, Any]:
    """The facts of a session; those that only its journal knows come with `restored`."""
    facts = asdict(info) | {
        "path": str(info.path),
        "started": info.started.isoformat(),
        "last_used": info.last_used.isoformat(),
    }
    if restored is not None:
        facts |= {"reasoning_effort": restored.reasoning_effort, "files_changed": files_changed(restored)}
    return facts


def messages_json(restored: RestoredSession) -> list[dict[str, Any]]:
    """Everything said, system prompts left out."""
    return [dump_message(message) for message in restored.transcript]


def events_json(path: Path, restored: RestoredSession) -> list[dict[str, Any]]:
    """The events of the journal at `path`, with the arguments and outputs that it holds in messages."""
    calls = (call for message in restored.transcript for call in message.tool_calls)
    arguments = {call.id: arguments_of(call.function.arguments) for call in calls}
    outputs = {message.tool_call_id: message.content for message in restored.transcript if message.role == "tool"}
    held: dict[str, tuple[str, Mapping[Any, Any]]] = {
        "tool_call": ("arguments", arguments),
        "tool_output": ("output", outputs),
    }
    events = []
    for record in read_records(path):
        if record.kind != "event":
            continue
        event_type, data = record.data.get("event_type"), record.data.get("data") or {}
        if event_type in held:
            name, values = held[event_type]
            data |= {name: values.get(data.get("tool_call_id"))}
        for item in data.get("tools") or () if event_type == "approval_required" else ():
            item["arguments"] = arguments.get(item.get("tool_call_id"))
        events.append({"seq": record.seq, "timestamp": record.ts, "event_type": event_type, "data": data})
    return events
