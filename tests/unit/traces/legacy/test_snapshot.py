"""The session file of the reference: made from a journal, written, and read again."""

from __future__ import annotations

import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from agent.protocol.events import ApprovalItem, ApprovalRequired, CommandRun, Event, PlanItem, PlanUpdate
from agent.protocol.messages import assistant_message, tool_message, user_message
from agent.redaction.live import LiveSecrets
from agent.redaction.redactor import RedactionError, Redactor
from agent.sessions import tool_lists
from agent.sessions.journal import Journal, journal_path
from agent.sessions.restore import restore
from agent.traces.legacy import snapshot
from agent.traces.legacy.importing import import_snapshot
from agent.traces.legacy.snapshot import MOST_BYTES, SnapshotError, trajectory
from agent.traces.timeline import Said, read_timeline
from tests.unit.sessions.keeping import NO_SECRETS, STARTED, add_turn, call, keep_session, llm_call, start

KEYS = {
    *("session_id", "user_id", "hf_username", "model_name", "session_start_time", "session_end_time"),
    *(
        "last_save_time",
        "total_cost_usd",
        "usage_metrics",
        "messages",
        "events",
        "tools",
        "upload_status",
        "upload_url",
    ),
}
TOOLS = [{"type": "function", "function": {"name": "bash", "description": "Runs it.", "parameters": {}}}]


def rich_session(state: Path, session_id: str = "11112222aaaabbbb", *, unknown_cost: bool = False) -> Path:
    """Turns with calls, reasoning, a plan, a compaction, a turn taken back, and a call that never ended."""
    journal = Journal.create(journal_path(state, session_id, STARTED), NO_SECRETS)
    start(journal, "/work/project", user="ada")
    journal.append("message", {**_dump(user_message("x")), "role": "system", "content": "You are an agent."})
    journal.append("place", {"git_branch": "main", "tools": tool_lists.keep(state, TOOLS)})
    first = user_message("train it")
    journal.append_message(first)
    add_turn(journal, "first\u2028question", "Answer ünï 😀.")
    kept = list(restore(journal.path).messages)
    doomed = user_message("take this back")
    journal.append_message(doomed)
    journal.append_context([*kept, doomed], kept, "undo")
    summary = user_message("What was before.", "summary")
    journal.append_context(kept, [summary, *kept[1:]], "compaction")
    journal.append_event(Event(PlanUpdate((PlanItem("1", "Train", "in_progress"),))))
    journal.append_event(Event(llm_call(None if unknown_cost else 0.5)))
    asked = call("call-last", arguments='{"command": "sleep 9"}')
    journal.append_message(assistant_message("Thinking done.", (asked,), reasoning_content="Hm."))
    journal.append_message(tool_message(asked, "slept"))
    journal.append_event(Event(CommandRun("ls", "a.py", True)))
    journal.close()
    return journal.path


def _dump(message: Any) -> dict[str, Any]:
    from agent.sessions.records import dump_message

    return dump_message(message)


def made(path: Path, state: Path, redactor: Redactor | None = None) -> dict[str, Any]:
    return trajectory(path, state, redactor or Redactor())


def test_the_object_has_the_keys_and_forms_of_the_reference(tmp_path: Path) -> None:
    data = made(rich_session(tmp_path), tmp_path)
    assert set(data) >= KEYS
    assert data["messages"][0] == {"role": "system", "content": "You are an agent."}
    assert [message["role"] for message in data["messages"][1:4]] == ["user", "user", "assistant"]
    assert data["messages"][1]["content"] == "What was before."  # what the model is shown now
    assert data["messages"][3]["tool_calls"][0]["function"] == {"name": "bash", "arguments": '{"command": "ls"}'}
    assert set(data["messages"][4]) == {"role", "content", "tool_call_id", "name"}
    assert data["tools"] == TOOLS
    assert (data["user_id"], data["hf_username"], data["model_name"]) == ("ada", "ada", "replay/demo")
    assert (data["total_cost_usd"], data["cost_known"]) == (0.75, True)
    assert data["usage_metrics"]["llm"]["calls"] == 2
    assert (data["upload_status"], data["upload_url"]) == ("pending", None)
    assert "take this back" not in json.dumps(data["messages"])


def test_events_are_whole_and_in_order(tmp_path: Path) -> None:
    events = made(rich_session(tmp_path), tmp_path)["events"]
    assert all(set(event) == {"timestamp", "event_type", "data"} for event in events)
    by_type = {event["event_type"]: event["data"] for event in reversed(events)}
    assert by_type["tool_call"]["arguments"] == {"command": "ls"}
    assert (by_type["tool_output"]["output"], by_type["tool_output"]["success"]) == ("a.py", True)
    assert by_type["turn_complete"]["final_response"] == "Answer ünï 😀."
    assert (by_type["llm_call"]["cost_usd"], by_type["llm_call"]["total_tokens"]) == (0.25, 100)
    types = [event["event_type"] for event in events]
    assert types.index("llm_call") < types.index("tool_call") < types.index("tool_output")
    assert "assistant_chunk" not in types  # defect 3


def test_a_question_about_a_call_has_its_arguments(tmp_path: Path) -> None:
    path = rich_session(tmp_path)
    journal = Journal.reopen(path, NO_SECRETS)
    asked = ApprovalItem("bash", {"command": "sleep 9"}, "call-last")
    journal.append_event(Event(ApprovalRequired((asked,), 1)))
    journal.close()
    events = made(path, tmp_path)["events"]
    (item,) = next(e["data"]["tools"] for e in events if e["event_type"] == "approval_required")
    assert (item["tool"], item["arguments"]) == ("bash", {"command": "sleep 9"})


