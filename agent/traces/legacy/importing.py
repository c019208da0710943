"""A session file of the reference as a journal, so that it can be resumed, exported, shown and listed like our own.

The file itself is only read: resuming the reference's own way destroyed it. The journal is made once for each state of
the file, and says so in its first record (`imported`); when the session has gone on here since, that is what counts.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from agent.light_dataclass import dataclass
from agent.protocol.messages import utc_now, utc_stamp
from agent.protocol.private_files import make_private_dir, write_private
from agent.redaction.live import LiveSecrets
from agent.sessions import lock, tool_lists
from agent.sessions.errors import AmbiguousSessionError, JournalError, SessionNotFoundError
from agent.sessions.index import SessionIndex
from agent.sessions.journal import journal_path
from agent.sessions.reader import read_records
from agent.sessions.records import Record, dump_message, dump_record, shortened
from agent.traces.legacy.events import LegacyEvent, in_order, read_events
from agent.traces.legacy.messages import LegacyMessage, aware_time
from agent.traces.legacy.snapshot import Snapshot, read
from agent.traces.saying import number

logger = logging.getLogger(__name__)

UNKNOWN_VERSION = "0.0.0"
SAVED_BELOW = "session_logs"
"""The directory in which the reference kept its files, in the directory where it ran."""

_SAFE_ID = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9]|-(?!-)){6,62}[A-Za-z0-9]")
_MODEL_PREFIX = "huggingface/"
_NAME_CHARS = 200
_CLOCKS_DIFFER = timedelta(days=1)


def import_snapshot(path: Path, state_dir: Path, secrets: LiveSecrets) -> Path:
    """The journal of the session in the file at `path`, made if it has to be. Blocks.

    A session of that id that has gone on here, or was held here, is what is found; an import that nothing came after is
    made anew when the file has changed. Raises `SnapshotError` for files that are no sessions, `JournalError` when the
    journal cannot be written.
    """
    snapshot = read(path.absolute())
    session_id = session_id_of(snapshot)
    try:
        return _imported(snapshot, session_id, state_dir, secrets)
    except OSError as error:
        raise JournalError(f"{path} cannot be taken up ({error.strerror or error})") from error


def session_id_of(snapshot: Snapshot) -> str:
    """The session's id; for one that cannot name files, another that stays the same as the session grows."""
    session_id = snapshot.text("session_id")
    if _SAFE_ID.fullmatch(session_id):
        return session_id
    first = next(legacy.message for legacy in snapshot.messages.said if legacy.message.role != "system")
    known = "\n".join([session_id, snapshot.text("session_start_time"), first.content or ""])
    return f"legacy-{hashlib.sha256(known.encode()).hexdigest()[:24]}"


def started_at(snapshot: Snapshot) -> datetime:
    """When the session began: what the file says, else the earliest time in it, else when the file was written."""
    told = aware_time(snapshot.data.get("session_start_time"))
    if told is not None and told <= utc_now() + _CLOCKS_DIFFER:
        return told
    times = [aware_time(event.get("timestamp")) for event in snapshot.data["events"]]
    known = [time for time in (*times, *(legacy.time for legacy in snapshot.messages.said)) if time is not None]
    return min(known, default=None) or datetime.fromtimestamp(snapshot.path.stat().st_mtime, UTC)


def _imported(snapshot: Snapshot, session_id: str, state_dir: Path, secrets: LiveSecrets) -> Path:
    target = journal_path(state_dir, session_id, started_at(snapshot))
    existing = target if target.exists() else _journal_of(state_dir, session_id)
    if existing is None:
        return _write_new(target, _lines(snapshot, session_id, state_dir, secrets))
    with _held(existing) as is_held:
        if is_held and _is_outdated(existing, snapshot.sha256):
            lines = _lines(snapshot, session_id, state_dir, secrets)
            write_private(existing, lines, overwrite=True, durable=True)
    return existing


def _journal_of(state_dir: Path, session_id: str) -> Path | None:
    try:
        found = SessionIndex(state_dir).find(session_id)
    except (SessionNotFoundError, AmbiguousSessionError):  # the latter: several ids begin like this one
        return None
    return found.path if found.id == session_id else None


@contextlib.contextmanager
def _held(path: Path) -> Iterator[bool]:
    """Whether nobody else writes `path` meanwhile; if somebody does, the session has gone on."""
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        yield lock.acquire(fd)
    finally:
        os.close(fd)


def _is_outdated(journal: Path, sha256: str) -> bool:
    """Whether `journal` is an import of another state of the file, and nothing has come after it."""
    records = read_records(journal)
    first = next(records, None)
    imported = first.data.get("imported") if first is not None else None
    if not isinstance(imported, dict) or imported.get("sha256") == sha256:
        return False
    last = deque(records, 1)
    return bool(last) and last[0].kind == "end" and last[0].data.get("imported") is True


# --- records ---------------------------------------------------------------------------------------------------------


