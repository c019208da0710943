"""The session file of the reference, `session_<id>_<YYYYmmdd_HHMMSS>.json`: made from a journal, and read.

Other programs read these files, and people have them from before. The keys are the reference's; what only we know is
under `ml_intern` and `cost_known`, which others pass over. All times are aware (defect 19).
"""

from __future__ import annotations

import hashlib
import json
import math
import stat
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from agent.light_dataclass import dataclass
from agent.protocol.messages import Message
from agent.redaction.redactor import Redactor
from agent.sessions import tool_lists
from agent.sessions.errors import SessionError
from agent.traces.legacy.messages import LegacyMessages, read_messages
from agent.traces.legacy.usage_metrics import summarize_usage_events
from agent.traces.saying import arguments_of, decodable, number, redacted_names
from agent.traces.timeline import Happening, ModelCall, Said, Timeline, read_timeline

MOST_BYTES = 256 << 20
"""Larger files are not read: in memory they take ten times as much."""

_DEEPEST = 100


class SnapshotError(SessionError):
    """A session file of the reference that cannot be read; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A session file that was read. `data` is the object, with valid text and finite numbers only, and lists of objects
    under `events` and `tools`; `messages` what could be read of its messages; `sha256` that of the file."""

    path: Path
    data: Mapping[str, Any]
    messages: LegacyMessages
    sha256: str

    def text(self, key: str) -> str:
        """The text under `key`, empty if there is none."""
        return _text(self.data, key)

    @property
    def own(self) -> Mapping[str, Any]:
        """What our own files say besides."""
        own = self.data.get("ml_intern")
        return own if isinstance(own, dict) else {}


def _text(data: Mapping[str, Any], key: str) -> str:
    value = data.get(key)
    return value if isinstance(value, str) else ""


# --- from a journal --------------------------------------------------------------------------------------------------


def trajectory(path: Path, state_dir: Path, redactor: Redactor) -> dict[str, Any]:
    """The object for the journal at `path`, redacted. Blocks.

    `messages` are what the model is shown now; `total_cost_usd` is the sum of the known costs of model calls, and
    `cost_known` whether all of them are. Raises `JournalError` and `RedactionError`.
    """
    timeline, name = read_timeline(path), redacted_names(redactor)
    events = redactor.data(list(_events(timeline)))
    cost_usd = math.fsum(number(call.cost_usd) for call in timeline.calls)
    messages = _messages(timeline)
    tools = tool_lists.load(state_dir, timeline.tools) if timeline.tools else None
    last = max(timeline.links, key=lambda link: link.seq, default=None)
    return {
        "session_id": timeline.session_id,
        "user_id": timeline.user and name(timeline.user),
        "hf_username": timeline.user and name(timeline.user),
        "session_start_time": timeline.started.isoformat(),
        "session_end_time": timeline.last_used.isoformat(),
        "last_save_time": timeline.last_used.isoformat(),
        "model_name": name(timeline.model),
        "total_cost_usd": round(cost_usd, 10),
        "cost_known": all(call.cost_known for call in timeline.calls),
        "usage_metrics": summarize_usage_events(events, session_id=timeline.session_id),
        "messages": redactor.data([wire for wire, _ in messages]),
        "events": events,
        "tools": redactor.data(tools or []),
        "upload_status": "pending",
        "upload_url": None,
        "ml_intern": {
            "version": name(last.version) if last else None,
            "cwd": name(last.cwd) if last else None,
            "git_branch": name(last.git_branch) if last and last.git_branch else None,
            "effort": timeline.effort and name(timeline.effort),
            "parent": timeline.parent_session and name(timeline.parent_session),
            "title": redactor.text(timeline.title),
            "messages": redactor.data([note for _, note in messages]),
        },
    }


