"""The journal file: private, append-only, without secrets, and no danger to the session."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from agent.protocol.events import AssistantChunk, Event, TurnComplete
from agent.protocol.messages import user_message
from agent.sessions.journal import Journal
from agent.sessions.redact import LiveSecrets, child_environment, is_secret_name

NO_SECRETS = LiveSecrets({})


def records(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_records_are_numbered_lines_in_a_private_file(tmp_path: Path) -> None:
    path = tmp_path / "sessions" / "2026" / "a.jsonl"
    journal = Journal(path, NO_SECRETS)
    assert not path.exists()
    journal.append("start", {"id": "a"})
    journal.append_message(user_message("hi \u2028 there"))
    journal.append_event(Event(TurnComplete(1, None), 1))
    journal.append_event(Event(AssistantChunk("streamed"), 2))
    journal.close()
    lines = records(path)
    assert [(line["seq"], line["kind"]) for line in lines] == [(1, "start"), (2, "message"), (3, "event")]
    assert path.read_bytes().isascii()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o077 == 0


def test_live_secrets_are_replaced_everywhere(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    journal = Journal(path, LiveSecrets({"HF_TOKEN": "hf_abcdefghijk"}))
    journal.append("event", {"hf_abcdefghijk": ["x hf_abcdefghijk y", {"deep": "hf_abcdefghijk"}]})
    journal.close()
    assert "hf_abc" not in path.read_text()
    assert path.read_text().count("[REDACTED:HF_TOKEN]") == 3


def test_a_place_that_cannot_be_written_is_said_once_and_ends_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    journal = Journal(tmp_path / "file" / "a.jsonl", NO_SECRETS)
    with caplog.at_level(logging.ERROR):
        journal.append("start", {})
        journal.append("end", {})
        journal.close()
    assert len(caplog.records) == 1


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


def test_the_longest_secret_wins_and_short_values_are_left_alone() -> None:
    secrets = LiveSecrets({"A_TOKEN": "abcdefgh", "B_TOKEN": "abcdefghij", "C_TOKEN": "a"})
    assert secrets.scrub("abcdefghij abcdefgh a") == "[REDACTED:B_TOKEN] [REDACTED:A_TOKEN] a"
