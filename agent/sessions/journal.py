"""The journal: an append-only file of JSON lines, one per session, from which everything else can be derived.

Each record is `{v, seq, ts, kind, data}` (see agent/sessions/records.py), written with one `write()`. Big texts are
stored once: an event does not repeat what a message holds. Streamed pieces are not kept, the messages they end in are.
Files are private (0600 in 0700 directories) and have one writer at a time.
"""

from __future__ import annotations

import logging
import mmap
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from agent.protocol.events import (
    ApprovalRequired,
    AssistantChunk,
    AssistantMessage,
    BudgetStatus,
    CommandRun,
    ContextReport,
    DesktopNotice,
    Event,
    ResumeComplete,
    ToolCallStarted,
    ToolOutput,
    ToolProgress,
    TurnComplete,
    WorkspaceDiff,
    WorkStatus,
)
from agent.protocol.messages import Message, ToolCall, utc_now, utc_stamp
from agent.protocol.private_files import make_private_dir
from agent.protocol.tools import FileFingerprint
from agent.redaction.live import LiveSecrets
from agent.sessions import lock
from agent.sessions.errors import JournalBusyError, JournalError
from agent.sessions.reader import writer_pid
from agent.sessions.records import Record, dump_message, dump_record, parse_record

logger = logging.getLogger(__name__)

MAX_UNWRITTEN_BYTES: Final = 64 << 20
"""How much is kept in memory of what the disk refuses; the record that crosses the line is kept as well."""

_NOT_KEPT: Final = (
    AssistantChunk,
    BudgetStatus,
    ToolProgress,
    ContextReport,
    WorkspaceDiff,
    WorkStatus,
    DesktopNotice,
)

_HELD_BY_MESSAGES: Final = {
    ToolCallStarted: ("arguments",),
    ToolOutput: ("output",),
    AssistantMessage: ("content",),
    TurnComplete: ("final_response",),
    CommandRun: ("output",),
    ResumeComplete: ("last_prompt", "last_answer"),
}
"""Fields of events that the message before or after them holds too: found there by tool call id, or by their place."""


def journal_path(state_dir: Path, session_id: str, started: datetime) -> Path:
    """`<state>/sessions/YYYY/MM/DD/<id>.jsonl`."""
    return state_dir / "sessions" / started.strftime("%Y/%m/%d") / f"{session_id}.jsonl"


