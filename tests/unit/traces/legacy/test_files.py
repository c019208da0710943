"""Session files of the reference in a directory: listed from their beginnings, found by what people call them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from agent.cli.saved_sessions import find_saved
from agent.redaction.live import LiveSecrets
from agent.sessions.errors import AmbiguousSessionError, SessionNotFoundError
from agent.traces.legacy.files import (
    HEAD_BYTES,
    find_legacy_file,
    is_taken_up,
    legacy_sessions_in,
    required_legacy_file,
)
from agent.traces.legacy.importing import import_snapshot
from tests.unit.sessions.keeping import NO_SECRETS, keep_session
from tests.unit.traces.legacy import reference_files as legacy


def keep(cwd: Path, number: int, prompt: str = "", system: str = "You are an agent.") -> Path:
    session_id = f"{number:08d}-aaaa-4bbb-8ccc-dddddddddddd"
    said = [{"role": "system", "content": system}, {"role": "user", "content": prompt or f"prompt {number}"}]
    name = f"session_{session_id}_202603{number:02d}_091500.json"
    return legacy.keep(cwd, legacy.snapshot(session_id=session_id, messages=said), name)


def test_the_latest_come_first_whatever_touched_them_since(tmp_path: Path) -> None:
    """Defect 18: a retried upload moved a session to the top."""
    for number in (2, 3, 1):
        os.utime(keep(tmp_path, number), (number * -1 + 2e9, -number + 2e9))
    found = legacy_sessions_in(tmp_path)
    assert [session.preview for session in found] == ["prompt 3", "prompt 2", "prompt 1"]
    assert found[0].id == "00000003-aaaa-4bbb-8ccc-dddddddddddd"
    assert (found[0].time.day, found[0].time.tzinfo is not None) == (3, True)
    assert [session.preview for session in legacy_sessions_in(tmp_path, 2)] == ["prompt 3", "prompt 2"]


def test_a_listing_does_not_read_files_in_full(tmp_path: Path) -> None:
    """Defect 18: what follows the first prompt may be anything, of any size."""
    path = keep(tmp_path, 1, "find\nme")
    text = path.read_text()
    path.write_text(text[: text.index('"tool_calls"')] if '"tool_calls"' in text else text[: text.index('"events"')])
    assert [session.preview for session in legacy_sessions_in(tmp_path)] == ["find me"]
    with path.open("ab") as file:
        file.truncate(50 << 30)  # a sparse file that nobody could read
    assert [session.preview for session in legacy_sessions_in(tmp_path)] == ["find me"]


def test_a_prompt_too_far_down_is_not_looked_for(tmp_path: Path) -> None:
    keep(tmp_path, 1, system="x" * (HEAD_BYTES + 1))
    (found,) = legacy_sessions_in(tmp_path)
    assert found.preview == ""


def test_what_is_no_session_is_left_out(tmp_path: Path) -> None:
    keep(tmp_path, 1)
    directory = tmp_path / "session_logs"
    (directory / "a.json").write_text("{}")
    (directory / "b.json").write_text('["messages"]')
    (directory / "c.txt").write_text('{"messages": [{"role": "user", "content": "x"}]}')
    (directory / "d.json").mkdir()
    (directory / "session_broken_99999999_999999.json").write_bytes(b"\xff\x00")
    os.mkfifo(directory / "e.json")
    (directory / "any name.json").write_text(json.dumps(legacy.snapshot(session_id="other")))
    assert {session.id for session in legacy_sessions_in(tmp_path)} == {"00000001-aaaa-4bbb-8ccc-dddddddddddd", "other"}
    assert legacy_sessions_in(tmp_path / "nowhere") == []


def test_a_file_is_found_by_path_name_and_beginning_of_its_id(tmp_path: Path) -> None:
    first, second = keep(tmp_path, 1), keep(tmp_path, 2)
    for text in (str(first), f"session_logs/{first.name}", first.name, first.stem, "00000001", "session_00000001"):
        assert find_legacy_file(text, tmp_path) == first
    assert find_legacy_file("00000002-aaaa-4bbb-8ccc-dddddddddddd", tmp_path) == second
    for text in ("nothing", "000", "1", "", "\0", "x" * 5000, "~nobody/x.json"):
        assert find_legacy_file(text, tmp_path) is None
    with pytest.raises(AmbiguousSessionError, match="give the path"):
        find_legacy_file("session_0000000", tmp_path)
    with pytest.raises(SessionNotFoundError, match="check its path"):
        required_legacy_file("none.json", tmp_path)


def test_a_title_may_look_like_a_file(tmp_path: Path) -> None:
    state, secrets = tmp_path / "state", LiveSecrets({})
    own = keep_session(state, "abcdef0123456789", "mend config.json")
    assert find_saved("mend config.json", tmp_path, state, secrets).path == own
    assert find_saved(keep(tmp_path, 1).name, tmp_path, state, secrets).title == "prompt 1"
    with pytest.raises(SessionNotFoundError, match="there is no file"):
        find_saved("other.json", tmp_path, state, secrets)
    with pytest.raises(SessionNotFoundError, match="there is no session"):
        find_saved("other", tmp_path, state, secrets)


def test_a_file_that_was_taken_up_has_nothing_to_add_until_it_changes(tmp_path: Path) -> None:
    path, state = keep(tmp_path, 1), tmp_path / "state"
    (session,) = legacy_sessions_in(tmp_path)
    assert not is_taken_up(session, state)
    journal = import_snapshot(path, state, NO_SECRETS)
    assert is_taken_up(session, state)
    os.utime(path, ns=(0, journal.stat().st_mtime_ns + 1))
    assert not is_taken_up(session, state)
