"""The journal file: private, append-only, one writer, without secrets, and no danger to the session."""

from __future__ import annotations

import itertools
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.protocol.events import (
    ApprovalItem,
    ApprovalRequired,
    AssistantChunk,
    AssistantMessage,
    BudgetStatus,
    Event,
    ToolCallStarted,
    ToolOutput,
    TurnComplete,
)
from agent.protocol.messages import FunctionCall, ToolCall, assistant_message, user_message
from agent.redaction.live import LiveSecrets, child_environment, is_secret_name
from agent.sessions.errors import JournalBusyError, JournalError, JournalFormatError
from agent.sessions.journal import MAX_UNWRITTEN_BYTES, Journal
from agent.sessions.reader import read_records
from agent.sessions.restore import restore
from tests.unit.sessions.keeping import NO_SECRETS, add_turn, keep_session, start


def records(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_records_are_numbered_lines_in_a_private_file(tmp_path: Path) -> None:
    path = tmp_path / "sessions" / "2026" / "a.jsonl"
    journal = Journal.create(path, NO_SECRETS)
    assert not path.parent.exists()
    journal.append("start", {"id": "a"})
    journal.append_message(user_message("hi \u2028 there"))
    journal.append_event(Event(TurnComplete(1, None), 1))
    journal.close()
    lines = records(path)
    assert [(line["seq"], line["kind"]) for line in lines] == [(1, "start"), (2, "message"), (3, "event")]
    assert path.read_bytes().isascii()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert path.parent.parent.stat().st_mode & 0o777 == 0o700


def test_events_do_not_repeat_what_messages_hold(tmp_path: Path) -> None:
    big = "big text " * 10
    item = ApprovalItem("write", {"content": big}, "c1", preview="+ a diff")
    payloads = [
        AssistantChunk(big),
        BudgetStatus(1.0, 0.0, 0.0, None),
        AssistantMessage(big),
        ToolCallStarted("write", {"content": big}, "c1"),
        ApprovalRequired((item,), 1),
        ToolOutput("write", "c1", big, True, display="+ a diff"),
        TurnComplete(3, big),
    ]
    journal = Journal.create(tmp_path / "a.jsonl", NO_SECRETS)
    for payload in payloads:
        journal.append_event(Event(payload))
    journal.close()
    text = journal.path.read_text()
    assert "big text" not in text
    assert text.count("+ a diff") == 2
    kinds = [record.data["event_type"] for record in read_records(journal.path)]
    assert kinds == ["assistant_message", "tool_call", "approval_required", "tool_output", "turn_complete"]
    assert item.arguments == {"content": big}


def test_live_secrets_are_replaced_everywhere(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    journal = Journal.create(path, LiveSecrets({"HF_TOKEN": "hf_abcdefghijk"}))
    journal.append("event", {"hf_abcdefghijk": ["x hf_abcdefghijk y", {"deep": "hf_abcdefghijk"}]})
    journal.append_context([], [user_message("my token is hf_abcdefghijk")], "compaction")
    journal.close()
    assert "hf_abc" not in path.read_text()
    assert path.read_text().count("[REDACTED:HF_TOKEN]") == 4
    assert restore(path).had_redacted_content


def test_the_file_grows_with_what_is_said_and_nothing_is_written_twice(tmp_path: Path) -> None:
    journal = Journal.create(tmp_path / "a.jsonl", NO_SECRETS)
    start(journal)
    sizes = []
    for _ in range(4):
        for _ in range(25):
            add_turn(journal, "the same again")
        sizes.append(journal.bytes_written)
    journal.close()
    assert journal.bytes_written == journal.path.stat().st_size
    growth = [later - earlier for earlier, later in itertools.pairwise(sizes)]
    assert max(growth) < 1.05 * min(growth)


def test_a_place_that_cannot_be_written_is_said_once_and_ends_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    journal = Journal.create(tmp_path / "file" / "a.jsonl", NO_SECRETS)
    with caplog.at_level(logging.ERROR):
        journal.append("start", {})
        journal.append("end", {})
        journal.close()
    assert len(caplog.records) == 1
    assert journal.problem is not None and "cannot be written" in journal.problem


def test_a_file_that_could_not_be_made_at_first_gets_everything_later(tmp_path: Path) -> None:
    in_the_way = tmp_path / "directory"
    in_the_way.write_text("a file")
    journal = Journal.create(in_the_way / "a.jsonl", NO_SECRETS)
    start(journal)
    add_turn(journal, "first")
    journal.sync()
    assert journal.problem is not None
    in_the_way.unlink()
    journal.sync()
    assert journal.problem is None
    add_turn(journal, "second")
    journal.close()
    restored = restore(journal.path)
    assert ([mark.prompt for mark in restored.turns], restored.dropped) == (["first", "second"], 0)
    assert [line["seq"] for line in records(journal.path)] == list(range(1, restored.last_seq + 1))


def test_closing_is_the_last_try(tmp_path: Path) -> None:
    in_the_way = tmp_path / "directory"
    in_the_way.write_text("a file")
    journal = Journal.create(in_the_way / "a.jsonl", NO_SECRETS)
    start(journal)
    add_turn(journal, "first")
    in_the_way.unlink()
    journal.close()
    assert restore(journal.path).turn_count == 1


@pytest.mark.parametrize("goes_on", [False, True])
def test_what_is_too_much_to_wait_for_the_disk_leaves_a_gap(tmp_path: Path, goes_on: bool) -> None:
    in_the_way = tmp_path / "directory"
    in_the_way.write_text("a file")
    journal = Journal.create(in_the_way / "a.jsonl", NO_SECRETS)
    start(journal)
    kept = MAX_UNWRITTEN_BYTES >> 20
    for number in range(kept + 10):
        journal.append_message(user_message(f"{number} " + "x" * (1 << 20)))
    assert journal.problem is not None and "records are being lost" in journal.problem
    in_the_way.unlink()
    journal.sync()
    assert journal.problem is None
    if goes_on:
        journal.append_message(user_message("after"))
    journal.close()
    restored = restore(journal.path)
    assert restored.dropped == 10
    assert restored.turn_count == kept + goes_on
    kinds = [str(line["kind"]) for line in records(journal.path)]
    assert kinds == ["start", *["message"] * kept, "gap", *["message"] * goes_on]


@pytest.mark.skipif(sys.platform == "win32", reason="has no directories to sync")
def test_the_name_of_a_new_file_is_made_durable_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.fstat(fd).st_ino))
    journal = Journal.create(tmp_path / "new" / "a.jsonl", NO_SECRETS)
    start(journal)
    journal.sync()
    journal.sync()
    journal.close()
    Journal.reopen(journal.path, NO_SECRETS).close()
    file, directory = journal.path.stat().st_ino, journal.path.parent.stat().st_ino
    assert synced == [file, directory, file, file, file]


