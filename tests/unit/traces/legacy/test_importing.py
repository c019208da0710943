"""A session file of the reference becomes a journal, and is not touched."""

from __future__ import annotations

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.protocol.messages import user_message
from agent.redaction.live import LiveSecrets
from agent.redaction.redactor import Redactor
from agent.sessions import lock, tool_lists
from agent.sessions.errors import JournalError, SessionError
from agent.sessions.index import SessionIndex
from agent.sessions.journal import Journal
from agent.sessions.reader import read_records
from agent.sessions.restore import RestoredSession, restore
from agent.traces import claude_code
from agent.traces.legacy.importing import import_snapshot
from agent.traces.timeline import Said, read_timeline
from tests.unit.sessions.keeping import NO_SECRETS, add_turn, keep_session
from tests.unit.traces.legacy import reference_files as legacy

TREE = "sessions/2026/03/02"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def taken_up(state: Path, path: Path) -> RestoredSession:
    return restore(import_snapshot(path, state, NO_SECRETS))


def test_a_session_of_the_reference_goes_on_as_it_stood(tmp_path: Path, state: Path) -> None:
    path = legacy.keep(tmp_path / "project")
    before = path.read_bytes()
    journal = import_snapshot(path, state, NO_SECRETS)
    assert journal == state / TREE / f"{legacy.SESSION_ID}.jsonl"
    assert path.read_bytes() == before  # resuming once destroyed it
    found = restore(journal)
    assert [(m.role, m.content) for m in found.messages] == [
        ("user", "train a\nclassifier"),
        ("assistant", "A plan first."),
        ("tool", "Plan saved."),
        ("tool", "ls: no such directory"),
        ("assistant", "Nothing is there yet."),
        ("user", "then\nmake it"),
        ("user", "[SYSTEM: CONTINUATION GUARD] two steps are open"),
        ("assistant", "Made."),
    ]
    first = found.messages[1]
    assert (first.reasoning_content, first.thinking_blocks) == (
        "I need a plan.",
        ({"type": "thinking", "thinking": "First the plan.", "signature": "c2lnbmVk"},),
    )
    assert [call.function.name for call in first.tool_calls] == ["plan_tool", "bash"]
    assert found.model_name == "moonshotai/Kimi-K2-Instruct"
    assert found.session_id == legacy.SESSION_ID
    assert found.cwd == str(tmp_path / "project")
    assert sum(charge.usd for charge in found.charges) == pytest.approx(0.1)
    assert [(step.content, step.status) for step in found.plan] == [
        ("Look at the data", "completed"),
        ("Train", "in_progress"),
    ]
    assert [mark.prompt for mark in found.turns] == ["train a\nclassifier", "then\nmake it"]  # not the guard's note
    assert not found.had_redacted_content
    assert (found.dropped, found.ended, found.unfinished) == (0, True, ())


def test_the_timeline_has_outcomes_calls_and_times(tmp_path: Path, state: Path) -> None:
    timeline = read_timeline(import_snapshot(legacy.keep(tmp_path), state, NO_SECRETS))
    said = [entry for entry in timeline.entries if isinstance(entry, Said)]
    assert [entry.outcome.success for entry in said if entry.outcome] == [True, False]
    assert [entry.call.cost_usd for entry in said if entry.call] == [0.02, 0.03, 0.05]
    assert [entry.time.second for entry in said] == [2, 5, 7, 7, 10, 20, 20, 22]
    assert timeline.started == datetime.fromisoformat(legacy.STARTED).replace(microsecond=123000)
    assert timeline.system_prompt == "You are an agent."
    assert timeline.tools is not None
    assert tool_lists.load(state, timeline.tools) == legacy.snapshot()["tools"]
    assert timeline.dropped == 0
    types = {record.data.get("event_type") for record in read_records(state / TREE / f"{legacy.SESSION_ID}.jsonl")}
    assert "hf_job_submit" in types
    assert "assistant_chunk" not in types  # defect 3


def turn(second: int) -> list[dict[str, Any]]:
    return [legacy.event(second, "processing"), legacy.llm_call(second + 1), legacy.event(second + 2, "turn_complete")]


