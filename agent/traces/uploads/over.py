"""Whether a session is over, so that all of it can be sent: also where file systems have no locks to tell by."""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from pathlib import Path

from agent.sessions import lock
from agent.sessions.errors import SessionError
from agent.sessions.records import parse_record

SILENCE = timedelta(hours=1)
"""So long nothing was written: the writer is taken for dead."""
_TAIL_BYTES = 1 << 16


def is_over(journal: Path, now: datetime) -> bool:
    """Whether nobody writes the journal any more."""
    return not lock.is_locked(journal) and (lock.has_locks(journal) or seems_over(journal, now))


def seems_over(journal: Path, now: datetime) -> bool:
    """Whether the journal looks as if nobody wrote it any more: it has an end, or was silent for long. That its process
    is gone says nothing: home directories without locks are shared, and it may run on another machine."""
    try:
        changed_s = journal.stat().st_mtime
        return abs(now.timestamp() - changed_s) > SILENCE.total_seconds() or _has_end(journal)
    except (OSError, SessionError):
        return False


def _has_end(journal: Path) -> bool:
    """Whether the last record says that the session was closed. Raises OSError."""
    with journal.open("rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL_BYTES))
        lines = file.read().split(b"\n")
    record = parse_record(lines[-2]) if len(lines) > 1 else None
    return record is not None and record.kind == "end" and not lines[-1]