def test_nothing_is_written_after_closing(tmp_path: Path) -> None:
    path = keep_session(tmp_path, "a", "hello")
    journal = Journal.reopen(path, NO_SECRETS)
    journal.close()
    size = path.stat().st_size
    journal.append("end", {})
    journal.sync()
    journal.close()
    assert path.stat().st_size == size


# --- continuing ------------------------------------------------------------------------------------------------------


def test_numbers_go_on_where_they_stopped(tmp_path: Path) -> None:
    path = keep_session(tmp_path, "a", "hello")
    count = len(records(path))
    journal = Journal.reopen(path, NO_SECRETS)
    journal.append("resume", {"cwd": "/elsewhere"})
    journal.close()
    assert [line["seq"] for line in records(path)] == list(range(1, count + 2))
    assert restore(path).cwd == "/elsewhere"


@pytest.mark.parametrize("tail", [b'{"v":1,"seq":99,"ts":"x', b"\0" * 500, b"garbage\n", b'[1]\n"text"\n{"v":1}\n\n'])
def test_what_a_crash_left_behind_is_cut_off_or_skipped(tmp_path: Path, tail: bytes) -> None:
    path = keep_session(tmp_path, "a", "hello")
    count = len(records(path))
    with path.open("ab") as file:
        file.write(tail)
    journal = Journal.reopen(path, NO_SECRETS)
    journal.append_message(user_message("again"))
    journal.close()
    restored = restore(path)
    assert restored.last_seq == count + 1
    assert [mark.prompt for mark in restored.turns] == ["hello", "again"]
    assert restored.dropped == tail.count(b"\n")


def test_an_emptied_file_can_be_continued(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.touch()
    journal = Journal.reopen(path, NO_SECRETS)
    journal.append("start", {"id": "a"})
    journal.close()
    assert records(path)[0]["seq"] == 1


def test_a_file_that_is_not_there_or_of_a_newer_program_is_not_continued(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="cannot be opened"):
        Journal.reopen(tmp_path / "none.jsonl", NO_SECRETS)
    path = tmp_path / "new.jsonl"
    path.write_text('{"v":7,"seq":1,"ts":"","kind":"start","data":{}}\n')
    with pytest.raises(JournalFormatError, match=r"format 7, this ml-intern reads formats up to 1; update"):
        Journal.reopen(path, NO_SECRETS)
    assert path.stat().st_size == 49


# --- one writer ------------------------------------------------------------------------------------------------------

WRITER = """
import sys
from pathlib import Path
from agent.protocol.messages import user_message
from agent.sessions.journal import Journal
from agent.redaction.live import LiveSecrets
journal = Journal.create(Path(sys.argv[1]), LiveSecrets({}))
journal.append("start", {"id": journal.path.stem, "cwd": "/work"})
journal.append_message(user_message("from the other process"))
print("ready", flush=True)
sys.stdin.read()
"""


@contextmanager
def other_writer(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has `path` open; the caller may kill it."""
    command = [sys.executable, "-c", WRITER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_second_writer_is_refused_until_the_first_is_dead(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with other_writer(path) as process:
        with pytest.raises(JournalBusyError, match=f"open in process {process.pid}") as caught:
            Journal.reopen(path, NO_SECRETS)
        assert caught.value.pid == process.pid
        process.kill()
        process.wait()
        journal = Journal.reopen(path, NO_SECRETS)
    journal.append_message(user_message("from this one"))
    journal.close()
    restored = restore(path)
    assert [mark.prompt for mark in restored.turns] == ["from the other process", "from this one"]
    assert not restored.ended


def test_a_second_writer_in_the_same_process_is_refused_too(tmp_path: Path) -> None:
    journal = Journal.reopen(keep_session(tmp_path, "a", "hello"), NO_SECRETS)
    with pytest.raises(JournalBusyError):
        Journal.reopen(journal.path, NO_SECRETS)
    journal.close()
    Journal.reopen(journal.path, NO_SECRETS).close()


# --- a full disk -----------------------------------------------------------------------------------------------------

FULL_DISK = """
import resource, sys
from pathlib import Path
from agent.protocol.messages import user_message
from agent.sessions.journal import Journal
from agent.redaction.live import LiveSecrets
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
journal = Journal.create(Path(sys.argv[1]), LiveSecrets({}))
journal.append("start", {"id": "a"})
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, hard))
for number in range(20):
    journal.append_message(user_message(f"prompt {number} " + "x" * 200))
