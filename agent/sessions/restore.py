"""Replaying a journal: the conversation as it stood when its last record was written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from agent.light_dataclass import dataclass
from agent.protocol.events import PlanItem
from agent.protocol.messages import Message, ToolCall, place_of_result
from agent.protocol.tools import FileFingerprint
from agent.sessions.errors import JournalError
from agent.sessions.reader import read_records
from agent.sessions.records import TAKEN_BACK, Record, load_message
from agent.sessions.summary import Charge, Summary, charge_of


@dataclass(frozen=True, slots=True)
class TurnMark:
    """A turn that can be taken back: the id of the person's message that began it, and what it said."""

    id: str
    prompt: str


@dataclass(frozen=True, slots=True)
class RestoredSession:
    """All that a session needs to go on.

    `title` is what it was given, empty if nothing; `preview` how its first prompt begins. `messages` is what the model
    was shown last, without the system prompt; the calls in it that have no result had not begun, but for those in
    `unfinished` (in call order): what became of them is unknown. `transcript` is everything said, as it was said: not
    compacted, and without what was taken back. `charges` is what was spent by kind (`charged_leases`: for work
    elsewhere, by lease id), `cap_usd` what may be; `dropped` the number of records that could not be read, or not be
    written in their time; `ended`: closed in an orderly way.
    """

    session_id: str
    parent: str | None
    started: datetime
    cwd: str | None
    model_name: str
    reasoning_effort: str | None
    title: str
    preview: str
    messages: tuple[Message, ...]
    transcript: tuple[Message, ...]
    turns: tuple[TurnMark, ...]
    turn_count: int
    plan: tuple[PlanItem, ...]
    known_files: Mapping[Path, FileFingerprint]
    charges: tuple[Charge, ...]
    charged_leases: Mapping[str, float]
    cap_usd: float | None
    unfinished: tuple[ToolCall, ...]
    checkpoints: tuple[dict[str, Any], ...]
    had_redacted_content: bool
    dropped: int
    last_seq: int
    ended: bool

    @property
    def last_words(self) -> tuple[str, str]:
        """What the person asked for last, and the last text of the model after it; empty where there is none."""
        answer = ""
        for message in reversed(self.transcript):
            if message.begins_turn:
                return message.content or "", answer
            if message.role == "assistant" and not answer:
                answer = (message.content or "").strip()
        return "", answer


def restore(path: Path) -> RestoredSession:
    """The session in the journal at `path`. Blocks: about 0.1 s for 10,000 records.

    Raises `JournalError` when the file cannot be read or holds no session, `JournalFormatError` when a newer ml-intern
    has written it.
    """
    replay = Replay()
    records = read_records(path)
    for record in records:
        replay.add(record)
    restored = replay.result(path, records.dropped)
    if restored.session_id in {".", ".."} or "/" in restored.session_id:  # it becomes the name of files
        raise JournalError(f"{path} calls its session {restored.session_id!r}, which cannot be an id")
    return restored


def messages_before(path: Path, message_id: str) -> tuple[Message, ...] | None:
    """What the model was shown before the message came, without the system prompt; None if it never came.

    Raises as `restore` does.
    """
    replay = Replay()
    for record in read_records(path):
        if record.kind == "message" and record.data.get("id") == message_id:
            return tuple(replay.messages)
        replay.add(record)
    return None


