"""What puts a session into the outbox, as the session's record calls it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from agent.context_manager.manager import ContextManager
from agent.core.disk import Disk
from agent.core.record import Record
from agent.protocol.messages import assistant_message, user_message, utc_now
from agent.redaction.live import LiveSecrets
from agent.sessions.journal import Journal, journal_path
from agent.traces.uploads.entries import Delivery
from agent.traces.uploads.mark import Mark
from agent.traces.uploads.outbox import Outbox
from tests.unit.sessions.keeping import start

ONE = "1" * 32


class Noting(Journal):
    """Notes when it is made durable."""

    seen: list[str]

    def sync(self) -> None:
        self.seen.append("sync")
        super().sync()


def record_of(state_dir: Path, seen: list[str]) -> Record:
    journal = Noting(journal_path(state_dir, ONE, utc_now()), LiveSecrets({}))
    journal.seen = seen

    def wanted() -> bool:
        seen.append("mark")
        return True

    mark = Mark(Outbox(state_dir), ONE, journal.path, wanted)
    history = ContextManager("You are.", 100_000, [])
    write_head: Callable[[Journal], None] = start
    return Record(history, journal, Disk("test"), write_head, share=mark)


async def test_the_journal_is_durable_before_the_outbox_is_seen_to(tmp_path: Path) -> None:
    """An outbox that cannot be written, or takes its time, must not keep the session from being kept."""
    seen: list[str] = []
    record = record_of(tmp_path, seen)
    record.add(user_message("hi"))
    await record.sync()
    assert seen == ["sync", "mark"]
    await record.close(1)


@pytest.mark.parametrize("is_sent", [False, True])
async def test_a_session_that_ends_waits_for_its_upload_whatever_was_sent_of_it(tmp_path: Path, is_sent: bool) -> None:
    """Where file systems have no locks, a part of it may have been taken for the whole; or it got another title."""
    record, outbox = record_of(tmp_path, []), Outbox(tmp_path)
    record.add(user_message("hi"))
    record.add(assistant_message("Hello."))
    await record.sync()
    (entry,) = outbox.waiting()
    if is_sent:
        entry.journal.rename(tmp_path / "running")  # as nobody else can open it while it is held
        entry.journal.write_bytes((tmp_path / "running").read_bytes())
        size_bytes = entry.journal.stat().st_size
        outbox.update(ONE, "personal", Delivery().sent(9, utc_now(), size_bytes=size_bytes, repo="me/x"))
        assert outbox.settle(ONE, ["personal"], utc_now())
        assert outbox.is_empty()
    record.write("title", {"title": "Another", "by": "person"})
    await record.close(1)
    assert [each.session_id for each in outbox.waiting()] == [ONE]
