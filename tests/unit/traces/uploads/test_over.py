"""Whether a session is over."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from agent.redaction.live import LiveSecrets
from agent.sessions.journal import Journal
from agent.traces.uploads.over import SILENCE, is_over, seems_over
from tests.unit.sessions.keeping import keep_session


def test_where_there_are_locks_the_lock_tells(tmp_path: Path) -> None:
    path = keep_session(tmp_path, "1" * 32, "hi")
    running = Journal.reopen(path, LiveSecrets({}))
    assert not is_over(path, datetime.now(UTC))
    running.close()
    path.write_bytes(path.read_bytes()[:-20])  # a crash
    assert is_over(path, datetime.now(UTC))


def test_without_locks_its_last_record_or_a_long_silence_tells(tmp_path: Path) -> None:
    """A running session was taken for over, and the end of it was lost."""
    path = keep_session(tmp_path, "1" * 32, "hi")
    changed = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    assert seems_over(path, changed)
    with path.open("ab") as file:
        file.write(b'{"v":1,"seq":99,"ts":"2026-11-21T00:00:00.000Z","kind":"resume","data":{}}\n')
    os.utime(path, (changed.timestamp(), changed.timestamp()))
    assert not seems_over(path, changed + SILENCE - timedelta(seconds=2))
    assert seems_over(path, changed + SILENCE + timedelta(seconds=2))
    assert not seems_over(tmp_path / "nothing", changed)
