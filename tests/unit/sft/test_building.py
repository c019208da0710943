"""Rows of kept sessions, in files."""

from __future__ import annotations

import json
import stat
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from agent.protocol.events import (
    ErrorRaised,
    HfJobSubmit,
    LLMCall,
    Processing,
    SandboxCreate,
    ToolCallStarted,
    ToolOutput,
    TurnComplete,
    UndoComplete,
)
from agent.protocol.messages import assistant_message, tool_message, user_message
from agent.redaction.live import LiveSecrets
from agent.redaction.redactor import Redactor
from agent.sessions import tool_lists
from agent.sft import building
from agent.sft.building import Filters, SftReport, report_text, run_sft
from agent.sft.output import SftError
from agent.sft.rows import row_of
from agent.sft.tagger import tag_session
from agent.traces.legacy.importing import import_snapshot
from agent.traces.legacy.snapshot import trajectory
from agent.traces.timeline import read_timeline
from tests.unit.sessions.keeping import call, keep_session
from tests.unit.sft.journals import add, begin, earlier, exchange, keep

NO_SECRETS = LiveSecrets({})
TODAY = datetime.now(UTC).date()
FAILED = (Processing(), ErrorRaised("no connection"))
COLUMNS = ["session_id", "model", "timestamp", "tags", "messages", "tools"]


def build(tmp_path: Path, *, live: LiveSecrets = NO_SECRETS, **more: Any) -> SftReport:
    return run_sft(tmp_path / "state", tmp_path / "out", live=live, **more)


def rows_in(out: Path) -> dict[str, dict[str, Any]]:
    rows = [json.loads(line) for path in sorted(out.rglob("*.jsonl")) for line in path.read_text().splitlines()]
    assert len({row["session_id"] for row in rows}) == len(rows)
    return {row["session_id"]: row for row in rows}


def test_a_row_per_file_private_and_complete(tmp_path: Path) -> None:
    keep_session(tmp_path / "state", "s1", "train it", "again")
    report = build(tmp_path)
    path = tmp_path / "out" / TODAY.isoformat() / "s1.jsonl"
    row = json.loads(path.read_text())
    assert list(row) == COLUMNS
    assert row["model"] == "replay/demo"
    assert row["timestamp"].startswith(TODAY.isoformat())
    assert row["timestamp"].endswith("Z")
    assert {"tool:bash", "outcome:completed", "turns:short", "cost:med"} <= set(row["tags"])
    assert [message["role"] for message in row["messages"]] == ["user", "assistant", "tool", "assistant"] * 2
    assert row["tools"] == "[]"
    assert path.read_text().isascii()
    for private in (tmp_path / "out", path.parent, path, tmp_path / "out" / "README.md"):
        assert stat.S_IMODE(private.stat().st_mode) == (0o700 if private.is_dir() else 0o600)
    assert report_text(report) == f"1 row in {tmp_path / 'out'}."


def test_again_changes_nothing(tmp_path: Path) -> None:
    keep_session(tmp_path / "state", "s1", "a")
    build(tmp_path)
    readme, before = tmp_path / "out" / "README.md", sorted((tmp_path / "out").rglob("*"))
    readme.write_text("mine")
    inode = before[0].stat().st_ino, (tmp_path / "out" / TODAY.isoformat() / "s1.jsonl").stat().st_ino
    report = build(tmp_path)
    assert readme.read_text() == "mine"
    assert sorted((tmp_path / "out").rglob("*")) == before
    assert (before[0].stat().st_ino, (tmp_path / "out" / TODAY.isoformat() / "s1.jsonl").stat().st_ino) == inode
    assert "1 of them there already" in report_text(report)


def test_one_file_for_all(tmp_path: Path) -> None:
    for name in ("s1", "s2", "s3"):
        keep_session(tmp_path / "state", name, "a")
    out = tmp_path / "out"
    build(tmp_path, single_file=True)
    assert sorted(path.name for path in out.iterdir()) == ["README.md", "train.jsonl"]
    assert stat.S_IMODE((out / "train.jsonl").stat().st_mode) == 0o600
    assert list(rows_in(out)) == ["s1", "s2", "s3"]
    before = (out / "train.jsonl").read_bytes()
    build(tmp_path, single_file=True)
    assert (out / "train.jsonl").read_bytes() == before


def test_files_of_earlier_runs_are_pointed_out(tmp_path: Path) -> None:
    keep_session(tmp_path / "state", "s1", "a")
    build(tmp_path)
    assert "holds 1 more .jsonl file" in report_text(build(tmp_path, single_file=True))