def seconds_of(path: Path, state: Path) -> list[tuple[str | None, int]]:
    said = read_timeline(import_snapshot(path, state, NO_SECRETS)).links
    return [(entry.message.content, entry.time.second) for entry in said if isinstance(entry, Said)]


def test_turns_that_were_taken_back_give_no_message_a_time(tmp_path: Path, state: Path) -> None:
    said = [{"role": "user", "content": "one"}, {"role": "assistant", "content": "1"}]
    happened = [*turn(10), *turn(20), legacy.event(30, "undo_complete")]
    path = legacy.keep(tmp_path, legacy.snapshot(messages=said, events=happened))
    assert seconds_of(path, state) == [("one", 10), ("1", 12)]


def test_the_first_prompt_and_the_last_ones_outlive_compaction(tmp_path: Path, state: Path) -> None:
    said = [
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "A summary."},
        {"role": "user", "content": "last"},
        {"role": "assistant", "content": "Done."},
    ]
    happened = [*turn(10), *turn(20), *turn(30), *turn(40)]
    path = legacy.keep(tmp_path, legacy.snapshot(messages=said, events=happened))
    assert seconds_of(path, state) == [("first", 10), ("A summary.", 12), ("last", 40), ("Done.", 42)]


def test_what_is_sure_wins_over_what_is_likely(tmp_path: Path, state: Path) -> None:
    """A turn whose end the file does not have: counted from the end, its prompt would come after its own call."""
    said = [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "1", "tool_calls": [legacy.call("c", "bash", "{}")]},
        {"role": "tool", "content": "ok", "tool_call_id": "c"},
    ]
    called = legacy.event(5, "tool_call", tool="bash", arguments={}, tool_call_id="c")
    done = legacy.event(6, "tool_output", tool="bash", tool_call_id="c", output="ok", success=True)
    happened = [called, done, legacy.event(10, "processing"), legacy.event(11, "error", error="x")]
    path = legacy.keep(tmp_path, legacy.snapshot(messages=said, events=happened))
    assert [second for _, second in seconds_of(path, state)] == [0, 5, 6]


def test_naive_times_are_local_times(tmp_path: Path, state: Path) -> None:
    """Defect 19: the reference wrote an aware start and a naive end."""
    timeline = read_timeline(import_snapshot(legacy.keep(tmp_path), state, NO_SECRETS))
    ended = datetime.fromisoformat("2026-03-02T08:15:40").astimezone()
    assert timeline.last_used == max(ended, datetime(2026, 3, 2, 8, 15, 23, 500000, UTC))
    assert timeline.last_used.tzinfo is not None


def test_importing_again_finds_the_same_journal(tmp_path: Path, state: Path) -> None:
    path = legacy.keep(tmp_path)
    journal = import_snapshot(path, state, NO_SECRETS)
    content, inode = journal.read_bytes(), journal.stat().st_ino
    assert import_snapshot(path, state, NO_SECRETS) == journal
    assert (journal.read_bytes(), journal.stat().st_ino) == (content, inode)
    assert import_snapshot(path, tmp_path / "elsewhere", NO_SECRETS).read_bytes() == content
    assert stat.S_IMODE(journal.stat().st_mode) == 0o600
    assert stat.S_IMODE(journal.parent.stat().st_mode) == 0o700
    assert list(journal.parent.iterdir()) == [journal]


