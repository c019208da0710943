"""A session as a sequence: everything that was said and done, in the order it happened, with what it was said after.

All formats of a trace are made from this. Nothing is left out of it: what was compacted away or taken back is there as
well, and `parent` tells which of it belongs together. The chain of parents from `Timeline.leaf` is the conversation as
the person sees it now.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from agent.light_dataclass import dataclass
from agent.protocol.messages import Message
from agent.sessions.errors import JournalError
from agent.sessions.reader import read_records
from agent.sessions.records import TAKEN_BACK, Record, load_message
from agent.sessions.restore import Replay
from agent.traces.saying import number


@dataclass(frozen=True, slots=True)
class ModelCall:
    """One answered model call, as `agent.protocol.events.LLMCall` tells it. `cost_usd` None: nobody knows."""

    seq: int
    time: datetime
    model: str
    kind: str
    latency_ms: int
    finish_reason: str | None
    cost_usd: float | None
    cost_known: bool
    prompt_tokens: int
    completion_tokens: int
    cache_read_tokens: int
    cache_creation_tokens: int
    reasoning_tokens: int
    charged_usd: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a tool call went. `success` None: it never ran, or nobody knows (it was cut off)."""

    success: bool | None
    duration_s: float = 0.0
    display: str | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """A message. `call` is the model call that it answers (assistant messages of this session; copies that a fork has
    taken over have none), `outcome` how the tool call went whose result it is (role `tool`).

    `model`, `cwd` and `git_branch` are those in force. `is_copy`: it was said in the session that this is a fork of.
    """

    id: str
    parent: str | None
    seq: int
    time: datetime
    message: Message
    model: str
    cwd: str
    git_branch: str | None
    version: str
    call: ModelCall | None = None
    outcome: Outcome | None = None
    is_copy: bool = False


@dataclass(frozen=True, slots=True)
class Compaction:
    """History was shortened here; `summary` is what the model reads in place of what came before (None: only cut)."""

    id: str
    parent: str | None
    seq: int
    time: datetime
    reason: str
    summary: Message | None
    model: str
    cwd: str
    git_branch: str | None
    version: str


@dataclass(frozen=True, slots=True)
class Happening:
    """Another event: `event_type` and `data` as in agent/protocol/events.py, without what a message holds. It came
    after the message or compaction `after`."""

    after: str | None
    seq: int
    time: datetime
    event_type: str
    data: Mapping[str, Any]


Entry = Said | Compaction | Happening
Link = Said | Compaction


@dataclass(frozen=True, slots=True)
class Timeline:
    """A whole session. `agent` names the tool that a sub-agent's session belongs to, None for a session of a person.

    `taken_back` are the ids of the entries that an undo or a rewind took out of the conversation. `tools` is the
    SHA-256 of the last list of tools (agent/sessions/tool_lists.py). `other_calls` are model calls that no message
    answers: compactions, probes, attempts that were lost. `dropped` counts records that could not be read, or not be
    written in their time.
    """

    session_id: str
    parent_session: str | None
    agent: str | None
    title: str
    preview: str
    model: str
    effort: str | None
    user: str | None
    started: datetime
    last_used: datetime
    ended: bool
    turns: int
    entries: tuple[Entry, ...]
    leaf: str | None
    taken_back: frozenset[str]
    other_calls: tuple[ModelCall, ...]
    tools: str | None
    messages: tuple[Message, ...]
    """What the model was shown last, without the system prompt."""
    system_prompt: str
    last_seq: int
    dropped: int

    @property
    def links(self) -> Iterator[Link]:
        """The messages and compactions, in the order they happened."""
        return (entry for entry in self.entries if not isinstance(entry, Happening))

    @property
    def calls(self) -> tuple[ModelCall, ...]:
        """All model calls of this session, in order."""
        answered = [entry.call for entry in self.entries if isinstance(entry, Said) and entry.call is not None]
        return tuple(sorted([*answered, *self.other_calls], key=lambda call: call.seq))