def test_nothing_to_write_makes_nothing(tmp_path: Path) -> None:
    report = build(tmp_path)
    assert not (tmp_path / "out").exists()
    all_of_them = "Sessions of other directories count with --all."
    assert report_text(report) == f"No session became a row; {tmp_path / 'out'} is as it was. {all_of_them}"
    build(tmp_path, single_file=True)
    assert not (tmp_path / "out").exists()


def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    keep_session(tmp_path / "state", "s1", "a")
    (tmp_path / "out").write_text("a file")
    for single_file in (False, True):
        with pytest.raises(SftError, match="cannot be written"):
            build(tmp_path, single_file=single_file)


def test_a_directory_of_the_persons_keeps_its_permissions(tmp_path: Path) -> None:
    keep_session(tmp_path / "state", "s1", "a")
    (tmp_path / "out").mkdir(mode=0o755)
    build(tmp_path)
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o755


# --- which sessions --------------------------------------------------------------------------------------------------


def test_filters_by_tags_models_turns_and_days(tmp_path: Path) -> None:
    state = tmp_path / "state"
    keep_session(state, "s1", "a", "b")
    keep(state, "s2", user_message("x"), *FAILED, assistant_message("y"), model="anthropic/claude-opus-5")
    cases: list[tuple[Filters, set[str], str]] = [
        (Filters(), {"s1", "s2"}, ""),
        (Filters(tags=("tool:ba*",)), {"s1"}, building.OTHER_TAGS),
        (Filters(tags=("turns:short", "outcome:errored")), {"s2"}, building.OTHER_TAGS),
        (Filters(not_tags=("tool:*", "model:nothing")), {"s2"}, building.OTHER_TAGS),
        (Filters(models=("anthropic/*",)), {"s2"}, building.OTHER_MODEL),
        (Filters(min_turns=2), {"s1"}, building.SHORT),
        (Filters(since=TODAY, until=TODAY), {"s1", "s2"}, ""),
        (Filters(until=date(2020, 1, 1)), set(), building.OTHER_DAY),
        (Filters(since=date(2999, 1, 1)), set(), building.OTHER_DAY),
    ]
    for number, (filters, expected, reason) in enumerate(cases):
        out = tmp_path / f"out{number}"
        report = run_sft(state, out, live=NO_SECRETS, filters=filters)
        assert set(rows_in(out)) == expected
        assert dict(report.left_out) == ({reason: 2 - len(expected)} if reason else {})


def test_sessions_of_a_directory(tmp_path: Path) -> None:
    keep_session(tmp_path / "state", "here", "a", cwd="/work/x")
    keep_session(tmp_path / "state", "there", "a", cwd="/other")
    report = build(tmp_path, cwd=Path("/work"))
    assert set(rows_in(tmp_path / "out")) == {"here"}
    assert not report.left_out


def test_a_running_session_waits(tmp_path: Path) -> None:
    journal = begin(tmp_path / "state", "s1", *exchange())
    report = build(tmp_path)
    assert report_text(report).endswith("Left out: 1 still running.")
    journal.close()
    assert build(tmp_path).rows == 1


def test_a_session_that_was_killed_is_taken_as_far_as_it_goes(tmp_path: Path) -> None:
    keep(tmp_path / "state", "s1", *exchange(), Processing(), user_message("more"), close=False)
    build(tmp_path)
    assert len(rows_in(tmp_path / "out")["s1"]["messages"]) == 3


def test_of_forks_the_longest_that_fits_becomes_the_row(tmp_path: Path) -> None:
    state = tmp_path / "state"
    first = (user_message("a"), assistant_message("b"))
    copies = [earlier(message) for message in first]
    keep(state, "parent", *first)
    keep(state, "fork", *copies, *exchange("c", "d"), parent="parent")
    keep(state, "fork-of-fork", *copies, *exchange("c", "d"), *exchange("e", "f"), *FAILED, parent="fork")
    report = build(tmp_path)
    (row,) = rows_in(tmp_path / "out").values()
    assert row["session_id"] == "fork-of-fork"
    assert "fork" in row["tags"]
    assert len(row["messages"]) == 6
    assert report.left_out == {building.REPEATED: 2}
    assert "--forks" in report_text(report)
    others = {
        "fork": Filters(not_tags=("outcome:errored",)),
        "parent": Filters(not_tags=("fork",)),
    }
    for name, filters in others.items():
        run_sft(state, tmp_path / name, live=NO_SECRETS, filters=filters)
        assert set(rows_in(tmp_path / name)) == {name}
    run_sft(state, tmp_path / "all", live=NO_SECRETS, filters=Filters(forks=True))
    assert len(rows_in(tmp_path / "all")) == 3