class Journal:
    """Writes one session's file. Failures to write are logged once and never end the session.

    What the disk refuses is kept in memory and written as soon as it can be, from the very byte where the file stops:
    the file never holds half a record before a whole one. Room is looked for with each record, a file that could not
    be made is tried again at each `sync`. What is too much to keep is lost, and a `gap` tells so where it would stand.

    Records come from one thread; `sync` and `close` may be called in another.
    """

    def __init__(self, path: Path, secrets: LiveSecrets, *, fd: int | None = None, seq: int = 0) -> None:
        """Use `create` or `reopen`."""
        self.path = path
        self.problem: str | None = None
        """Why records do not reach the file, in words for the person; None while all is well."""
        self.bytes_written = 0
        self._secrets = secrets
        self._fd = fd
        self._seq = seq
        self._unwritten = bytearray()
        self._lost_records = 0
        self._is_new = fd is None
        self._closed = False
        self._disk = threading.Lock()
        """Held while the file is opened, synced or closed."""
        self._writing = threading.Lock()
        """Held for moments only, never while the disk syncs: the event loop waits for it."""

    @classmethod
    def create(cls, path: Path, secrets: LiveSecrets) -> Journal:
        """The journal of a new session. Nothing is created before the first record."""
        return cls(path, secrets)

    @classmethod
    def reopen(cls, path: Path, secrets: LiveSecrets) -> Journal:
        """The journal at `path`, to be continued: a torn last line is cut off. Blocks for a moment.

        Raises `JournalBusyError` while another process writes it, `JournalFormatError` if a newer ml-intern did, and
        `JournalError` when it cannot be opened.
        """
        try:
            fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        except OSError as error:
            raise JournalError(f"{path} cannot be opened ({error.strerror or error})") from error
        try:
            if not lock.acquire(fd):
                raise JournalBusyError(path, writer_pid(path))
            if os.fstat(fd).st_nlink == 0:
                raise JournalError(f"{path} has just been removed")
            return cls(path, secrets, fd=fd, seq=_cut_torn_line(fd))
        except OSError as error:
            os.close(fd)
            raise JournalError(f"{path} cannot be continued ({error.strerror or error})") from error
        except BaseException:
            os.close(fd)
            raise

    def append(self, kind: str, data: Mapping[str, Any]) -> None:
        """Write one record: O(size of `data`), microseconds; durable after the next `sync`. Never raises."""
        if self._closed:
            return
        if kind in {"start", "resume"}:
            data = {**data, "pid": os.getpid()}
        data = self._secrets.scrub_data(data)
        if self._fd is None and self.problem is None:
            self._open()
        with self._writing:
            if self._is_overfull:
                self._write()
            if self._is_overfull:
                self._lose_record()
            else:
                self._keep(kind, data)
                self._write()

    def append_message(self, message: Message) -> None:
        """Write a message of the history. Results are put in their place by their call when the file is read."""
        self.append("message", dump_message(message))

    def append_event(self, event: Event) -> None:
        """Write an event, without what a message holds already."""
        if isinstance(event.payload, _NOT_KEPT):
            return
        data = event.data
        for name in _HELD_BY_MESSAGES.get(type(event.payload), ()):
            data.pop(name, None)
        if isinstance(event.payload, ApprovalRequired):
            for item in data["tools"]:
                del item["arguments"]
        self.append("event", {"event_type": event.event_type, "data": data})

    def append_context(self, before: Sequence[Message], after: Sequence[Message], reason: str) -> None:
        """Write that history, which was `before`, is `after` from now on. System prompts do not count: each run has its
        own.

        When only the end was taken back, its first message is named; otherwise the new list is written: ids for
        messages that stay as they are, the others in full. With `undo` or `rewind` as `reason` the turns whose messages
        are gone never happened.
        """
        before, after = _without_system(before), _without_system(after)
        if after == before:
            return
        change: dict[str, Any]
        if after == before[: len(after)]:
            change = {"first_removed": before[len(after)].id}
        else:
            known = {message.id: message for message in before}
            change = {"messages": [m.id if known.get(m.id) == m else dump_message(m) for m in after]}
        self.append("context", {"reason": reason, **change})

    def append_running(self, calls: Sequence[ToolCall]) -> None:
        """Write that `calls` are about to run: after a crash, their outcome is unknown. Sync before they do run."""
        if calls:
            self.append("running", {"calls": [{"id": call.id, "name": call.function.name} for call in calls]})

    def append_files(self, changes: Mapping[Path, FileFingerprint | None]) -> None:
        """Write what is known of files now: a fingerprint, or None for a file that is not known any more."""
        if changes:
            self.append("files", {str(path): asdict(known) if known else None for path, known in changes.items()})

    def sync(self) -> None:
        """Make everything appended so far durable. Blocks for the disk: call it in a thread."""
        with self._disk:
            if self._closed:
                return
            if self._fd is None and self.problem is not None:
                self._open()
            if self._fd is None:
                return
            with self._writing:
                self._write()
            try:
                os.fsync(self._fd)
                if self._is_new:
                    self._is_new = False
                    _sync_directory(self.path.parent)
            except OSError as error:
                logger.warning("the session journal could not be synced: %s", error)

    def close(self) -> None:
        """Write what is left, sync, and let another process write. Blocks for the disk."""
        self.sync()
        with self._disk, self._writing:
            self._closed = True
            if self._fd is not None:
                os.close(self._fd)
                self._fd = None

    def _open(self) -> None:
        try:
            self._fd = _create(self.path)
        except OSError as error:
            self._complain(error)

    @property
    def _is_overfull(self) -> bool:
        return len(self._unwritten) >= MAX_UNWRITTEN_BYTES

    def _keep(self, kind: str, data: Mapping[str, Any]) -> None:
        """Add a record to what is to be written."""
        self._seq += 1
        self._unwritten += dump_record(Record(self._seq, utc_stamp(utc_now()), kind, dict(data)))

    def _write(self) -> None:
        """Write what waits, as far as that goes; where records were lost, a gap as soon as there is room for it."""
        if self._fd is None:
            return
        try:
            while self._unwritten or self._lost_records:
                if self._lost_records and not self._is_overfull:
                    self._keep("gap", {"records": self._lost_records})
                    self._lost_records = 0
                count = os.write(self._fd, self._unwritten)
                self.bytes_written += count
                del self._unwritten[:count]
        except OSError as error:
            self._complain(error)
        else:
            if self.problem is not None:
                self.problem = None
                logger.warning("the session is being saved again")

    def _complain(self, error: OSError) -> None:
        if self.problem is None:
            self.problem = f"{self.path} cannot be written ({error.strerror or error})"
            logger.error("the session is not being saved: %s", self.problem)

    def _lose_record(self) -> None:
        if not self._lost_records:
            limit = f"{MAX_UNWRITTEN_BYTES >> 20} MiB"
            self.problem = f"{self.path} cannot be written, and more than {limit} wait for it: records are being lost"
            logger.error("the session is not being saved: %s", self.problem)
        self._lost_records += 1


def _create(path: Path) -> int:
    """A new, private, locked file."""
    make_private_dir(path.parent)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
    lock.acquire(fd)
    return fd


def _sync_directory(path: Path) -> None:
    """Make the names in `path` durable, where the system can."""
    if sys.platform == "win32":  # which opens no directories
        return
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _cut_torn_line(fd: int) -> int:
    """Cut off what follows the last whole line of `fd`; returns the number of the last good record, 0 if none."""
    size = os.fstat(fd).st_size
    if size == 0:  # cannot be mapped
        return 0
    with mmap.mmap(fd, 0, access=mmap.ACCESS_READ) as content:
        end = stop = content.rfind(b"\n") + 1
        seq = 0
        while stop and not seq:
            start = content.rfind(b"\n", 0, stop - 1) + 1
            record = parse_record(content[start:stop])
            seq = record.seq if record else 0
            stop = start
    if end < size:
        os.ftruncate(fd, end)
    return seq


def _without_system(messages: Sequence[Message]) -> list[Message]:
    return [message for message in messages if message.role != "system"]
