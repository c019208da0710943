"""Journals to make rows from."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from agent.protocol.events import Event, Payload, TurnComplete
from agent.protocol.messages import Message, assistant_message, user_message
from agent.sessions.journal import Journal, journal_path
from agent.traces.timeline import Timeline, read_timeline
from tests.unit.sessions.keeping import NO_SECRETS, STARTED, start

BEFORE = datetime(2026, 1, 1, tzinfo=UTC)


def keep(state_dir: Path, session_id: str, *said: Message | Payload, close: bool = True, **head: Any) -> Path:
    """A session in which this was said, and happened, in this order."""
    journal = begin(state_dir, session_id, *said, **head)
    if close:
        journal.append("end", {"turns": 1})
    journal.close()
    return journal.path


def begin(state_dir: Path, session_id: str, *said: Message | Payload, **head: Any) -> Journal:
    """A session that is still open."""
    journal = Journal.create(journal_path(state_dir, session_id, STARTED), NO_SECRETS)
    start(journal, **head)
    add(journal, said)
    return journal


def add(journal: Journal, said: Iterable[Message | Payload]) -> None:
    for each in said:
        if isinstance(each, Message):
            journal.append_message(each)
        else:
            journal.append_event(Event(each))


def exchange(prompt: str = "hi", answer: str = "hello") -> tuple[Message | Payload, ...]:
    """A turn without tools."""
    return user_message(prompt), assistant_message(answer), TurnComplete(2, answer)


def earlier(message: Message, minutes: int = 0) -> Message:
    """`message` as a fork has it: said before the fork began."""
    return Message(
        **{name: getattr(message, name) for name in Message.__slots__ if name != "created_at"},
        created_at=BEFORE + timedelta(minutes=minutes),
    )


def timeline_of(tmp_path: Path, *said: Message | Payload, **head: Any) -> Timeline:
    return read_timeline(keep(tmp_path, "s1", *said, **head))