def test_forks_of_a_session_that_is_gone_are_a_family_too(tmp_path: Path) -> None:
    first = earlier(user_message("a"))
    for name in ("f1", "f2"):
        keep(tmp_path / "state", name, first, *exchange(name, "b"), parent="gone")
    assert build(tmp_path).left_out == {building.REPEATED: 1}


def test_what_a_sub_agent_did_is_no_row(tmp_path: Path) -> None:
    keep(tmp_path / "state", "s1", *exchange(), agent="research")
    assert build(tmp_path).left_out == {building.SUB_AGENT: 1}


def test_a_journal_of_a_newer_version_does_not_stop_the_others(tmp_path: Path) -> None:
    keep_session(tmp_path / "state", "s1", "a")
    broken = keep_session(tmp_path / "state", "s2", "a")
    build(tmp_path)  # which takes them into the index
    broken.write_text(broken.read_text().replace('{"v":1,"seq":3', '{"v":99,"seq":3'))
    report = run_sft(tmp_path / "state", tmp_path / "out2", live=NO_SECRETS)
    assert set(rows_in(tmp_path / "out2")) == {"s1"}
    assert report.rows == 1


def test_a_session_without_an_answer_is_left_out(tmp_path: Path) -> None:
    keep(tmp_path / "state", "s1", user_message("hello?"))
    assert build(tmp_path).left_out == {building.UNANSWERED: 1}


def test_an_id_that_is_no_file_name_cannot_leave_the_directory(tmp_path: Path) -> None:
    path = keep_session(tmp_path / "state", "s1", "a")
    path.write_text(path.read_text().replace('"id":"s1"', '"id":"../../../evil"', 1))
    build(tmp_path)
    (found,) = (tmp_path / "out").rglob("*.jsonl")
    assert found.parent == tmp_path / "out" / TODAY.isoformat()
    assert json.loads(found.read_text())["session_id"] == "../../../evil"
    assert not list(tmp_path.rglob("evil*"))


# --- what is in them -------------------------------------------------------------------------------------------------


def test_the_tools_that_the_model_had(tmp_path: Path) -> None:
    state = tmp_path / "state"
    secret = "s3cr3t-value-of-mine"
    spec = {
        "type": "function",
        "function": {
            "name": "hf_jobs",
            "description": f"é {secret}",
            "parameters": {
                "type": "object",
                "properties": {"secrets": {"type": "object"}, "token": {"type": "string"}},
            },
        },
    }
    journal = begin(state, "s1", *exchange())
    journal.append("place", {"git_branch": None, "tools": tool_lists.keep(state, [spec])})
    journal.close()
    build(tmp_path, live=LiveSecrets({"MY_TOKEN": secret}))
    (found,) = json.loads(rows_in(tmp_path / "out")["s1"]["tools"])
    assert secret not in json.dumps(found)
    assert found["function"]["parameters"] == spec["function"]["parameters"], "names of parameters are no secrets"


def test_secrets_are_in_no_file(tmp_path: Path) -> None:
    secret = "s3cr3t-value-of-mine"
    keep_session(tmp_path / "state", "s1", f"use {secret}")
    keep(tmp_path / "state", "s2", *exchange(f"export KEY='{secret}'", secret), model=f"openai/{secret}")
    build(tmp_path, live=LiveSecrets({"MY_TOKEN": secret}))
    assert len(rows_in(tmp_path / "out")) == 2
    for path in (path for path in (tmp_path / "out").rglob("*") if path.is_file()):
        assert secret not in path.read_text()


def test_what_cannot_be_redacted_is_not_written(tmp_path: Path) -> None:
    state, deep = tmp_path / "state", dict[str, Any]()
    for _ in range(700):
        deep = {"items": deep}
    journal = begin(state, "s1", *exchange())
    journal.append("place", {"git_branch": None, "tools": tool_lists.keep(state, [deep])})
    journal.close()
    keep(state, "s2", *exchange())
    report = build(tmp_path)
    assert set(rows_in(tmp_path / "out")) == {"s2"}
    assert report.left_out == {building.UNREDACTED: 1}


