"""One session as a row of training data: session_id, model, timestamp, tags, messages, tools.

The same columns and types in all rows, as `datasets` wants them and as TRL trains on them (checked with datasets 5.2,
trl 1.16): `messages` as agent/sft/chat.py makes them, the arguments of calls and `tools` as JSON text, since their
shapes differ from row to row (TRL parses `tools` itself).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from agent.protocol.messages import utc_stamp
from agent.redaction.redactor import Redactor
from agent.sft.chat import chat_of, kept
from agent.sft.tagger import tag_session
from agent.traces.timeline import Happening, Said, Timeline

Row = dict[str, Any]

FORK = "fork"
"""The tag of a session that began as a copy of another one."""


def row_of(timeline: Timeline, tools: Sequence[dict[str, Any]], redactor: Redactor) -> Row | None:
    """The row of a session whose model had `tools`, redacted; None if the model never answered.

    `model` is the one that spoke last, `timestamp` when the session began (UTC). Raises `RedactionError`.
    """
    messages = chat_of(timeline, redactor)
    if not messages:
        return None
    return {
        "session_id": timeline.session_id,
        "model": redactor.text(_model(timeline)),
        "timestamp": utc_stamp(timeline.started),
        "tags": tags_of(timeline, redactor),
        "messages": messages,
        "tools": json.dumps(_redacted(list(tools), redactor), ensure_ascii=False, separators=(",", ":")),
    }


def tags_of(timeline: Timeline, redactor: Redactor) -> list[str]:
    """The tags of a session, sorted. Raises `RedactionError`."""
    tags = {redactor.text(tag) for tag in tag_session(_trajectory(timeline))}
    return sorted(tags | {FORK} if timeline.parent_session is not None else tags)


def _model(timeline: Timeline) -> str:
    models = [said.model for said in kept(timeline) if said.message.role == "assistant" and said.model]
    return models[-1] if models else timeline.model


def _redacted(value: Any, redactor: Redactor) -> Any:
    """Every text in `value` redacted. Not `Redactor.data`: a parameter that is called `secrets` is no secret."""
    if isinstance(value, str):
        return redactor.text(value)
    if isinstance(value, list):
        return [_redacted(item, redactor) for item in value]
    if isinstance(value, dict):
        return {redactor.text(key): _redacted(item, redactor) for key, item in value.items()}
    return value


# --- what tags are made from -----------------------------------------------------------------------------------------


def _trajectory(timeline: Timeline) -> dict[str, Any]:
    """As much of a snapshot as the tagger looks at. Unlike a snapshot it has what compaction has cut, and not what was
    taken back: as the row."""
    said = list(kept(timeline))
    messages = [each.message.to_wire() | {"origin": each.message.origin} for each in said]
    return {"model_name": _model(timeline), "messages": messages, "events": list(_events(timeline, said))}


def _events(timeline: Timeline, said: Sequence[Said]) -> Iterator[dict[str, Any]]:
    outputs = {each.message.tool_call_id: each.message.content for each in said if each.message.role == "tool"}
    for call in timeline.calls:
        yield {"event_type": "llm_call", "data": {"cost_usd": call.cost_usd}}
    for entry in timeline.entries:
        if not isinstance(entry, Happening) or entry.event_type == "undo_complete":
            continue
        if entry.after in timeline.taken_back:
            continue
        data = dict(entry.data)
        if entry.event_type == "tool_output":
            data.setdefault("output", outputs.get(data.get("tool_call_id")))
        yield {"event_type": entry.event_type, "data": data}