def read_timeline(path: Path) -> Timeline:
    """The timeline of the journal at `path`, which may be in use. Blocks.

    Raises `JournalError` when the file cannot be read or holds no session, `JournalFormatError` when a newer ml-intern
    has written it.
    """
    builder = _Builder()
    records = read_records(path)
    for record in records:
        builder.add(record)
    return builder.result(path, records.dropped)


@dataclass(slots=True)
class _Builder:
    """A timeline while it is read."""

    replay: Replay = field(default_factory=Replay)
    entries: list[Entry] = field(default_factory=list)
    leaf: str | None = None
    parents: dict[str, str | None] = field(default_factory=dict)
    taken_back: set[str] = field(default_factory=set)
    answered: dict[str, ModelCall] = field(default_factory=dict)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    other_calls: list[ModelCall] = field(default_factory=list)
    waiting: ModelCall | None = None
    """The model call whose message has not come yet."""
    agent: str | None = None
    user: str | None = None
    git_branch: str | None = None
    tools: str | None = None
    system_prompt: str = ""
    has_begun: bool = False
    """Whether something has happened here: what comes before that in a fork are copies."""
    dropped: int = 0

    def add(self, record: Record) -> None:
        """Take in one more record. What makes no sense is counted and left out."""
        self.replay.add(record)
        reader = _READERS.get(record.kind)
        try:
            if reader is not None:
                reader(self, record)
        except (KeyError, TypeError, ValueError, AttributeError):
            self.dropped += 1

    def result(self, path: Path, dropped: int) -> Timeline:
        """The timeline. Raises `JournalError` if there is no session."""
        facts = self.replay.summary
        if not facts.started:
            raise JournalError(f"{path} holds no session")
        if self.waiting is not None:
            self.other_calls.append(self.waiting)
        return Timeline(
            session_id=facts.id or path.stem,
            parent_session=facts.parent,
            agent=self.agent,
            title=facts.title,
            preview=facts.preview,
            model=facts.model,
            effort=facts.effort,
            user=self.user,
            started=datetime.fromisoformat(facts.started),
            last_used=datetime.fromisoformat(facts.last_used),
            ended=facts.ended,
            turns=facts.turns,
            entries=tuple(map(self._finished, self.entries)),
            leaf=self.leaf,
            taken_back=frozenset(self.taken_back),
            other_calls=tuple(self.other_calls),
            tools=self.tools,
            messages=tuple(self.replay.messages),
            system_prompt=self.system_prompt,
            last_seq=self.replay.last_seq,
            dropped=dropped + self.dropped,
        )

    def _finished(self, entry: Entry) -> Entry:
        """`entry` with what became known of it only later."""
        if not isinstance(entry, Said):
            return entry
        message = entry.message
        if message.role == "assistant":
            return replace(entry, call=self.answered.get(message.id))
        if message.role == "tool":
            outcome = self.outcomes.get(message.tool_call_id or "", Outcome(False if message.is_synthetic else None))
            return replace(entry, outcome=outcome)
        return entry

    # --- records ----------------------------------------------------------------------------------------------------

    def start(self, record: Record) -> None:
        """The head of the file."""
        self.agent, self.user = record.data.get("agent"), record.data.get("user")

    def place(self, record: Record) -> None:
        """What is checked out, and the tools."""
        self.git_branch = record.data.get("git_branch")
        self.tools = record.data.get("tools") or self.tools

    def message(self, record: Record) -> None:
        """Something was said."""
        message = self.replay.said
        if message is None:
            raise ValueError("not a message")
        if message.role == "system":
            self.system_prompt = message.content or ""
            return
        if message.id in self.parents:
            return
        facts = self.replay.summary
        is_copy = facts.parent is not None and self.agent is None and not self.has_begun
        if message.role == "assistant" and self.waiting is not None and not is_copy:
            self.answered[message.id], self.waiting = self.waiting, None
        self._link(
            Said(
                id=message.id,
                parent=self.leaf,
                seq=record.seq,
                time=message.created_at,
                message=message,
                model=facts.model,
                cwd=facts.cwd,
                git_branch=self.git_branch,
                version=facts.version,
                is_copy=is_copy,
            )
        )

    def context(self, record: Record) -> None:
        """History was changed other than by what was said."""
        reason = record.data.get("reason")
        if reason in TAKEN_BACK:
            if self.replay.kept_seq is not None:  # else what it names is not known, and nothing was taken back
                self._take_back(self.replay.kept_seq)
        elif reason in _SHORTENED:
            given = [load_message(item) for item in record.data.get("messages") or () if isinstance(item, dict)]
            facts = self.replay.summary
            self._link(
                Compaction(
                    id=f"context-{record.seq}",
                    parent=self.leaf,
                    seq=record.seq,
                    time=_time(record.ts),
                    reason=reason,
                    summary=next((message for message in given if message.origin == "summary"), None),
                    model=facts.model,
                    cwd=facts.cwd,
                    git_branch=self.git_branch,
                    version=facts.version,
                )
            )

    def _link(self, entry: Link) -> None:
        self.parents[entry.id] = entry.parent
        self.entries.append(entry)
        self.leaf = entry.id

    def _take_back(self, kept_seq: int) -> None:
        seqs = {entry.id: entry.seq for entry in self.entries if not isinstance(entry, Happening)}
        while self.leaf is not None and seqs[self.leaf] > kept_seq:
            self.taken_back.add(self.leaf)
            self.leaf = self.parents[self.leaf]

    def gap(self, record: Record) -> None:
        """Records are missing."""
        self.dropped += int(record.data["records"])

    def event(self, record: Record) -> None:
        """Something else happened."""
        self.has_begun = True
        event_type, data = record.data["event_type"], record.data["data"]
        if event_type == "llm_call":
            self._model_call(_model_call(record, data))
            return
        if event_type == "tool_output":
            success = data.get("success")
            self.outcomes[data["tool_call_id"]] = Outcome(
                success if isinstance(success, bool) else None, number(data.get("duration_s")), data.get("display")
            )
        self.entries.append(Happening(self.leaf, record.seq, _time(record.ts), event_type, data))

    def _model_call(self, call: ModelCall) -> None:
        is_main = call.kind == ("main" if self.agent is None else self.agent)
        if not is_main or call.finish_reason == "lost":
            self.other_calls.append(call)
            return
        if self.waiting is not None:  # nothing came of it
            self.other_calls.append(self.waiting)
        self.waiting = call


