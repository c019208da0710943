"""Replaying journals: what comes back is what was there, whatever happened to the file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.protocol.events import (
    Event,
    LLMCall,
    PlanItem,
    PlanUpdate,
    ToolCharge,
    UndoComplete,
)
from agent.protocol.messages import (
    FunctionCall,
    Message,
    ToolCall,
    assistant_message,
    tool_message,
    user_message,
)
from agent.protocol.tools import FileFingerprint
from agent.sessions.errors import JournalError, JournalFormatError
from agent.sessions.journal import Journal
from agent.sessions.restore import messages_before, restore
from agent.sessions.summary import Charge
from tests.unit.sessions.keeping import NO_SECRETS, add_turn, call, keep_session, llm_call, start

# --- messages survive exactly ----------------------------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
tool_calls = st.builds(
    ToolCall, st.text(max_size=8), st.builds(FunctionCall, st.text(max_size=8), st.text(max_size=30))
)
messages = st.builds(
    Message,
    role=st.sampled_from(["user", "assistant"]),
    content=st.none() | st.text(max_size=200),
    tool_calls=st.lists(tool_calls, max_size=2).map(tuple),
    name=st.none() | st.text(max_size=10),
    thinking_blocks=st.lists(st.dictionaries(st.text(max_size=5), json_values, max_size=3), max_size=2).map(tuple),
    reasoning_content=st.none() | st.text(max_size=30),
    origin=st.sampled_from(["person", "steering", "model", "guard", "repair", "summary"]),
    created_at=st.datetimes(min_value=datetime(2000, 1, 1), timezones=st.just(UTC)),
)


@given(st.lists(messages, max_size=8))
def test_messages_come_back_equal(said: list[Message]) -> None:
    with TemporaryDirectory() as directory:
        journal = opened(Path(directory))
        for message in said:
            journal.append_message(message)
        journal.close()
        assert restore(journal.path).messages == tuple(said)


def opened(directory: Path) -> Journal:
    journal = Journal.create(directory / "a.jsonl", NO_SECRETS)
    start(journal)
    journal.append_message(Message(role="system", content="You are …", origin="system"))
    return journal


# --- a live history and its journal ----------------------------------------------------------------------------------


class Live:
    """A history that changes as a session's does, and its journal."""

    def __init__(self, directory: Path) -> None:
        self.journal = opened(directory)
        self.items: list[Message] = [Message(role="system", content="You are …", origin="system")]
        self.transcript: list[Message] = []
        self.before: dict[str, list[Message]] = {}
        self.turns: list[str] = []
        self.calls = 0

    def say(self, message: Message) -> None:
        if message.begins_turn:
            self.before[message.id] = list(self.items)
            self.turns.append(message.id)
        self.items = [*self.items, message]
        self.transcript.append(message)
        self.journal.append_message(message)

    def work(self, order: list[int]) -> None:
        """A message with as many calls as `order` is long; their results arrive in that order."""
        calls = tuple(call(f"c{self.calls + number}") for number in range(len(order)))
        self.calls += len(order)
        self.say(assistant_message("working", calls))
        self.journal.append_running(calls)
        place = len(self.items)
        results = {number: tool_message(calls[number], f"result {number}") for number in order}
        for number in order:
            self.transcript.append(results[number])
            self.journal.append_message(results[number])
        self.items = self.items[:place] + [results[number] for number in sorted(order)]

    def change(self, after: list[Message], reason: str) -> None:
        self.journal.append_context(self.items, after, reason)
        self.items = after

    def compact(self, keep_last: int) -> None:
        system, *rest = self.items
        cut = max(0, len(rest) - keep_last)
        while cut < len(rest) and rest[cut].role == "tool":
            cut += 1
        kept = [replace(message, content="stub") if message.role == "tool" else message for message in rest[cut:]]
        self.change([system, user_message("so far: …", "summary"), *kept], "compaction")

    def cut(self, keep_last: int) -> None:
        """Compaction without a summary."""
        system, *rest = self.items
        self.change([system, *rest[-keep_last:]], "compaction")

    def undo(self, count: int) -> None:
        """Take back the last turns: history is what it was before."""
        if not self.turns:
            return
        first = self.turns[-count:][0]
        self.change(self.before[first], "undo")
        self.turns = self.turns[: self.turns.index(first)]
        ids = [message.id for message in self.transcript]
        self.transcript = self.transcript[: ids.index(first)]


steps: st.SearchStrategy[Callable[[Live], None]] = st.one_of(
    st.text(max_size=20).map(lambda text: lambda live: live.say(user_message(text))),
    st.text(max_size=20).map(lambda text: lambda live: live.say(user_message(text, "steering"))),
    st.text(max_size=20).map(lambda text: lambda live: live.say(assistant_message(text))),
    st.permutations([0, 1, 2]).map(lambda order: lambda live: live.work(order)),
    st.integers(0, 6).map(lambda keep: lambda live: live.compact(keep)),
    st.integers(1, 6).map(lambda keep: lambda live: live.cut(keep)),
    st.integers(1, 3).map(lambda count: lambda live: live.undo(count)),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(steps, max_size=25))
