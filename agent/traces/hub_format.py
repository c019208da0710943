"""A session in the format that the Hub documents for session traces: a head, then one line for each message.

That format is a plain sequence: it has the conversation as the person sees it now, with all that was compacted away,
and without what was taken back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from agent.protocol.messages import Message
from agent.redaction.redactor import Redactor
from agent.traces.claude_code import PROGRAM, title
from agent.traces.saying import compact_json, redacted_arguments, redacted_names, thoughts
from agent.traces.timeline import Said, Timeline

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def lines(timeline: Timeline, redactor: Redactor) -> Iterator[str]:
    """The trace of `timeline`, a line at a time and without line ends. Secrets are replaced in every text of it.

    Raises `RedactionError`.
    """
    name_of = redacted_names(redactor)
    head: dict[str, Any] = {"type": "session", "harness": PROGRAM, "id": name_of(timeline.session_id)}
    if name := title(timeline, redactor):
        head["name"] = name
    yield compact_json(head)
    said = [each for each in timeline.links if isinstance(each, Said) and each.id not in timeline.taken_back]
    for entry in said:
        yield compact_json({"type": "message", "message": _message(entry, redactor, name_of)})
    if not said:
        yield compact_json({"type": "message", "message": _nothing_said(timeline)})


def _message(said: Said, redactor: Redactor, name_of: Callable[[str], str]) -> dict[str, Any]:
    message = said.message
    shown: dict[str, Any] = {"role": _role(message), "content": redactor.text(message.content or "")}
    if thought := [redactor.text(text) for text, _ in thoughts(message)]:
        shown["reasoningContent"] = "\n\n".join(thought)
    if message.tool_calls:
        shown["toolCalls"] = [
            {
                "id": name_of(call.id),
                "name": name_of(call.function.name),
                "arguments": redacted_arguments(call.function, redactor),
            }
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        shown["toolCallId"] = name_of(message.tool_call_id)
    shown["timestamp"] = _milliseconds(said.time)
    if message.role == "assistant":
        shown["model"] = name_of((said.call.model if said.call else "") or said.model)
    return shown


def _nothing_said(timeline: Timeline) -> dict[str, Any]:
    """`datasets` 5.2 fails at a trace without a message."""
    text = "All that was said in this session has been taken back." if timeline.taken_back else "Nothing was said."
    return {"role": "system", "content": text, "timestamp": _milliseconds(timeline.last_used)}


def _milliseconds(time: datetime) -> int:
    return (time - _EPOCH) // timedelta(milliseconds=1)


def _role(message: Message) -> str:
    """What we wrote in the person's place is the system's there: the format has no other way to tell it apart."""
    return "system" if message.is_synthetic and message.role == "user" else message.role