_SHORTENED = frozenset({"compaction", "fork"})

_READERS: Mapping[str, Callable[[_Builder, Record], None]] = {
    "start": _Builder.start,
    "place": _Builder.place,
    "message": _Builder.message,
    "context": _Builder.context,
    "event": _Builder.event,
    "gap": _Builder.gap,
}


def _model_call(record: Record, data: Mapping[str, Any]) -> ModelCall:
    cost = data.get("cost_usd")
    return ModelCall(
        seq=record.seq,
        time=_time(record.ts),
        model=str(data.get("model") or ""),
        kind=str(data.get("kind") or "main"),
        latency_ms=int(number(data.get("latency_ms"))),
        finish_reason=data.get("finish_reason") if isinstance(data.get("finish_reason"), str) else None,
        cost_usd=None if cost is None else number(cost),
        cost_known=data.get("cost_known") is True,
        prompt_tokens=int(number(data.get("prompt_tokens"))),
        completion_tokens=int(number(data.get("completion_tokens"))),
        cache_read_tokens=int(number(data.get("cache_read_tokens"))),
        cache_creation_tokens=int(number(data.get("cache_creation_tokens"))),
        reasoning_tokens=int(number(data.get("reasoning_tokens"))),
        charged_usd=number(data.get("charged_usd")),
    )


def _time(ts: str) -> datetime:
    return datetime.fromisoformat(ts)
