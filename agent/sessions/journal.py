"""The journal: an append-only file of JSON lines, one per session, from which everything else can be derived.

Each record is `{v, seq, ts, kind, data}`, written with one `write()`; kinds so far: `start`, `message`, `event`,
`context` (an undo), `end`.
Streamed pieces are not kept, the messages they end in are. Files are private (0600 in 0700 directories).
"""

from __future__ import annotations

import json
import logging
import os
from datetime import datetime
from pathlib import Path
from typing import Any

from agent.protocol.events import AssistantChunk, Event
from agent.protocol.messages import Message, utc_now
from agent.sessions.redact import LiveSecrets

logger = logging.getLogger(__name__)

VERSION = 1


def journal_path(state_dir: Path, session_id: str, started: datetime) -> Path:
    """`<state>/sessions/YYYY/MM/DD/<id>.jsonl`."""
    return state_dir / "sessions" / started.strftime("%Y/%m/%d") / f"{session_id}.jsonl"


class Journal:
    """Writes one session's file. Failures to write are logged once and never end the session."""

    def __init__(self, path: Path, secrets: LiveSecrets) -> None:
        """Nothing is created before the first record."""
        self.path = path
        self._secrets = secrets
        self._fd: int | None = None
        self._seq = 0
        self.problem: str | None = None
        """Why nothing more is written, in words for the person; None while all is well."""

    def append(self, kind: str, data: dict[str, Any]) -> None:
        """Write one record: O(size of `data`), microseconds; durable after the next `sync`."""
        if self.problem is not None:
            return
        self._seq += 1
        stamp = utc_now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
        record = {"v": VERSION, "seq": self._seq, "ts": stamp, "kind": kind, "data": self._secrets.scrub_data(data)}
        line = json.dumps(record, separators=(",", ":"), default=str) + "\n"
        try:
            self._write(line.encode("ascii"))
        except OSError as error:
            self.problem = f"{self.path} cannot be written ({error.strerror or error})"
            logger.error("the session journal ends here: %s", self.problem)

    def append_message(self, message: Message) -> None:
        """Write a message of the history."""
        self.append("message", message.model_dump())

    def append_event(self, event: Event) -> None:
        """Write an event, unless it is a streamed piece."""
        if not isinstance(event.payload, AssistantChunk):
            self.append("event", {"event_type": event.event_type, "data": event.data})

    def _write(self, line: bytes) -> None:
        if self._fd is None:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        while line:
            line = line[os.write(self._fd, line) :]

    def sync(self) -> None:
        """Make everything written so far durable. Blocks for the disk: call it in a thread."""
        if self._fd is not None and self.problem is None:
            try:
                os.fsync(self._fd)
            except OSError as error:
                logger.warning("the session journal could not be synced: %s", error)

    def close(self) -> None:
        """Sync and close."""
        self.sync()
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