def test_a_restored_history_is_the_live_one(course: list[Callable[[Live], None]]) -> None:
    with TemporaryDirectory() as directory:
        live = Live(Path(directory))
        for step in course:
            step(live)
        live.journal.close()
        restored = restore(live.journal.path)
        assert restored.messages == tuple(live.items[1:])
        assert [mark.id for mark in restored.turns] == live.turns
        assert restored.turn_count == len(live.turns)
        assert restored.transcript == tuple(live.transcript)
        assert (restored.unfinished, restored.dropped) == ((), 0)
        for turn in live.turns:
            assert messages_before(live.journal.path, turn) == tuple(live.before[turn][1:])


def test_no_message_of_that_id_ever_came(tmp_path: Path) -> None:
    assert messages_before(keep_session(tmp_path, "a", "hello"), "no such id") is None


def test_compaction_writes_only_what_is_new(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    said = [user_message("x" * 1_000) for _ in range(20)]
    for message in said:
        journal.append_message(message)
    before = journal.bytes_written
    journal.append_context(said, [user_message("summary", "summary"), *said[5:]], "compaction")
    journal.append_context(said, said, "compaction")
    journal.close()
    assert journal.bytes_written - before < 1_500


# --- damage ----------------------------------------------------------------------------------------------------------


def test_a_file_cut_anywhere_keeps_every_record_before(tmp_path: Path) -> None:
    path = keep_session(tmp_path, "a", "first", "second")
    whole = path.read_bytes()
    ends = [index + 1 for index, byte in enumerate(whole) if byte == ord("\n")]
    for cut in range(ends[-6], len(whole) + 1):
        path.write_bytes(whole[:cut])
        kept = sum(end <= cut for end in ends)
        restored = restore(path)
        assert (restored.last_seq, restored.dropped) == (kept, 0)
        journal = Journal.reopen(path, NO_SECRETS)
        journal.append_message(user_message("third"))
        journal.close()
        restored = restore(path)
        assert (restored.last_seq, restored.dropped) == (kept + 1, 0)
        assert restored.turns[-1].prompt == "third"


@pytest.mark.parametrize(
    "bad",
    [
        b"garbage",
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b"null",
        b'{"v":1,"seq":"1","ts":"2026-11-21T10:00:00Z","kind":"message","data":{}}',
        b'{"v":1,"seq":1,"ts":"yesterday Z","kind":"end","data":{}}',
        b'{"v":1,"seq":1,"ts":"2026-11-21","kind":"end","data":{}}',
        b'{"v":1,"seq":3,"ts":"2026-11-21T10:00:00Z","kind":"message","data":{"role":"god","content":"x"}}',
        b'{"v":1,"seq":3,"ts":"2026-11-21T10:00:00Z","kind":"message","data":{"role":"user","content":3,"id":"i","origin":"person",'
        b'"created_at":"2026-11-21T00:00:00+00:00"}}',
        b'{"v":1,"seq":3,"ts":"2026-11-21T10:00:00Z","kind":"context","data":{"reason":"undo","first_removed":"unknown"}}',
        b'{"v":1,"seq":3,"ts":"2026-11-21T10:00:00Z","kind":"event","data":{"event_type":"plan_update","data":{"plan":[1]}}}',
        b'{"v":1,"seq":3,"ts":"2026-11-21T10:00:00Z","kind":"running","data":{}}',
        b'{"v":1,"seq":3,"ts":"2026-11-21T10:00:00Z","kind":"files","data":{"/a":7}}',
    ],
)
def test_bad_lines_are_skipped_and_counted(tmp_path: Path, bad: bytes) -> None:
    path = keep_session(tmp_path, "a", "first", "second")
    good = restore(path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:5], bad + b"\n", *lines[5:]]))
    assert replace(restore(path), dropped=0) == good
    assert restore(path).dropped == 1


