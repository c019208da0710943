"""A session as a Claude Code trace: JSON lines that the tools made for those traces read.

What those tools need was found by trying them (ccusage 17, 18 and 20, claude-code-log, claude-agent-sdk, datasets):
compact ASCII JSON, UTC stamps with exactly three decimals, a version of three numbers, an unbroken chain of parents,
and uuids that never change. Lines of a type that they do not know are ignored by all of them: ours begin with
`x-ml-intern-`, and have neither a uuid nor a key `usage`, but for the lines of what was taken back.

Nothing is left out. What an undo took back stays as a branch that is no longer gone on with: its lines are of the type
`x-ml-intern-taken-back` (`was` has the former one), so that readers show nothing of it and join it to nothing. What it
cost stays `usage`: ccusage takes that wherever it is. Messages that we wrote in the person's place are marked `isMeta`:
readers do not take them for prompts.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field
from datetime import datetime
from typing import Any, Final

from agent.light_dataclass import dataclass
from agent.protocol.messages import utc_stamp
from agent.redaction.redactor import Redactor
from agent.traces.saying import compact_json, redacted_arguments, redacted_names, thoughts
from agent.traces.timeline import Compaction, Happening, Link, ModelCall, Said, Timeline

PROGRAM: Final = "ml-intern"
TAKEN_BACK: Final = "x-ml-intern-taken-back"
"""The type of lines that are no part of the conversation any more."""

_NAMESPACE: Final = uuid.UUID("5b0c9c0e-6d0f-4b5e-9d53-2f3f6c1f7a41")
"""Of all uuids here. With another one, traces that were uploaded already would be read as other messages."""

_THE_PERSONS: Final = frozenset({"person", "steering"})

_STOP_REASONS: Final[Mapping[str, str]] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
} | {word: word for word in ("end_turn", "max_tokens", "tool_use", "stop_sequence", "refusal")}

_TURN_ENDS: Final = frozenset({"turn_complete", "error", "interrupted"})


def lines(timeline: Timeline, redactor: Redactor) -> Iterator[str]:
    """The trace of `timeline`, a line at a time and without line ends. Secrets are replaced in every text of it: only
    uuids, stamps and the hash of its tools are as they are.

    Raises `RedactionError`.
    """
    return map(compact_json, _Trace(timeline, redactor, redacted_names(redactor)).lines())


def is_trace(timeline: Timeline) -> bool:
    """Whether readers would know the lines as a trace: the model has said something that was not taken back."""
    said = (entry for entry in timeline.links if isinstance(entry, Said) and entry.id not in timeline.taken_back)
    return any(entry.message.role == "assistant" for entry in said)


def line_uuid(name: str) -> str:
    """The uuid of the line of the message with the id `name`: the same in every export, and in every fork."""
    return str(uuid.uuid5(_NAMESPACE, name))


def title(timeline: Timeline, redactor: Redactor) -> str:
    """What the session is called, redacted: the title it was given, else how its first prompt begins."""
    return redactor.text(timeline.title)


@dataclass(slots=True)
class _Trace:
    """A trace while it is written."""

    timeline: Timeline
    redactor: Redactor
    name: Callable[[str], str]
    """Redacts what is on many lines: directories, models, tools, ids of calls."""
    links: dict[str, Link] = field(default_factory=dict)
    ends: dict[str, str] = field(default_factory=dict)
    """The uuid that goes on from a message or compaction: that of the last line which tells of it."""
    is_turn_open: bool = False

    @property
    def session_id(self) -> str:
        """As the name of a file: those of sub-agents have a slash, and the id of a call."""
        return re.sub(r"[^A-Za-z0-9_-]", "_", self.name(self.timeline.session_id))

    def named(self, text: str | None) -> str | None:
        """`text` redacted, if there is any."""
        return None if text is None else self.name(text)

    def lines(self) -> Iterator[dict[str, Any]]:
        """All lines."""
        self.links = {entry.id: entry for entry in self.timeline.links}
        yield from self.head()
        compacted = {
            entry.after: entry.data
            for entry in self.timeline.entries
            if isinstance(entry, Happening) and entry.event_type == "compacted"
        }
        for entry in sorted([*self.timeline.entries, *self.timeline.other_calls], key=lambda entry: entry.seq):
            match entry:
                case Said():
                    yield self.placed(entry.id, self.said(entry))
                case Compaction():
                    lines = self.compaction(entry, compacted.get(entry.id, {}))
                    yield from (self.placed(entry.id, line) for line in lines)
                case Happening():
                    yield from (self.placed(entry.after, line) for line in self.happening(entry))
                case ModelCall():
                    yield self.call(entry)

    def placed(self, link: str | None, line: dict[str, Any]) -> dict[str, Any]:
        """`line`, which tells of the message or compaction `link`, as readers are to take it."""
        if link not in self.timeline.taken_back:
            return line
        return {"type": TAKEN_BACK, "was": line["type"]} | {key: line[key] for key in line if key != "type"}

    # --- about the session ------------------------------------------------------------------------------------------

    def head(self) -> Iterator[dict[str, Any]]:
        """What the session is."""
        timeline, name = self.timeline, title(self.timeline, self.redactor)
        yield {
            "type": "x-ml-intern-session",
            "sessionId": self.session_id,
            "timestamp": utc_stamp(timeline.started),
            "program": PROGRAM,
            "version": self.name(next((entry.version for entry in timeline.links), "")),
            "title": name,
            "model": self.name(timeline.model),
            "effort": self.named(timeline.effort),
            "parentSession": self.named(timeline.parent_session),
            "agent": self.named(timeline.agent),
            "tools": timeline.tools,
        }
        if name and timeline.leaf is not None:  # else there is nothing for a reader to list
            yield {"type": "ai-title", "aiTitle": name, "sessionId": self.session_id}

    def call(self, call: ModelCall) -> dict[str, Any]:
        """A model call that no message answers. Its tokens are not called `usage`: ccusage looks for that word."""
        return {
            "type": "x-ml-intern-call",
            "sessionId": self.session_id,
            "timestamp": utc_stamp(call.time),
            "kind": self.name(call.kind),
            "model": self.name(call.model),
            "finishReason": self.named(call.finish_reason),
            "latencyMs": call.latency_ms,
            "tokens": _usage(call),
            "costUSD": call.cost_usd if call.cost_known else None,
            "chargedUSD": call.charged_usd,
        }

    # --- the conversation -------------------------------------------------------------------------------------------

    def frame(self, link: Link, name: str, parent: str | None, time: datetime) -> dict[str, Any]:
        """What every line has. `parent` is the message or compaction that it comes after."""
        return {
            "uuid": line_uuid(name),
            "parentUuid": None if parent is None else self.ends.get(parent),
            "sessionId": self.session_id,
            "timestamp": utc_stamp(time),
            "isSidechain": False,
            "userType": "external",
            "cwd": self.name(link.cwd),
            "version": _version(self.name(link.version)),
            "gitBranch": self.name(link.git_branch or ""),
        }

    def said(self, said: Said) -> dict[str, Any]:
        """The line of a message."""
        frame = self.frame(said, said.id, said.parent, said.time)
        self.ends[said.id] = frame["uuid"]
        message = said.message
        if message.role == "assistant":
            return {"type": "assistant", **self.answer(said), **frame}
        if message.role == "tool":
            return {"type": "user", "message": {"role": "user", "content": [self.result(said)]}, **frame}
        line = {"type": "user", "message": {"role": "user", "content": self.redactor.text(message.content or "")}}
        if message.origin not in _THE_PERSONS:
            frame["isMeta"] = True
        if message.origin == "summary":
            frame |= _SUMMARY_MARKS
        return line | frame

    def answer(self, said: Said) -> dict[str, Any]:
        """What the line of a model's message has besides. Without usage where the call is not this session's: a fork
        would be counted twice."""
        call, message = said.call, said.message
        content: list[dict[str, Any]] = [self.thought(*thought) for thought in thoughts(message)]
        if message.content or not (content or message.tool_calls):
            content.append({"type": "text", "text": self.redactor.text(message.content or "")})
        content += [
            {
                "type": "tool_use",
                "id": self.name(tool_call.id),
                "name": self.name(tool_call.function.name),
                "input": redacted_arguments(tool_call.function, self.redactor),
            }
            for tool_call in message.tool_calls
        ]
        name = line_uuid(f"{said.id}/call").replace("-", "")
        spoken = {
            "id": f"msg_{name}",
            "type": "message",
            "role": "assistant",
            "model": self.name((call.model if call else "") or said.model or "unknown"),
            "content": content,
            "stop_reason": _stop_reason(said),
            "stop_sequence": None,
        }
        if call is None:
            return {"message": spoken, "requestId": f"req_{name}"}
        cost = {"costUSD": call.cost_usd} if call.cost_known and call.cost_usd is not None else {}
        return {"message": spoken | {"usage": _usage(call)}, "requestId": f"req_{name}", **cost}

    def thought(self, text: str, signature: str) -> dict[str, Any]:
        """A block of thinking. Its signature is good for the very words alone."""
        redacted = self.redactor.text(text)
        return {"type": "thinking", "thinking": redacted, "signature": signature if redacted == text else ""}

    def result(self, said: Said) -> dict[str, Any]:
        """The result of a tool call. `is_error` is left out where nobody knows."""
        message, outcome = said.message, said.outcome
        success = outcome.success if outcome else None
        return {
            "type": "tool_result",
            "tool_use_id": self.name(message.tool_call_id or ""),
            "content": self.redactor.text(message.content or ""),
        } | ({} if success is None else {"is_error": not success})

    def compaction(self, entry: Compaction, compacted: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """The mark of a compaction, and its summary as a line of its own. The chain goes on through both."""
        name = f"{self.timeline.session_id}/{entry.id}"
        frame = self.frame(entry, name, entry.parent, entry.time)
        self.ends[entry.id] = frame["uuid"]
        trigger = "auto" if self.is_turn_open or entry.reason != "compaction" else "manual"
        sizes = {"preTokens": compacted.get("old_tokens"), "postTokens": compacted.get("new_tokens")}
        yield {
            "type": "system",
            "subtype": "compact_boundary",
            "content": "The conversation was shortened here.",
            "level": "info",
            "compactMetadata": {"trigger": trigger} | {key: count for key, count in sizes.items() if count is not None},
            **frame,
        }
        if entry.summary is not None:
            text = self.redactor.text(entry.summary.content or "")
            frame = self.frame(entry, f"{name}/summary", entry.id, entry.time) | _SUMMARY_MARKS
            self.ends[entry.id] = frame["uuid"]
            yield {"type": "user", "message": {"role": "user", "content": text}, **frame}

    def happening(self, entry: Happening) -> Iterator[dict[str, Any]]:
        """An interrupted turn is marked as Claude Code marks it; other events have no line."""
        was_open = self.is_turn_open
        if entry.event_type == "processing":
            self.is_turn_open = True
        elif entry.event_type in _TURN_ENDS:
            self.is_turn_open = False
        link = self.links.get(entry.after or "")
        if entry.event_type != "interrupted" or not was_open or link is None:
            return
        frame = self.frame(link, f"{self.timeline.session_id}/event-{entry.seq}", link.id, entry.time)
        self.ends[link.id] = frame["uuid"]
        used_tools = isinstance(link, Said) and (link.message.role == "tool" or bool(link.message.tool_calls))
        text = f"[Request interrupted by user{' for tool use' if used_tools else ''}]"
        yield {"type": "user", "message": {"role": "user", "content": [{"type": "text", "text": text}]}, **frame}


_SUMMARY_MARKS: Final[dict[str, Any]] = {
    "isMeta": True,
    "isCompactSummary": True,
    "isVisibleInTranscriptOnly": True,
}


def _usage(call: ModelCall) -> dict[str, int]:
    """Tokens as Anthropic counts them: our prompt tokens include what the cache had."""
    cached = call.cache_read_tokens + call.cache_creation_tokens
    return {
        "input_tokens": max(0, call.prompt_tokens - cached),
        "output_tokens": call.completion_tokens,
        "cache_read_input_tokens": call.cache_read_tokens,
        "cache_creation_input_tokens": call.cache_creation_tokens,
    }


def _stop_reason(said: Said) -> str | None:
    reason = _STOP_REASONS.get((said.call.finish_reason if said.call else None) or "")
    return "tool_use" if said.message.tool_calls and reason != "max_tokens" else reason


def _version(version: str) -> str:
    """`version` with three numbers, which ccusage insists on; the program is named elsewhere."""
    if re.match(r"\d+\.\d+\.\d+", version):
        return version
    numbers = [*re.findall(r"\d+", version), "0", "0", "0"][:3]
    return ".".join(numbers)