class Replay:
    """The state of a session while its records are played back.

    `messages` is what the model is shown, `summary` the head facts. `said` is the message in the last record, and
    `kept_seq` the record up to which the history stands since it (what came after that was taken back): None where the
    last record said or took back nothing.
    """

    def __init__(self) -> None:
        """Nothing was played back yet."""
        self.messages: list[Message] = []
        self.last_seq = 0
        self.said: Message | None = None
        self.kept_seq: int | None = None
        self.summary = Summary()
        self._transcript: list[Message] = []
        self._turns: list[TurnMark] = []
        self._first_seen: dict[str, int] = {}
        self._rewritten: list[int] = []
        """The records that changed history other than by what was said, as far as they stand."""
        self._plan: tuple[PlanItem, ...] = ()
        self._files: dict[Path, FileFingerprint] = {}
        self._cap_usd: float | None = None
        self._charges: dict[tuple[str, bool], float] = {}
        self._charged_leases: dict[str, float] = {}
        self._begun: set[str] = set()
        self._checkpoints: list[dict[str, Any]] = []
        self._missing = 0

    def add(self, record: Record) -> None:
        """Play back one record; one that makes no sense is counted and changes nothing."""
        self.last_seq = record.seq
        self.said = self.kept_seq = None
        self.summary.add(record)
        handler = self._HANDLERS.get(record.kind)
        if handler is None:
            return
        try:
            handler(self, record.data)
        except (KeyError, TypeError, ValueError, AttributeError):
            self._missing += 1

    def result(self, path: Path, dropped: int) -> RestoredSession:
        """The session as it stands. Raises `JournalError` if there is none."""
        summary = self.summary
        if not summary.started:
            raise JournalError(f"{path} holds no session; ml-intern sessions list shows those that can be opened")
        return RestoredSession(
            session_id=summary.id or path.stem,
            parent=summary.parent,
            started=datetime.fromisoformat(summary.started),
            cwd=summary.cwd or None,
            model_name=summary.model,
            reasoning_effort=summary.effort,
            title=summary.given_title,
            preview=summary.preview,
            messages=tuple(self.messages),
            transcript=tuple(self._transcript),
            turns=tuple(self._turns),
            turn_count=len(self._turns),
            plan=self._plan,
            known_files=self._files,
            cap_usd=self._cap_usd,
            charges=tuple(Charge(kind, usd, known) for (kind, known), usd in self._charges.items()),
            charged_leases=self._charged_leases,
            unfinished=tuple(call for call in _calls_without_result(self.messages) if call.id in self._begun),
            checkpoints=tuple(self._checkpoints),
            had_redacted_content=any(map(_is_redacted, self.messages)),
            dropped=dropped + self._missing,
            last_seq=self.last_seq,
            ended=summary.ended,
        )

    def _add_message(self, data: dict[str, Any]) -> None:
        self.said = message = self._seen(load_message(data))
        if message.role == "system":
            return
        if message.role == "tool":
            self.messages.insert(place_of_result(self.messages, message.tool_call_id), message)
        else:
            self.messages.append(message)
        self._transcript.append(message)
        if message.begins_turn:
            self._turns.append(TurnMark(message.id, message.content or ""))

    def _seen(self, message: Message) -> Message:
        self._first_seen.setdefault(message.id, self.last_seq)
        return message

    def _add_context(self, data: dict[str, Any]) -> None:
        first_removed = data.get("first_removed")
        if first_removed is None:
            known = {message.id: message for message in self.messages}
            new = [known.get(m) if isinstance(m, str) else self._seen(load_message(m)) for m in data["messages"]]
            self.messages = [message for message in new if message is not None]
        else:
            ids = [message.id for message in self.messages]
            del self.messages[ids.index(first_removed) :]
        if data.get("reason") in TAKEN_BACK:
            self._forget_after(self._last_kept(str(first_removed)))
        else:
            self._rewritten.append(self.last_seq)

    def _last_kept(self, first_removed: str) -> int:
        """The record up to which history stands, after an undo."""
        before = self._first_seen.get(first_removed, self.last_seq) - 1
        if first_removed in self._first_seen and before >= max(self._rewritten, default=0):
            return before  # so do the compactions before it, also one that brought no message
        # the latest record of what was kept; but a summary may be younger than what was taken back
        return min(before, max((self._first_seen[message.id] for message in self.messages), default=0))

    def _forget_after(self, seq: int) -> None:
        """History is what it was after record `seq`: what came between that point and now never happened."""
        self.kept_seq = seq
        self._rewritten = [rewritten for rewritten in self._rewritten if rewritten <= seq]
        self._transcript = [message for message in self._transcript if self._first_seen[message.id] <= seq]
        self._turns = [mark for mark in self._turns if self._first_seen[mark.id] <= seq]
        self._plan = ()

    def _add_cap(self, data: dict[str, Any]) -> None:
        cap = data.get("cap_usd")
        self._cap_usd = float(cap) if cap is not None else None

    def _add_files(self, data: dict[str, Any]) -> None:
        for name, known in data.items():
            if known is None:
                self._files.pop(Path(name), None)
            else:
                self._files[Path(name)] = FileFingerprint(known["size_bytes"], known["sha256"])

    def _add_running(self, data: dict[str, Any]) -> None:
        self._begun.update(call["id"] for call in data["calls"])

    def _add_checkpoint(self, data: dict[str, Any]) -> None:
        self._checkpoints.append(data)

    def _add_gap(self, data: dict[str, Any]) -> None:
        self._missing += data["records"]

    def _add_event(self, data: dict[str, Any]) -> None:
        event_type, details = data["event_type"], data["data"]
        if event_type == "plan_update":
            self._plan = tuple(PlanItem(item["id"], item["content"], item["status"]) for item in details["plan"])
        elif charge := charge_of(event_type, details):
            key = (charge.kind, charge.known)
            self._charges[key] = self._charges.get(key, 0.0) + charge.usd
            if isinstance(lease_id := details.get("lease_id"), str):
                self._charged_leases[lease_id] = self._charged_leases.get(lease_id, 0.0) + charge.usd

    _HANDLERS: ClassVar[Mapping[str, Callable[[Replay, dict[str, Any]], None]]] = {
        "start": _add_cap,
        "cap": _add_cap,
        "message": _add_message,
        "context": _add_context,
        "files": _add_files,
        "running": _add_running,
        "checkpoint": _add_checkpoint,
        "event": _add_event,
        "gap": _add_gap,
    }


def _calls_without_result(messages: list[Message]) -> Iterator[ToolCall]:
    answered = {message.tool_call_id for message in messages if message.role == "tool"}
    for message in messages:
        yield from (call for call in message.tool_calls if call.id not in answered)


def _is_redacted(message: Message) -> bool:
    texts = [message.content or "", message.reasoning_content or ""]
    texts += [call.function.arguments for call in message.tool_calls]
    return any("[REDACTED" in text for text in texts)
