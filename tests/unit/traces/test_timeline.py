"""The timeline: the view of a journal that all traces are made from."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import pytest

from agent.protocol.messages import assistant_message, user_message, utc_stamp
from agent.sessions.errors import JournalError
from agent.sessions.records import Record, dump_message, dump_record
from agent.sessions.restore import restore
from agent.traces.timeline import Compaction, Said, Timeline, read_timeline
from tests.unit.traces.trace_sessions import SESSIONS, kept


def said(timeline: Timeline) -> list[Said]:
    return [entry for entry in timeline.entries if isinstance(entry, Said)]


def live(timeline: Timeline) -> list[str]:
    """The ids of the messages from the beginning to the leaf."""
    links = {entry.id: entry for entry in timeline.links}
    ids, at = [], timeline.leaf
    while at is not None:
        if isinstance(links[at], Said):
            ids.append(at)
        at = links[at].parent
    return ids[::-1]


@pytest.mark.parametrize("name", sorted(SESSIONS))
async def test_the_chain_to_the_leaf_is_what_restoring_gives(name: str, tmp_path: Path) -> None:
    path = await SESSIONS[name](tmp_path)
    timeline, restored = read_timeline(path), restore(path)
    assert live(timeline) == [message.id for message in restored.transcript]
    assert timeline.messages == restored.messages
    assert timeline.dropped == (4 if name == "gap_and_torn_lines" else 0)  # a torn line, and three in a gap


@pytest.mark.parametrize(
    ("name", "count"),
    [("plain", 0), ("compacted_twice", 2), ("compacted_and_undone", 1), ("fork_of_a_compacted_one", 1), ("fork", 0)],
)
async def test_every_compaction_is_there(name: str, count: int, tmp_path: Path) -> None:
    timeline = read_timeline(await SESSIONS[name](tmp_path))
    found = [entry for entry in timeline.entries if isinstance(entry, Compaction)]
    assert len(found) == count
    assert all(entry.summary is not None for entry in found)


async def test_each_answer_has_the_call_that_paid_for_it(tmp_path: Path) -> None:
    timeline = read_timeline(await SESSIONS["empty_words_thoughts_and_lost_calls"](tmp_path))
    answers = [entry for entry in said(timeline) if entry.message.role == "assistant"]
    assert [entry.call.cost_usd if entry.call else "none" for entry in answers] == [0.01, 0.01, None]
    assert [(call.kind, call.finish_reason) for call in timeline.other_calls] == [
        ("main", "lost"),
        ("research", "stop"),
    ]


async def test_what_was_said_before_a_fork_costs_nothing_there(tmp_path: Path) -> None:
    timeline = read_timeline(await SESSIONS["fork"](tmp_path))
    copies = [entry for entry in said(timeline) if entry.is_copy]
    assert [entry.message.content for entry in said(timeline) if not entry.is_copy] == ["and now?", "More."]
    assert all(entry.call is None for entry in copies)
    assert sum(call.prompt_tokens for call in timeline.calls) == 1_000


async def test_how_calls_went(tmp_path: Path) -> None:
    timeline = read_timeline(await SESSIONS["failed_and_denied_tools"](tmp_path))
    assert [entry.outcome.success for entry in said(timeline) if entry.outcome] == [False, False, False]
    timeline = read_timeline(await SESSIONS["still_running"](tmp_path))
    assert [entry.outcome.success for entry in said(timeline) if entry.outcome] == [None]


async def test_an_undo_that_names_something_unknown_takes_nothing_back(tmp_path: Path) -> None:
    """As after a gap: what it names was never written. An earlier undo does not count again for it."""
    with kept(tmp_path) as keeping:
        for text in ("one", "two"):
            keeping.ask(text)
            keeping.answer(text.upper())
        keeping.become(keeping.history[:2], "undo")
        keeping.ask("three")
        keeping.answer("THREE")
        lost = user_message("lost in a gap")
        keeping.journal.append_context([*keeping.history, lost], keeping.history, "undo")
    path = keeping.journal.path
    timeline = read_timeline(path)
    assert [message.content for message in restore(path).transcript] == ["one", "ONE", "three", "THREE"]
    assert live(timeline) == [message.id for message in restore(path).transcript]
    assert len(timeline.taken_back) == 2


async def test_a_compaction_without_a_summary_stands_when_what_came_after_is_undone(tmp_path: Path) -> None:
    """It was taken back as well, and what it had cut was what the next prompt seemed to follow."""
    with kept(tmp_path) as keeping:
        for text in ("one", "two"):
            keeping.ask(text)
            keeping.answer(text.upper())
        keeping.become(keeping.history[2:], "compaction")
        keeping.ask("three")
        keeping.answer("THREE")
        keeping.become(keeping.history[:2], "undo")
        keeping.ask("four")
    timeline = read_timeline(keeping.journal.path)
    (cut,) = [entry for entry in timeline.entries if isinstance(entry, Compaction)]
    assert cut.id not in timeline.taken_back
    assert said(timeline)[-1].parent == cut.id
    assert [entry.message.content for entry in said(timeline) if entry.id in timeline.taken_back] == ["three", "THREE"]
    assert [message.content for message in timeline.messages] == ["two", "TWO", "four"]
    assert live(timeline) == [message.id for message in restore(keeping.journal.path).transcript]


@pytest.mark.parametrize("steps_back", [timedelta(hours=2), -timedelta(hours=2)])
def test_copies_of_a_fork_are_known_by_their_place(steps_back: timedelta, tmp_path: Path) -> None:
    """By their times new answers became copies without usage when the clock stepped back, and copies new answers when
    it had been ahead."""
    begun = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
    after = begun + timedelta(seconds=5) - steps_back

    def message(text: str, role: Literal["user", "assistant"], time: datetime) -> dict[str, Any]:
        made = user_message(text) if role == "user" else assistant_message(text)
        return dump_message(replace(made, created_at=time))

    records: list[tuple[str, dict[str, Any], datetime]] = [
        ("start", {"id": "a" * 32, "parent": "b" * 32, "cwd": "/work", "version": "1.0", "model": "m"}, begun),
        ("message", message("old", "user", begun + steps_back), begun),
        ("message", message("OLD", "assistant", begun + steps_back), begun),
        ("event", {"event_type": "ready", "data": {}}, begun),
        ("message", message("new", "user", after), after),
        ("event", {"event_type": "llm_call", "data": {"prompt_tokens": 7, "kind": "main"}}, after),
        ("message", message("NEW", "assistant", after), after),
    ]
    path = tmp_path / f"{'a' * 32}.jsonl"
    lines = (dump_record(Record(seq, utc_stamp(ts), kind, data)) for seq, (kind, data, ts) in enumerate(records, 1))
    path.write_bytes(b"".join(lines))
    found = [(entry.message.content, entry.is_copy, entry.call is not None) for entry in said(read_timeline(path))]
    assert found == [("old", True, False), ("OLD", True, False), ("new", False, False), ("NEW", False, True)]


def test_what_is_no_session(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("")
    for name in ("empty.jsonl", "missing.jsonl"):
        with pytest.raises(JournalError):
            read_timeline(tmp_path / name)