assert journal.problem is not None, "the disk was to be full"
if sys.argv[2] == "recovers":
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    journal.append_message(user_message("there is room again"))
    assert journal.problem is None, journal.problem
journal.close()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
def test_a_full_disk_loses_nothing_once_there_is_room_again(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    subprocess.run([sys.executable, "-c", FULL_DISK, str(path), "recovers"], check=True, timeout=60)
    assert [line["seq"] for line in records(path)] == list(range(1, 23))
    assert restore(path).dropped == 0


@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
def test_a_disk_that_stays_full_tears_the_last_record_only(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    subprocess.run([sys.executable, "-c", FULL_DISK, str(path), "stays full"], check=True, timeout=60)
    assert path.stat().st_size == 3000
    kept = restore(path)
    assert kept.dropped == 0 and kept.turn_count > 3
    Journal.reopen(path, NO_SECRETS).close()
    assert [line["seq"] for line in records(path)] == list(range(1, kept.last_seq + 1))


# --- secrets ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "HF_TOKEN",
        "ANTHROPIC_API_KEY",
        "AWS_SECRET_ACCESS_KEY",
        "DB_PASSWORD",
        "openai_apikey",
        "KAGGLE_KEY",
        "GH_PAT",
        "DB_PASS",
    ],
)
def test_secret_names(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name", ["PATH", "HOME", "TOKENIZERS_PARALLELISM", "MAX_TOKENS", "HF_TOKEN_PATH", "OPENAI_BASE_URL"]
)
def test_names_that_are_no_secrets(name: str) -> None:
    assert not is_secret_name(name)


def test_children_get_the_environment_without_secrets_unless_allowed() -> None:
    environ = {"PATH": "/bin", "HF_TOKEN": "x" * 10, "OPENAI_API_KEY": "y" * 10}
    assert child_environment(environ) == {"PATH": "/bin"}
    assert child_environment(environ, ("HF_TOKEN",)) == {"PATH": "/bin", "HF_TOKEN": "x" * 10}


@pytest.mark.parametrize("as_ascii", [True, False])
def test_secrets_are_found_where_json_spells_them_otherwise(tmp_path: Path, as_ascii: bool) -> None:
    values = {
        "KEY": "-----BEGIN KEY-----\nMIIEv\n-----END KEY-----\n",
        "DB_PASSWORD": 'a"b\\cdefgh',
        "PASS": "pässwörter",
    }
    arguments = json.dumps({"content": f"here: {' '.join(values.values())}."}, ensure_ascii=as_ascii)
    journal = Journal.create(tmp_path / "a.jsonl", LiveSecrets(values))
    start(journal)
    call = ToolCall("c1", FunctionCall("write", arguments))
    journal.append_message(assistant_message("\n".join(values.values()), (call,)))
    journal.close()
    (message,) = restore(journal.path).messages
    assert message.content == "[REDACTED:KEY]\n[REDACTED:DB_PASSWORD]\n[REDACTED:PASS]"
    said = json.loads(message.tool_calls[0].function.arguments)["content"]
    assert said == "here: [REDACTED:KEY] [REDACTED:DB_PASSWORD] [REDACTED:PASS]."


def test_a_secret_learned_later_is_found_in_json_too() -> None:
    secrets = LiveSecrets({})
    secrets.add("LATE", 'quoted "value"')
    assert secrets.scrub(json.dumps('quoted "value"')) == '"[REDACTED:LATE]"'


def test_the_longest_secret_wins_and_short_values_are_left_alone() -> None:
    secrets = LiveSecrets({"A_TOKEN": "abcdefgh", "B_TOKEN": "abcdefghij", "C_TOKEN": "a"})
    assert secrets.scrub("abcdefghij abcdefgh a") == "[REDACTED:B_TOKEN] [REDACTED:A_TOKEN] a"