def test_many_at_once_make_one_journal(tmp_path: Path, state: Path) -> None:
    path = legacy.keep(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        (journal,) = set(pool.map(lambda _: import_snapshot(path, state, NO_SECRETS), range(16)))
    assert list(journal.parent.iterdir()) == [journal]
    assert len(restore(journal).messages) == 8


def test_an_id_that_others_begin_with_is_no_other(tmp_path: Path, state: Path) -> None:
    for more in ("11", "22"):
        keep_session(state, f"0c0ffee0{more}", "ours")
    path = import_snapshot(legacy.keep(tmp_path, legacy.snapshot(session_id="0c0ffee0")), state, NO_SECRETS)
    assert (path.stem, len(restore(path).messages)) == ("0c0ffee0", 8)


def test_a_file_that_has_grown_is_imported_anew(tmp_path: Path, state: Path) -> None:
    journal = import_snapshot(legacy.keep(tmp_path), state, NO_SECRETS)
    before = [message.id for message in restore(journal).messages]
    more = [*legacy.messages(), {"role": "user", "content": "more"}]
    assert import_snapshot(legacy.keep(tmp_path, legacy.snapshot(messages=more)), state, NO_SECRETS) == journal
    messages = restore(journal).messages
    assert messages[-1].content == "more"
    assert [message.id for message in messages[:-1]] == before  # ids come from what was said, not from places


def test_what_has_gone_on_here_is_what_is_found(tmp_path: Path, state: Path) -> None:
    """Defect 13: going on lost the history and the cost of the session."""
    path = import_snapshot(legacy.keep(tmp_path), state, NO_SECRETS)
    journal = Journal.reopen(path, NO_SECRETS)
    journal.append("resume", {"cwd": "/work", "version": "1.0"})
    add_turn(journal, "and now?")
    journal.append("end", {"turns": 3})
    journal.close()
    grown = legacy.keep(tmp_path, legacy.snapshot(messages=[*legacy.messages(), {"role": "user", "content": "x"}]))
    assert import_snapshot(grown, state, NO_SECRETS) == path
    found = restore(path)
    assert [mark.prompt for mark in found.turns][-1] == "and now?"
    assert sum(charge.usd for charge in found.charges) == pytest.approx(0.35)


def test_a_session_that_is_open_is_left_alone(tmp_path: Path, state: Path) -> None:
    path = import_snapshot(legacy.keep(tmp_path), state, NO_SECRETS)
    grown = legacy.keep(tmp_path, legacy.snapshot(messages=[*legacy.messages(), {"role": "user", "content": "x"}]))
    before = path.read_bytes()
    with path.open("rb+") as file:
        assert lock.acquire(file.fileno())
        assert import_snapshot(grown, state, NO_SECRETS) == path
    assert path.read_bytes() == before


def test_a_session_that_was_held_here_stays_as_it_is(tmp_path: Path, state: Path) -> None:
    own = keep_session(state, legacy.SESSION_ID, "ours")
    before = own.read_bytes()
    assert import_snapshot(legacy.keep(tmp_path), state, NO_SECRETS) == own
    assert own.read_bytes() == before


def test_an_import_is_listed_and_can_be_removed(tmp_path: Path, state: Path) -> None:
    path = import_snapshot(legacy.keep(tmp_path), state, NO_SECRETS)
    index = SessionIndex(state)
    (info,) = index.list(tmp_path)
    assert (info.path, info.turns, info.title, info.cost_usd) == (path, 2, "train a classifier", pytest.approx(0.1))
    index.remove(info)
    assert not path.exists()


@pytest.mark.parametrize(
    "session_id", ["../../../evil", "a/b/c/d/e/f/g", ".", "", None, 7, "x" * 500, "no\x1b[31mcolour", "3"]
)
def test_ids_that_cannot_name_files_are_replaced(tmp_path: Path, state: Path, session_id: Any) -> None:
    path = import_snapshot(legacy.keep(tmp_path, legacy.snapshot(session_id=session_id)), state, NO_SECRETS)
    assert path.parent == state / TREE
    assert path.stem.startswith("legacy-")
    grown = [*legacy.messages(), {"role": "user", "content": "more"}]
    again = legacy.keep(tmp_path, legacy.snapshot(session_id=session_id, messages=grown))
    assert import_snapshot(again, state, NO_SECRETS) == path
    assert restore(path).messages[-1].content == "more"


@pytest.mark.parametrize("marker", ["[REDACTED]", "[REDACTED_HF_TOKEN]", "[REDACTED_OPENAI_KEY]"])
def test_redacted_content_is_noticed(tmp_path: Path, state: Path, marker: str) -> None:
    """Defect 17: plain `[REDACTED]` was overlooked. Signatures of redacted thinking are good for nothing."""
    messages = legacy.messages()
    messages[2]["thinking_blocks"][0]["thinking"] = f"The key is {marker}."
    messages[4]["content"] = f"export X={marker}"
    found = taken_up(state, legacy.keep(tmp_path, legacy.snapshot(messages=messages)))
    assert found.had_redacted_content
    assert found.messages[1].thinking_blocks == ()


def test_a_cost_of_nothing_for_many_tokens_is_unknown(tmp_path: Path, state: Path) -> None:
    """Defect 21."""
    path = legacy.keep(tmp_path, legacy.snapshot(events=[legacy.llm_call(4, 0.0)], total_cost_usd=0.0))
    (call,) = read_timeline(import_snapshot(path, state, NO_SECRETS)).calls
    assert (call.cost_usd, call.cost_known) == (None, False)


def test_costs_of_thrown_away_events_are_kept(tmp_path: Path, state: Path) -> None:
    """Defect 13: a resumed session of the reference has lost the events, and with them the cost, of what was before."""
    found = taken_up(state, legacy.keep(tmp_path, legacy.snapshot(events=[legacy.llm_call(4, 0.25)], total_cost_usd=2)))
    assert sum(charge.usd for charge in found.charges) == pytest.approx(2)


def test_calls_are_mended(tmp_path: Path, state: Path) -> None:
    """Ids used twice, arguments that are no object, results without a call, calls without a result, bad names."""
    said = [
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": None, "tool_calls": [legacy.call("call_0", "bash", '{"command": "one"}')]},
        {"role": "tool", "content": "1", "tool_call_id": "call_0"},
        {"role": "assistant", "content": "", "tool_calls": [legacy.call("call_0", "my tool!", "[1]")]},
        {"role": "tool", "content": None, "tool_call_id": "call_0"},
        {"role": "tool", "content": "of nobody", "tool_call_id": "call_9"},
        {"role": "assistant", "tool_calls": [legacy.call("call_0", "bash", "{"), legacy.call("call_1", "bash", "")]},
    ]
    happened = [
        legacy.event(1, "processing"),
        legacy.event(2, "tool_output", tool="bash", tool_call_id="call_0", output="1", success=False),
        legacy.event(3, "tool_output", tool="bash", tool_call_id="call_0", output="", success=True),
        legacy.event(4, "tool_call", tool="bash", tool_call_id="call_1", arguments={}),
    ]
    path = import_snapshot(legacy.keep(tmp_path, legacy.snapshot(messages=said, events=happened)), state, NO_SECRETS)
    found = restore(path)
    calls = [call for message in found.messages for call in message.tool_calls]
    assert [call.id for call in calls] == ["call_0", "call_0-2", "call_0-3", "call_1"]
    assert [json.loads(call.function.arguments) for call in calls] == [
        {"command": "one"},
        {"_raw": "[1]"},
        {"_raw": "{"},
        {},
    ]
    assert calls[1].function.name == "my_tool_"
    results = [(message.tool_call_id, message.content) for message in found.messages if message.role == "tool"]
    assert results == [("call_0", "1"), ("call_0-2", "")]
    assert found.dropped == 1
    assert [call.id for call in found.unfinished] == ["call_1"]  # it had begun; the other one had not
    said_here = [entry for entry in read_timeline(path).entries if isinstance(entry, Said)]
    assert [entry.outcome.success for entry in said_here if entry.outcome] == [False, True]


def test_messages_that_make_no_sense_are_counted(tmp_path: Path, state: Path) -> None:
    junk = [
        None,
        3,
        "text",
        [],
        {"role": "alien", "content": "x"},
        {"role": ["user"]},
        {"content": "x"},
        {"role": "user"},
    ]
    found = taken_up(state, legacy.keep(tmp_path, legacy.snapshot(messages=[*junk, *legacy.messages()])))
    assert found.dropped == len(junk)
    assert len(found.messages) == 8


@pytest.mark.parametrize("said", [[{"role": "assistant", "content": "Hi."}], [{"role": "user", "content": "Hi."}]])
@pytest.mark.parametrize("happened", [[], legacy.events()])
def test_one_message_is_enough(tmp_path: Path, state: Path, said: list[Any], happened: list[Any]) -> None:
    found = taken_up(state, legacy.keep(tmp_path, legacy.snapshot(messages=said, events=happened)))
    assert [message.content for message in found.messages] == ["Hi."]


def test_live_secrets_do_not_get_into_the_journal(tmp_path: Path, state: Path) -> None:
    secrets = LiveSecrets({}, {"HF_TOKEN": "hf_averysecretvalue"})
    said = [{"role": "user", "content": "it is hf_averysecretvalue"}]
    path = import_snapshot(legacy.keep(tmp_path, legacy.snapshot(messages=said)), state, secrets)
    assert b"hf_averysecretvalue" not in path.read_bytes()


def test_an_undo_of_the_reference_takes_nothing_from_the_counts(tmp_path: Path, state: Path) -> None:
    happened = [legacy.event(30, "undo_complete", removed_messages=90, removed_turns=9)]
    import_snapshot(legacy.keep(tmp_path, legacy.snapshot(events=happened)), state, NO_SECRETS)
    (info,) = SessionIndex(state).list()
    assert (info.turns, info.messages) == (2, 8)


def test_times_that_cannot_be_are_not_believed(tmp_path: Path, state: Path) -> None:
    far = {"timestamp": "9999-01-01T00:00:00+00:00", "event_type": "processing", "data": {}}
    path = legacy.keep(tmp_path, legacy.snapshot(events=[far, {"timestamp": "soon", "event_type": "ready"}]))
    assert read_timeline(import_snapshot(path, state, NO_SECRETS)).last_used.year < 2100


def test_what_cannot_be_written_is_said(tmp_path: Path, state: Path) -> None:
    state.mkdir()
    (state / "sessions").write_text("in the way")
    with pytest.raises(JournalError, match="cannot be taken up"):
        import_snapshot(legacy.keep(tmp_path), state, NO_SECRETS)


def test_it_is_exported_as_a_trace(tmp_path: Path, state: Path) -> None:
    timeline = read_timeline(import_snapshot(legacy.keep(tmp_path), state, NO_SECRETS))
    assert claude_code.is_trace(timeline)
    lines = [json.loads(line) for line in claude_code.lines(timeline, Redactor())]
    said = [line for line in lines if line["type"] in {"user", "assistant"}]
    uuids = {line["uuid"] for line in lines if "uuid" in line}
    assert all(line["parentUuid"] in uuids | {None} for line in said)
    assert sum("usage" in line["message"] for line in said) == 3
    assert next(line["message"]["content"] for line in said) == "train a\nclassifier"
    assert {line["version"] for line in said} == {"0.0.0"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
WORDS = st.sampled_from(
    [
        "role",
        "content",
        "tool_calls",
        "tool_call_id",
        "function",
        "name",
        "arguments",
        "id",
        "user",
        "assistant",
        "tool",
    ]
)


def shaped(fields: list[str]) -> st.SearchStrategy[Any]:
    values = JSON | WORDS | st.lists(st.dictionaries(WORDS, JSON | WORDS, max_size=4), max_size=2)
    return JSON | st.fixed_dictionaries({}, optional=dict.fromkeys(fields, values))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(["session_id", "session_start_time", "model_name", "total_cost_usd", "ml_intern"], JSON)
        | {
            "messages": JSON
            | st.lists(shaped(["role", "content", "tool_calls", "tool_call_id", "timestamp"]), max_size=4),
            "events": JSON | st.lists(shaped(["event_type", "data", "timestamp"]), max_size=4),
            "tools": JSON,
        },
    )
)
def test_no_file_brings_it_down(tmp_path: Path, data: dict[str, Any]) -> None:
    path, state = tmp_path / "any.json", tmp_path / "any-state"
    path.write_text(json.dumps(data))
    try:
        journal = import_snapshot(path, state, NO_SECRETS)
    except SessionError:
        return
    assert journal.is_relative_to(state / "sessions")
    assert restore(journal).messages
    read_timeline(journal)


def test_a_prompt_of_ours_can_be_appended(tmp_path: Path, state: Path) -> None:
    path = import_snapshot(legacy.keep(tmp_path), state, NO_SECRETS)
    seqs = [record.seq for record in read_records(path)]
    assert seqs == list(range(1, len(seqs) + 1))
    journal = Journal.reopen(path, NO_SECRETS)
    journal.append_message(user_message("go on"))
    journal.close()
    assert restore(path).last_seq == len(seqs) + 1