def test_every_time_is_aware(tmp_path: Path) -> None:
    """Defect 19."""
    data = made(rich_session(tmp_path), tmp_path)
    times = [data[key] for key in ("session_start_time", "session_end_time", "last_save_time")]
    times += [event["timestamp"] for event in data["events"]]
    assert all(datetime.fromisoformat(time).tzinfo is not None for time in times)


def test_an_unknown_cost_is_null_and_said(tmp_path: Path) -> None:
    """Defect 21."""
    data = made(rich_session(tmp_path, unknown_cost=True), tmp_path)
    assert (data["total_cost_usd"], data["cost_known"]) == (0.25, False)
    assert [event["data"]["cost_usd"] for event in data["events"] if event["event_type"] == "llm_call"] == [0.25, None]
    assert data["usage_metrics"]["data_quality"]["llm_calls_with_unknown_cost"] == 1


def test_written_read_and_imported_elsewhere_it_is_the_same_conversation(tmp_path: Path) -> None:
    path = rich_session(tmp_path / "here")
    file = tmp_path / "session_x.json"
    file.write_text(snapshot.as_text(data := made(path, tmp_path / "here")), "ascii")
    there = import_snapshot(file, tmp_path / "there", NO_SECRETS)
    before, after = restore(path), restore(there)
    assert after.messages == before.messages  # ids, origins and times too
    assert (after.session_id, after.plan, after.model_name) == (before.session_id, before.plan, before.model_name)
    assert sum(charge.usd for charge in after.charges) == sum(charge.usd for charge in before.charges)
    assert (after.cwd, after.started, after.dropped) == ("/work/project", before.started, 0)
    said = {entry.id: entry for entry in read_timeline(path).entries if isinstance(entry, Said)}
    for entry in read_timeline(there).entries:
        if isinstance(entry, Said) and entry.id in said:
            assert (entry.time, entry.outcome and entry.outcome.success) == (
                said[entry.id].time,
                said[entry.id].outcome and said[entry.id].outcome.success,  # type: ignore[union-attr]
            )
    again = made(there, tmp_path / "there")
    for key in KEYS - {"session_start_time", "last_save_time", "session_end_time", "events", "usage_metrics"}:
        assert again[key] == data[key], key


def test_the_same_journal_gives_the_same_object(tmp_path: Path) -> None:
    path = rich_session(tmp_path)
    assert made(path, tmp_path) == made(path, tmp_path)


def test_what_is_exported_is_redacted(tmp_path: Path) -> None:
    path = keep_session(tmp_path, "33334444", "the token is planted-secret-value")
    data = made(path, tmp_path, Redactor(LiveSecrets({}, {"HF_TOKEN": "planted-secret-value"})))
    assert "planted-secret-value" not in json.dumps(data)
    assert data["usage_metrics"]["llm"]["tokens"]["prompt_tokens"] == 100
    assert next(e["data"]["prompt_tokens"] for e in data["events"] if e["event_type"] == "llm_call") == 100


def test_what_cannot_be_redacted_is_not_made(tmp_path: Path) -> None:
    """Defect 5: redaction failed open."""

    class Failing(Redactor):
        def data(self, value: Any) -> Any:
            raise RedactionError("no")

    with pytest.raises(RedactionError):
        made(keep_session(tmp_path, "33334444", "hello"), tmp_path, Failing())


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"", "no JSON"),
        (b'{"messages": [', "cut off"),
        (b"\xff\xfe\x00", "no JSON"),
        (b"[]", "no list of messages"),
        (b'{"messages": {"role": "user"}}', "no list of messages"),
        (b'{"messages": []}', "nothing was said"),
        (b'{"messages": [{"role": "system", "content": "x"}, 3]}', "nothing was said"),
        (b'{"messages": ' + b"[" * 200_000, "nested too deeply"),
        (b'{"messages": [{"role": "user", "content": "x"}], "n": ' + b"9" * 5000 + b"}", "no JSON"),
    ],
)
def test_files_that_are_no_sessions_are_refused(tmp_path: Path, content: bytes, cause: str) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(SnapshotError, match=cause):
        snapshot.read(path)


def test_directories_pipes_and_huge_files_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    with (tmp_path / "huge.json").open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    for path, cause in (
        (tmp_path, "not a file"),
        (tmp_path / "pipe.json", "not a file"),
        (tmp_path / "huge.json", "256 MiB"),
        (tmp_path / "none.json", "cannot be read"),
    ):
        with pytest.raises(SnapshotError, match=cause):
            snapshot.read(path)


def test_text_and_numbers_are_made_valid(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    deep = '{"a":' * 150 + "1" + "}" * 150
    path.write_text(
        '{"messages": [{"role": "user", "content": "a\\ud800b"}], "total_cost_usd": NaN, "usage_metrics": 1e999,'
        f' "events": [{{"event_type": "x", "data": {deep}}}, 3], "tools": null}}'
    )
    found = snapshot.read(path)
    assert found.messages.said[0].message.content == "a\ufffdb"
    assert (found.data["total_cost_usd"], found.data["usage_metrics"], found.data["tools"]) == (None, None, [])
    assert len(found.data["events"]) == 1
    json.dumps(found.data, allow_nan=False)