def test_a_session_file_of_the_reference_becomes_a_row(tmp_path: Path) -> None:
    wire = {"id": "call_0", "type": "function", "function": {"name": "bash", "arguments": '{"command": "ls"}'}}
    saved = {
        "session_id": "6b1d3c1e-0000-4000-8000-000000000001",
        "model_name": "huggingface/moonshotai/Kimi-K2",
        "session_start_time": "2026-05-01T01:30:00+02:00",
        "messages": [
            {"role": "system", "content": "You are an agent."},
            {"role": "user", "content": "look"},
            {"role": "assistant", "content": None, "tool_calls": [wire]},
            {"role": "tool", "tool_call_id": "call_0", "name": "bash", "content": "a.py"},
            {"role": "assistant", "content": "There is a.py."},
        ],
        "events": [
            {"timestamp": "2026-05-01T01:30:01+02:00", "event_type": "processing", "data": {"message": ""}},
            {
                "timestamp": "2026-05-01T01:30:02+02:00",
                "event_type": "tool_call",
                "data": {"tool": "bash", "arguments": {"command": "ls"}, "tool_call_id": "call_0"},
            },
            {"timestamp": "2026-05-01T01:30:03+02:00", "event_type": "turn_complete", "data": {"history_size": 5}},
        ],
        "tools": [],
    }
    path = tmp_path / "session_x_20260501_013000.json"
    path.write_text(json.dumps(saved))
    import_snapshot(path, tmp_path / "state", NO_SECRETS)
    build(tmp_path)
    (row,) = rows_in(tmp_path / "out").values()
    assert row["timestamp"].startswith("2026-04-30T23:30:00")
    assert {"model:kimi", "tool:bash", "outcome:completed"} <= set(row["tags"])
    assert [message["role"] for message in row["messages"]][-4:] == ["user", "assistant", "tool", "assistant"]


def test_what_was_taken_back_has_no_tags(tmp_path: Path) -> None:
    prompts = [user_message("a"), assistant_message("b")]
    undone = [user_message("c"), assistant_message(None, (call("x", "hf_jobs"),))]
    journal = begin(tmp_path / "state", "s1", prompts[0], Processing(), prompts[1], TurnComplete(2, "b"))
    add(journal, [undone[0], Processing(), undone[1], ToolCallStarted("hf_jobs", {}, "x")])
    add(journal, [HfJobSubmit("1", "", "a100-large", "1h", "python", "", "", None), ErrorRaised("x")])
    journal.append_context(prompts + undone, prompts, "undo")
    add(journal, [UndoComplete(2, 1, "c")])
    journal.close()
    build(tmp_path)
    tags = set(rows_in(tmp_path / "out")["s1"]["tags"])
    assert "outcome:completed" in tags
    assert not {tag for tag in tags if tag.startswith(("hf_job:", "tool:", "gpu:", "earlier:"))}


def test_tags_of_a_snapshot_are_those_of_the_row(tmp_path: Path) -> None:
    state, tool_call = tmp_path / "state", call("x", "hf_jobs", '{"script": "trainer = SFTTrainer(m)"}')
    path = keep(
        state,
        "s1",
        *(user_message("train"), Processing(), LLMCall("m", "main", 1, "tool_calls", None, False)),
        *(assistant_message(None, (tool_call,)), ToolCallStarted("hf_jobs", {"script": "…"}, "x")),
        *(HfJobSubmit("1", "", "h200x8", "1h", "python", "", "", True), SandboxCreate("2", "t4-small", 1.0)),
        tool_message(tool_call, "torch.OutOfMemoryError: CUDA out of memory"),
        ToolOutput("hf_jobs", "x", "torch.OutOfMemoryError: CUDA out of memory", False),
        *(assistant_message("no"), TurnComplete(4, "no")),
    )
    row = row_of(read_timeline(path), [], Redactor())
    assert row is not None
    tags = row["tags"]
    assert {"gpu:h200", "gpu:multi", "task:training", "sandbox:gpu", "cost:unknown", "outcome:completed"} <= set(tags)
    assert "hf_job:oom" in tags
    assert tag_session(trajectory(path, state, Redactor())) == tags


def test_counting_tags_writes_nothing(tmp_path: Path) -> None:
    keep_session(tmp_path / "state", "s1", "a")
    keep(tmp_path / "state", "s2", *exchange())
    before = sorted(path for path in tmp_path.iterdir())
    report = run_sft(tmp_path / "state", None, live=NO_SECRETS)
    assert sorted(path for path in tmp_path.iterdir()) == before
    lines = report_text(report).splitlines()
    assert any(line.split() == ["outcome:completed", "2"] for line in lines)
    assert any(line.split() == ["tool:bash", "1"] for line in lines)


def test_every_row_has_the_same_keys_and_types(tmp_path: Path) -> None:
    keep_session(tmp_path / "state", "s1", "with a tool")
    keep(tmp_path / "state", "s2", *exchange())
    build(tmp_path)
    card = (tmp_path / "out" / "README.md").read_text()
    for row in rows_in(tmp_path / "out").values():
        assert list(row) == COLUMNS
        assert row["tags"]
        for message in row["messages"]:
            for key in message:
                assert f"- name: {key}\n" in card
