"""What a session's journal amounts to in a few lines: kept up to date record by record, so that it can be continued."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import field
from typing import Any

from agent.light_dataclass import dataclass
from agent.sessions.records import Record, shortened

PROMPT_CHARS = 4_000
"""How much of each prompt can be searched: people pipe whole files into them."""


@dataclass(frozen=True, slots=True)
class Charge:
    """Money that counts against the budget. `known` False: it is the most that it can have been."""

    kind: str
    usd: float
    known: bool


_KIND_FIELDS = {"llm_call": "kind", "tool_charge": "tool"}
"""The events that charge something, and the field that says what for."""


def charge_of(event_type: str, data: dict[str, Any]) -> Charge | None:
    """What the event says was charged; None for events that are not about money."""
    name = _KIND_FIELDS.get(event_type)
    if name is None:
        return None
    return Charge(_text(data.get(name)) or "main", _usd(data.get("charged_usd")), data.get("cost_known") is True)


def _usd(value: Any) -> float:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) else 0.0


@dataclass(slots=True)
class Summary:
    """The head facts of a session, after the records seen so far.

    `turns` and `messages` count what was said and not taken back; compaction changes neither. `prompts` is what a
    search looks at. Times are as in `Record.ts`.
    """

    id: str = ""
    parent: str | None = None
    cwd: str = ""
    version: str = ""
    model: str = ""
    effort: str | None = None
    title_by_person: str = ""
    title_auto: str = ""
    preview: str = ""
    started: str = ""
    last_used: str = ""
    turns: int = 0
    messages: int = 0
    cost_usd: float = 0.0
    cost_known: bool = True
    ended: bool = False
    prompts: list[str] = field(default_factory=list)

    @property
    def given_title(self) -> str:
        """What the person calls it, else what it was called automatically, else nothing."""
        return self.title_by_person or self.title_auto

    @property
    def title(self) -> str:
        """What to call it in a list: the title it was given, else how its first prompt begins."""
        return self.given_title or self.preview

    def add_all(self, records: Iterable[Record]) -> None:
        """Take in `records`."""
        for record in records:
            self.add(record)

    def add(self, record: Record) -> None:
        """Take in one more record. What does not make sense in it is left out."""
        data = record.data
        if record.kind == "title":  # naming a session is not using it
            self._add_title(data)
            return
        self.started = self.started or record.ts
        self.last_used = record.ts
        self.ended = record.kind == "end"
        match record.kind:
            case "start":
                self.id, self.parent = _text(data.get("id")), _text(data.get("parent")) or None
                self._add_place(data)
                self._add_model(data)
            case "resume":
                self._add_place(data)
            case "model":
                self._add_model(data)
            case "message":
                self._add_message(data)
            case "event":
                self._add_event(data)

    def _add_place(self, data: dict[str, Any]) -> None:
        self.cwd = _text(data.get("cwd")) or self.cwd
        self.version = _text(data.get("version")) or self.version

    def _add_model(self, data: dict[str, Any]) -> None:
        self.model = _text(data.get("model")) or self.model
        self.effort = _text(data.get("effort")) or None

    def _add_title(self, data: dict[str, Any]) -> None:
        title = shortened(_text(data.get("title")))
        if data.get("by") == "person":
            self.title_by_person = title
        else:
            self.title_auto = title

    def _add_message(self, data: dict[str, Any]) -> None:
        if data.get("role") == "system":
            return
        self.messages += 1
        if data.get("role") != "user" or data.get("origin") != "person":
            return
        text = _text(data.get("content"))
        if self.turns == 0:  # the first one, or the first after all were taken back
            self.preview = shortened(text)
        self.turns += 1
        self.prompts.append(" ".join(text.split())[:PROMPT_CHARS])

    def _add_event(self, data: dict[str, Any]) -> None:
        event_type, details = _text(data.get("event_type")), data.get("data")
        if not isinstance(details, dict):
            return
        if event_type == "undo_complete":
            self.messages -= _count(details.get("removed_messages"))
            self.turns -= _count(details.get("removed_turns"))
        elif charge := charge_of(event_type, details):
            self.cost_usd += charge.usd
            self.cost_known = self.cost_known and charge.known


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _count(value: Any) -> int:
    return value if isinstance(value, int) else 0