def test_a_compacted_history_survives_the_loss_of_a_message(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    said = [user_message(f"prompt {number}") for number in range(4)]
    for message in said:
        journal.append_message(message)
    journal.append_context(said, [said[3], said[0]], "compaction")
    journal.close()
    text = journal.path.read_text().replace('"content":"prompt 0"', '"content":"pro')
    journal.path.write_text(text)
    restored = restore(journal.path)
    assert (restored.messages, restored.dropped) == ((said[3],), 1)


def test_kinds_of_later_versions_are_ignored_but_not_their_formats(tmp_path: Path) -> None:
    path = keep_session(tmp_path, "a", "hello")
    good = restore(path)
    with path.open("a") as file:
        file.write('{"v":1,"seq":99,"ts":"2026-11-21T10:00:00.000Z","kind":"weather","data":{"new":1},"more":2}\n')
    assert restore(path).messages == good.messages
    with path.open("a") as file:
        file.write('{"v":2,"seq":100,"ts":"","kind":"end","data":{}}\n')
    with pytest.raises(JournalFormatError, match="format 2, this ml-intern reads formats up to 1; update ml-intern"):
        restore(path)


ONLY_A_TITLE = '{"v":1,"seq":1,"ts":"2026-11-21T10:00:00.000Z","kind":"title","data":{"title":"x","by":"person"}}\n'


@pytest.mark.parametrize("content", ["", "{}", "no journal at all\n", ONLY_A_TITLE])
def test_a_file_without_a_session(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(content)
    with pytest.raises(JournalError, match="holds no session"):
        restore(path)
    with pytest.raises(JournalError, match="cannot be read"):
        restore(tmp_path / "none.jsonl")


# --- everything else that a session needs ----------------------------------------------------------------------------


def test_settings_cost_files_plan_and_checkpoints_come_back(tmp_path: Path) -> None:
    journal = Journal.create(tmp_path / "a.jsonl", NO_SECRETS)
    start(journal, "/work", parent="p", effort="high")
    journal.append_message(user_message("train it"))
    journal.append_event(Event(llm_call(0.5, prompt_tokens=300)))
    journal.append_event(Event(llm_call(None)))
    journal.append_event(Event(llm_call(0.25, "compaction", prompt_tokens=7)))
    journal.append_event(Event(ToolCharge("hf_jobs", "c1", 0.04, 0.04, True, "lease1")))
    journal.append_event(Event(ToolCharge("hf_jobs", "c1", 0.02, 0.02, True, "lease1")))
    journal.append_event(Event(ToolCharge("hf_jobs", "c2", None, 4.0, False)))
    journal.append_event(Event(PlanUpdate((PlanItem("1", "look", "completed"), PlanItem("2", "train", "pending")))))
    known = FileFingerprint(3, "abc")
    journal.append_files({Path("/work/a"): known, Path("/work/b"): known})
    journal.append_files({Path("/work/b"): None, Path("/work/\udcff"): known})
    journal.append("model", {"model": "openai/gpt-5", "effort": "low"})
    journal.append("checkpoint", {"turn_id": "t1"})
    journal.append("resume", {"cwd": "/moved", "version": "2"})
    journal.close()
    restored = restore(journal.path)
    assert (restored.session_id, restored.parent, restored.cwd) == ("a", "p", "/moved")
    assert (restored.model_name, restored.reasoning_effort) == ("openai/gpt-5", "low")
    assert restored.charged_leases == {"lease1": pytest.approx(0.06)}
    assert set(restored.charges) == {
        Charge("main", 0.5, True),
        Charge("main", 1.5, False),
        Charge("compaction", 0.25, True),
        Charge("hf_jobs", 0.06, True),
        Charge("hf_jobs", 4.0, False),
    }
    assert [item.content for item in restored.plan] == ["look", "train"]
    assert restored.known_files == {Path("/work/a"): known, Path("/work/\udcff"): known}
    assert restored.checkpoints == ({"turn_id": "t1"},)
    assert restored.started.tzinfo is not None and not restored.ended and not restored.had_redacted_content


def test_an_undone_turn_takes_its_plan_with_it(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    prompt = user_message("plan it")
    journal.append_message(prompt)
    journal.append_event(Event(PlanUpdate((PlanItem("1", "look", "pending"),))))
    journal.append_context([prompt], [], "undo")
    journal.append_event(Event(UndoComplete(1, 1, "plan it")))
    journal.close()
    restored = restore(journal.path)
    assert (restored.plan, restored.messages, restored.turns, restored.title) == ((), (), (), "")


def test_calls_without_result_that_had_begun_are_named(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    calls = (call("a"), call("b"), call("c"), call("d"))
    journal.append_message(user_message("do all"))
    journal.append_message(assistant_message(None, calls))
    journal.append_running([calls[0], calls[1], calls[2]])
    journal.append_message(tool_message(calls[1], "done"))
    journal.close()
    restored = restore(journal.path)
    assert restored.unfinished == (calls[0], calls[2])
    assert [message.role for message in restored.messages] == ["user", "assistant", "tool"]


def titles(*records: dict[str, Any]) -> Callable[[Journal], None]:
    def write(journal: Journal) -> None:
        for record in records:
            journal.append("title", record)

    return write


@pytest.mark.parametrize(
    ("write", "title"),
    [
        (titles(), ""),
        (titles({"title": "Fitting", "by": "auto"}), "Fitting"),
        (titles({"title": "Mine", "by": "person"}, {"title": "Fitting", "by": "auto"}), "Mine"),
        (titles({"title": "Mine", "by": "person"}, {"title": "x " * 100, "by": "person"}), ("x " * 36)[:71] + "…"),
    ],
)
def test_the_title_is_the_persons_else_automatic_else_none(
    tmp_path: Path, write: Callable[[Journal], None], title: str
) -> None:
    journal = opened(tmp_path)
    add_turn(journal, "  fit the\nmodel  ")
    journal.append("end", {"turns": 1})
    write(journal)
    journal.close()
    restored = restore(journal.path)
    assert (restored.title, restored.preview) == (title, "fit the model")
    assert restored.ended


def test_costs_of_events_that_make_no_sense_are_nothing(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    for charged in (float("nan"), True, None, "3"):
        data = Event(llm_call()).data | {"charged_usd": charged}
        journal.append("event", {"event_type": LLMCall.event_type, "data": data})
    journal.close()
    assert restore(journal.path).charges == (Charge("main", 0.0, True),)