def _lines(snapshot: Snapshot, session_id: str, state_dir: Path, secrets: LiveSecrets) -> Iterator[bytes]:
    """The lines of the journal."""
    tools = _kept_tools(snapshot, state_dir)
    for seq, item in enumerate(_records(snapshot, session_id, tools), 1):
        yield dump_record(replace(item, seq=seq, data=secrets.scrub_data(item.data)))


@dataclass(slots=True)
class _Clock:
    """The time of the record at hand: it never goes back, and never into what is still to come."""

    now: datetime
    latest: datetime = field(default_factory=lambda: utc_now() + _CLOCKS_DIFFER)

    def known(self, time: datetime | None) -> datetime:
        """`time`, if that can be."""
        return time if time is not None and time <= self.latest else self.now

    def record(self, kind: str, data: Mapping[str, Any], time: datetime | None = None) -> Record:
        self.now = max(self.now, self.known(time))
        return Record(0, utc_stamp(self.now), kind, dict(data))


def _records(snapshot: Snapshot, session_id: str, tools: str | None) -> Iterator[Record]:
    """The session, record by record; `seq` is for others to count."""
    own, messages = snapshot.own, snapshot.messages
    clock = _Clock(started_at(snapshot))
    events = read_events(snapshot.data["events"], messages)
    yield clock.record("start", _head(snapshot, session_id))
    if (title := own.get("title")) and isinstance(title, str):
        yield clock.record("title", {"title": shortened(title), "by": "auto"})
    yield clock.record("place", {"git_branch": _name(own.get("git_branch")), "tools": tools})
    for item in in_order(messages.said, events):
        if isinstance(item, LegacyEvent):
            yield clock.record("event", {"event_type": item.event_type, "data": item.data}, item.time)
        else:
            yield clock.record("message", _message(item, clock), item.time)
    if begun := _begun(snapshot, events):
        yield clock.record("running", {"calls": begun})
    if lost_usd := _lost_usd(snapshot, events):
        charge = {"tool": "earlier", "tool_call_id": "", "cost_usd": lost_usd, "charged_usd": lost_usd}
        yield clock.record("event", {"event_type": "tool_charge", "data": charge | {"cost_known": True}})
    if messages.dropped:
        yield clock.record("gap", {"records": messages.dropped})
    turns = sum(legacy.message.begins_turn for legacy in messages.said)
    ended = aware_time(snapshot.data.get("session_end_time"))
    yield clock.record("end", {"turns": turns, "imported": True}, ended)


def _head(snapshot: Snapshot, session_id: str) -> dict[str, Any]:
    own, path = snapshot.own, snapshot.path
    below = str(path.parent.parent) if path.parent.name == SAVED_BELOW else None
    return {
        "id": session_id,
        "parent": _name(own.get("parent")),
        "user": _name(snapshot.data.get("user_id")),
        "cwd": _name(own.get("cwd")) or below,
        "version": _name(own.get("version")) or UNKNOWN_VERSION,
        "model": (_name(snapshot.data.get("model_name")) or "").removeprefix(_MODEL_PREFIX),
        "effort": _name(own.get("effort")),
        "cap_usd": None,
        "imported": {"path": str(path), "sha256": snapshot.sha256},
    }


def _name(value: Any) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= _NAME_CHARS and value.isprintable() else None


def _message(legacy: LegacyMessage, clock: _Clock) -> dict[str, Any]:
    """A message of unknown time was said when what came before it was."""
    return dump_message(replace(legacy.message, created_at=clock.known(legacy.time)))


def _begun(snapshot: Snapshot, events: list[LegacyEvent]) -> list[dict[str, str]]:
    """Calls that had begun and have no result: what became of them is unknown."""
    said = [legacy.message for legacy in snapshot.messages.said]
    answered = {message.tool_call_id for message in said if message.role == "tool"}
    begun = {event.data["tool_call_id"] for event in events if event.event_type == "tool_call"}
    calls = [call for message in said for call in message.tool_calls if call.id in begun - answered]
    return [{"id": call.id, "name": call.function.name} for call in calls]


def _lost_usd(snapshot: Snapshot, events: list[LegacyEvent]) -> float:
    """What the session has cost besides the model calls that the file tells of: resuming threw the others away."""
    told = number(snapshot.data.get("total_cost_usd"))
    calls = sum(number(event.data.get("cost_usd")) for event in events if event.event_type == "llm_call")
    lost = round(told - calls, 6)
    return lost if lost > 0 else 0.0


def _kept_tools(snapshot: Snapshot, state_dir: Path) -> str | None:
    tools = snapshot.data["tools"]
    if not tools:
        return None
    try:
        return tool_lists.keep(state_dir, tools)
    except OSError as error:
        logger.warning("the list of tools cannot be kept: %s", error)
        return None


# --- the file --------------------------------------------------------------------------------------------------------


def _write_new(target: Path, lines: Iterator[bytes]) -> Path:
    """Another process that was faster has written the same, and may go on with it already."""
    make_private_dir(target.parent)
    with contextlib.suppress(FileExistsError):
        write_private(target, lines, overwrite=False, durable=True)
    return target