def _messages(timeline: Timeline) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Each message as a provider reads it, and what we know of it besides."""
    pairs: list[tuple[dict[str, Any], dict[str, Any]]] = []
    if timeline.system_prompt:
        pairs.append(({"role": "system", "content": timeline.system_prompt}, {}))
    pairs += ((message.to_wire(replay_thinking=True), _note(message)) for message in timeline.messages)
    return pairs


def _note(message: Message) -> dict[str, Any]:
    return {"id": message.id, "origin": message.origin, "time": message.created_at.isoformat()}


def _events(timeline: Timeline) -> Iterator[dict[str, Any]]:
    """All events in order, with what the journal keeps in messages only."""
    arguments: dict[str, dict[str, Any]] = {}
    outputs: dict[str | None, str | None] = {}
    for entry in timeline.links:
        if isinstance(entry, Said):
            arguments |= {call.id: arguments_of(call.function.arguments) for call in entry.message.tool_calls}
            if entry.message.role == "tool":
                outputs[entry.message.tool_call_id] = entry.message.content
    happened: list[Happening | ModelCall | Said] = [*timeline.calls]
    happened += (entry for entry in timeline.entries if isinstance(entry, (Happening, Said)))
    answer: str | None = None
    for item in sorted(happened, key=lambda item: item.seq):
        if isinstance(item, Said):
            answer = item.message.content if item.message.role == "assistant" else answer
            continue
        if isinstance(item, ModelCall):
            yield _event(item.time, "llm_call", _llm_call(item))
            continue
        data = dict(item.data)
        match item.event_type:
            case "tool_call":
                data["arguments"] = arguments.get(data.get("tool_call_id", ""), data.get("arguments", {}))
            case "tool_output":
                data["output"] = outputs.get(data.get("tool_call_id"), data.get("output", ""))
            case "approval_required":
                data["tools"] = [_approval(asked, arguments) for asked in data.get("tools") or ()]
            case "assistant_message":
                data["content"] = answer
            case "turn_complete":
                data["final_response"] = answer
        yield _event(item.time, item.event_type, data)


def _approval(asked: Any, arguments: Mapping[str, dict[str, Any]]) -> Any:
    if not isinstance(asked, dict):
        return asked
    return {"arguments": arguments.get(str(asked.get("tool_call_id")), {}), **asked}


def _event(time: datetime, event_type: str, data: dict[str, Any]) -> dict[str, Any]:
    return {"timestamp": time.isoformat(), "event_type": event_type, "data": data}


def _llm_call(call: ModelCall) -> dict[str, Any]:
    return {
        "model": call.model,
        "kind": call.kind,
        "latency_ms": call.latency_ms,
        "finish_reason": call.finish_reason,
        "cost_usd": call.cost_usd,
        "cost_known": call.cost_known,
        "charged_usd": call.charged_usd,
        "prompt_tokens": call.prompt_tokens,
        "completion_tokens": call.completion_tokens,
        "total_tokens": call.prompt_tokens + call.completion_tokens,
        "cache_read_tokens": call.cache_read_tokens,
        "cache_creation_tokens": call.cache_creation_tokens,
        "reasoning_tokens": call.reasoning_tokens,
    }


# --- files -----------------------------------------------------------------------------------------------------------


def as_text(data: Mapping[str, Any]) -> str:
    """`data` as the text of a session file: ASCII, no NaN, whatever stands in it."""
    return json.dumps(_cleaned(data), indent=2, allow_nan=False) + "\n"


def read(path: Path) -> Snapshot:
    """The session file at `path`, which is never changed. Blocks.

    Messages that make no sense are left out and counted. Raises `SnapshotError`.
    """
    content = _content(path)
    try:
        data = _cleaned(json.loads(content, parse_constant=lambda _: None))
    except RecursionError as error:
        raise SnapshotError(f"{path} cannot be read: it is nested too deeply to be a session") from error
    except ValueError as error:
        raise SnapshotError(f"{path} is no JSON file ({error}); it may have been cut off: look for a copy") from error
    raw = data.get("messages") if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(raw, list):
        raise SnapshotError(f"{path} holds no list of messages, so it is no session; give a session_….json file")
    for name in ("events", "tools"):
        items = data.get(name)
        data[name] = [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
    own = data.get("ml_intern")
    notes = own.get("messages") if isinstance(own, dict) else None
    messages = read_messages(raw, _text(data, "session_id"), notes if isinstance(notes, list) else ())
    if all(legacy.message.role == "system" for legacy in messages.said):
        raise SnapshotError(f"nothing was said in {path}, as far as it can be read; there is nothing to go on with")
    return Snapshot(path, data, messages, hashlib.sha256(content).hexdigest())


def _content(path: Path) -> bytes:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise SnapshotError(f"{path} is not a file; give a session_….json file")
        if status.st_size > MOST_BYTES:
            limit = f"{MOST_BYTES >> 20} MiB"
            raise SnapshotError(f"{path} has more than {limit}; a copy without its events may be small enough")
        return path.read_bytes()
    except OSError as error:
        raise SnapshotError(f"{path} cannot be read ({error.strerror or error})") from error


def _cleaned(value: Any, depth: int = 0) -> Any:
    """`value` with text that can be written as UTF-8 and numbers that JSON has; what lies very deep becomes null."""
    if isinstance(value, str):
        return decodable(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if depth > _DEEPEST:
        return None
    if isinstance(value, Mapping):
        return {decodable(str(key)): _cleaned(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_cleaned(item, depth + 1) for item in value]
    return value
